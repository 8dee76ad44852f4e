"""The scan of one tile on a CUDA device: everything but the transform to begin with stays there."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.compute.device import select_cuda, threads
from emtomo.compute.matching.template import Template
from emtomo.errors import EmtomoError


def inverse_of(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """Return what turns a device's half transform (z, y, 2 x floats) back: cuFFT through CuPy, scipy in the simulator.

    Raises
    ------
    EmtomoError
        If CuPy is not installed.
    """
    from numba import config, cuda

    if config.ENABLE_CUDASIM:
        from scipy.fft import irfftn

        def simulated(out: Any) -> Any:
            back = irfftn(out.copy_to_host().view(np.complex64), shape, workers=threads())
            return cuda.to_device(np.ascontiguousarray(back, np.float32))

        return simulated
    try:
        import cupy
    except ImportError:
        raise EmtomoError("Matching on a GPU needs CuPy: pip install 'emtomo[cuda12]'.") from None

    def transformed(out: Any) -> Any:
        return cupy.fft.irfftn(cupy.asarray(out).view(cupy.complex64), shape, overwrite_x=True)

    return transformed


def run_cuda(
    device: str,
    spectrum: np.ndarray,
    spans: np.ndarray,
    shape: tuple[int, ...],
    offset: tuple[int, ...],
    template: Template,
    scale: np.ndarray,
    rotations: np.ndarray,
    factors: np.ndarray,
    best: np.ndarray,
    which: np.ndarray,
    kind: np.ndarray | None,
    allowed: np.ndarray | None,
    told: Callable[[], None],
) -> None:
    """Keep the best of all orientations in a tile's part of `best` and `which`; as the CPU's scan does.

    Parameters
    ----------
    spectrum, spans
        Of the tile, whose transform has `shape`; `offset` is where the wanted part lies in it.
    kind, allowed
        Of the tile's :class:`~emtomo.compute.matching.scan.Guide`.
    """
    cuda = select_cuda(device)
    from emtomo.compute.kernels.matching_cuda import THREADS, keep_best_cuda, product_cuda

    back = inverse_of(shape)
    flat, m, wide = template.flat
    to = cuda.to_device
    flat_d, scale_d, spans_d = to(np.ascontiguousarray(flat)), to(scale), to(spans)
    source = np.ascontiguousarray(spectrum).view(np.float32)
    source_d, out = to(source), cuda.device_array(source.shape, np.float32)
    best_d, which_d = to(np.ascontiguousarray(best)), to(np.ascontiguousarray(which))
    kind_d = to(np.zeros((1, 1, 1), np.int16) if kind is None else np.ascontiguousarray(kind))
    free = to(np.ones(1, np.bool_))
    offset_d = to(np.array(offset, np.int32))
    many, few = (-(-n // THREADS) for n in (spectrum.size, best.size))
    for o, rotation in enumerate(rotations):
        if allowed is not None and not allowed[o].any():
            continue
        product_cuda[many, THREADS](flat_d, m, wide, scale_d, to(rotation), source_d, spans_d, out)
        here = free if allowed is None else to(np.ascontiguousarray(allowed[o]))
        keep_best_cuda[few, THREADS](back(out), offset_d, factors[o], np.int32(o), kind_d, here, best_d, which_d)
        told()
    best[...], which[...] = best_d.copy_to_host(), which_d.copy_to_host()
