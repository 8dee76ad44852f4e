"""Every format of particles: what it is called, how it is known, who reads and writes it, what it can hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import (
    copick,
    cryolo,
    dynamo,
    dynamo_catalogue,
    eman,
    imod,
    motl,
    points,
    relion,
    scipion,
    volumes,
    warp_m,
)
from emtomo.io.names import stem
from emtomo.io.particles import ParticleList, VolumeGeometry, convert_frame
from emtomo.io.recognise import recognise

Sizes = Mapping[str, VolumeGeometry]


@dataclass(frozen=True)
class Format:
    """One format of particles.

    Attributes
    ----------
    label : str
    read : callable
        Path in, :class:`ParticleList` out.
    holds : frozenset of str
        What the format can carry: rotation, tomograms, pixel_size, tags, other, and names of columns.
    suffix : str
        That of a new file.
    unit, origin : str
        Of the positions that it is written with.
    one_tomogram : bool
        A file holds the particles of one tomogram.
    """

    label: str
    read: Callable[[Path], ParticleList]
    holds: frozenset[str] = frozenset()
    suffix: str = ""
    unit: str = "voxel"
    origin: str = "corner"
    one_tomogram: bool = False


def _holds(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STAR = _holds("rotation tomograms pixel_size shift tags other group score class_number half image ctf_image id")
_STAR_3 = _STAR - {"id"}
_MOTL = _holds("rotation tomograms shift group score class_number id other")
FORMATS: dict[str, Format] = {
    "relion3.0": Format("RELION 3.0", relion.read_relion, _STAR_3, ".star"),
    "relion3.1": Format("RELION 3.1", relion.read_relion, _STAR_3, ".star"),
    "relion4": Format("RELION 4", relion.read_relion, _STAR, ".star"),
    "relion5": Format("RELION 5", relion.read_relion, _STAR, ".star", "angstrom", "half"),
    "warp": Format("Warp", relion.read_relion, _STAR_3, ".star"),
    "m": Format("M", warp_m.read_m, _holds("rotation tomograms half tags other"), ".star", "angstrom"),
    "dynamo": Format("Dynamo table", dynamo.read_tbl, _MOTL | {"pixel_size"}, ".tbl"),
    "dynamo-catalogue": Format("Dynamo catalogue", dynamo_catalogue.read_catalogue),
    "dynamo-model": Format("Dynamo model", dynamo_catalogue.read_model),
    "motl": Format("AV3/TOM motive list", motl.read_motl, _MOTL, ".em"),
    "stopgap": Format("STOPGAP motive list", motl.read_stopgap, _MOTL | {"half", "tags"}, ".star"),
    "peet": Format("PEET motive list", motl.read_peet),
    "imod": Format("IMOD model", imod.read_model, _holds("group pixel_size"), ".mod", one_tomogram=True),
    "eman": Format("EMAN2 info", eman.read_info, _holds("group score label tags tomograms pixel_size"), ".json",
                   origin="centre", one_tomogram=True),
    "eman-list": Format("EMAN2 particle list", eman.read_particle_list, _holds("rotation shift score image"), ".json"),
    "cbox": Format("crYOLO boxes", cryolo.read_cbox),
    "box": Format("EMAN boxes of an image", cryolo.read_box),
    "scipion": Format("Scipion set", scipion.read_scipion,
                      _holds("rotation tomograms pixel_size shift group score class_number image"), ".sqlite",
                      origin="half"),
    "copick": Format("copick", copick.read_copick, _holds("rotation tomograms pixel_size shift group score label tags"),
                     ".json", "angstrom", one_tomogram=True),
    "text": Format("text", points.read_points,
                   _STAR | {"role", "label", "model"}, ".csv"),
}  # fmt: skip
WRITTEN = tuple(name for name, known in FORMATS.items() if known.suffix)
_LABELS = {"rotation": "orientations", "tomograms": "names of tomograms", "pixel_size": "pixel size",
           "shift": "shifts (added to the positions)", "other": "columns of its own", "tags": "tags",
           "group": "groups", "score": "scores", "class_number": "classes", "half": "half sets", "image": "box files",
           "ctf_image": "CTF volumes", "id": "particle numbers", "role": "roles", "label": "labels",
           "model": "models"}  # fmt: skip


def read(
    path: str | Path,
    kind: str = "auto",
    *,
    table_map: str | Path | None = None,
    sizes: Sizes | None = None,
    angles: str = "normals",
) -> ParticleList:
    """Read particles of any format.

    Parameters
    ----------
    path : str or Path
    kind : str
        A name in `FORMATS`, or auto: by content.
    table_map : str or Path, optional
        Dynamo's .doc that names the tomogram of every number; also taken for AV3 and STOPGAP.
    sizes : mapping, optional
        Sizes of tomograms by stem.
    angles : str
        What nameless text columns are, see :func:`emtomo.io.points.read_points`.

    Raises
    ------
    EmtomoError
        One sentence with file and line, when the file is not what it should be.
    """
    path = Path(path)
    if kind not in ("auto", "optimisation-set", *FORMATS):
        raise EmtomoError(f"There is no format {kind!r}; the formats are {', '.join(FORMATS)}.")
    kind = recognise(path) if kind == "auto" else kind
    if kind == "optimisation-set":
        path = volumes.read_optimisation_set(path)[0]
        kind = recognise(path)
    if kind not in FORMATS:
        raise FormatError(path, f"this is a file of the kind {kind!r}, which holds no particles.")
    if kind == "imod":
        particles = imod.read_model(path, volumes.size_of(sizes or {}, path.name))
    elif kind == "text":
        particles = points.read_points(path, angles)
    else:
        particles = FORMATS[kind].read(path)
    if kind == "relion3.0" and (particles.unit, particles.flat) == ("voxel", False) and len(particles):
        _recognise_fractions(particles)
    if table_map is not None:
        _name(particles, dynamo.read_doc(table_map), path)
    return particles


def _recognise_fractions(particles: ParticleList) -> None:
    """Take positions that all lie between 0 and 1 as fractions of the tomogram (Warp: coordinates are normalized)."""
    if len(particles) > 1 and (particles.positions >= 0).all() and (particles.positions <= 1).all():
        particles.unit = "fraction"
        particles.notes.append("All positions lie between 0 and 1: taken as fractions of the tomogram's size.")


def _name(particles: ParticleList, names: dict[str, str], path: Path) -> None:
    numbers = [str(n) for n in dict.fromkeys(particles.tomograms)]
    missing = [n for n in numbers if n not in names]
    if missing:
        raise EmtomoError(f"{path}: the table map has no tomogram number {', '.join(missing[:10])}.")
    particles.tomograms = np.array([names[str(n)] for n in particles.tomograms], object)


def unoriented_message(particles: ParticleList) -> list[str]:
    """Return a sentence when only some particles have an orientation: files have angles for all or none."""
    if particles.rotations is None:
        return []
    n = int(np.isnan(particles.rotations).any(axis=(1, 2)).sum())
    return [f"{n} of {len(particles)} particles have no orientation; angles of zero stand for it."] if n else []


def lost(particles: ParticleList, kind: str, sizes: Sizes | None = None) -> list[str]:
    """Return what these particles have and a format cannot hold, in words; `sizes` as in :func:`write`."""
    holds, has = FORMATS[kind].holds, set(particles.columns)
    if kind == "eman" and _origin(kind, particles, sizes) == "corner":
        holds = holds - {"pixel_size"}
    has |= {"rotation"} if particles.rotations is not None else set()
    has |= {"shift"} if particles.shifts.any() else set()
    has |= {"tomograms"} if len(set(particles.tomograms)) > 1 or particles.tomograms[:1].any() else set()
    has |= {"pixel_size"} if np.isfinite(particles.pixel_size).all() else set()
    has |= {"tags"} if particles.tags.known() else set()
    family = {"relion3.0": "relion", "relion3.1": "relion", "relion4": "relion", "relion5": "relion", "warp": "relion"}
    if len(particles.other.columns) and family.get(kind, kind) != particles.family:
        has.add("other")
        holds = holds - {"other"}
    if FORMATS[kind].one_tomogram:
        has.discard("tomograms")
    if kind == "scipion" and "image" not in has:
        holds = holds - {"class_number"}  # coordinates have no class, subtomograms have
    if kind == "eman-list":
        return ["positions", *(_LABELS[word] for word in _LABELS if word in has - holds)]
    if kind == "imod" and "rotation" in has:
        has.discard("rotation")
        return [_LABELS[w] for w in _LABELS if w in has - holds] + ["turns about the z axis"]
    return [_LABELS[word] for word in _LABELS if word in has - holds]


def write(
    path: str | Path,
    particles: ParticleList,
    kind: str,
    *,
    pixel_size: float | None = None,
    sizes: Sizes | None = None,
    box_size: int = 32,
) -> list[Path]:
    """Write particles in a format; names of tomograms that it numbers go to a table map beside it.

    Parameters
    ----------
    path : str or Path
        For formats of one tomogram and particles of several: a folder, one file for each.
    particles : ParticleList
    kind : str
        One of `WRITTEN`.
    pixel_size : float, optional
        Å per voxel of the positions to be written; by default as they are.
    sizes : mapping, optional
        Sizes of the tomograms by stem, where the origin changes.
    box_size : int
        For formats that hold one.

    Returns
    -------
    list of Path
        The files that were written.
    """
    from emtomo.io.relion_write import write_relion

    path, known = Path(path), FORMATS.get(kind)
    if known is None or not known.suffix:
        raise EmtomoError(f"{kind} cannot be written; formats that can are {', '.join(WRITTEN)}.")
    if kind != "eman-list" and np.isnan(particles.positions[:, :2]).any():
        raise EmtomoError(f"The particles have no positions, which {known.label} needs.")
    if kind.startswith("relion") or kind == "warp":
        write_relion(path, particles, kind, pixel_size=pixel_size, volumes=sizes)
        return [path]
    if kind == "eman-list":
        eman.write_particle_list(path, particles)
        return [path]
    if kind == "text":
        points.write_points(path, _as_it_is(particles, pixel_size, sizes))
        return [path]
    if particles.flat:
        raise EmtomoError(f"{known.label} holds particles of tomograms; these have no z.")
    here = convert_frame(particles, known.unit, _origin(kind, particles, sizes), pixel_size=pixel_size, volumes=sizes)
    if known.one_tomogram:
        return _write_each(path, here, kind, sizes or {}, box_size)
    if kind == "scipion":
        if len(set(here.pixel_size.tolist())) > 1 or np.isnan(here.pixel_size).any():
            raise EmtomoError("A Scipion set has one pixel size, which must be known; give it.")
        scipion.write_scipion(path, here, box_size)
        return [path]
    if kind == "m":
        warp_m.write_m(path, here)
        return [path]
    numbers = dynamo.numbered(here)
    {"dynamo": dynamo.write_tbl, "motl": motl.write_motl, "stopgap": motl.write_stopgap}[kind](path, here, numbers)
    if any(str(number) != name for name, number in numbers.items()):
        beside = path.with_suffix(".doc")
        dynamo.write_doc(beside, {number: name or "unknown" for name, number in numbers.items()})
        return [path, beside]
    return [path]


def _as_it_is(particles: ParticleList, pixel_size: float | None, sizes: Sizes | None) -> ParticleList:
    if pixel_size is None and particles.unit == "voxel" and particles.origin == "corner":
        return particles
    if particles.flat:
        return particles
    return convert_frame(particles, "voxel", "corner", pixel_size=pixel_size, volumes=sizes)


def _origin(kind: str, particles: ParticleList, sizes: Sizes | None) -> str:
    """Return where positions are counted from: EMAN's from the centre only where sizes and pixel size are known."""
    unknown = not sizes or np.isnan(particles.pixel_size).any()
    if kind == "eman" and particles.origin == "corner" and unknown:
        return "corner"
    return FORMATS[kind].origin


def _write_each(path: Path, particles: ParticleList, kind: str, sizes: Sizes, box_size: int) -> list[Path]:
    """Write one file for each tomogram: `path` itself for one, else files in the folder `path`."""
    names = [str(n) for n in dict.fromkeys(particles.tomograms)] or [""]
    written = []
    if len(names) > 1:
        path.mkdir(parents=True, exist_ok=True)
    for name in names:
        mine = particles.select(particles.tomograms.astype(str) == name)
        tail = "_info.json" if kind == "eman" else FORMATS[kind].suffix
        target = path / f"{stem(name) or 'unknown'}{tail}" if len(names) > 1 else path
        if kind == "imod":
            imod.write_model(target, mine, volumes.size_of(sizes, name))
        elif kind == "eman":
            eman.write_info(target, mine, box_size)
        else:
            copick.write_copick(target, mine, stem(name) or "unknown")
        written.append(target)
    return written
