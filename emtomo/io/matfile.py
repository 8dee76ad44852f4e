"""Structures and numbers in MATLAB files of version 5 (-v6 and -v7): enough for dumps of models, safe on any file.

scipy's reader crashes the interpreter on damaged files (scipy 1.16, mio5); this one checks every size against the file.
"""

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.limits import read_plain

HEADER = 128
LARGEST = 2**27  # bytes, also of what is compressed
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMBERS = range(6, 16)
_DEEPEST = 12


class _Damage(ValueError):
    """The file is not what it claims."""


def read_matlab(path: str | Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name.

    Numbers become arrays, structures of one element dicts, other structures and cells lists, text str; what is of no
    kind that is known (objects of classes, functions) becomes ``None``.

    Raises
    ------
    FormatError
        If it is no MATLAB file of version 5, or damaged.
    """
    try:
        raw = read_plain(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    if not raw.startswith(b"MATLAB 5.0") or len(raw) < HEADER or len(raw) > LARGEST:
        raise FormatError(path, "not a MATLAB file of version 5 (saved with -v7).")
    order = "<" if raw[126:128] == b"IM" else ">"
    found: dict[str, Any] = {}
    try:
        place = HEADER
        while place + 8 <= len(raw):
            kind, body, place = _element(raw, place, order)
            if kind == _COMPRESSED:
                body = _inflate(body)
                kind, body, _ = _element(body, 0, order)
            if kind == _MATRIX:
                name, value = _matrix(body, order, 0)
                found[name] = value
    except (_Damage, struct.error, zlib.error, ValueError) as error:
        raise FormatError(path, f"a MATLAB file that is damaged: {error}.") from None
    return found


def _inflate(body: bytes) -> bytes:
    worker = zlib.decompressobj()
    plain = worker.decompress(body, LARGEST)
    if worker.unconsumed_tail:
        raise _Damage(f"more than {LARGEST} bytes are compressed in it")
    return plain


def _element(raw: bytes, place: int, order: str) -> tuple[int, bytes, int]:
    """Return type and bytes of the element at `place`, and where the next one starts."""
    if place + 8 > len(raw):
        raise _Damage("it ends in the middle of an element")
    kind, size = struct.unpack_from(f"{order}II", raw, place)
    if kind >> 16:  # a small element: size and type share four bytes, the data the next four
        size, kind = kind >> 16, kind & 0xFFFF
        if size > 4:
            raise _Damage("a small element of more than four bytes")
        return kind, raw[place + 4 : place + 4 + size], place + 8
    end = place + 8 + size
    if end > len(raw):
        raise _Damage(f"an element claims {size} bytes, more than there are")
    return kind, raw[place + 8 : end], end if kind == _COMPRESSED else end + -size % 8


def _matrix(body: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Return name and value of a matrix element."""
    if depth > _DEEPEST:
        raise _Damage("structures stand too deep")
    if not body:
        return "", None
    _, flags, place = _element(body, 0, order)
    if len(flags) < 8:
        raise _Damage("a matrix without kind")
    kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    _, sizes, place = _element(body, place, order)
    shape = tuple(struct.unpack(f"{order}{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4]))
    _, name, place = _element(body, place, order)
    count = 1
    for n in shape:
        count *= n
    if min(shape, default=0) < 0 or count > len(body):
        raise _Damage(f"a matrix claims {shape} values, more than there are")
    label = name.decode("latin1")
    if kind in _NUMBERS:
        return label, _values(body, place, order).reshape(shape, order="F") if count else np.zeros(shape)
    if kind == _CHAR:
        return label, _characters(_values(body, place, order)) if count else ""
    if kind == _CELL:
        return label, [value for _, value in _matrices(body, place, order, count, depth)]
    if kind in (_STRUCT, _OBJECT):
        return label, _structure(body, place, order, count, depth, kind == _OBJECT)
    return label, None


def _values(body: bytes, place: int, order: str) -> np.ndarray:
    kind, data, _ = _element(body, place, order)
    if kind not in _TYPES:
        raise _Damage(f"numbers of the unknown type {kind}")
    kept = len(data) // np.dtype(_TYPES[kind]).itemsize * np.dtype(_TYPES[kind]).itemsize
    return np.frombuffer(data[:kept], order + _TYPES[kind])


def _characters(codes: np.ndarray) -> str:
    """Return the text of character codes; what is no character of Unicode is replaced, as in damaged UTF-8."""
    usual = (codes >= 0) & (codes <= sys.maxunicode) & ((codes < 0xD800) | (codes > 0xDFFF))
    return np.where(usual, codes, np.uint32(0xFFFD)).astype("<u4").tobytes().decode("utf-32-le")


def _matrices(body: bytes, place: int, order: str, count: int, depth: int) -> list[tuple[str, Any]]:
    found = []
    for _ in range(count):
        kind, inner, place = _element(body, place, order)
        if kind != _MATRIX:
            raise _Damage("a cell that is no matrix")
        found.append(_matrix(inner, order, depth + 1))
    return found


def _structure(body: bytes, place: int, order: str, count: int, depth: int, of_class: bool) -> Any:
    if of_class:
        _, _, place = _element(body, place, order)  # the class' name
    _, width, place = _element(body, place, order)
    _, names, place = _element(body, place, order)
    step = struct.unpack_from(f"{order}i", width)[0] if len(width) >= 4 else 0
    if step < 1:
        raise _Damage("names of fields without length")
    fields = [names[k : k + step].split(b"\0")[0].decode("latin1") for k in range(0, len(names), step)]
    if count * len(fields) > len(body):
        raise _Damage("more fields than there are bytes")
    values = [value for _, value in _matrices(body, place, order, count * len(fields), depth)]
    rows = [
        dict(zip(fields, values[k : k + len(fields)], strict=False)) for k in range(0, len(values), len(fields) or 1)
    ]
    return rows[0] if len(rows) == 1 else rows
