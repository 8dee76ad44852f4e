"""EM files (TOM, Dynamo, AV3)."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, ReadOptions
from emtomo.io.image_format import ImageFormat, ImageInfo, choose_volume

EM_HEADER = 512
_DTYPES = {1: "u1", 2: "i2", 4: "i4", 5: "f4", 9: "f8"}
_MOTIVE_LIST = 20  # columns of an AV3 motive list, which is an EM file too


def count_columns(data: bytes) -> int:
    """Return the size along x that the beginning of an EM file says; 0 where it is too short."""
    return int.from_bytes(data[4:8], "little" if data[0] in (1, 6) else "big") if len(data) >= 16 else 0


def read_em(path: str | Path) -> np.ndarray:
    """Return an EM file (TOM, Dynamo, AV3) as ``(z, y, x)``.

    512 bytes of header: machine, two unused bytes, type, then three int32 sizes x, y, z.
    """
    shape, dtype = _em_shape(Path(path))
    return np.memmap(path, dtype, "r", offset=EM_HEADER, shape=shape)


def _em_shape(path: Path) -> tuple[tuple[int, int, int], np.dtype]:
    raw = path.read_bytes()[:EM_HEADER] if path.stat().st_size < 2**20 else path.open("rb").read(EM_HEADER)
    if len(raw) < EM_HEADER:
        raise FormatError(path, f"an EM file starts with {EM_HEADER} bytes of header, this one has {len(raw)}.")
    order = "<" if raw[0] in (1, 6) else ">"
    kind = raw[3]
    if kind not in _DTYPES:
        raise FormatError(path, f"EM data type {kind} is not an image.")
    nx, ny, nz = (int(n) for n in np.frombuffer(raw, f"{order}i4", 3, 4))
    dtype = np.dtype(order + _DTYPES[kind])
    if min(nx, ny, nz) < 1 or EM_HEADER + nx * ny * nz * dtype.itemsize > path.stat().st_size:
        raise FormatError(path, f"the header claims {nx}×{ny}×{nz} voxels; the file does not hold them.")
    return (nz, ny, nx), dtype


def _sniff(start: FileStart) -> bool:
    return start.suffix == ".em" and count_columns(start.data) != _MOTIVE_LIST


def _describe(path: Path, volume: str = "") -> ImageInfo:
    choose_volume(path, volume or "1", 1)
    return ImageInfo("em", _em_shape(path)[0], 0.0)


def _read(path: Path, options: ReadOptions) -> np.ndarray:
    choose_volume(path, options.volume or "1", 1)
    return read_em(path)


EM = ImageFormat("em", "EM", _sniff, _read, described=("does not hold a pixel size",), describe=_describe)
