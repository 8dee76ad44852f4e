"""Particles as files of any program hold them: one table, one pose, and tags that say what the numbers mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError
from emtomo.io.names import find_name, stem
from emtomo.io.tags import Tags, common_tags


@dataclass(frozen=True)
class VolumeGeometry:
    """Size (x, y, z in voxels) and pixel size in Å of a tomogram that positions belong to."""

    size: tuple[int, int, int]
    pixel_size: float


@dataclass
class ParticleList:
    """Particles of one file, as that file means them.

    Attributes
    ----------
    tomograms : (n,) array of str
        Names as the file has them; empty where it does not say.
    positions : (n, 3) array
        x, y, z of the box centre in `unit` from `origin`; z is NaN of 2D particles, all where unknown.
    shifts : (n, 3) array
        Of the particle from the box centre, along the tomogram's axes, in `shift_unit`.
    rotations : (n, 3, 3) array or None
        tomogram = R @ reference, on x, y, z; NaN where a particle has none.
    unit : {"voxel", "angstrom", "fraction"}
        Fractions are of the tomogram's size.
    origin : {"corner", "centre", "half"}
        The first voxel's centre; the centre of voxel ``n // 2``; the point at ``n / 2`` voxels (RELION 5).
    pixel_size : (n,) array
        Å per voxel of the positions; NaN where unknown.
    shift_unit : {"", "voxel", "angstrom"}
        Of the shifts: that of the positions (empty), voxels of the boxes, or Å.
    box_pixel_size : (n,) array
        Å per voxel of the particles' images, and of shifts in voxels; NaN where unknown.
    counts_in_boxes : bool
        Positions are voxels of the boxes: one size is both.
    frames : (n, 3, 3) array or None
        RELION 4 and 5: rotations of the boxes themselves; rotations = frames @ angles.
    columns : dict
        Further columns by emtomo's names: group, score, class_number, half, id, image (``number@file`` or file),
        ctf_image, role, label, model.
    other : DataFrame
        Columns that emtomo does not understand, as the file has them, and `family`, whose they are.
    optics : DataFrame or None
        RELION's optics groups.
    tags : Tags
    format : str
        Name of the format that was read.
    notes : list of str
        What a user should know about the reading.
    """

    tomograms: np.ndarray
    positions: np.ndarray
    shifts: np.ndarray
    rotations: np.ndarray | None = None
    unit: str = "voxel"
    origin: str = "corner"
    pixel_size: np.ndarray = field(default_factory=lambda: np.zeros(0))
    frames: np.ndarray | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    other: pd.DataFrame = field(default_factory=pd.DataFrame)
    family: str = ""
    optics: pd.DataFrame | None = None
    tags: Tags = field(default_factory=Tags)
    format: str = "text"
    notes: list[str] = field(default_factory=list)
    shift_unit: str = ""
    box_pixel_size: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts_in_boxes: bool = False

    def __post_init__(self) -> None:
        if len(self.pixel_size) == 0:
            self.pixel_size = np.full(len(self.positions), np.nan)
        if len(self.box_pixel_size) == 0:
            self.box_pixel_size = np.full(len(self.positions), np.nan)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def centres(self) -> np.ndarray:
        """The particles' refined centres, positions + shifts, in the unit of the positions.

        Raises
        ------
        EmtomoError
            If shifts are in Å and the pixel size of the positions is not known, or the other way round.
        """
        return self.positions + shifts_in(self, self.unit, self.pixel_size)

    def set_pixel_size(self, size: float, of: str = "positions") -> None:
        """Take a pixel size that a user gives; what is in Å stays as it is.

        Parameters
        ----------
        size : float
            Å per voxel.
        of : {"positions", "boxes"}
            Of the positions, for which it replaces what the file says; or of the boxes, and of the positions where they
            count in the boxes' voxels or the file does not say.

        Raises
        ------
        EmtomoError
            If it is not above 0.
        """
        if not (np.isfinite(size) and size > 0):
            raise EmtomoError(f"The pixel size must be above 0 Å, got {size:g}.")
        given = np.full(len(self), float(size))
        known = np.isfinite(self.pixel_size)
        if self.tags.centre is not None and not np.allclose(self.pixel_size[known], size, rtol=1e-6):
            self.tags = replace(self.tags, centre=None)  # it was of the size that the file says
        if of == "positions":
            self.pixel_size = given
            if self.counts_in_boxes:
                self.box_pixel_size = given.copy()
            return
        self.box_pixel_size = given
        self.pixel_size = given if self.counts_in_boxes else np.where(np.isnan(self.pixel_size), given, self.pixel_size)

    @property
    def flat(self) -> bool:
        """Whether these are 2D particles: x and y, but no z."""
        return bool(len(self) and np.isnan(self.positions[:, 2]).all() and np.isfinite(self.positions[:, :2]).all())

    def select(self, keep: np.ndarray) -> "ParticleList":
        """Return the particles where `keep` (a mask or indices) says so."""
        chosen = np.asarray(keep)

        def part(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[chosen]

        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(
            self,
            tomograms=self.tomograms[chosen],
            positions=self.positions[chosen],
            shifts=self.shifts[chosen],
            rotations=part(self.rotations),
            pixel_size=self.pixel_size[chosen],
            box_pixel_size=self.box_pixel_size[chosen],
            frames=part(self.frames),
            columns={k: v[chosen] for k, v in self.columns.items()},
            other=self.other.iloc[rows].reset_index(drop=True) if len(self.other.columns) else self.other,
            notes=list(self.notes),
        )


def concatenate(parts: list[ParticleList]) -> ParticleList:
    """Return the particles of several files as one; columns that not all have are left out.

    Raises
    ------
    EmtomoError
        If they are not counted in the same unit from the same origin.
    """
    first = parts[0]
    if len({(p.unit, p.origin) for p in parts}) > 1:
        raise EmtomoError("The files count positions in different units or from different origins; convert each.")
    if len({p.shift_unit for p in parts}) > 1:
        parts = [p if p.unit == first.unit and not p.shift_unit else _with_shifts_in_unit(p) for p in parts]
        first = parts[0]
    same = all(list(p.other.columns) == list(first.other.columns) for p in parts)
    turned = [np.full((len(p), 3, 3), np.nan) if p.rotations is None else p.rotations for p in parts]
    rotations = None if all(p.rotations is None for p in parts) else np.concatenate(turned)
    frames = [p.frames for p in parts if p.frames is not None]
    shared = set.intersection(*(set(p.columns) for p in parts))
    return ParticleList(
        np.concatenate([p.tomograms for p in parts]),
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.shifts for p in parts]),
        rotations,
        first.unit,
        first.origin,
        np.concatenate([p.pixel_size for p in parts]),
        np.concatenate(frames) if len(frames) == len(parts) else None,
        {k: np.concatenate([p.columns[k] for p in parts]) for k in first.columns if k in shared},
        pd.concat([p.other for p in parts], ignore_index=True) if same else pd.DataFrame(),
        first.family if same else "",
        first.optics if len(parts) == 1 else None,
        common_tags([p.tags for p in parts]),
        first.format,
        list(dict.fromkeys(note for p in parts for note in p.notes)),
        first.shift_unit,
        np.concatenate([p.box_pixel_size for p in parts]),
        all(p.counts_in_boxes for p in parts),
    )


def shifts_in(particles: ParticleList, unit: str, pixel_size: np.ndarray) -> np.ndarray:
    """Return the shifts in another unit, (n, 3).

    Parameters
    ----------
    particles : ParticleList
    unit : str
        voxel or angstrom; that of the positions otherwise.
    pixel_size : (n,) array
        Å per voxel of the result, where it is in voxels.

    Raises
    ------
    EmtomoError
        If a pixel size is needed that is not known.
    """
    held = particles.shift_unit or particles.unit
    if not particles.shifts.any() or (held == unit and (held != "voxel" or not particles.shift_unit)):
        return particles.shifts.copy()
    boxes, places = particles.box_pixel_size, particles.pixel_size
    own = np.where(np.isfinite(boxes), boxes, places) if particles.shift_unit == "voxel" else places
    if held == unit == "voxel" and not np.isfinite(own).all():
        return particles.shifts.copy()  # of unknown length: those of the positions
    scale = np.ones(len(particles))
    if held == "voxel":
        scale = scale * own
    if unit == "voxel":
        scale = scale / pixel_size
    moved = particles.shifts.any(axis=1)
    if not np.isfinite(scale[moved]).all():
        raise EmtomoError("The origins of the particles need the length of a voxel, which is not known; give it.")
    return particles.shifts * np.where(moved, scale, 1.0)[:, None]


def _with_shifts_in_unit(particles: ParticleList) -> ParticleList:
    return replace(
        particles,
        shifts=shifts_in(particles, particles.unit, particles.pixel_size),
        shift_unit="",
        notes=particles.notes,
    )


def no_names(n: int) -> np.ndarray:
    """Return `n` empty names of tomograms."""
    return np.full(n, "", object)


def relion_centre(size: np.ndarray) -> np.ndarray:
    """Return where RELION 5 counts positions from, in voxels from the first one's centre: ``size / 2``.

    Its particle code uses the half as a number (3dem/relion#1137, PR 1353); for even sizes this is our
    centre, voxel ``n // 2``.
    """
    return np.asarray(size, float) / 2


def _middle(origin: str, size: np.ndarray) -> np.ndarray:
    if origin == "corner":
        return np.zeros_like(size, float)
    return relion_centre(size) if origin == "half" else (size // 2).astype(float)


def convert_frame(
    particles: ParticleList,
    unit: str,
    origin: str,
    *,
    pixel_size: float | np.ndarray | None = None,
    volumes: Mapping[str, VolumeGeometry] | None = None,
) -> ParticleList:
    """Return the same particles with positions and shifts in another unit or from another origin.

    Parameters
    ----------
    particles : ParticleList
    unit, origin : str
        As in :class:`ParticleList`.
    pixel_size : float or (n,) array, optional
        Å per voxel of the result; by default that of the positions as they are.
    volumes : mapping, optional
        Tomograms by the stem of their name: needed between corner and centre, and for fractions.

    Raises
    ------
    EmtomoError
        If a pixel size or the size of a tomogram is needed and not known.
    """
    crossing = origin != particles.origin and {origin, particles.origin} != {"centre", "half"}
    if unit == particles.unit and not crossing and pixel_size is None and particles.origin == origin:
        return particles if not particles.shift_unit else _convert_shifts(particles, volumes or {})
    sizes, steps = _volume_of(particles, volumes or {})
    known_centre = particles.tags.centre if particles.origin == "corner" and origin == "centre" else None
    if ((crossing and known_centre is None) or "fraction" in (particles.unit, unit)) and np.isnan(sizes).any():
        missing = [str(t) or "(no name)" for t in dict.fromkeys(particles.tomograms[np.isnan(sizes[:, 0])])]
        raise EmtomoError(
            f"Positions from the {_PLACES[particles.origin]} cannot be counted from the {_PLACES[origin]} without the "
            f"size of the tomogram; it is not known of {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}. "
            "Give the tomograms, in a project to the run that imports the particles."
        )
    old = np.where(np.isfinite(particles.pixel_size), particles.pixel_size, steps)
    new = old if pixel_size is None else np.full(len(particles), pixel_size, float)
    needed = [old] if particles.unit == "voxel" else []
    needed += [new] if unit == "voxel" else []
    needed += [steps] if "fraction" in (particles.unit, unit) or (crossing and known_centre is None) else []
    if any(not np.isfinite(sort).all() for sort in needed):
        raise EmtomoError("The length of a voxel of the positions is needed, and is not known; give the pixel size.")
    result = particles.select(np.arange(len(particles)))
    scale = _in_angstrom(particles.unit, sizes, steps, old) / _in_angstrom(unit, sizes, steps, new)
    moved = (_middle(particles.origin, sizes) - _middle(origin, sizes)) * steps[:, None]
    if particles.origin == "half" and origin != "half" and particles.tags.half is not None:
        moved = (_middle("centre", sizes) - _middle(origin, sizes)) * steps[:, None]
        moved = np.where(np.isfinite(moved), moved, 0.0) + np.array(particles.tags.half)
    moved = moved if known_centre is None else np.broadcast_to(-np.array(known_centre), moved.shape)
    offset = np.where(np.isfinite(moved), moved, 0.0) / _in_angstrom(unit, sizes, steps, new)
    result.positions = particles.positions * scale + offset
    if particles.shift_unit:
        result.shifts = shifts_in(replace(particles, pixel_size=old), unit, new)
    else:
        result.shifts = particles.shifts * scale
    result.shift_unit = ""
    result.unit, result.origin, result.pixel_size = unit, origin, np.asarray(new, float)
    if crossing:
        result.tags = replace(particles.tags, centre=_common_centre(sizes, steps) if origin == "corner" else None)
    if origin != particles.origin:
        half = (_middle("half", sizes) - _middle("centre", sizes)) * steps[:, None]
        result.tags = replace(result.tags, half=_common_place(half) if origin == "half" else None)
    return result


def _common_centre(sizes: np.ndarray, steps: np.ndarray) -> tuple[float, float, float] | None:
    """Return the way in Å from the first voxel to the centre, where it is the same in all tomograms."""
    return _common_place(_middle("centre", sizes) * steps[:, None])


def _common_place(places: np.ndarray) -> tuple[float, float, float] | None:
    """Return the one place that all rows of a (n, 3) array are, ``None`` where they differ or are not known."""
    rounded = np.round(places, 6)
    if not len(rounded) or not np.isfinite(rounded).all() or (rounded != rounded[0]).any():
        return None
    return float(rounded[0, 0]), float(rounded[0, 1]), float(rounded[0, 2])


def _convert_shifts(particles: ParticleList, volumes: Mapping[str, VolumeGeometry]) -> ParticleList:
    """Return the particles with their shifts in the unit of the positions, whose size may be the tomograms'."""
    if np.isnan(particles.pixel_size).any() and particles.shifts.any():
        steps = _volume_of(particles, volumes)[1]
        particles = replace(
            particles, pixel_size=np.where(np.isfinite(particles.pixel_size), particles.pixel_size, steps)
        )
    return _with_shifts_in_unit(particles)


_PLACES = {"corner": "first voxel", "centre": "centre", "half": "centre"}


def _volume_of(particles: ParticleList, volumes: Mapping[str, VolumeGeometry]) -> tuple[np.ndarray, np.ndarray]:
    """Return size (n, 3) and pixel size (n,) of every particle's tomogram, NaN where not known."""
    place, found_names = pd.factorize(particles.tomograms)
    names = [str(name) for name in found_names]
    matches = [find_name(name, volumes) if name else None for name in names]
    found = [volumes[match] if match is not None else None for match in matches]
    if len(volumes) == 1 and names == [""]:
        found = [next(iter(volumes.values()))]
    sizes = np.array([v.size if v else (np.nan,) * 3 for v in found], float).reshape(-1, 3)
    steps = np.array([v.pixel_size if v and v.pixel_size else np.nan for v in found], float)
    return sizes[place], steps[place]


def voxels_of_tomograms(particles: ParticleList, volumes: Mapping[str, VolumeGeometry]) -> np.ndarray:
    """Return the pixel size in Å of every particle's tomogram, (n,); NaN where not known."""
    return _volume_of(particles, volumes)[1]


def _in_angstrom(unit: str, sizes: np.ndarray, steps: np.ndarray, voxel: np.ndarray) -> np.ndarray:
    """Return how many Å one `unit` is along x, y, z, (n, 3)."""
    if unit == "angstrom":
        return np.ones((len(voxel), 3))
    return sizes * steps[:, None] if unit == "fraction" else np.repeat(voxel[:, None], 3, axis=1)


def size_of(volumes: Mapping[str, VolumeGeometry], name: str) -> tuple[int, int, int] | None:
    """Return the size of the tomogram `name`, or ``None``; the only one there is belongs to the empty name."""
    found = volumes.get(stem(name)) or (next(iter(volumes.values())) if len(volumes) == 1 and not name else None)
    return found.size if found else None
