"""Whole columns in and out of a pyworkflow set, without one object per row.

The file is exactly the one that the engine writes itself (tables Classes,
Objects and Properties), so that its own Set classes, its viewers and Scipion's
tools open it. Values are matched by position: the columns of Objects must
follow the rows of Classes.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from pyworkflow.object import OBJECTS_DICT, OrderedObject, Set

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported
from emtomo.engine.fields import Extent, Field, Fielded, from_sql, to_sql
from emtomo.errors import EmtomoError, one_line
from emtomo.io.names import check_identifiers

CHUNK = 50_000  # rows written at once
READ_ROWS = 500  # read at once: what stays in the cache of the processor is turned into columns faster
IDENTIFIERS = {"tomogram_id", "micrograph_id"}  # they become parts of file names
MISSING_SET = "the set's file is missing; resume the run that made it with --restart."
_SQL_TYPE = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT"}
_CLASS_NAME = {bool: "Boolean", int: "Integer", float: "Float", str: "String"}


class Item(Fielded, OrderedObject):
    """One row of a :class:`TableSet`."""

    def __init__(self, **values: Any) -> None:
        OrderedObject.__init__(self)
        self._add_fields(self.FIELDS, values)


class TableSet(Fielded, Set):
    """A set that scientists read as a table.

    ``FIELDS`` are true of all items, ``ITEM_TYPE.FIELDS`` are an item's own.
    ``GROUP`` is the column that says to which tomogram or micrograph an item
    belongs; empty where items belong to none.
    New sets are made with :meth:`create`, filled with :meth:`extend` and get
    their final name in :meth:`write`; until then nothing stands under it.
    """

    ITEM_TYPE: type[Item] = Item
    GROUP: ClassVar[str] = ""
    NOUN = "items"

    def __init__(self, **kwargs: Any) -> None:
        self._part: Path | None = None
        values = {field.name: kwargs.pop(field.name) for field in self.FIELDS if field.name in kwargs}
        Set.__init__(self, **kwargs)
        self._add_fields(self.FIELDS, values)

    def _loadClassesDict(self) -> dict[str, type]:
        return {**OBJECTS_DICT, self.ITEM_TYPE.__name__: self.ITEM_TYPE}

    # --- writing ---

    @classmethod
    def create(cls, path: str | Path, **values: Any) -> Self:
        """Start a new, empty set that will stand at `path` after :meth:`write`.

        Parameters
        ----------
        path : str or Path
            Final name; an older file there stays until :meth:`write`.
        **values
            The set's own fields.
        """
        new = cls(**values)
        new._part = Path(f"{path}.part")
        new._part.unlink(missing_ok=True)
        new._mapperPath.set(f"{path}, ")
        fields = cls.ITEM_TYPE.FIELDS
        columns = "".join(f", c{k:02d} {_SQL_TYPE[f.kind]} DEFAULT NULL" for k, f in enumerate(fields, 1))
        rows = [("self", "c00", cls.ITEM_TYPE.__name__)]
        rows += [(f.name, f"c{k:02d}", _CLASS_NAME[f.kind]) for k, f in enumerate(fields, 1)]
        with closing(sqlite3.connect(new._part)) as db, db:
            db.execute("PRAGMA user_version=1")
            db.execute("CREATE TABLE Properties (key TEXT UNIQUE, value TEXT DEFAULT NULL)")
            db.execute(
                "CREATE TABLE Classes (id INTEGER PRIMARY KEY AUTOINCREMENT, label_property TEXT UNIQUE, "
                "column_name TEXT UNIQUE, class_name TEXT DEFAULT NULL)"
            )
            db.execute(
                "CREATE TABLE Objects (id INTEGER PRIMARY KEY, enabled INTEGER DEFAULT 1, "
                "label TEXT DEFAULT NULL, comment TEXT DEFAULT NULL, creation DATE DEFAULT NULL" + columns + ")"
            )
            insert = "INSERT INTO Classes (label_property, column_name, class_name) VALUES (?, ?, ?)"
            db.executemany(insert, rows)
        return new

    def extend(self, frame: pd.DataFrame) -> None:
        """Append one item per row of `frame`.

        Columns are matched by name; fields that `frame` lacks get their default.

        Raises
        ------
        EmtomoError
            If `frame` has a column that the item has not, or the set is finished.
        """
        if self._part is None:
            raise EmtomoError(f"{type(self).__name__}: a finished set is never edited; create a new one.")
        fields = self.ITEM_TYPE.FIELDS
        unknown = [name for name in frame.columns if name not in {f.name for f in fields}]
        if unknown:
            raise EmtomoError(
                f"{type(self).__name__} has no column {', '.join(map(str, unknown))}; "
                f"its columns are {', '.join(f.name for f in fields)}."
            )
        names = ", ".join(["id"] + [f"c{k:02d}" for k in range(1, len(fields) + 1)])
        insert = f"INSERT INTO Objects ({names}) VALUES ({', '.join('?' * (len(fields) + 1))})"
        for name in IDENTIFIERS & set(frame.columns):
            check_identifiers(frame[name].unique(), name, self.getFileName())
        first = self._size.get() + 1
        with closing(sqlite3.connect(self._part, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=OFF")  # the file has no final name yet: nothing to protect
            db.execute("BEGIN")
            for start in range(0, len(frame), CHUNK):
                part = frame.iloc[start : start + CHUNK]
                columns = [to_sql(field, part) for field in fields]
                ids = range(first + start, first + start + len(part))
                db.executemany(insert, zip(ids, *columns, strict=True))
            db.execute("COMMIT")
        self._size.set(self._size.get() + len(frame))

    def extend_from(self, source: "TableSet", keep: np.ndarray) -> None:
        """Append items of a set of the same kind, as they are: rows go from database to database.

        Parameters
        ----------
        source : TableSet
        keep : (n,) bool array
            Which of its items, in their order.

        Raises
        ------
        EmtomoError
            If `keep` is not as long as the set, or this set is finished.
        """
        fields = self.ITEM_TYPE.FIELDS
        with source._database() as db:
            column = source._columns(db)
            ids = db.execute("SELECT MIN(id), MAX(id), COUNT(*) FROM Objects").fetchone()
            for name in IDENTIFIERS & set(column):
                found = [row[0] for row in db.execute(f"SELECT DISTINCT {column[name]} FROM Objects")]
                check_identifiers(found, name, source.getFileName())
        if len(keep) != ids[2]:
            raise EmtomoError(f"{len(keep)} decisions were made on a set of {ids[2]} items.")
        same = type(source) is type(self) and type(self).extend is TableSet.extend
        if self._part is None or not same or ids != (1, len(keep), len(keep)):
            self.extend(source.frame().iloc[np.flatnonzero(keep)])
            return
        names = ", ".join(f"c{k:02d}" for k in range(1, len(fields) + 1))
        taken = ", ".join(column.get(field.name, "NULL") for field in fields)
        marks = np.asarray(keep, np.uint8).tobytes()
        part = f"file:{_quoted(str(self._part))}"
        with source._database(), closing(sqlite3.connect(part, uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=OFF")
            db.execute("ATTACH ? AS source", (f"file:{_quoted(source.getFileName())}?mode=ro",))
            db.execute("BEGIN")
            chosen = "substr(?, id, 1) = x'01' ORDER BY id"
            db.execute(f"INSERT INTO Objects ({names}) SELECT {taken} FROM source.Objects WHERE {chosen}", (marks,))
            db.execute("COMMIT")
        self._size.set(self._size.get() + int(np.count_nonzero(keep)))

    def write(self, properties: bool = True) -> None:
        """Give the file its final name; a set read from disk is left as it is."""
        if self._part is None:
            return
        path = self.getFileName()
        with closing(sqlite3.connect(self._part)) as db, db:
            rows = [("self", type(self).__name__), *self.getObjDict().items()]
            insert = "INSERT OR REPLACE INTO Properties VALUES (?, ?)"
            db.executemany(insert, [(k, None if v is None else str(v)) for k, v in rows])
        Path(f"{path}-journal").unlink(missing_ok=True)
        self._part.replace(path)
        self._part = None

    @classmethod
    def save(cls, path: str | Path, frame: pd.DataFrame, **values: Any) -> None:
        """Write `frame` as a set of its own, e.g. the part of one tomogram."""
        part = cls.create(path, **values)
        part.extend(frame)
        part.write()

    def copy_fields(self, other: Set, *, but: tuple[str, ...] = ()) -> None:
        """Take from `other` the set's fields that both have, except those in `but`."""
        for field in self.FIELDS:
            source = getattr(other, field.name, None)
            if source is not None and field.name not in but:
                getattr(self, field.name).set(source.get())

    # --- reading ---

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the set stored at `path`, its own fields included."""
        if not Path(path).is_file():
            raise EmtomoError(f"{path}: {MISSING_SET}")
        try:
            found = cls(filename=str(path))
            found.loadAllProperties()
            found.close()
            found._mapperPath.set(f"{path}, ")  # where it is now, not where it was written from
            with found._database() as db:  # whatever it says of itself
                found._size.set(db.execute("SELECT COUNT(*) FROM Objects").fetchone()[0])
        except EmtomoError:
            raise
        except Exception as error:  # the engine's mapper fails in many ways on what is no set
            raise EmtomoError(f"{path}: the set cannot be read ({one_line(error)[:200]}).") from error
        return found

    def frame(
        self,
        columns: list[str] | None = None,
        tomogram_id: str | None = None,
        progress: Callable[[float], object] | None = None,
    ) -> pd.DataFrame:
        """Return the items as columns named like the item's fields, in one read.

        Parameters
        ----------
        columns : list of str, optional
            The fields to read; all by default.
        tomogram_id : str, optional
            Only the items of this tomogram (or whatever ``GROUP`` is).
        progress : callable, optional
            Called with the share of the items that were read, 0 to 1.
        """
        if tomogram_id is not None and not self.GROUP:
            raise EmtomoError(f"{type(self).__name__}: the items belong to no tomogram.")
        known = {field.name: field for field in self.ITEM_TYPE.FIELDS}
        names = list(known) if columns is None else columns
        missing = [name for name in names if name not in known]
        if missing:
            raise EmtomoError(f"{type(self).__name__} has no column {', '.join(missing)}.")
        blocks, total, read = [], int(self.getSize() or 0), 0
        for block in self._read(names, tomogram_id):
            blocks.append(block)
            if progress is not None:
                read += len(block[0])
                progress(read / max(read, total))
        data = {
            name: np.concatenate([block[k] for block in blocks]) if blocks else known[name].empty_column(0)
            for k, name in enumerate(names)
        }
        return pd.DataFrame(data, columns=names)

    def _read(self, names: list[str], group: str | None) -> Iterator[list[np.ndarray]]:
        """Yield the columns `names` in chunks of rows."""
        kinds = {field.name: field.kind for field in self.ITEM_TYPE.FIELDS}
        with self._database() as db:
            column = self._columns(db)
            known = [column.get(name, "NULL") for name in names]
            query = f"SELECT {', '.join(known)} FROM Objects"
            arguments: tuple[str, ...] = ()
            if group is not None:
                query += f" WHERE {column[self.GROUP]} = ?"
                arguments = (group,)
            cursor = db.execute(query + " ORDER BY id", arguments)
            checked = [k for k, name in enumerate(names) if name in IDENTIFIERS]
            while rows := cursor.fetchmany(READ_ROWS):
                columns = list(zip(*rows, strict=True))
                for k in checked:
                    check_identifiers(set(columns[k]), names[k], self.getFileName())
                yield [from_sql(kinds[n], c) for n, c in zip(names, columns, strict=True)]

    def _columns(self, db: sqlite3.Connection) -> dict[str, str]:
        """Return the name of each field's column; a set of an older version lacks newer ones."""
        column = dict(db.execute("SELECT label_property, column_name FROM Classes"))
        if not all(re.fullmatch(r"c\d+", str(name)) for name in column.values()):
            raise EmtomoError(f"{self.getFileName()}: the names of its columns are not those of a set.")
        return column

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the set's file for reading; what is wrong with it becomes one sentence."""
        path = self.getFileName()
        if not Path(path).is_file():
            raise EmtomoError(f"{path}: {MISSING_SET}")
        try:
            with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as db:
                _check_plain(db, path)
                yield db
        except EmtomoError:
            raise
        except (sqlite3.Error, KeyError, ValueError, OverflowError, TypeError) as error:
            raise EmtomoError(
                f"{path}: the set cannot be read ({one_line(error)[:200]}); resume the run that made it with --restart."
            ) from error

    def items(self) -> Iterator[Item]:
        """Yield the items as objects that stay what they are (the engine refills one)."""
        with self._database():  # what is wrong with it is said as for a table
            for item in self.iterItems():
                yield item.clone()

    def tomogram_ids(self) -> list[str]:
        """Return the ids of the tomograms that the items belong to, in order of first appearance."""
        return self.group_ids()

    def group_ids(self) -> list[str]:
        """Return the ids of the tomograms or micrographs that the items belong to (``GROUP``); none: no id."""
        if not self.GROUP:
            return []
        with self._database() as db:
            column = self._columns(db).get(self.GROUP, "NULL")
            found = [row[0] for row in db.execute(f"SELECT {column} FROM Objects GROUP BY {column} ORDER BY MIN(id)")]
        if self.GROUP in IDENTIFIERS:
            check_identifiers(found, self.GROUP, self.getFileName())
        return found

    def header_files(self) -> list[str]:
        """Return the files of the items, each once."""
        known = {field.name for field in self.ITEM_TYPE.FIELDS}
        return list(dict.fromkeys(self.frame(["file"])["file"])) if "file" in known else []

    def extents(self) -> dict[str, Extent]:
        """Return how wide each tomogram or micrograph is that this set says the size of."""
        known = {field.name for field in self.ITEM_TYPE.FIELDS}
        size = float(getattr(getattr(self, "pixel_size", None), "get", lambda: None)() or 0)
        if not (self.GROUP and {"size_x", "size_y"} <= known and size > 0):
            return {}
        frame = self.frame([self.GROUP, "size_x", "size_y"])
        return {
            str(name): Extent(float(x or 0) * size, float(y or 0) * size, size)
            for name, x, y in frame.itertuples(index=False)
        }

    def count(self, name: str) -> int:
        """Return how many items have a value of the field `name`."""
        with self._database() as db:
            return int(db.execute(f"SELECT COUNT({self._columns(db).get(name, 'NULL')}) FROM Objects").fetchone()[0])

    def summary(self) -> str:
        """Return one line for people."""
        return f"{len(self)} {self.NOUN}"

    def __str__(self) -> str:
        path = self.getFileName()
        if self._part is None and path and not Path(path).is_file():
            return f"{path} is missing"
        try:
            return self.summary()
        except TypeError:  # one bad set hides no other
            return "cannot be read: the pixel size or another value is missing or no number"
        except (sqlite3.Error, OSError, ValueError, LookupError) as error:
            return f"cannot be read: {one_line(error)}"


def _check_plain(db: sqlite3.Connection, path: str) -> None:
    """Refuse a set whose rows are computed while they are read: they may have no end, or any size."""
    kinds = dict(db.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view', 'trigger')"))
    if "Objects" not in kinds:
        raise EmtomoError(f"{path}: it has no table of items; resume the run that made it with --restart.")
    virtual = db.execute("SELECT COUNT(*) FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'").fetchone()[0]
    hidden = "SELECT COUNT(*) FROM pragma_table_xinfo(?) WHERE hidden > 0"
    computed = [table for table in ("Objects", "Images") if db.execute(hidden, (table,)).fetchone()[0]]
    if set(kinds.values()) != {"table"} or virtual or computed:
        raise EmtomoError(f"{path}: its items are computed instead of stored; such a set is not read.")


def _quoted(path: str) -> str:
    """Return `path` for a sqlite URI: spaces, question marks and hashes would end it early."""
    from urllib.parse import quote

    return quote(str(Path(path)))


__all__ = ["Field", "Item", "TableSet"]
