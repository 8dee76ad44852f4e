"""Fourier transforms of arrays on the CPU; the only place that names a library for them.

The functions are those of :mod:`scipy.fft`. ducc0 and FFTW take less time for whole large volumes, ducc0 little less in
the slabs by which template matching goes (``benchmarks/bench_fft.py``). scipy's results are the same to the last digit
however many threads work on them; ducc0's are not, and FFTW's depend on what its planner measured. Single precision
stays single. The library is loaded with the first transform.
"""

from collections.abc import Sequence

import numpy as np


def next_fast_len(n: int, real: bool = False) -> int:
    """Return the smallest length of at least `n` whose transform is fast; `real` for real input."""
    from scipy import fft

    return int(fft.next_fast_len(n, real))


def rfftn(
    x: np.ndarray,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    overwrite_x: bool = False,
    workers: int = 1,
) -> np.ndarray:
    """Return the transform of real values along some axes, the last of which is halved.

    Parameters
    ----------
    x : array
        float32 and float64 keep their precision.
    s : sequence of int, optional
        Lengths along the axes, to which values are padded with zeros or cut.
    axes : sequence of int, optional
        The last ones, as many as `s` has; all of them by default.
    overwrite_x : bool
        `x` is not needed afterwards.
    workers : int, optional
        Threads.
    """
    from scipy import fft

    return fft.rfftn(x, s, axes, overwrite_x=overwrite_x, workers=workers)


def irfftn(
    x: np.ndarray,
    s: Sequence[int],
    axes: Sequence[int] | None = None,
    overwrite_x: bool = False,
    workers: int = 1,
) -> np.ndarray:
    """Return the real values of lengths `s` along some axes, whose :func:`rfftn` is `x`.

    Parameters
    ----------
    x : complex array
    s : sequence of int
    axes : sequence of int, optional
        The last ones, as many as `s` has.
    overwrite_x : bool
        `x` is not needed afterwards.
    workers : int, optional
        Threads.
    """
    from scipy import fft

    return fft.irfftn(x, s, axes, overwrite_x=overwrite_x, workers=workers)


def rfft2(
    x: np.ndarray, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), workers: int = 1
) -> np.ndarray:
    """Return the transform of real images; see :func:`rfftn`."""
    return rfftn(x, s, axes, workers=workers)


def irfft2(
    x: np.ndarray,
    s: Sequence[int],
    axes: Sequence[int] = (-2, -1),
    overwrite_x: bool = False,
    workers: int = 1,
) -> np.ndarray:
    """Return the real images whose :func:`rfft2` is `x`; see :func:`irfftn`."""
    return irfftn(x, s, axes, overwrite_x, workers)


def rfft(x: np.ndarray, n: int | None = None, axis: int = -1, workers: int = 1) -> np.ndarray:
    """Return the transform of real values along one axis, padded or cut to `n`."""
    return rfftn(x, None if n is None else (n,), (axis,), workers=workers)


def irfft(x: np.ndarray, n: int, axis: int = -1, overwrite_x: bool = False, workers: int = 1) -> np.ndarray:
    """Return the `n` real values along one axis whose :func:`rfft` is `x`."""
    return irfftn(x, (n,), (axis,), overwrite_x, workers)


def fft(x: np.ndarray, n: int | None = None, axis: int = -1, workers: int = 1) -> np.ndarray:
    """Return the transform of complex values along one axis, padded or cut to `n`."""
    from scipy import fft as library

    return library.fft(x, n, axis, workers=workers)


def ifft(
    x: np.ndarray, n: int | None = None, axis: int = -1, overwrite_x: bool = False, workers: int = 1
) -> np.ndarray:
    """Return the inverse of a complex transform along one axis, padded or cut to `n`."""
    from scipy import fft

    return fft.ifft(x, n, axis, overwrite_x=overwrite_x, workers=workers)
