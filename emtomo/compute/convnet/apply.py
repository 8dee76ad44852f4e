"""Let a network look at a whole tomogram."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.compute.convnet.network import torch_module
from emtomo.compute.convnet.options import ApplyOptions
from emtomo.compute.convnet.slabs import OUTPUT, Slabs
from emtomo.compute.device import threads
from emtomo.compute.fourier.resampling import resampling_matrix
from emtomo.compute.linear_algebra import multiply

STEP = 0.06  # of the box: slices that are looked at
BORDER = 0.5  # of the box: what is nearer to a side of the plane is not taken
MOST = 50_000  # maxima of a tomogram that are looked at


def answers(
    network: Any, slabs: Slabs, training_box: int, progress: Callable[[float, float], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's answer for a tomogram, and the z, y, x voxels of one of its voxels and of its first.

    Parameters
    ----------
    network : module
        Of :func:`~emtomo.compute.convnet.network.build`.
    slabs : Slabs
    training_box : int
        Pixels that a box has for the network.
    progress : callable, optional
        Called with the slices done and the slices in all.

    Returns
    -------
    answer : (z', y', x') float32 array
    lattice : (2, 3) array
        Voxels (z, y, x) of the step from one voxel of the answer to the next, and of its first voxel.
    """
    torch = torch_module()
    torch.set_num_threads(threads())
    nz, ny, nx = slabs.volume.shape
    factor = slabs.box / training_box
    wide = [max(OUTPUT, int(np.ceil(n / factor / OUTPUT)) * OUTPUT) for n in (ny, nx)]
    along_y, along_x = (sampling(n, m, factor) for n, m in zip((ny, nx), wide, strict=True))
    step = max(1, int(round(STEP * slabs.box)))
    slices = np.arange(0, nz, step)
    out = np.empty((len(slices), wide[0] // OUTPUT, wide[1] // OUTPUT), np.float32)
    with torch.no_grad():
        for k, z in enumerate(slices):
            planes = np.stack([multiply(multiply(along_y, c), along_x.T) for c in slabs.channels(int(z))])
            out[k] = network(torch.from_numpy(planes[None]))[0, 0].numpy()
            if progress:
                progress(k + 1, len(slices))
    middle = [n // 2 + ((OUTPUT - 1) / 2 - m // 2) * factor for n, m in zip((ny, nx), wide, strict=True)]
    return out, np.array([[step, OUTPUT * factor, OUTPUT * factor], [0, *middle]])


def sampling(n: int, m: int, factor: float) -> np.ndarray:
    """Return the matrix that samples `n` voxels at `m` pixels about the same centre; zero beyond the voxels."""
    matrix = resampling_matrix(n, m, factor)
    place = n // 2 + (np.arange(m) - m // 2) * factor
    matrix[(place < 0) | (place > n - 1)] = 0
    return matrix


def detect_maxima(
    answer: np.ndarray, lattice: np.ndarray, slabs: Slabs, lowest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return places (z, y, x in voxels) and answers of all maxima above `lowest`, the best first.

    Parameters
    ----------
    answer, lattice : arrays
        From :func:`answers`.
    slabs : Slabs
    lowest : float
        Answer from 0 to about 1.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(answer, 0.7)
    top = (smooth >= maximum_filter(smooth, 3)) & (smooth > lowest)
    index = np.argwhere(top)
    found = np.array([_sub_voxel(smooth, i) for i in index]).reshape(-1, 3)
    places = found * lattice[0] + lattice[1]
    edge = BORDER * slabs.box * 0.5
    inside = ((places[:, 1:] >= edge) & (places[:, 1:] <= np.array(slabs.volume.shape[1:]) - 1 - edge)).all(axis=1)
    places, scores = places[inside], smooth[top][inside].astype(float)
    order = np.argsort(-scores, kind="stable")[:MOST]
    return places[order], scores[order]


def select_maxima(
    places: np.ndarray, scores: np.ndarray, threshold: float, distance: float, number: int = 0
) -> np.ndarray:
    """Return which maxima are particles: above the threshold, apart from each other, the best so many; best first.

    Parameters
    ----------
    places : (n, 3) array
    scores : (n,) array
    threshold : float
    distance : float
        In the unit of the places.
    number : int
        0 takes all.
    """
    from emtomo.compute.matching.peaks import Candidates, separate

    above = np.flatnonzero(scores > threshold)
    kept = separate(Candidates(places[above], np.zeros((len(above), 3, 3)), scores[above]), distance)
    return np.asarray(above[kept][: number or None])


def distance_between(slabs: Slabs, pixel_size: float, options: ApplyOptions) -> float:
    """Return the least distance between particles in voxels: half the box where the options give none."""
    return slabs.box / 2 if options.min_distance is None else options.min_distance / pixel_size


def picks(
    answer: np.ndarray, lattice: np.ndarray, slabs: Slabs, pixel_size: float, options: ApplyOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Return places (z, y, x in voxels) and answers of the maxima above the threshold, the best first."""
    places, scores = detect_maxima(answer, lattice, slabs, options.threshold)
    distance = distance_between(slabs, pixel_size, options)
    kept = select_maxima(places, scores, options.threshold, distance, options.number_of_particles)
    return places[kept], scores[kept]


def _sub_voxel(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the top of the parabolas through a maximum and its neighbours."""
    out = at.astype(float)
    for axis in range(3):
        if 0 < at[axis] < values.shape[axis] - 1:
            low, high = (values[tuple(at + d * np.eye(3, dtype=int)[axis])] for d in (-1, 1))
            curve = low - 2 * values[tuple(at)] + high
            if curve < 0:
                out[axis] += float(np.clip(0.5 * (low - high) / curve, -0.5, 0.5))
    return out
