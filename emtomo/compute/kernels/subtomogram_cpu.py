"""CPU kernel of subtomograms: from the sums of all tilts to the transforms of box and CTF volume."""

import numpy as np
from numba import njit

F = np.float32


@njit(nogil=True, cache=True)
def divide_sums(data, weights, smallest, premultiplied, values, transfer):
    """Fill the transforms of a box and of its CTF volume from sums of images and of transfers.

    Parameters
    ----------
    data, weights : (2 m + 1, 2 m + 1, m + 2, 4) float32 arrays
        Sums as ``kernels.fourier_cpu.insert`` makes them, without the mates in the plane x = 0: of images with |CTF|,
        and of transfers with 1.
    smallest : float
        Least sum of |CTF| that is divided by.
    premultiplied : bool
        Sums are left as they are.
    values, transfer : (2 m + 1, 2 m + 1, m + 2) complex64 and float32 arrays
    """
    last, zero, one = data.shape[0] - 1, F(0), F(1)
    for z in range(data.shape[0]):
        for y in range(data.shape[1]):
            for x in range(data.shape[2]):
                here, there = data[z, y, x], weights[z, y, x]
                re, im, absolute, square, count = here[0], here[1], here[2], there[0], there[2]
                if x == 0:
                    mate, other = data[last - z, last - y, 0], weights[last - z, last - y, 0]
                    re, im, absolute = re + mate[0], im - mate[1], absolute + mate[2]
                    square, count = square + other[0], count + other[2]
                if not premultiplied:
                    # a frequency that a part of one tilt reaches has that part of the divisor
                    factor = min(count, one) / max(absolute, F(smallest)) if count > zero else zero
                    re, im, square = re * factor, im * factor, square * factor
                values[z, y, x] = complex(re, im)
                transfer[z, y, x] = square
