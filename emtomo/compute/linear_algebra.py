"""Products of large matrices at the speed of the processor."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let every product run in the thread that asks for it: sums are rounded by how many threads share a product.

    scipy's BLAS is loaded first, since only what is loaded is limited. A decorator too.
    """
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


def multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return ``left @ right``, by scipy's BLAS and without Python's lock.

    numpy's own BLAS may be older than the processor: OpenBLAS 0.3.23 of numpy 1.26 takes kernels without AVX on a Xeon
    of 2023, which need 4.2 to 4.9 times as long as those of OpenBLAS 0.3.29 in scipy 1.16 (products of 200 x 400 x 1000
    and larger).

    Parameters
    ----------
    left, right : (m, k) and (k, n), or (b, m, k) and (b, k, n) arrays
        float32 or float64; of a stack, `right` is best given as the transpose of an array in C order. What is not
        contiguous is copied.

    Returns
    -------
    (m, n) or (b, m, n) array
        Of the type of both.
    """
    from emtomo.compute.kernels import products

    kind = np.result_type(left, right)
    out = np.empty((*left.shape[:-1], right.shape[-1]), kind)
    if out.ndim == 2:
        products.multiply(_contiguous(left, kind), _contiguous(right, kind), out)
    else:
        rows = np.ascontiguousarray(right.swapaxes(1, 2), kind)
        products.multiply_rows(np.ascontiguousarray(left, kind), rows, out)
    return out


def _contiguous(matrix: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Return the matrix in C or Fortran order, as it is where it can."""
    return np.asarray(matrix, kind, None if matrix.flags.f_contiguous else "C")
