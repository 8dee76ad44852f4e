"""Text files of any encoding and line ending, and tables of numbers in them."""

import csv
import re
from collections.abc import Collection
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.limits import read_plain

_SEPARATORS = (",", ";", "\t")
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
LONGEST_NUMBER = 400
_ENDLESS = re.compile(rb"[0-9.]{%d}" % LONGEST_NUMBER)
_EXPONENT = re.compile(rb"[eE][-+]?[0-9]{5}")
_WITH_COMMA = re.compile(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?")
LARGEST_NUMBER = 1e30  # what is larger is damage, and would overflow further on


def read_text(path: str | Path) -> str:
    """Return the text of a file, of any line ending, with or without a byte-order mark.

    Raises
    ------
    FormatError
        If the file cannot be read, or is no text.
    """
    try:
        raw = read_plain(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    try:
        text = raw.decode(encoding_of(raw))
    except UnicodeDecodeError:
        raise FormatError(path, "not a text file.") from None
    if "\x00" in text:
        raise FormatError(path, "not a text file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(start: bytes) -> str:
    """Return the encoding that the first bytes of a file say: UTF-8 without a byte-order mark."""
    return next((code for mark, code in _BOMS.items() if start.startswith(mark)), "utf-8")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it.

    Raises
    ------
    FormatError
        If it cannot be written.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError as error:
        raise FormatError(path, f"cannot be written: {error.strerror}.") from None


def comments(text: str) -> list[str]:
    """Return what follows ``#`` on the lines that start with it, up to the first ten."""
    found = [line.lstrip("#").strip() for line in text[:20_000].split("\n") if line.startswith("#")]
    return found[:10]


def read_table(path: str | Path, numeric: Collection[str] = ()) -> pd.DataFrame:
    """Return a text table: first line with column names, comma, semicolon, tab or spaces between.

    Parameters
    ----------
    path : str or Path
    numeric : collection of str, optional
        Names, in small letters, of columns that are wanted as numbers: they are read as such where they can be.

    Raises
    ------
    FormatError
        With the line, if rows differ in length or there is no row.
    """
    text = read_text(path)
    quick = _read_regular(text, numeric) if numeric else None
    if quick is not None:
        return quick
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    lines = [(n, line) for n, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        raise FormatError(path, "there is no row in it.")
    check_points(path, lines[0][1], lines[0][0])
    separator = next((s for s in _SEPARATORS if s in lines[0][1]), None)
    rows = [(n, _cells(line, separator)) for n, line in lines]
    width = len(rows[0][1])
    for n, row in rows:
        if len(row) != width:
            raise FormatError(path, f"{width} columns are needed as in the first line, got {len(row)}.", n)
    has_names = any(not is_number(cell) for cell in rows[0][1])
    names = rows[0][1] if has_names else [str(k) for k in range(width)]
    if len(set(names)) != len(names):
        raise FormatError(path, "two columns have the same name.", rows[0][0])
    body = rows[1:] if has_names else rows
    frame = pd.DataFrame([row for _, row in body], columns=names, dtype=object)
    frame.index = pd.Index([n for n, _ in body], name="line")
    return frame


def _cells(line: str, separator: str | None) -> list[str]:
    """Return the cells of a row; one in double quotes may hold the separator, and a quote as two (RFC 4180)."""
    if separator is None or '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error:  # a cell longer than that module takes
        return [cell.strip() for cell in line.split(separator)]


def _read_regular(text: str, numeric: Collection[str]) -> pd.DataFrame | None:
    """Return a table in which nothing is unusual, read at once; None where rows must be looked at one by one."""
    start, number = 0, 1
    while text.startswith("#", start):
        start, number = text.find("\n", start) + 1, number + 1
        if not start:
            return None
    head, _, rest = text[start:].partition("\n")
    body = rest.rstrip("\n").encode()
    separator = next((s for s in _SEPARATORS if s in head), None)
    names = [cell.strip() for cell in head.split(separator)]
    if (
        len(set(names)) != len(names)
        or any(map(is_number, names))
        or not body
        or b"#" in body
        or b'"' in body
        or crashes_parser(body)
    ):
        return None
    rows = body.count(b"\n") + 1
    cells = body.count(separator.encode()) + rows if separator else len(body.split())
    if cells != rows * len(names):  # one line of millions would be parsed for minutes
        return None
    kinds = {name: float if name.lower() in numeric else str for name in names}
    try:
        frame = pd.read_csv(
            BytesIO(body), sep=separator or r"\s+", header=None, names=names, dtype=kinds, index_col=False, engine="c",
            quoting=3, keep_default_na=False, na_values=[], skip_blank_lines=False, low_memory=False, encoding="utf-8",
        )  # fmt: skip
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    if len(frame) != rows:
        return None
    for name, kind in kinds.items():
        if kind is float and not (np.abs(frame[name].to_numpy()) < LARGEST_NUMBER).all():
            return None
        if kind is str:
            frame[name] = np.array([cell.strip() for cell in frame[name]], object)
    frame.index = pd.RangeIndex(number + 1, number + 1 + rows, name="line")
    return frame


def numbers(path: str | Path, frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return `columns` of a table of :func:`read_table` as floats.

    Raises
    ------
    FormatError
        With the line, if a cell is not a finite number.
    """
    values = np.empty((len(frame), len(columns)))
    for k, name in enumerate(columns):
        column = as_numbers(frame[name])
        bad = ~(np.abs(column) < LARGEST_NUMBER)
        if bad.any():
            row = int(np.argmax(bad))
            shown = str(frame[name].iloc[row])[:40]
            raise FormatError(path, f"{name} must be a finite number, got {shown!r}.", int(frame.index[row]))
        values[:, k] = column
    return values


def crashes_parser(body: bytes) -> bool:
    """Return whether text holds a number at which pandas' parser crashes the interpreter (2.3, xstrtod).

    That is one of hundreds of digits, or one whose exponent does not fit 32 bits.
    """
    ends = np.flatnonzero(np.frombuffer(body, np.uint8) == 10) if len(body) > LONGEST_NUMBER else np.zeros(0, int)
    longest = np.diff(ends, prepend=-1, append=len(body)).max() if len(body) > LONGEST_NUMBER else 0
    if longest > LONGEST_NUMBER and _ENDLESS.search(body):
        return True
    if b"e" not in body and b"E" not in body:
        return False
    for match in _EXPONENT.finditer(body):
        before = re.split(rb"[ \t\n,]", body[max(match.start() - LONGEST_NUMBER, 0) : match.start()])[-1]
        if not before.strip(b"+-.0123456789"):
            return True
    return False


def as_numbers(column: pd.Series) -> np.ndarray:
    """Return a column as floats, NaN where a cell is no number (or one that no float can hold)."""
    if not pd.api.types.is_numeric_dtype(column) and crashes_parser("\n".join(map(str, column)).encode()):
        column = column.where(np.array([not crashes_parser(str(cell).encode()) for cell in column], bool))
    with np.errstate(all="ignore"):
        return pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)


def to_int64(values: np.ndarray) -> np.ndarray:
    """Return floats as int64, clipped to what a 32-bit count can be, so that no rubbish overflows."""
    return np.clip(np.nan_to_num(np.asarray(values, float)), -(2**31), 2**31).astype(np.int64)


def matrix(path: str | Path, text: str, widths: tuple[int, int], what: str) -> np.ndarray:
    """Return lines of plain numbers, all of one length, as (lines, columns) floats; comments and blanks left out.

    Parameters
    ----------
    path : str or Path
    text : str
    widths : tuple of int
        Fewest and most columns.
    what : str
        What the file is, for the message.

    Raises
    ------
    FormatError
        With the line, if a line has another number of columns or a cell is no finite number.
    """
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip() and line.lstrip()[0] not in "#%"]
    if not lines:
        raise FormatError(path, "there is no row in it.")
    check_points(path, lines[0][1], lines[0][0])
    width = len(lines[0][1].replace(",", " ").split())
    if not widths[0] <= width <= widths[1]:
        wanted = f"{widths[0]}" if widths[0] == widths[1] else f"{widths[0]} to {widths[1]}"
        raise FormatError(path, f"{what} has {wanted} columns of numbers, got {width}.", lines[0][0])
    try:
        if crashes_parser("\n".join(line for _, line in lines).encode()):
            raise OverflowError
        frame = pd.read_csv(
            StringIO("\n".join(line.replace(",", " ") for _, line in lines)),
            sep=r"\s+",
            header=None,
            index_col=False,
            dtype=float,
            on_bad_lines="error",
        )
        values = frame.to_numpy(float)
    except (ValueError, pd.errors.ParserError, OverflowError):
        values = np.zeros((0, 0))
    if values.shape == (len(lines), width) and (np.abs(values) < LARGEST_NUMBER).all():
        return values
    for n, line in lines:  # the slow way, for the line that is wrong
        cells = line.replace(",", " ").split()
        if len(cells) != width:
            raise FormatError(path, f"{width} columns are needed as in the first line, got {len(cells)}.", n)
        bad = next((c for c in cells if not is_number(c) or not abs(float(c)) < LARGEST_NUMBER), None)
        if bad is not None:
            raise FormatError(path, f"a finite number is needed, got {bad[:40]!r}.", n)
    return np.array([[float(c) for c in line.replace(",", " ").split()] for _, line in lines])


def check_points(path: str | Path, line: str, number: int) -> None:
    """Raise FormatError where decimals of a line have commas: all words are numbers, some with a comma inside."""
    words = line.replace(";", " ").split()
    found = next((word for word in words if "," in word), None)
    if len(words) > 1 and found is not None and all(map(_WITH_COMMA.fullmatch, words)):
        raise FormatError(path, f"decimals are written with a point, got {found[:40]!r}.", number)


def is_number(cell: str) -> bool:
    """Return whether a word is a number (also nan and inf)."""
    if len(cell) >= LONGEST_NUMBER or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
