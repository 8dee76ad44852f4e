"""Masks and densities that reach the faces of their box, where every map is cut."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfftn, rfftn

EDGE = 3.0  # voxels over which masks fall to 0 before the faces, at least
PART = 1 / 6  # of the box, over which masks that reach the faces do
LAYER = 4  # voxels of the outermost layer
LEAST_VOXELS = 100  # in it
CUT_DENSITY = 0.05  # of the power that both maps share within the mask, in that layer
SIGNIFICANT = 5.0  # standard errors of it, so that noise is not taken for density
LAST = 1.0  # voxels of the outermost layer of the ball within the box
BEFORE = (4.0, 1.5)  # voxels before the faces between which is the layer that it is compared with
GOES_ON = 0.5  # of what maps share there, relative to their noise: less in the last voxel is a particle that ends
ALLOWED = 0.01  # what a mask may have at a face beyond that
REACHES_FACES = (
    "The mask reaches the faces of the box, where maps are cut: it is taken to fall to 0 before "
    "them. Take larger boxes or a narrower mask."
)

CUT_AT_FACES = (
    "Density goes on to the faces of the box (a membrane, neighbours), where both half maps are cut. The unmasked FSC "
    "takes the cut for agreement in fine shells; the resolution is that of shells compared one by one, without it. "
    "Larger boxes show it right."
)


def face_window(shape: tuple[int, ...], edge: float = EDGE) -> np.ndarray:
    """Return 1 within a box, falling to 0 over the last `edge` voxels before its faces (about voxel ``n // 2``)."""
    out = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        depth = n / 2 - np.abs(np.arange(n) - n // 2)
        along = (0.5 - 0.5 * np.cos(np.pi * np.clip(depth / edge, 0, 1))).astype(np.float32)
        out *= along.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return out


def reaches_faces(mask: np.ndarray) -> bool:
    """Return whether a mask is more than a soft edge at the faces of its box."""
    for axis, n in enumerate(mask.shape):
        for place in (0, n - 1):
            depth = n / 2 - abs(place - n // 2)
            allowed = 0.5 - 0.5 * np.cos(np.pi * min(depth / EDGE, 1)) + ALLOWED
            if float(np.take(mask, place, axis).max()) > allowed:
                return True
    return False


def fade_at_faces(mask: np.ndarray) -> np.ndarray:
    """Return a mask that is 0 beyond the faces of its box: as it is, or faded before them where it reaches them.

    The cut of a map at the faces is the same in both halves: what a mask leaves of it looks like agreement in fine
    shells, and random phases do not tell, since the cut came before them.
    """
    return np.minimum(mask, face_window(mask.shape, max(EDGE, PART * min(mask.shape)))) if reaches_faces(mask) else mask


def comes_near_faces(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> bool:
    """Return whether two half maps share density in the outermost four voxels before the faces of their box."""
    product = (np.asarray(a, np.float32) - a.mean()) * (np.asarray(b, np.float32) - b.mean())
    outer = (a != 0) & (b != 0)  # some programs leave nothing outside of a sphere
    outer[(slice(LAYER, -LAYER),) * 3] = False
    values = product[outer].astype(float)
    if len(values) < LEAST_VOXELS:
        return False
    chance = SIGNIFICANT * float(values.std()) / np.sqrt(len(values))
    within = float((product * mask).sum(dtype=float)) / max(float(mask.sum(dtype=float)), 1e-30)
    return bool(within > 0 and values.mean() > max(CUT_DENSITY * within, chance))


def ends_before_faces(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether what two half maps share falls to nothing before the faces of their box, as a capsid's shell does.

    What membranes and neighbours share is as strong, relative to the noise, in the last voxel of the ball within the
    box as some voxels before it. Relative to the noise, since some programs' half maps fade over the last voxels.
    """
    half = min(a.shape) / 2
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.arange(n) - n // 2 for n in a.shape), indexing="ij")))
    levels = (float(a.mean()), float(b.mean()))
    shared = []  # about the maps' mean, and about that of each layer, since maps that fade do so about another level
    for low, high in ((half - BEFORE[0], half - BEFORE[1]), (half - LAST, half)):
        layer = (radius >= low) & (radius < high) & (a != 0) & (b != 0)
        x, y = a[layer].astype(float), b[layer].astype(float)
        noise = float(np.var(x - y)) if len(x) else 0.0
        if noise <= 0:
            return False
        shared.append(
            [float(np.mean((x - one) * (y - other))) / noise for one, other in (levels, (x.mean(), y.mean()))]
        )
    return any(last < GOES_ON * before for before, last in zip(*shared, strict=True))


def wide_window(shape: tuple[int, ...]) -> np.ndarray:
    """Return a ball that falls to 0 so slowly, up to the faces of the box, that it mixes neighbouring shells only."""
    off = [((np.arange(n) - n // 2) / (n / 2)) ** 2 for n in shape]
    radius = np.sqrt(off[0][:, None, None] + off[1][:, None] + off[2])
    t = np.clip((radius - 0.25) / 0.75, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * t)).astype(np.float32)


def correlate_bands(
    a: np.ndarray, b: np.ndarray, mask: np.ndarray, shell: np.ndarray, first: int, threshold: float
) -> np.ndarray:
    """Return the correlation within a mask of two maps of which one shell each was kept; 1 before shell `first`.

    Masking after the shells were parted, no shell gets what belongs to another one, as it does when a mask, or the
    faces of the box, cut a density whose spectrum falls steeply. Ends after two shells in turn below the threshold;
    0 from there on.

    Parameters
    ----------
    a, b, mask : (n, n, n) arrays
    shell : (n, n, n // 2 + 1) int array
        Of every frequency in the order of ``rfftn``.
    first : int
    threshold : float

    References
    ----------
    Cardone et al., One number does not fit all, JSB 184 (2013), section 2, with the particle for a window.
    """
    n = a.shape[0]
    spectra = [rfftn(np.asarray(one, np.float32), workers=threads()) for one in (a, b)]
    weight = np.asarray(mask, np.float32) ** 2
    out = np.ones(n // 2 + 1)
    for s in range(first, n // 2 + 1):
        x, y = (irfftn(np.where(shell == s, one, 0), a.shape, workers=threads()) for one in spectra)
        powers = float((x * x * weight).sum()) * float((y * y * weight).sum())
        out[s] = float((x * y * weight).sum()) / np.sqrt(powers) if powers > 0 else 0.0
        if s > first and max(out[s - 1], out[s]) < threshold:
            out[s + 1 :] = 0.0
            break
    return out
