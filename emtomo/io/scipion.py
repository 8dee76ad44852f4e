"""Scipion's sets (sqlite of scipion-em-tomo 3.12): tables of properties, classes and objects."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.limits import open_plain
from emtomo.io.names import as_place
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.io.poses import from_alignment, is_rotation, to_alignment
from emtomo.io.text import as_numbers, to_int64

SQLITE = b"SQLite format 3\x00"
_SQL = {"Float": "REAL", "Integer": "INTEGER", "Boolean": "INTEGER"}


@dataclass
class ScipionSet:
    """A set as Scipion stores it.

    Attributes
    ----------
    name : str
        Its class, e.g. SetOfCoordinates3D.
    properties : dict
        The set's own values.
    items : DataFrame
        One row per item, columns by Scipion's attribute names, and ``id``.
    parts : dict
        Items of items (tilts of a series) by the id of the item that has them.
    classes : list of (attribute, class)
        What a writer needs of every attribute.
    """

    name: str
    properties: dict[str, Any]
    items: pd.DataFrame
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)


def read_set(path: str | Path) -> ScipionSet:
    """Read a Scipion set.

    Raises
    ------
    FormatError
        If it is no sqlite file, or has not Scipion's tables.
    """
    try:
        with open_plain(path) as stream:
            if stream.read(16) != SQLITE:
                raise FormatError(path, "not a sqlite file.")
        with closing(sqlite3.connect(f"file:{quote(str(Path(path)))}?mode=ro", uri=True)) as db:
            db.text_factory = lambda raw: raw.decode(errors="replace")
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if not {"Properties", "Classes", "Objects"} <= set(tables):
                raise FormatError(path, "a sqlite file, but no set of Scipion (tables Properties, Classes, Objects).")
            properties = dict(db.execute("SELECT key, value FROM Properties"))
            found = ScipionSet(str(properties.pop("self", "")), properties, _items(db, ""))
            for table in tables:
                if table.endswith("_Objects"):
                    prefix = table.removesuffix("Objects")
                    found.parts[prefix.removesuffix("_")] = _items(db, prefix)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    except (sqlite3.Error, ValueError, KeyError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, f"a sqlite file that cannot be read: {error}.") from None
    return found


def kind_of(path: str | Path) -> str:
    """Return what a file of Scipion holds: scipion (particles), scipion-tilts, scipion-ctf or tomograms-scipion."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(Path(path)))}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT value FROM Properties WHERE key = 'self'").fetchone()
    except (sqlite3.Error, UnicodeDecodeError):  # also a message of sqlite that quotes a damaged name
        return "scipion"
    kinds = {
        "SetOfTiltSeries": "scipion-tilts",
        "SetOfCTFTomoSeries": "scipion-ctf",
        "SetOfTomograms": "tomograms-scipion",
    }
    return kinds.get(str(found[0]) if found else "", "scipion")


def _items(db: sqlite3.Connection, prefix: str) -> pd.DataFrame:
    name = prefix.replace('"', '""')
    columns = dict(db.execute(f'SELECT column_name, label_property FROM "{name}Classes"'))
    cursor = db.execute(f'SELECT * FROM "{name}Objects" ORDER BY id LIMIT 20000000')
    names = [columns.get(d[0], d[0]) for d in cursor.description]
    frame = pd.DataFrame(cursor.fetchall(), columns=names, dtype=object)
    return frame.loc[:, ~frame.columns.duplicated()]


def write_set(
    path: str | Path,
    name: str,
    item: str,
    properties: dict[str, Any],
    columns: list[tuple[str, str]],
    rows: Iterable[tuple[Any, ...]],
    parts: dict[str, tuple[str, list[tuple[str, str]], list[tuple[Any, ...]]]] | None = None,
) -> None:
    """Write a Scipion set under a temporary name, then rename it.

    Parameters
    ----------
    path : str or Path
    name, item : str
        Classes of the set and of its items.
    properties : dict
    columns : list of (attribute, class)
    rows : iterable of tuple
        One value per column.
    parts : dict, optional
        Prefix of the tables of an item's items: their class, columns and rows.

    Raises
    ------
    FormatError
        If it cannot be written.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part)) as db, db:
            db.execute("PRAGMA user_version=1")
            db.execute("CREATE TABLE Properties (key TEXT UNIQUE, value TEXT DEFAULT NULL)")
            known = {"self": name, "_streamState": "2", "_mapperPath": f"{target.resolve()}, ", **properties}
            db.executemany(
                "INSERT INTO Properties VALUES (?, ?)", [(k, None if v is None else str(v)) for k, v in known.items()]
            )
            size = _table(db, "", item, columns, rows)
            db.execute("INSERT INTO Properties VALUES ('_size', ?)", (str(size),))
            for prefix, (kind, named, values) in (parts or {}).items():
                _table(db, f"{prefix}_", kind, named, values)
        part.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise FormatError(path, f"cannot be written: {error}.") from None


def _table(
    db: sqlite3.Connection, prefix: str, item: str, columns: list[tuple[str, str]], rows: Iterable[tuple[Any, ...]]
) -> int:
    quoted = prefix.replace('"', '""')
    db.execute(
        f'CREATE TABLE "{quoted}Classes" (id INTEGER PRIMARY KEY AUTOINCREMENT, label_property TEXT UNIQUE, '
        "column_name TEXT UNIQUE, class_name TEXT DEFAULT NULL)"
    )
    known = [("self", "c00", item), *((a, f"c{k:02d}", c) for k, (a, c) in enumerate(columns, 1))]
    db.executemany(f'INSERT INTO "{quoted}Classes" (label_property, column_name, class_name) VALUES (?, ?, ?)', known)
    body = "".join(f", c{k:02d} {_SQL.get(c, 'TEXT')} DEFAULT NULL" for k, (_, c) in enumerate(columns, 1))
    db.execute(
        f'CREATE TABLE "{quoted}Objects" (id INTEGER PRIMARY KEY, enabled INTEGER DEFAULT 1, label TEXT DEFAULT NULL, '
        f"comment TEXT DEFAULT NULL, creation DATE{body})"
    )
    marks = ", ".join("?" * (len(columns) + 4))
    insert = f'INSERT INTO "{quoted}Objects" VALUES ({marks}, ?)'
    count = 0

    def number_rows() -> Iterable[tuple[Any, ...]]:
        """Yield rows with their identifiers."""
        nonlocal count
        for count, row in enumerate(rows, 1):
            yield (count, 1, "", "", "2000-01-01 00:00:00", *row)

    db.executemany(insert, number_rows())
    return count


def matrices(path: str | Path, column: pd.Series) -> np.ndarray:
    """Return a column of matrices, written as JSON, as (n, 4, 4); the identity where there is none.

    Raises
    ------
    FormatError
        If a matrix is not 4 rows of 4 numbers.
    """
    out = np.tile(np.eye(4), (len(column), 1, 1))
    for k, text in enumerate(column):
        if text is None or text == "":
            continue
        try:
            rows = json.loads(text)
            found = np.array(rows, float)
        except (ValueError, TypeError, RecursionError):
            found = np.zeros(0)
        if found.shape not in ((3, 3), (4, 4)) or not np.isfinite(found).all():
            raise FormatError(path, f"item {k + 1}: a matrix must be 4 rows of 4 numbers.")
        if found.shape == (3, 3):  # an image's: rotation and shift in the plane
            out[k, :2, :2], out[k, :2, 3] = found[:2, :2], found[:2, 2]
        else:
            out[k] = found
    return out


def read_scipion(path: str | Path) -> ParticleList:
    """Read coordinates, mesh points or subtomograms of Scipion.

    Positions are voxels of the set's sampling rate from the tomogram's centre (half its size); the matrix takes the
    box to the reference, see :func:`emtomo.io.poses.from_alignment`, its shift in voxels.

    Raises
    ------
    FormatError
        If the set holds no positions, no item, or a position that is not finite.
    """
    found = read_set(path)
    items = found.items
    start = "_coordinate." if "_coordinate._x" in items else ""
    if not {f"{start}_{a}" for a in "xyz"} <= set(items):
        raise FormatError(path, f"a {found.name or 'set'} of Scipion holds no positions.")
    if len(items) == 0:
        raise FormatError(path, "there is no item in it.")
    positions = np.stack([as_numbers(items[f"{start}_{a}"]) for a in "xyz"], axis=1)
    if not np.isfinite(positions).all():
        row = int(np.argmin(np.isfinite(positions).all(axis=1))) + 1
        raise FormatError(path, f"item {row}: the position must be finite numbers.")
    column = "_transform._matrix" if "_transform._matrix" in items else f"{start}_eulerMatrix._matrix"
    turned = matrices(path, items[column]) if column in items else np.tile(np.eye(4), (len(items), 1, 1))
    if not is_rotation(turned[:, :3, :3]).all():
        row = int(np.argmin(is_rotation(turned[:, :3, :3]))) + 1
        raise FormatError(path, f"item {row}: its matrix is no rotation.")
    rotations, shifts = from_alignment(turned)
    rate = as_numbers(pd.Series([found.properties.get("_samplingRate")], dtype=object))[0]
    name = next((c for c in (f"{start}_tomoId", "_volName") if c in items), None)
    names = items[name].fillna("").astype(str).to_numpy(object) if name else np.full(len(items), "", object)
    particles = ParticleList(
        names,
        positions,
        shifts,
        rotations,
        origin="half",
        format="scipion",
        pixel_size=np.full(len(items), rate if rate > 0 else np.nan),
    )
    for key, attribute in (("group", f"{start}_groupId"), ("class_number", "_classId"), ("score", f"{start}_score")):
        if attribute in items:
            values = np.nan_to_num(as_numbers(items[attribute]))
            particles.columns[key] = values if key == "score" else to_int64(values)
    if "_filename" in items:
        index = to_int64(as_numbers(items["_index"])) if "_index" in items else np.zeros(len(items), int)
        files = [f"{k:06d}@{f}" if k > 0 else str(f) for k, f in zip(index, items["_filename"], strict=True)]
        particles.columns["image"] = np.array(files, object)
    return particles


_COORDINATE = [("_x", "Float"), ("_y", "Float"), ("_z", "Float"), ("_volId", "Integer"), ("_eulerMatrix", "Transform"),
               ("_eulerMatrix._matrix", "Matrix"), ("_groupId", "Integer"), ("_tomoId", "String"),
               ("_score", "Float")]  # fmt: skip


def write_scipion(path: str | Path, particles: ParticleList, box_size: int = 0) -> None:
    """Write a SetOfCoordinates3D; SetOfSubTomograms where the particles have boxes, SetOfMeshes for points of models.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
        In voxels from half the tomogram's size.
    box_size : int
        Voxels.
    """
    n = len(particles)
    rate = float(particles.pixel_size[0]) if n else 1.0
    rotations = np.tile(np.eye(3), (n, 1, 1)) if particles.rotations is None else particles.rotations
    rotations = np.where(np.isfinite(rotations), rotations, np.eye(3))
    texts = [json.dumps(m.tolist()) for m in to_alignment(rotations, particles.shifts)]
    volume = {t: k for k, t in enumerate(dict.fromkeys(particles.tomograms), 1)}
    columns = particles.columns
    group = columns.get("group", np.zeros(n, int)).tolist()
    score = columns.get("score", np.zeros(n)).tolist()
    names = [str(t) for t in particles.tomograms]
    coordinates = [
        (*place, volume[t], None, text, g, str(t), s)
        for place, t, text, g, s in zip(particles.positions.tolist(), names, texts, group, score, strict=True)
    ]
    properties: dict[str, Any] = {"_samplingRate": rate, "_boxSize": box_size}
    if "role" in columns or "model" in columns:
        points = [(*row, name) for row, name in zip(coordinates, names, strict=True)]
        write_set(path, "SetOfMeshes", "MeshPoint", properties, [*_COORDINATE, ("_volumeName", "String")], points)
        return
    if "image" not in columns:
        write_set(path, "SetOfCoordinates3D", "Coordinate3D", properties, _COORDINATE, coordinates)
        return
    class_number = columns.get("class_number", np.zeros(n, int)).tolist()
    box = [("_index", "Integer"), ("_filename", "String"), ("_samplingRate", "Float"), ("_transform", "Transform"),
           ("_transform._matrix", "Matrix"), ("_classId", "Integer"), ("_volId", "Integer"),
           ("_coordinate", "Coordinate3D")]  # fmt: skip
    named = [*box, *((f"_coordinate.{a}", c) for a, c in _COORDINATE), ("_volName", "String")]
    rows = []
    for k, image in enumerate(columns["image"]):
        place, _, file = str(image).rpartition("@")
        index = as_place(place) or 0
        head = (index, file, rate, None, texts[k], class_number[k], volume[names[k]], None)
        rows.append((*head, *coordinates[k], names[k]))
    properties = {"_samplingRate": rate, "_alignment": "3D", "_hasCtf": "False", "_isPhaseFlipped": "False"}
    write_set(path, "SetOfSubTomograms", "SubTomogram", properties, named, rows)


def holds_set(start: FileStart, *kinds: str) -> bool:
    """Return whether a file is a Scipion set of one of some kinds, see :func:`kind_of`."""
    return start.data.startswith(SQLITE) and kind_of(start.path) in kinds


def _sniff(start: FileStart) -> bool:
    return holds_set(start, "scipion")


def _read(path: Path, _: ReadOptions) -> ParticleList:
    return read_scipion(path)


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    here = convert_frame(particles, "voxel", "half", pixel_size=options.pixel_size, volumes=options.sizes)
    if len(set(here.pixel_size.tolist())) > 1 or np.isnan(here.pixel_size).any():
        raise EmtomoError("A Scipion set has one pixel size, which must be known; give it.")
    write_scipion(path, here, options.box_size)
    return [path]


def _limits(particles: ParticleList, _: WriteOptions) -> frozenset[str]:
    """Coordinates have no class, subtomograms have."""
    return frozenset() if "image" in particles.columns else words_of("class_number")


PARTICLES = Format(
    "scipion",
    "Scipion set",
    _sniff,
    _read,
    _write,
    words_of("positions rotation tomograms pixel_size shift group score class_number image"),
    ".sqlite",
    (".sqlite",),
    limits=_limits,
    described=("voxels from size / 2", "M, box → reference", "−R t"),
)
