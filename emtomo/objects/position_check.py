"""Whether positions can be: how many lie outside their tomogram, and which other unit would bring them in."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pandas as pd

from emtomo.compute.positions import check_finite, to_voxels
from emtomo.errors import EmtomoError
from emtomo.objects.micrograph import SetOfMicrographs
from emtomo.objects.micrograph_slices import MicrographSlices
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.objects.tomogram import SetOfTomograms

Volumes = SetOfTomograms | SetOfTiltSeries | MicrographSlices
_LIKELY, _FACTORS = (1 / 2, 2.0), (1 / 4, 4.0, 1 / 3, 3.0, 1 / 8, 8.0, 1 / 6, 6.0)
_UNBINNED = (1.0, 1 / 2, 1 / 4)  # pixel sizes, of those of binned tomograms
_OFFERED = 2  # explanations in one sentence
_CENTRAL = 0.25  # of a tomogram; whole lists that lie closer to the centre look like voxels taken for Å


def outside(frame: pd.DataFrame, tomograms: Volumes) -> np.ndarray:
    """Return which positions lie outside their tomogram, (n,) bool.

    Parameters
    ----------
    frame : DataFrame
        tomogram_id, x, y, z in Å from the centre.
    tomograms : SetOfTomograms or SetOfTiltSeries

    Raises
    ------
    EmtomoError
        If a position is no finite number.
    """
    positions = frame[["x", "y", "z"]].to_numpy(float)
    check_finite(positions)
    size = float(tomograms.pixel_size.get())
    out = np.zeros(len(frame), bool)
    ids = frame["tomogram_id"].to_numpy()
    for name in dict.fromkeys(ids):
        shape = tomograms.shape(str(name))
        mine = ids == name
        out[mine] = ~_within(to_voxels(positions[mine], shape, size), shape)
    return out


def _within(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.all((voxels >= -0.5) & (voxels <= np.array(shape) - 0.5), axis=1)


def check_positions(
    frame: pd.DataFrame,
    tomograms: Volumes,
    *,
    numbers: np.ndarray | None = None,
    pixel_size: float | None = None,
    source: str = "",
    tolerated: float = 0.5,
) -> list[str]:
    """Return a remark when positions lie outside their tomograms, with the unit that would bring them in.

    Parameters
    ----------
    frame : DataFrame
        tomogram_id, x, y, z in Å from the centre, refined centres included.
    tomograms : SetOfTomograms or SetOfTiltSeries
    numbers : (n, 3) array, optional
        x, y, z as the file has them.
    pixel_size : float, optional
        Å in which `numbers` were counted; ``None`` where they were taken for Å.
    source : str
        The file, for the sentence.
    tolerated : float
        Share of the positions that may lie outside.

    Raises
    ------
    EmtomoError
        If a larger share lies outside.
    """
    if len(frame) == 0:
        return []
    bad = int(outside(frame, tomograms).sum())
    start = f"{source}: " if source else ""
    if not bad:
        voxel = _likely_voxel(frame, tomograms, numbers) if numbers is not None and pixel_size is None else 0.0
        if not voxel:
            return []
        fits = f"would fit as voxels of {voxel:.4g} Å"
        return [f"{start}all positions lie close to the centre and {fits}: are they in voxels?"]
    text = f"{start}{bad} of {len(frame)} positions {'lies' if bad == 1 else 'lie'} outside their tomogram"
    better = list(islice(_explanations(frame, tomograms, numbers, pixel_size), _OFFERED))
    text += f"; all lie inside if {', or if '.join(better)}." if better else "."
    if bad > tolerated * len(frame):
        raise EmtomoError(text)
    return [text]


def _likely_voxel(frame: pd.DataFrame, tomograms: Volumes, numbers: np.ndarray) -> float:
    """Return in voxels of which size positions that are taken for Å are more likely counted; 0 where in none.

    They lie close to the centre then, and fit as voxels of these tomograms, or of those of which these were binned.
    """
    size = float(tomograms.pixel_size.get())
    fitting = (size * f for f in _UNBINNED if _all_inside(frame, tomograms, numbers, size * f))
    voxel = 0.0 if len(frame) < 3 or (numbers < 0).any() else next(fitting, 0.0)
    ids = frame["tomogram_id"].to_numpy()
    half = np.array([tomograms.shape(str(name))[::-1] for name in ids]) * size / 2
    return voxel if (np.abs(numbers) < _CENTRAL * half).all() else 0.0


def _all_inside(
    frame: pd.DataFrame, tomograms: Volumes, numbers: np.ndarray, length: float | None, centred: bool = False
) -> bool:
    """Return whether `numbers` lie inside when a unit is `length` Å (``None``: a voxel of the tomogram)."""
    size = float(tomograms.pixel_size.get())
    ids = frame["tomogram_id"].to_numpy()
    for name in dict.fromkeys(ids):
        shape = tomograms.shape(str(name))
        voxels = numbers[ids == name][:, ::-1] * ((length or size) / size)
        voxels = voxels + (np.array(shape) // 2 if centred else 0)
        if not _within(voxels, shape).all():
            return False
    return True


def _explanations(
    frame: pd.DataFrame, tomograms: Volumes, numbers: np.ndarray | None, pixel_size: float | None
) -> Iterator[str]:
    """Yield the units in which all positions would lie inside, the likeliest first."""
    size = float(tomograms.pixel_size.get())
    if numbers is None or not np.isfinite(numbers).all():
        ids = frame["tomogram_id"].to_numpy()
        middle = np.array([np.array(tomograms.shape(str(name))[::-1]) // 2 for name in ids])
        numbers, pixel_size = frame[["x", "y", "z"]].to_numpy(float) / size + middle, size
    if pixel_size is None and _all_inside(frame, tomograms, numbers, None):
        yield "these are voxels"
    own = pixel_size or size
    for factor in _LIKELY:
        if _all_inside(frame, tomograms, numbers, own * factor):
            yield f"the pixel size is {own * factor:.4g} Å"
    if pixel_size is not None and np.abs(numbers).max() > 50 and _all_inside(frame, tomograms, numbers, 1.0):
        yield "these are Å from the first voxel (a pixel size of 1 Å)"
    if pixel_size is None and _all_inside(frame, tomograms, numbers, 1.0):
        yield "these are Å from the first voxel instead of the centre"
    for factor in _FACTORS:
        if _all_inside(frame, tomograms, numbers, own * factor):
            yield f"the pixel size is {own * factor:.4g} Å"
    if pixel_size is not None and _all_inside(frame, tomograms, numbers, own, centred=True):
        yield "they count from the centre"


def check_picks(
    picks: pd.DataFrame, micrographs: SetOfMicrographs, pixel_size: np.ndarray, *, tolerated: float = 0.5
) -> list[str]:
    """Return a remark when picks lie outside their micrographs, with the unit that would bring them in.

    Parameters
    ----------
    picks : DataFrame
        micrograph_id, x and y as the file has them, and angstrom: whether they are in Å.
    micrographs : SetOfMicrographs
    pixel_size : (n,) array
        Å in which picks count that are not in Å.
    tolerated : float
        Share of the picks that may lie outside.

    Raises
    ------
    EmtomoError
        If a larger share lies outside.
    """
    size = float(micrographs.pixel_size.get())
    ids, numbers = picks["micrograph_id"].to_numpy(), picks[["x", "y"]].to_numpy(float)
    shapes = {name: micrographs.shape(str(name)) for name in dict.fromkeys(ids)}
    ends = np.array([shapes[name][::-1] for name in ids]).reshape(-1, 2)
    in_angstrom = picks["angstrom"].to_numpy(bool)

    def off(length: np.ndarray) -> int:
        """Return how many picks lie outside where their numbers count in `length` Å."""
        pixels = numbers * (length / size)[:, None]
        return int((~((pixels > -1) & (pixels < ends)).all(axis=1)).sum())

    bad = off(np.where(in_angstrom, 1.0, pixel_size))
    if not bad:
        return []
    text = f"{bad} of {len(picks)} picks {'lies' if bad == 1 else 'lie'} outside the micrographs"
    better = []
    if in_angstrom.all() and not off(np.full(len(picks), size)):
        better.append("these are pixels")
    if not in_angstrom.any():
        factors = (*_LIKELY, *_FACTORS)
        better += [f"the pixel size is {pixel_size[0] * f:.4g} Å" for f in factors if not off(pixel_size * f)]
        better += ["these are Å (a pixel size of 1 Å)"] if not off(np.ones(len(picks))) else []
    text += f"; all lie inside if {', or if '.join(better[:_OFFERED])}." if better else "."
    if bad > tolerated * len(picks):
        raise EmtomoError(text)
    return [text]


def check_binning(pixel_size: float, tomograms: Volumes) -> list[str]:
    """Return a remark when voxels counted in tomograms binned further lie elsewhere in these: odd sizes have no half.

    Binning keeps the centre voxel ``n // 2`` where it is; the first voxel moves where ``n // 2`` is not the factor
    times the binned centre. A file that counts from the first voxel does not say in which of the two.

    Parameters
    ----------
    pixel_size : float
        Å per voxel of the positions.
    tomograms : SetOfTomograms or SetOfTiltSeries
    """
    if isinstance(tomograms, SetOfTiltSeries):
        return []  # what is counted in is then a tomogram of the positions' pixel size
    size = float(tomograms.pixel_size.get())
    factor = round(pixel_size / size)
    if factor < 2 or abs(pixel_size / size / factor - 1) > 1e-3:
        return []
    sizes = tomograms.frame(["size_x", "size_y", "size_z"]).to_numpy(int)
    moved = np.unique(sizes // 2 - factor * ((sizes // factor) // 2), axis=0)
    moved = moved[moved.any(axis=1)]
    if not len(moved):
        return []
    listed = "; ".join(", ".join(str(v) for v in row) for row in moved[:3])
    return [
        f"Positions count in voxels of {pixel_size:g} Å. If they were picked in these tomograms binned by {factor}, "
        f"whose first voxel lies {listed} voxels (x, y, z) further in, they are off by as much: import them into the "
        "binned tomograms, from which emtomo takes them over exactly."
    ]
