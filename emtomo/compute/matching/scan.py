"""The scan: the best score and orientation of every voxel, tile by tile."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.transforms import ifft, irfft, next_fast_len, rfftn
from emtomo.compute.matching.template import MatchingTemplate
from emtomo.compute.matching.weighting import frequencies

MEMORY_SHARE = 0.5  # of the memory that is free now
SMEAR = 3.0  # frequencies
SLAB_BYTES = 2**21  # of a transform turned back at a time: stays in a core's cache


def tile_of_memory(most: int) -> int:
    """Return how many voxels a tile's transform may have, `most` unless the free memory is too small for that."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    per_voxel = 16 + 4 * threads()  # padded tile, spectrum, scores and orientations; a product for every thread
    return max(1, min(most, int(MEMORY_SHARE * free / per_voxel)))


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
    inner = [max(0, n - 2 * edge) for n in shape]
    if min(inner) == 0:
        return
    parts = [1, 1, 1]

    def sizes() -> list[int]:
        """Return the edges of the tiles for the parts as they are now."""
        wide = [-(-n // p) + 2 * reach for n, p in zip(inner, parts, strict=True)]
        # a tile of the whole length needs the voxels beyond its ends once only: they are zero on both sides
        whole = [n + max(0, reach - edge) for n in shape]
        return [
            next_fast_len(min(w, h) if p == 1 else w, real=axis == 2)
            for axis, (w, h, p) in enumerate(zip(wide, whole, parts, strict=True))
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


def _spectrum(volume: np.ndarray, tile: Tile, reach: int, template: MatchingTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Return a tile's transform without what the template lacks, and where its rows are not zero."""
    padded = np.zeros(tile.size, np.float32)
    source, target = [], []
    for a, b, n, size in zip(tile.start, tile.stop, volume.shape, tile.size, strict=True):
        low, up = max(0, a - reach), min(n, b + reach, max(0, a - reach) + size)
        source.append(slice(low, up))
        target.append(slice(0, up - low))
    padded[tuple(target)] = volume[tuple(source)]
    spectrum = rfftn(padded, workers=threads(), overwrite_x=True)
    spans = np.zeros((*tile.size[:2], 2), np.int32)
    whole = all(part.stop - part.start == n for part, n in zip(source, volume.shape, strict=True))
    kx, ky, kz = frequencies(tile.size)
    factor = np.float32(template.factor)
    for k, plane in enumerate(spectrum):
        inside = kx[0] ** 2 + ky[0] ** 2 + kz[k] ** 2 < min(0.5, template.weighting.high * template.factor) ** 2
        if whole:  # the borders smear what was measured by a few frequencies; those of a small part by too many
            slack = [kz[k] + np.float32(d / tile.size[0]) for d in (-SMEAR, 0, SMEAR)]
            measured = [template.weighting.transfer(kx[0] / factor, ky[0] / factor, z / factor) != 0 for z in slack]
            inside &= np.any(measured, axis=0)
        plane[~inside] = 0
        spans[k, :, 1] = np.where(inside.any(axis=1), inside.shape[1] - inside[:, ::-1].argmax(axis=1), 0)
        spans[k, :, 0] = np.where(inside.any(axis=1), inside.argmax(axis=1), 0)
    return spectrum, spans


class Scanner:
    """Scores of many orientations in one tile, in `threads` threads."""

    def __init__(self, volume: np.ndarray, tile: Tile, template: MatchingTemplate, reach: int) -> None:
        self.tile, self.template = tile, template
        self.spectrum, self.spans = _spectrum(volume, tile, reach, template)
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
        on_progress: Callable[[], None],
    ) -> None:
        """Keep the best of all orientations in the tile's part of the whole `best` and `which`."""
        from emtomo.compute.kernels.matching_cpu import keep_best, keep_best_guided, product

        tile, step = self.tile, self.step
        depth, rows = tile.stop[0] - tile.start[0], slice(self.offset[1], self.offset[1] + tile.stop[1] - tile.start[1])
        slabs = [(z, min(z + step, depth)) for z in range(0, depth, step)]
        locks = [Lock() for _ in slabs]
        place = (tile.start[1], tile.stop[1], tile.start[2], tile.stop[2])

        def work(first: int) -> None:
            out = np.empty_like(self.spectrum)
            floats = out.view(np.float32)
            for o in range(first, len(rotations), count):
                allowed = None if guide is None else guide.allowed[o]
                if allowed is not None and not allowed.any():
                    continue
                turn, source = rotations[o], self.spectrum.view(np.float32)
                product(*self.template.flat, self.scale, turn, source, self.spans, floats)
                back = ifft(out, axis=0, overwrite_x=True, workers=1)
                for k in range(len(slabs)):
                    i = (k + first * len(slabs) // count) % len(slabs)  # threads begin at different slabs
                    z0, z1 = slabs[i]
                    # a slab stays in the cache; planes and rows that are not wanted are not turned back
                    slab = back[self.offset[0] + z0 : self.offset[0] + z1]
                    part = ifft(slab, axis=1, overwrite_x=True, workers=1)
                    score = irfft(part[:, rows], n=tile.size[2], axis=2, workers=1)
                    here = slice(tile.start[0] + z0, tile.start[0] + z1)
                    about = (score, self.offset[2], factors[o], np.int32(o), place)
                    with locks[i]:
                        if guide is None:
                            keep_best(*about, best[here], which[here])
                        else:
                            keep_best_guided(*about, guide.kind[here], allowed, best[here], which[here])
                on_progress()

        count = min(threads(), len(rotations))
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(work, range(count)))


def scan(
    volume: np.ndarray,
    template: MatchingTemplate,
    rotations: np.ndarray,
    edge: int,
    reach: int,
    most: int,
    guide: Guide | None = None,
    progress: Callable[[float, float], None] | None = None,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best score of every voxel and the number of its orientation.

    Parameters
    ----------
    volume : (z, y, x) float32 array
        Multiplied by its matched filter (:func:`apply_matched_filter`), at the template's sampling.
    template : MatchingTemplate
    rotations : (n, 3, 3) array
    edge : int
        Voxels at the faces that are left out.
    reach : int
        Radius of the template.
    most : int
        Voxels of a tile's transform, at most; decides memory, not the result.
    guide : Guide, optional
    device : {"cpu", "cuda", "cuda:N"}
    progress : callable, optional
        Called with the orientations done and those in all, of all tiles.

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

    def on_progress() -> None:
        """Count a tile and orientation that is done."""
        nonlocal done
        done += 1
        if progress and done % max(1, len(parts) * len(rotations) // 100) == 0:
            progress(done, len(parts) * len(rotations))

    for tile in parts:
        place = tuple(slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))
        if guide is not None and not guide.kind[place].any():
            done += len(rotations)
            continue
        scanner = Scanner(volume, tile, template, reach)
        if device == "cpu":
            scanner.run(rotations, factors, best, which, guide, on_progress)
            continue
        from emtomo.compute.matching.scan_cuda import run_cuda

        run_cuda(
            device, scanner.spectrum, scanner.spans, tile.size, scanner.offset, template, scanner.scale, rotations,
            factors, best[place], which[place], None if guide is None else guide.kind[place],
            None if guide is None else guide.allowed, on_progress,
        )  # fmt: skip
    return best, which
