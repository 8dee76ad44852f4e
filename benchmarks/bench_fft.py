"""Fourier transforms: scipy, FFTW (pyfftw) and ducc0 at the sizes that matching, refinement and tomograms use.

``python benchmarks/bench_fft.py`` prints milliseconds of a real transform and its inverse, float32, and of the inverse
as template matching takes it, axis by axis and in slabs that stay in a core's cache. Candidates that are not installed
are left out: ``pip install pyfftw ducc0``.
"""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.matching.scan import SLAB_BYTES

SIZES = {"matching's block": (100, 200, 200), "a box": (64, 64, 64), "its padded reference": (128, 128, 128)}
LARGE = {"a tomogram": (200, 480, 480)}
Pair = Callable[[np.ndarray, int], np.ndarray]


def scipy_pair(volume: np.ndarray, workers: int) -> np.ndarray:
    from scipy.fft import irfftn, rfftn

    return irfftn(rfftn(volume, workers=workers), volume.shape, workers=workers, overwrite_x=True)


def ducc_pair(volume: np.ndarray, workers: int) -> np.ndarray:
    from ducc0.fft import c2r, r2c

    half = r2c(volume, nthreads=workers)
    return c2r(half, lastsize=volume.shape[-1], inorm=2, forward=False, nthreads=workers, allow_overwriting_input=True)


def fftw_pair(volume: np.ndarray, workers: int) -> np.ndarray:
    from pyfftw.interfaces import cache, scipy_fft

    cache.enable()
    cache.set_keepalive_time(30)
    return scipy_fft.irfftn(scipy_fft.rfftn(volume, workers=workers), volume.shape, workers=workers, overwrite_x=True)


CANDIDATES: dict[str, tuple[str, Pair]] = {
    "scipy.fft": ("scipy", scipy_pair),
    "pyfftw": ("pyfftw", fftw_pair),
    "ducc0": ("ducc0", ducc_pair),
}


def scipy_slabs(spectrum: np.ndarray, shape: tuple[int, int, int], step: int) -> None:
    from scipy.fft import ifft, irfft

    back = ifft(spectrum, axis=0, overwrite_x=True)
    for z in range(0, shape[0], step):
        irfft(ifft(back[z : z + step], axis=1, overwrite_x=True), n=shape[2], axis=2)


def ducc_slabs(spectrum: np.ndarray, shape: tuple[int, int, int], step: int) -> None:
    from ducc0.fft import c2c, c2r

    c2c(spectrum, axes=(0,), forward=False, out=spectrum)
    for z in range(0, shape[0], step):
        slab = spectrum[z : z + step]
        c2c(slab, axes=(1,), forward=False, out=slab)
        c2r(slab, axes=(2,), lastsize=shape[2], forward=False)


def compare_slabs() -> None:
    """Print one thread's time for the inverse transforms of one orientation in matching."""
    for shape in ((100, 200, 200), (120, 288, 288)):
        half = np.zeros((*shape[:2], shape[2] // 2 + 1), np.complex64)
        step = max(1, SLAB_BYTES // (4 * shape[1] * shape[2]))
        for name, module, invert in (("scipy.fft", "scipy", scipy_slabs), ("ducc0", "ducc0", ducc_slabs)):
            if importlib.util.find_spec(module):
                taken, _ = seconds(lambda invert=invert, half=half, shape=shape, step=step: invert(half, shape, step))
                row(f"inverse in slabs {shape}, {name}", f"{taken * 1e3:.1f} ms one thread")


def main() -> None:
    print(machine())
    compare_slabs()
    here = {name: pair for name, (module, pair) in CANDIDATES.items() if importlib.util.find_spec(module)}
    for what, shape in (SIZES | LARGE).items():
        volumes = [np.random.default_rng(k).standard_normal(shape, np.float32) for k in range(2)]
        for name, pair in here.items():
            compare(f"{what} {shape}, {name}", pair, volumes)


def compare(what: str, pair: Pair, volumes: list[np.ndarray]) -> None:
    """Print one library's times for two volumes."""
    assert np.abs(pair(volumes[0], 1) - volumes[0]).max() < 1e-4
    one, _ = seconds(lambda: pair(volumes[0], 1))
    both, _ = seconds(lambda: [pair(v, 2) for v in volumes])
    with ThreadPoolExecutor(2) as pool:
        beside, _ = seconds(lambda: list(pool.map(lambda v: pair(v, 1), volumes)))
    same = "same" if np.array_equal(pair(volumes[0], 1), pair(volumes[0], 2)) else "other"
    row(
        what,
        f"{one * 1e3:.1f} ms one thread; two volumes: {both * 1e3:.1f} ms one after the other on two threads, "
        f"{beside * 1e3:.1f} ms side by side on one each; {same} digits with two threads",
    )


if __name__ == "__main__":
    main()
