"""The scan: the best score and orientation of every voxel, tile by tile."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.kernels.matching_cpu import keep_best, keep_best_guided, product
from emtomo.compute.matching.template import Template
from emtomo.compute.refinement.reference import PAD

SHARE = 0.5  # of the memory that is free now
SLAB_BYTES = 2**20  # of a transform turned back at a time: stays in a core's cache


def tile_of_memory(most: int) -> int:
    """Return how many voxels a tile's transform may have, `most` unless the free memory is too small for that."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    per_voxel = 16 + 4 * threads()  # padded tile, spectrum, scores and orientations; a product for every thread
    return max(1, min(most, int(SHARE * free / per_voxel)))


@dataclass(frozen=True)
class Guide:
    """Where which orientations are allowed.

    Attributes
    ----------
    kind : (z, y, x) int16 array
        Of every voxel of the scanned volume; 0 is never allowed.
    allowed : (orientations, kinds) bool array
    """

    kind: np.ndarray
    allowed: np.ndarray


@dataclass(frozen=True)
class Tile:
    """One tile: the part whose scores are wanted, and the transform's size."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    size: tuple[int, ...]


def tiles(shape: tuple[int, ...], edge: int, reach: int, most: int) -> Iterator[Tile]:
    """Cut a volume into tiles whose transforms have at most `most` voxels, if they can be that small.

    Parameters
    ----------
    shape : (z, y, x)
    edge : int
        Centres nearer to a face than this are not wanted.
    reach : int
        Radius of the template in voxels.
    most : int
    """
    from scipy.fft import next_fast_len

    inner = [max(0, n - 2 * edge) for n in shape]
    if min(inner) == 0:
        return
    parts = [1, 1, 1]

    def sizes() -> list[int]:
        wide = [-(-n // p) + 2 * reach for n, p in zip(inner, parts, strict=True)]
        # a tile of the whole length needs the voxels beyond its ends once only: they are zero on both sides
        whole = [n + max(0, reach - edge) for n in shape]
        return [
            next_fast_len(min(w, h) if p == 1 else w, real=True) for w, h, p in zip(wide, whole, parts, strict=True)
        ]

    while np.prod(sizes()) > most:
        gain = [s if -(-n // p) > 2 * reach else 0 for s, n, p in zip(sizes(), inner, parts, strict=True)]
        if max(gain) == 0:
            break
        parts[int(np.argmax(gain))] += 1
    bounds = [np.linspace(edge, edge + n, p + 1).astype(int) for n, p in zip(inner, parts, strict=True)]
    for index in np.ndindex(*parts):
        start = tuple(int(b[i]) for b, i in zip(bounds, index, strict=True))
        stop = tuple(int(b[i + 1]) for b, i in zip(bounds, index, strict=True))
        yield Tile(start, stop, tuple(sizes()))


def _spectrum(volume: np.ndarray, tile: Tile, reach: int, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a tile's transform without what is beyond `high` cycles per voxel, and where its rows are not zero."""
    from scipy.fft import rfftn

    padded = np.zeros(tile.size, np.float32)
    source, target = [], []
    for a, b, n, size in zip(tile.start, tile.stop, volume.shape, tile.size, strict=True):
        low, up = max(0, a - reach), min(n, b + reach, max(0, a - reach) + size)
        source.append(slice(low, up))
        target.append(slice(0, up - low))
    padded[tuple(target)] = volume[tuple(source)]
    spectrum = rfftn(padded, workers=threads(), overwrite_x=True)
    full = [np.fft.fftfreq(n).astype(np.float32) ** 2 for n in tile.size[:2]]
    kx = np.fft.rfftfreq(tile.size[2]).astype(np.float32) ** 2
    spans = np.zeros((*tile.size[:2], 2), np.int32)
    rounding = 1e-6 * np.abs(spectrum[0]).max()  # what was never measured is zero but for rounding
    for k, plane in enumerate(spectrum):
        plane[full[0][k] + full[1][:, None] + kx[None, :] >= high**2] = 0
        there = np.abs(plane) > rounding
        spans[k, :, 1] = np.where(there.any(axis=1), there.shape[1] - there[:, ::-1].argmax(axis=1), 0)
        spans[k, :, 0] = np.where(there.any(axis=1), there.argmax(axis=1), 0)
    return spectrum, spans


class Scanner:
    """Scores of many orientations in one tile, in `threads` threads."""

    def __init__(self, volume: np.ndarray, tile: Tile, template: Template, reach: int) -> None:
        self.tile, self.template = tile, template
        high = min(0.5, template.weighting.high * template.factor)
        self.spectrum, self.spans = _spectrum(volume, tile, reach, high)
        self.scale = np.array([PAD * template.size / n for n in tile.size[::-1]], np.float32)
        self.offset = tuple(a - max(0, a - reach) for a in tile.start)
        self.step = max(1, SLAB_BYTES // (4 * tile.size[1] * tile.size[2]))

    def run(
        self,
        rotations: np.ndarray,
        factors: np.ndarray,
        best: np.ndarray,
        which: np.ndarray,
        guide: Guide | None,
        told: Callable[[], None],
    ) -> None:
        """Keep the best of all orientations in the tile's part of `best` and `which`."""
        slabs = range(self.offset[0], self.offset[0] + best.shape[0], self.step)
        locks = [Lock() for _ in slabs]

        def work(first: int) -> None:
            from scipy.fft import ifftn, irfft

            out = np.empty_like(self.spectrum)
            floats = out.view(np.float32)
            for o in range(first, len(rotations), count):
                allowed = None if guide is None else guide.allowed[o]
                if allowed is not None and not allowed.any():
                    continue
                product(
                    *self.template.flat,
                    self.scale,
                    rotations[o],
                    self.spectrum.view(np.float32),
                    self.spans,
                    floats,
                )
                back = ifftn(out, axes=(0, 1), overwrite_x=True, workers=1)
                for k in range(len(slabs)):
                    i = (k + first * len(slabs) // count) % len(slabs)  # threads begin at different slabs
                    z0, z1 = slabs[i], min(slabs[i] + self.step, self.offset[0] + best.shape[0])
                    rows = slice(self.offset[1], self.offset[1] + best.shape[1])
                    part = irfft(back[z0:z1, rows], n=self.tile.size[2], axis=2, workers=1)
                    here = slice(z0 - self.offset[0], z1 - self.offset[0])
                    number = np.int32(o)
                    with locks[i]:
                        if allowed is None:
                            keep_best(part, self.offset[2], factors[o], number, best[here], which[here])
                        elif guide is not None:
                            kind = guide.kind[here]
                            keep_best_guided(
                                part, self.offset[2], factors[o], number, kind, allowed, best[here], which[here]
                            )
                told()

        count = min(threads(), len(rotations))
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(work, range(count)))


def scan(
    volume: np.ndarray,
    template: Template,
    rotations: np.ndarray,
    edge: int,
    reach: int,
    most: int,
    guide: Guide | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best score of every voxel and the number of its orientation.

    Parameters
    ----------
    volume : (z, y, x) float32 array
        Multiplied by its matched filter (:func:`filtered`), at the template's sampling.
    template : Template
    rotations : (n, 3, 3) array
    edge : int
        Voxels at the faces that are left out.
    reach : int
        Radius of the template.
    most : int
        Voxels of a tile's transform, at most; decides memory, not the result.
    guide : Guide, optional

    Returns
    -------
    scores : (z, y, x) float32 array
        In deviations of pure noise; -inf where nothing was searched.
    which : (z, y, x) int32 array
    """
    rotations = np.ascontiguousarray(rotations, np.float32)
    factors = (1 / np.maximum(template.norms(rotations), 1e-30)).astype(np.float32)
    best = np.full(volume.shape, -np.inf, np.float32)
    which = np.zeros(volume.shape, np.int32)
    parts = list(tiles(volume.shape, edge, reach, most))
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress and done % max(1, len(parts) * len(rotations) // 100) == 0:
            progress(done, len(parts) * len(rotations))

    for tile in parts:
        place = tuple(slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))
        here = None if guide is None else Guide(guide.kind[place], guide.allowed)
        if here is not None and not here.kind.any():
            done += len(rotations)
            continue
        top, number = np.full(best[place].shape, -np.inf, np.float32), np.zeros(best[place].shape, np.int32)
        Scanner(volume, tile, template, reach).run(rotations, factors, top, number, here, told)
        best[place], which[place] = top, number
    return best, which
