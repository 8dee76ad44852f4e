"""copick: picks as JSON, in Å from the tomogram's first voxel (copick 1.x, CopickPicksFile)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.eman import contains, number, read_json
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.names import stem
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.io.per_tomogram import write_for_each_tomogram
from emtomo.io.poses import is_rotation
from emtomo.io.text import to_int64, write_text


def read_copick(path: str | Path) -> ParticleList:
    """Read picks: location in Å, transformation_ a 4 × 4 matrix that takes the reference to the tomogram.

    Raises
    ------
    FormatError
        If it holds no point, another unit than Å, or a point without x, y, z.
    """
    found = read_json(path)
    points = found.get("points")
    if not isinstance(points, list) or not points:
        raise FormatError(path, "there is no point in it.")
    unit = found.get("unit", "angstrom")
    if unit != "angstrom":
        raise FormatError(path, f"unit must be angstrom, got {str(unit)[:40]!r}.")
    places, matrices, group, score = [], [], [], []
    for k, point in enumerate(points, 1):
        location = point.get("location") if isinstance(point, dict) else None
        if not isinstance(location, dict):
            raise FormatError(path, f"point {k} must have a location with x, y, z.")
        places.append([number(path, location.get(a), f"point {k}: {a}") for a in "xyz"])
        matrices.append(_matrix(path, k, point.get("transformation_", point.get("transformation"))))
        group.append(number(path, point.get("instance_id") or 0, f"point {k}: instance_id"))
        score.append(number(path, point.get("score") or 0.0, f"point {k}: score"))
    transforms = np.array(matrices)
    step = found.get("voxel_spacing")
    n = len(places)
    particles = ParticleList(
        np.full(n, str(found.get("run_name") or stem(Path(path).resolve().parent.parent.name)), object),
        np.array(places),
        transforms[:, :3, 3].copy(),
        transforms[:, :3, :3].copy(),
        unit="angstrom",
        format="copick",
        columns={"group": to_int64(np.array(group)), "score": np.array(score)},
    )
    if step is not None:
        spacing = number(path, step, "voxel_spacing")
        if not spacing > 0:
            raise FormatError(path, f"voxel_spacing must be above 0 Å, got {spacing:g}.")
        particles.pixel_size = np.full(n, spacing)
    if found.get("trust_orientation") is False:
        particles.rotations = None
    name = str(found.get("pickable_object_name") or "")
    particles.columns["label"] = np.full(n, name, object)
    if isinstance(found.get("emtomo"), str):
        particles.tags.take_text(found["emtomo"])
    return particles


def _matrix(path: str | Path, k: int, rows: Any) -> np.ndarray:
    if rows is None:
        return np.eye(4)
    flat = [v for row in rows for v in row] if isinstance(rows, list) and all(isinstance(r, list) for r in rows) else []
    if len(flat) != 16:
        raise FormatError(path, f"point {k}: the transformation must be 4 rows of 4 numbers.")
    matrix = np.array([number(path, v, f"point {k}: the transformation") for v in flat]).reshape(4, 4)
    if not is_rotation(matrix[None, :3, :3])[0]:
        raise FormatError(path, f"point {k}: the transformation holds no rotation.")
    return matrix


def write_copick(path: str | Path, particles: ParticleList, run_name: str) -> None:
    """Write the particles of one tomogram; positions in Å from the first voxel."""
    n = len(particles)
    matrices = np.tile(np.eye(4), (n, 1, 1))
    if particles.rotations is not None:
        known = np.isfinite(particles.rotations).all(axis=(1, 2))
        matrices[known, :3, :3] = particles.rotations[known]
    matrices[:, :3, 3] = particles.shifts
    group = particles.columns.get("group", np.zeros(n, int))
    score = particles.columns.get("score", np.zeros(n))
    label = particles.columns.get("label", np.full(n, "", object))
    points = [
        {
            "location": dict(zip("xyz", np.round(particles.positions[k], 6).tolist(), strict=True)),
            "transformation_": np.round(matrices[k], 12).tolist(),
            "instance_id": int(group[k]),
            "score": float(score[k]),
        }
        for k in range(n)
    ]
    step = particles.pixel_size[0] if n and np.isfinite(particles.pixel_size).all() else None
    found = {
        "pickable_object_name": str(label[0]) if n and label[0] else "particle",
        "user_id": "emtomo",
        "session_id": "0",
        "run_name": run_name,
        "voxel_spacing": step,
        "unit": "angstrom",
        "points": points,
        "trust_orientation": particles.rotations is not None,
    }
    if particles.tags.as_dict():
        found["emtomo"] = particles.tags.as_text()
    write_text(path, json.dumps(found, indent=1))


def _sniff(start: FileStart) -> bool:
    return contains(start, '"points"') or (start.is_json and '"pickable_object_name"' in start.text)


def _read(path: Path, _: ReadOptions) -> ParticleList:
    return read_copick(path)


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    here = convert_frame(particles, "angstrom", "corner", pixel_size=options.pixel_size, volumes=options.sizes)

    def write_one(target: Path, mine: ParticleList, name: str) -> None:
        """Write the particles of one tomogram."""
        write_copick(target, mine, stem(name) or "unknown")

    return write_for_each_tomogram(path, here, ".json", write_one)


PICKS = Format("copick", "copick", _sniff, _read, _write,
               words_of("positions rotation tomograms pixel_size shift group score label tags"), ".json", (".json",),
               one_tomogram=True,
               described=("Å from the first voxel", "transformation_", "location + translation"))  # fmt: skip
