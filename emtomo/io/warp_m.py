"""M's particle STAR files: poses at several times of the exposure."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.names import tomostar
from emtomo.io.particles import ParticleList, convert_frame, no_names
from emtomo.io.poses import from_relion, to_relion
from emtomo.io.text import as_numbers, to_int64

_PLACES, _ANGLES = ("CoordinateX", "CoordinateY", "CoordinateZ"), ("AngleRot", "AngleTilt", "AnglePsi")
_SAMPLE = re.compile(r"^wrp(Coordinate[XYZ]|Angle(?:Rot|Tilt|Psi))(\d+)$")


def read_m(path: str | Path) -> ParticleList:
    """Read M's particles: wrpCoordinateX1 … in Å from the tomogram's first voxel, wrpAngleRot1 … as RELION's.

    The first sample (before most of the dose) is the pose; the others are kept as they are.

    Raises
    ------
    FormatError
        If no block has positions.
    """
    columns = [f"wrpCoordinate{a}1" for a in "XYZ"]
    filled = {name: block for name, block in star.read_blocks(path).items() if len(block)}
    table, notes = star.particle_table(filled, columns)
    if table is None:
        raise FormatError(path, "no block has particles with wrpCoordinateX1, Y1, Z1.")
    angles = [f"wrpAngle{a}1" for a in ("Rot", "Tilt", "Psi")]
    missing = [name for name in angles if name not in table]
    if 0 < len(missing) < len(angles):
        raise FormatError(path, f"{', '.join(missing)} is missing.")
    rotations = None if missing else from_relion(star.floats(path, table, angles))
    source = "wrpSourceName" if "wrpSourceName" in table else None
    particles = ParticleList(
        star.words(table, source) if source else no_names(len(table)),
        star.floats(path, table, columns),
        np.zeros((len(table), 3)),
        rotations,
        unit="angstrom",
        family="m",
        format="m",
    )
    particles.notes += notes
    if "wrpRandomSubset" in table and np.isfinite(half := as_numbers(table["wrpRandomSubset"])).all():
        particles.columns["half"] = to_int64(half)
    for comment in star.star_comments(path):
        particles.tags.take_text(comment)
    used = {*columns, *angles, source, "wrpRandomSubset"}
    particles.other = table[[c for c in table if c not in used]]
    samples = {int(m.group(2)) for c in table if (m := _SAMPLE.match(str(c))) and len(m.group(2)) < 6}
    if len(samples) > 1:
        particles.notes.append(f"Poses at {len(samples)} times; the first is taken, the others are kept for M only.")
    return particles


def read_samples(path: str | Path, particles: ParticleList) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (p, k, 3, 3) rotations and (p, k, 3) positions in Å of particles of M at all times; None of a single one.

    Raises
    ------
    FormatError
        If a time between the first and the last is missing, or a value is no number.
    """
    found = {int(m.group(2)) for c in particles.other if (m := _SAMPLE.match(str(c))) and len(m.group(2)) < 6}
    if not found or particles.rotations is None:
        return None
    rotations, positions = [particles.rotations], [particles.centres]
    for k in range(2, max(found) + 1):
        names = [f"wrp{name}{k}" for name in (*_PLACES, *_ANGLES)]
        missing = [name for name in names if name not in particles.other]
        if missing:
            raise FormatError(path, f"of the poses at {max(found)} times {', '.join(missing)} is missing.")
        positions.append(star.floats(path, particles.other, names[:3]))
        rotations.append(from_relion(star.floats(path, particles.other, names[3:])))
    return np.stack(rotations, axis=1), np.stack(positions, axis=1)


def sample_columns(rotations: np.ndarray, positions: np.ndarray) -> pd.DataFrame:
    """Return the columns of poses after the first; see :func:`read_samples`."""
    table: dict[str, np.ndarray] = {}
    for k in range(1, positions.shape[1]):
        table |= {f"wrp{name}{k + 1}": positions[:, k, axis] for axis, name in enumerate(_PLACES)}
        table |= dict(zip([f"wrp{name}{k + 1}" for name in _ANGLES], to_relion(rotations[:, k]).T, strict=True))
    return pd.DataFrame(table)


def write_m(path: str | Path, particles: ParticleList) -> None:
    """Write M's particles; positions in Å from the first voxel."""
    names = {n: tomostar(str(n)) if n else "unknown" for n in dict.fromkeys(particles.tomograms)}
    table: dict[str, object] = {f"wrpCoordinate{a}1": particles.centres[:, k] for k, a in enumerate("XYZ")}
    rotations = particles.rotations if particles.rotations is not None else np.tile(np.eye(3), (len(particles), 1, 1))
    table |= dict(zip([f"wrpAngle{a}1" for a in ("Rot", "Tilt", "Psi")], to_relion(rotations).T, strict=True))
    table["wrpRandomSubset"] = particles.columns.get("half", np.arange(len(particles)) % 2 + 1)
    table["wrpSourceName"] = np.array([names[n] for n in particles.tomograms], object)
    if particles.family == "m":
        table |= {str(c): particles.other[c].to_numpy() for c in particles.other}
    star.write_blocks(path, {"particles": pd.DataFrame(table)}, particles.tags.as_text())


def _sniff(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_wrpCoordinateX1\b")


def _read(path: Path, _: ReadOptions) -> ParticleList:
    return read_m(path)


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    write_m(path, convert_frame(particles, "angstrom", "corner", pixel_size=options.pixel_size, volumes=options.sizes))
    return [path]


PARTICLES = Format("m", "M", _sniff, _read, _write, words_of("positions rotation tomograms half tags other"), ".star",
                   family="m", described=("Å from the first voxel", "as RELION", "position; poses at later times are "
                   "kept for M only"))  # fmt: skip
