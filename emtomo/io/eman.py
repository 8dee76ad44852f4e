"""EMAN2: boxes in ``info/name_info.json``, and lists of aligned particles (``particle_parms_NN.json``)."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.names import as_place, stem
from emtomo.io.particles import ParticleList, convert_frame, shifts_in
from emtomo.io.per_tomogram import one_pixel_size, write_for_each_tomogram
from emtomo.io.poses import from_alignment, is_rotation, to_alignment
from emtomo.io.text import read_text, to_int64, write_text

_KEY = re.compile(r"""^\(\s*(['"])(.*)\1\s*,\s*(\d{1,9})\s*\)$""")
DEPTH = 100  # levels of brackets; deeper ones are no file of EMAN


def read_json(path: str | Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises
    ------
    FormatError
        With the line, if it is no JSON, or no object.
    """
    text = read_text(path)
    depth = deepest = 0
    for mark in re.findall(r"[\[\]{}]", text[:1_000_000]):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEPTH:
        raise FormatError(path, f"brackets stand {deepest} deep.")
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        shown = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise FormatError(path, f"not JSON: {shown}.", getattr(error, "lineno", None)) from None
    if not isinstance(found, dict):
        raise FormatError(path, "an object { … } is needed at the top.")
    return found


def number(path: str | Path, value: object, what: str) -> float:
    """Return a JSON value as a finite number, or say what must be one.

    Raises
    ------
    FormatError
        If it is none.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if not good or not np.isfinite(float(value)):  # type: ignore[arg-type]
        raise FormatError(path, f"{what} must be a finite number, got {str(value)[:40]!r}.")
    return float(value)  # type: ignore[arg-type]


def read_info(path: str | Path) -> ParticleList:
    """Read the 3D boxes of an EMAN2 info file.

    With ``apix_unbin`` positions are unbinned voxels from the tomogram's centre, without it voxels of the tomogram
    from the first one (e2spt_boxer). A box is [x, y, z, how, score, class]; older ones are shorter. The class is the
    group, its label is kept. The tomogram's name is the file's.

    Raises
    ------
    FormatError
        If it holds no box, a damaged one, or an apix_unbin that is not above 0.
    """
    found = read_json(path)
    boxes, apix = found.get("boxes_3d"), found.get("apix_unbin")
    if not isinstance(boxes, list) or not boxes:
        raise FormatError(path, "there is no box in it (boxes_3d).")
    rows = []
    for k, box in enumerate(boxes, 1):
        if not isinstance(box, list) or len(box) < 3:
            raise FormatError(path, f"box {k} of boxes_3d must be a list that starts with x, y, z.")
        score = number(path, box[4], f"the score of box {k}") if len(box) > 4 else 0.0
        label = number(path, box[5], f"the class of box {k}") if len(box) > 5 else 0.0
        rows.append([*(number(path, v, f"box {k}") for v in box[:3]), score, label])
    values = np.array(rows)
    step = number(path, apix, "apix_unbin") if apix is not None else None
    if step is not None and step <= 0:
        raise FormatError(path, f"apix_unbin must be above 0, got {step:g}.")
    n = len(values)
    name = stem(Path(path).name.removesuffix(".json").removesuffix("_info").split("__")[0])
    classes = found.get("class_list")
    classes = classes if isinstance(classes, dict) else {}
    labels = [_label(classes.get(str(int(k)))) for k in values[:, 4]]
    particles = ParticleList(
        np.full(n, name, object),
        values[:, :3],
        np.zeros((n, 3)),
        origin="corner" if step is None else "centre",
        pixel_size=np.full(n, np.nan if step is None else step),
        format="eman",
        columns={"score": values[:, 3], "group": to_int64(values[:, 4]), "label": np.array(labels, object)},
    )
    if step is None:
        particles.notes.append("No apix_unbin: positions are voxels of the tomogram from its first one.")
    tags = found.get("emtomo")
    if isinstance(tags, str):
        particles.tags.take_text(tags)
    return particles


def _label(entry: object) -> str:
    return str(entry.get("name", "")) if isinstance(entry, dict) else str(entry or "")


def write_info(path: str | Path, particles: ParticleList, box_size: int = 64) -> None:
    """Write the particles of one tomogram as an EMAN2 info file; what else stands in a file there is kept.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
        In voxels: from the centre, written with ``apix_unbin`` (the pixel size), or from the first voxel, without.
    box_size : int
        Voxels.
    """
    target = Path(path)
    found = read_json(path) if target.exists() else {}
    group = particles.columns.get("group", np.zeros(len(particles), int))
    score = particles.columns.get("score", np.zeros(len(particles)))
    labels = particles.columns.get("label", np.full(len(particles), "", object))
    centres = np.round(particles.centres, 6).tolist()
    found["boxes_3d"] = [
        [*place, "emtomo", float(s), int(g)] for place, s, g in zip(centres, score, group, strict=True)
    ]
    named = {int(g): str(label) for g, label in zip(group, labels, strict=True)}
    found["class_list"] = {
        str(g): {"name": label or f"particles_{g:02d}", "boxsize": box_size} for g, label in sorted(named.items())
    }
    found.pop("apix_unbin", None)
    if particles.origin == "centre":
        found["apix_unbin"] = float(particles.pixel_size[0])
    if particles.tags.as_dict():
        found["emtomo"] = particles.tags.as_text()
    write_text(path, json.dumps(found, indent=1))


def read_particle_list(path: str | Path) -> ParticleList:
    """Read aligned particles: ``{"('file.hdf', n)": {"score", "xform.align3d": {"matrix": "[12 numbers]"}}}``.

    The matrix takes the box to the reference (row by row, 3 × 4, translation in voxels); see
    :func:`emtomo.io.poses.from_alignment`. EMAN's score is better when smaller, and is turned round. The list does not
    say where the particles lie: positions are NaN.

    Raises
    ------
    FormatError
        If it holds no particle, or one whose name or matrix is damaged.
    """
    files, index, scores, matrices = [], [], [], []
    for key, entry in read_json(path).items():
        match = _KEY.match(key)
        if not match or not isinstance(entry, dict):
            raise FormatError(path, f"a particle is written as ('file.hdf', number), got {key[:60]!r}.")
        transform = entry.get("xform.align3d")
        text = transform.get("matrix") if isinstance(transform, dict) else None
        try:
            values = [float(v) for v in str(text).strip("[] ").split(",")]
        except ValueError:
            values = []
        if len(values) != 12 or not np.isfinite(values).all():
            raise FormatError(path, f"{key}: xform.align3d must have a matrix of 12 numbers.")
        files.append(match.group(2))
        index.append(int(match.group(3)))
        scores.append(number(path, entry.get("score", 0.0), f"{key}: the score"))
        matrices.append(values)
    if not files:
        raise FormatError(path, "there is no particle in it.")
    found = np.array(matrices).reshape(-1, 3, 4)
    bad = ~is_rotation(found[:, :, :3], 1e-2)
    if bad.any():
        raise FormatError(path, f"particle {int(np.argmax(bad)) + 1}: the matrix of xform.align3d is no rotation.")
    rotations, shifts = from_alignment(found)
    images = [f"{k + 1:06d}@{file}" for k, file in zip(index, files, strict=True)]
    names = np.array([stem(file).split("__")[0] for file in files], object)
    return ParticleList(
        names,
        np.full((len(files), 3), np.nan),
        shifts,
        rotations,
        format="eman-list",
        columns={"score": -np.array(scores), "image": np.array(images, object)},
        notes=["The list does not say where the particles lie: poses only."],
    )


def write_particle_list(path: str | Path, particles: ParticleList) -> None:
    """Write aligned particles as EMAN2's list; images are ``number@file``, or numbered from the first."""
    n = len(particles)
    rotations = np.tile(np.eye(3), (n, 1, 1)) if particles.rotations is None else particles.rotations
    matrices = to_alignment(rotations, shifts_in(particles, "voxel", particles.pixel_size))[:, :3].reshape(n, 12)
    images = particles.columns.get("image", np.array([f"{k + 1}@particles.hdf" for k in range(n)], object))
    score = particles.columns.get("score", np.zeros(n))
    entries = {}
    for k, (image, values) in enumerate(zip(images, matrices, strict=True)):
        place, _, file = str(image).rpartition("@")
        index = (as_place(place) or k + 1) - 1
        shown = ",".join(f"{v:.10g}" for v in values)
        entries[f"('{file}', {index})"] = {
            "score": -float(score[k]),
            "coverage": 1.0,
            "xform.align3d": {"__class__": "Transform", "matrix": f"[{shown}]"},
        }
    write_text(path, json.dumps(entries, indent=1))


def contains(start: FileStart, key: str) -> bool:
    """Return whether a JSON file has a key, also beyond its beginning."""
    if not start.is_json:
        return False
    if key in start.text or start.path.stat().st_size <= len(start.data):
        return key in start.text
    return key in start.path.read_text(encoding="utf-8-sig", errors="replace") if _is_small(start.path) else False


def _is_small(path: Path) -> bool:
    return path.stat().st_size < 2**28


def _is_info(start: FileStart) -> bool:
    return contains(start, '"boxes_3d"')


def _is_list(start: FileStart) -> bool:
    return start.is_json and '"xform.align3d"' in start.text


def _read_info(path: Path, _: ReadOptions) -> ParticleList:
    return read_info(path)


def _read_list(path: Path, _: ReadOptions) -> ParticleList:
    return read_particle_list(path)


def _counts_from_corner(particles: ParticleList, options: WriteOptions) -> bool:
    """Return whether boxes must stay voxels from the first one: the centre needs size and pixel size."""
    return particles.origin == "corner" and (not options.sizes or bool(np.isnan(particles.pixel_size).any()))


def _write_info(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    origin = "corner" if _counts_from_corner(particles, options) else "centre"
    here = convert_frame(
        particles, "voxel", origin, pixel_size=one_pixel_size(particles, options), volumes=options.sizes
    )

    def write_one(target: Path, mine: ParticleList, _: str) -> None:
        """Write the particles of one tomogram."""
        write_info(target, mine, options.box_size)

    return write_for_each_tomogram(path, here, "_info.json", write_one)


def _write_list(path: Path, particles: ParticleList, _: WriteOptions) -> list[Path]:
    write_particle_list(path, particles)
    return [path]


def _limits(particles: ParticleList, options: WriteOptions) -> frozenset[str]:
    return words_of("pixel_size") if _counts_from_corner(particles, options) else frozenset()


INFO = Format(
    "eman",
    "EMAN2 info",
    _is_info,
    _read_info,
    _write_info,
    words_of("positions group score label tags tomograms pixel_size"),
    "_info.json",
    ("_info.json",),
    names_tomograms="by file name",
    one_tomogram=True,
    limits=_limits,
    described=("with apix_unbin: unbinned voxels from voxel n // 2; without: voxels from the first", "–", "box"),
)
PARTICLE_LIST = Format(
    "eman-list",
    "EMAN2 particle list",
    _is_list,
    _read_list,
    _write_list,
    words_of("rotation shift score image"),
    ".json",
    described=("none", "xform.align3d: M, box → reference, R = Mᵀ", "−R t"),
)
