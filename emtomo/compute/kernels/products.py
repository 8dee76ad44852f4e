"""Products of large matrices by scipy's BLAS, which numba calls without Python's lock."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def multiply(left, right, out):
    """Write left @ right of (m, k) and (k, n) arrays of one type, each in C or Fortran order, to the array `out`."""
    np.dot(left, right, out)


@njit(nogil=True, cache=True)
def multiply_rows(left, right, out):
    """Write left[i] @ right[i].T of (b, m, k) and (b, n, k) arrays of one type to the (b, m, n) array `out`."""
    for i in range(out.shape[0]):
        np.dot(left[i], right[i].T, out[i])
