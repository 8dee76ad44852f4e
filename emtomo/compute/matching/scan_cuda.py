"""The scan of one tile on a CUDA device: everything but the transform to begin with stays there."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.compute.device import device_arrays, is_simulated, threads
from emtomo.compute.fourier.transforms import irfftn
from emtomo.compute.matching.template import MatchingTemplate


def inverse_of(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """Return what turns a device's half transform (z, y, 2 x floats) back: cuFFT through CuPy, scipy in the simulator.

    The half transform may be overwritten.
    """
    if is_simulated():
        return lambda out: np.ascontiguousarray(irfftn(out.view(np.complex64), shape, workers=threads()), np.float32)
    from cupyx.scipy.fft import irfftn as irfftn_cuda

    return lambda out: irfftn_cuda(out.view(np.complex64), shape, overwrite_x=True)


def run_cuda(
    device: str,
    spectrum: np.ndarray,
    spans: np.ndarray,
    shape: tuple[int, ...],
    offset: tuple[int, ...],
    template: MatchingTemplate,
    scale: np.ndarray,
    rotations: np.ndarray,
    factors: np.ndarray,
    best: np.ndarray,
    which: np.ndarray,
    kind: np.ndarray | None,
    allowed: np.ndarray | None,
    on_progress: Callable[[], None],
) -> None:
    """Keep the best of all orientations in a tile's part of `best` and `which`; as the CPU's scan does.

    Parameters
    ----------
    spectrum, spans
        Of the tile, whose transform has `shape`; `offset` is where the wanted part lies in it.
    kind, allowed
        Of the tile's :class:`~emtomo.compute.matching.scan.Guide`.

    Raises
    ------
    EmtomoError
        If CuPy is not installed.
    """
    xp = device_arrays(device)
    from emtomo.compute.kernels.matching_cuda import THREADS, keep_best_cuda, product_cuda

    back, to = inverse_of(shape), xp.array
    flat, m, wide = template.flat
    flat_d, scale_d, spans_d, turns = to(flat), to(scale), to(spans), to(np.ascontiguousarray(rotations))
    source = to(np.ascontiguousarray(spectrum).view(np.float32))
    out, best_d, which_d = xp.empty_like(source), to(best), to(which)
    kind_d = xp.zeros((1, 1, 1), np.int16) if kind is None else to(kind)
    allowed_d = xp.ones((len(rotations), 1), np.bool_) if allowed is None else to(allowed)
    offset_d = to(np.array(offset, np.int32))
    many, few = (-(-n // THREADS) for n in (spectrum.size, best.size))
    for o in range(len(rotations)):
        if allowed is not None and not allowed[o].any():
            continue
        number = np.int32(o)
        product_cuda[many, THREADS](flat_d, m, wide, scale_d, turns, number, source, spans_d, out)
        keep_best_cuda[few, THREADS](back(out), offset_d, factors[o], number, kind_d, allowed_d, best_d, which_d)
        on_progress()
    host = (lambda a: a) if is_simulated() else xp.asnumpy
    best[...], which[...] = host(best_d), host(which_d)
