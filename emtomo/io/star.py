"""STAR files: blocks and loops as tables, a million rows in seconds, with the line when something is wrong."""

import re
from collections.abc import Collection, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.limits import read_plain
from emtomo.io.text import _BOMS, LARGEST_NUMBER, as_numbers, comments, crashes_parser, encoding_of
from emtomo.wording import count_text

_WORD = re.compile(rb"'[^'\n]*'(?=\s|$)|\"[^\"\n]*\"(?=\s|$)|[^\s]+")
_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)
_LOOP = re.compile(rb"^[ \t]*loop_[ \t]*$", re.MULTILINE)
_OPTICS = {"rlnOpticsGroup", "rlnOpticsGroupName"}  # what RELION's block of optics groups has
_OF_FILES = ("Name", "Image", "File")  # endings of columns that hold names of files
_NOTHING = ["nan", "NaN", "<NA>"]
WRITE_ROWS = 10_000


def read_blocks(path: str | Path) -> dict[str, pd.DataFrame]:
    """Return the data blocks of a STAR file by name; a block without loop has one row.

    A frame's ``attrs["line"]`` is the line of its first row.

    Raises
    ------
    FormatError
        With the line, if the file is none or rows do not fit their columns.
    """
    raw = _bytes(path)
    starts = _starts(raw) or [(match.start(), "") for match in _LOOP.finditer(raw)]
    if not starts:
        raise FormatError(path, "not a STAR file that can be read: no line starts with data_ or loop_.")
    blocks: dict[str, pd.DataFrame] = {}
    for k, (start, name) in enumerate(starts):
        end = raw.rfind(b"\n", 0, starts[k + 1][0]) + 1 if k + 1 < len(starts) else len(raw)
        while name in blocks:
            name += "_again"
        blocks[name] = _block(path, raw, start, end)
    unnamed = (name for name, block in blocks.items() if name in ("", "_again") and set(block) >= _OPTICS)
    optics = next(unnamed, None)
    return blocks if optics is None or "optics" in blocks else {"optics": blocks.pop(optics), **blocks}


def particle_table(blocks: dict[str, pd.DataFrame], *columns: Collection[str]) -> tuple[pd.DataFrame | None, list[str]]:
    """Return the first block with all of one collection of `columns`, and a note where others have them too."""
    found = [b for b in blocks.values() if any(set(wanted) <= set(b) for wanted in columns)]
    if len(found) < 2:
        return (found[0] if found else None), []
    left = count_text(sum(len(one) for one in found[1:]), "particle is", "particles are")
    return found[0], [f"The file has {len(found)} tables of particles: the first is read, {left} left out."]


def other_capitals(names: Iterable[str], known: Collection[str]) -> str:
    """Return in words which known columns a table names with other capitals; empty if none."""
    given = {str(name).lower(): str(name) for name in names}
    wrong = [f"{given[one.lower()]} for {one}" for one in known if given.get(one.lower(), one) != one]
    return ", ".join(wrong[:2]) + (" …" if len(wrong) > 2 else "")


def _starts(raw: bytes) -> list[tuple[int, str]]:
    """Return where the body of every block starts, and the block's name; ``find`` beats a pattern threefold."""
    found, place = [], raw.find(b"data_")
    while place >= 0:
        stop = raw.find(b"\n", place)
        stop = len(raw) if stop < 0 else stop
        if not raw[raw.rfind(b"\n", 0, place) + 1 : place].strip():
            words = raw[place + 5 : stop].split()
            if len(words) < 2 or words[1].startswith(b"#"):
                found.append((stop, words[0].decode() if words else ""))
        place = raw.find(b"data_", place + 5)
    return found


def _bytes(path: str | Path) -> bytes:
    try:
        raw = read_plain(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    encoding = next((code for mark, code in _BOMS.items() if raw.startswith(mark)), None)
    try:
        if encoding:
            raw = raw.decode(encoding).encode()
        elif not raw.isascii():
            raw.decode()
    except UnicodeDecodeError:
        raise FormatError(path, "not a text file.") from None
    if b"\x00" in raw:
        raise FormatError(path, "not a text file.")
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def _block(path: str | Path, raw: bytes, start: int, end: int) -> pd.DataFrame:
    """Return the block whose body is ``raw[start:end]``."""
    names: list[str] = []
    values: list[str] = []
    place, loop = start, False
    while place < end:
        stop = raw.find(b"\n", place, end)
        stop = end if stop < 0 else stop
        line = raw[place:stop].strip()
        if line.startswith(b"loop_") and not names:
            loop = True
        elif line.startswith(b"_"):
            words = _WORD.findall(line)
            names.append(words[0][1:].decode())
            values.append(_plain(words[1]) if len(words) > 1 else "")
        elif line and not line.startswith(b"#"):
            break
        place = stop + 1
    place = min(place, end)
    if len(set(names)) != len(names):
        raise FormatError(path, "two columns have the same name.", _line(raw, start))
    first = _line(raw, place)
    if not loop:
        if place < end and raw[place:end].strip():
            raise FormatError(path, "neither a comment, a name that starts with _, nor a row of a loop.", first)
        frame = pd.DataFrame({n: pd.Series([v], dtype=object) for n, v in zip(names, values, strict=True)})
        frame = _convert_numbers(frame)
    else:
        frame = _rows(path, raw, place, end, names, first)
    frame.attrs["line"] = first
    return frame


def _rows(path: str | Path, raw: bytes, start: int, end: int, names: list[str], first: int) -> pd.DataFrame:
    body = raw[start:end]
    if b"#" in body and _COMMENT.search(body):
        body = _COMMENT.sub(b"", body)
    if not body.strip():
        return pd.DataFrame({n: pd.Series(dtype=object) for n in names})
    if not names:
        raise FormatError(path, "a loop has rows but no column names.", first)
    if b"'" in body or b'"' in body:
        return _convert_numbers(pd.DataFrame(_split_quoted(path, body, names, first), columns=names, dtype=object))
    line = body.lstrip().split(b"\n", 1)[0]
    if len(line.split()) == len(names) and not crashes_parser(body):
        try:
            frame = pd.read_csv(
                BytesIO(body), sep=r"\s+", header=None, names=names, index_col=False, engine="c", quoting=3,
                keep_default_na=False, na_values=_NOTHING, low_memory=False, encoding="utf-8",
            )  # fmt: skip
        except (ValueError, OverflowError, pd.errors.ParserError):
            pass
        else:
            last = frame[names[-1]]  # a short row ends in a cell without value
            if not last.isna().any() and (pd.api.types.is_numeric_dtype(last) or not last.eq("").any()):
                return frame
    return _convert_numbers(pd.DataFrame(_split_quoted(path, body, names, first), columns=names, dtype=object))


def _split_quoted(path: str | Path, body: bytes, names: list[str], first: int) -> list[list[str]]:
    """Return the rows' words one line after the other: for quotes, and to find the line that is wrong.

    A name with spaces that stands without quotes is put together where only one column can hold it.
    """
    rows, width = [], len(names)
    of_files = [k for k, name in enumerate(names) if name.endswith(_OF_FILES)]
    for n, line in enumerate(body.split(b"\n"), first):
        if not line.strip():
            continue
        words = _WORD.findall(line) if b"'" in line or b'"' in line else line.split()
        if len(words) > width and len(of_files) == 1:
            words = _join_name(words, of_files[0], len(words) - width)
        if len(words) != width:
            hint = " A name with spaces must stand in quotes." if len(words) > width and of_files else ""
            raise FormatError(path, f"a row needs {width} values as the loop has columns, got {len(words)}.{hint}", n)
        rows.append([_plain(word) for word in words])
    return rows


def _join_name(words: list[bytes], column: int, more: int) -> list[bytes]:
    """Return the words of a row with those of one name in one, if its ends are no numbers."""
    name = words[column : column + more + 1]
    if any(np.isfinite(as_numbers(pd.Series([name[0].decode(), name[-1].decode()])))):
        return words
    return [*words[:column], b" ".join(name), *words[column + more + 1 :]]


def _plain(word: bytes) -> str:
    text = word.decode()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _convert_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that hold only numbers (or nothing) as numbers."""
    for name in frame.columns:
        empty = frame[name].isin(_NOTHING)
        values = as_numbers(frame[name])
        if (np.isfinite(values) | empty.to_numpy()).all() and not empty.all():
            ints = not empty.any() and not any(mark in str(cell) for cell in frame[name] for mark in ".eE")
            small = ints and np.abs(values).max(initial=0) < 2**53
            frame[name] = values.astype(np.int64) if small else values
        elif empty.all():
            frame[name] = np.nan
    return frame


def _line(raw: bytes, place: int) -> int:
    return raw.count(b"\n", 0, place) + 1


def line_of(path: str | Path, frame: pd.DataFrame, row: int) -> int:
    """Return the line on which row `row` of a frame of :func:`read_blocks`, or of some of its rows, stands."""
    left = int(frame.index[row])
    first = int(frame.attrs.get("line", 1))
    for n, line in enumerate(_bytes(path).split(b"\n")[first - 1 :], first):
        if line.strip() and not line.lstrip().startswith(b"#"):
            if left == 0:
                return n
            left -= 1
    return first


def floats(path: str | Path, table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return `columns` of a block as (n, columns) finite floats.

    Raises
    ------
    FormatError
        With the line, if a cell is no finite number.
    """
    values = np.empty((len(table), len(columns)))
    for k, name in enumerate(columns):
        values[:, k] = as_numbers(table[name])
        bad = ~(np.abs(values[:, k]) < LARGEST_NUMBER)
        if bad.any():
            row = int(np.argmax(bad))
            shown = str(table[name].iloc[row])[:40]
            raise FormatError(path, f"{name} must be a finite number, got {shown!r}.", line_of(path, table, row))
    return values


def words(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as an (n,) object array of str, names that are numbers as they were written."""
    values = table[column]
    if values.dtype.kind == "f" and (values.to_numpy() % 1 == 0).all():
        values = values.astype(np.int64)
    return values.astype(str).to_numpy(object)


def star_comments(path: str | Path) -> list[str]:
    """Return the comments at the start of a STAR file."""
    with Path(path).open("rb") as stream:
        start = stream.read(4096)
    return comments(start.decode(encoding_of(start), errors="replace").replace("\r", "\n"))


def write_blocks(path: str | Path, blocks: dict[str, Any], comment: str = "") -> None:
    """Write data blocks: DataFrames as loops, dicts without; under a temporary name, then renamed.

    Raises
    ------
    FormatError
        If a name has a quote or a line break in it, which a STAR file cannot hold.
    """
    from starfile.writer import package_info, simple_block

    for block in blocks.values():
        for column in block:
            _check_words(path, block[column] if isinstance(block, pd.DataFrame) else pd.Series([block[column]]))
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("w", encoding="utf8") as stream:
            if comment:
                stream.write(f"# {comment}\n")
            stream.write(f"{package_info()}\n\n\n")
            for name, block in blocks.items():
                if isinstance(block, pd.DataFrame):
                    _write_loop(stream, name, block)
                else:
                    stream.writelines(f"{line}\n" for line in simple_block(name, block))
        part.replace(target)
    except OSError as error:
        raise FormatError(path, f"cannot be written: {error.strerror}.") from None


def _write_loop(stream: TextIO, name: str, frame: pd.DataFrame) -> None:
    """Write a table as a loop, one row formatted at once: by cell it takes longer than all the rest of an export."""
    stream.write(f"data_{name}\n\nloop_\n")
    stream.writelines(f"_{column} #{k}\n" for k, column in enumerate(frame.columns, 1))
    pattern, columns = [], []
    for k in range(frame.shape[1]):
        column = frame.iloc[:, k]
        exact = column.dtype.kind == "f" and not column.isna().any()
        pattern.append("%.10g" if exact else "%s")
        columns.append(column.tolist() if exact or column.dtype.kind in "iu" else _cells(column.tolist()))
    row = "\t".join(pattern) + "\n"
    for start in range(0, len(frame), WRITE_ROWS):
        parts = [column[start : start + WRITE_ROWS] for column in columns]
        stream.writelines(row % values for values in zip(*parts, strict=True))
    stream.write("\n\n")


def _cells(values: list[Any]) -> list[str]:
    """Return the cells of a column; a text is formatted once, however many rows have it."""
    known = {value: _cell(value) for value in {value for value in values if type(value) is str}}
    return [known[value] if type(value) is str else _cell(value) for value in values]


def _cell(value: Any) -> str:
    """Return a cell as it is written: empty ones and those with spaces in quotes, missing ones as <NA>."""
    if pd.isna(value):
        return "<NA>"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value)
    return f'"{text}"' if isinstance(value, str) and (" " in text or not text) else text


def _check_words(path: str | Path, column: pd.Series) -> None:
    if pd.api.types.is_numeric_dtype(column):  # text is of dtype object, or str from pandas 3 on
        return
    bad = next((str(name) for name in column.dropna().unique() if set("'\"\n") & set(str(name))), None)
    if bad is not None:
        raise FormatError(path, f"a STAR file cannot hold names with quotes or line breaks: {bad}. Rename it.")
