"""Reading and writing particles by a format's name, and what a format cannot hold."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import dynamo
from emtomo.io.format import ReadOptions, WriteOptions
from emtomo.io.particle_formats import FORMATS, PARTICLES, WORDS, WRITTEN
from emtomo.io.particles import ParticleList, VolumeGeometry
from emtomo.io.recognise import recognise
from emtomo.wording import share_text

__all__ = ["FORMATS", "WORDS", "WRITTEN", "format_of", "list_losses", "read", "unoriented_message", "write"]


def read(
    path: str | Path,
    kind: str = "auto",
    *,
    table_map: str | Path | None = None,
    sizes: Mapping[str, VolumeGeometry] | None = None,
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
        Geometry of tomograms by stem.
    angles : str
        What nameless text columns are, see :func:`emtomo.io.points.read_points`.

    Raises
    ------
    EmtomoError
        One sentence with file and line, when the file is not what it should be.
    """
    path = Path(path)
    if kind != "auto" and kind not in FORMATS:
        raise EmtomoError(f"There is no format {kind!r}; the formats are {', '.join(FORMATS)}.")
    kind = recognise(path) if kind == "auto" else kind
    if kind not in FORMATS:
        raise FormatError(path, f"this is a file of the kind {kind!r}, which holds no particles.")
    reader = FORMATS[kind].read
    assert reader is not None
    others = partial(read, sizes=sizes, angles=angles)
    particles = reader(path, ReadOptions(sizes=sizes or {}, angles=angles, read_other=others))
    if table_map is not None:
        _name_tomograms(particles, dynamo.read_doc(table_map), path)
    particles.notes += _repeats(particles)
    return particles


def _repeats(particles: ParticleList) -> list[str]:
    """Return a note where particles stand in a file twice, with one place and orientation; points of models may."""
    if {"role", "model"} & set(particles.columns):
        return []
    places = pd.DataFrame(particles.positions + particles.shifts).assign(tomogram=particles.tomograms)
    again = places.duplicated(keep=False) & np.isfinite(particles.positions[:, 0])
    if not again.any():
        return []
    places = places[again]
    if particles.rotations is not None:
        turns = particles.rotations[again.to_numpy()].reshape(-1, 9)
        places = pd.concat([places.reset_index(drop=True), pd.DataFrame(turns).add_prefix("r")], axis=1)
    count = int(places.duplicated().sum())
    if not count:
        return []
    text = share_text(count, len(particles), "particle", "is")
    return [f"{text} in the file before, at the same place and orientation; clean-coordinates removes repetitions."]


def _name_tomograms(particles: ParticleList, names: dict[str, str], path: Path) -> None:
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
    return (
        [f"{share_text(n, len(particles), 'particle', 'has')} no orientation; angles of zero stand for it."]
        if n
        else []
    )


def list_losses(particles: ParticleList, kind: str, sizes: Mapping[str, VolumeGeometry] | None = None) -> list[str]:
    """Return what these particles have and a format cannot hold, in words; `sizes` as in :func:`write`."""
    known = FORMATS[kind]
    holds = known.holds
    if known.limits is not None:
        holds = holds - known.limits(particles, WriteOptions(sizes=sizes or {}))
    has = {"positions", *particles.columns}
    has |= {"rotation"} if particles.rotations is not None else set()
    has |= {"shift"} if particles.shifts.any() else set()
    has |= {"tomograms"} if len(set(particles.tomograms)) > 1 or particles.tomograms[:1].any() else set()
    has |= {"pixel_size"} if np.isfinite(particles.pixel_size).all() else set()
    has |= {"tags"} if particles.tags.as_dict() else set()
    if len(particles.other.columns):
        has.add("other")
        holds = holds if known.family == particles.family else holds - {"other"}
    if known.one_tomogram:
        has.discard("tomograms")
    if "rotation" in has and "z_axis" in holds:
        has.remove("rotation")
        has.add("z_axis")
        holds = holds - {"z_axis"}
    return [text for word, text in WORDS.items() if word in has - holds]


def write(
    path: str | Path,
    particles: ParticleList,
    kind: str,
    *,
    pixel_size: float | None = None,
    sizes: Mapping[str, VolumeGeometry] | None = None,
    box_size: int = 32,
    tomograms: Path | None = None,
) -> list[Path]:
    """Write particles in a format; names of tomograms that it numbers go to a table map beside it.

    Parameters
    ----------
    path : str or Path
        For formats of one tomogram and particles of several: a folder, one file for each.
    particles : ParticleList
    kind : str
        The name of a format that can be written.
    pixel_size, sizes, box_size, tomograms
        See :class:`emtomo.io.format.WriteOptions`.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    EmtomoError
        If the format cannot hold the particles, or needs what is not known.
    """
    known = FORMATS.get(kind)
    if known is None or known.write is None:
        raise EmtomoError(f"{kind} cannot be written; formats that can are {', '.join(WRITTEN)}.")
    if "positions" in known.holds and np.isnan(particles.positions[:, :2]).any():
        raise EmtomoError(f"The particles have no positions, which {known.label} needs.")
    if "positions" in known.holds and "images" not in known.holds and particles.flat:
        raise EmtomoError(f"{known.label} holds particles of tomograms; these have no z.")
    return known.write(Path(path), particles, WriteOptions(pixel_size, sizes or {}, box_size, tomograms))


def format_of(target: Path, particles: ParticleList) -> str:
    """Return the format that a file's name asks for: that of the particles where it has the ending and is related.

    Raises
    ------
    EmtomoError
        If the name does not say the format.
    """
    asked = [known for known in PARTICLES if any(target.name.lower().endswith(end) for end in known.endings)]
    if not asked:
        raise EmtomoError(f"{target}: the name does not say the format; give it: {', '.join(WRITTEN)}.")
    best = max(asked, key=lambda known: max(len(end) for end in known.endings if target.name.lower().endswith(end)))
    own = FORMATS.get(particles.format)
    if own is not None and own.family == best.family and own.suffix == best.suffix:
        return own.name
    return best.name
