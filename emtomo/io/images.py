"""Volumes of any format: which one it is, and its voxels."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import containers, mrc

EM_HEADER = 512
_EM_DTYPES = {1: "u1", 2: "i2", 4: "i4", 5: "f4", 9: "f8"}
_TIFF = {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}


@dataclass(frozen=True)
class ImageInfo:
    """A volume on disk: its format, shape ``(z, y, x)`` and pixel size in Å (0 when unknown)."""

    format: str
    shape: tuple[int, int, int]
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    plain: bool = False


def describe(path: str | Path) -> ImageInfo:
    """Return what a volume on disk is, by its content, not its name.

    Raises
    ------
    FormatError
        If it is missing or no volume in a known format.
    """
    path = Path(path)
    if path.is_dir() and containers.is_zarr(path):
        _, size, step = containers.zarr_metadata(path)
        return ImageInfo("zarr", (size[0], size[1], size[2]), step)
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    if start in _TIFF:
        shape = read_tiff(path).shape
        return ImageInfo("tiff", (shape[0], shape[1], shape[2]), _tiff_pixel_size(path))
    if start == b"\x89HDF":
        data, step = containers.read_hdf(path)
        return ImageInfo("hdf5", (data.shape[0], data.shape[1], data.shape[2]), step)
    if path.suffix.lower() == ".em":
        return ImageInfo("em", _em_shape(path)[0], 0.0)
    info = mrc.read_header(path)
    return ImageInfo("mrc", info.shape, info.pixel_size, info.origin, plain=not info.compressed)


def read_any(path: str | Path) -> np.ndarray:
    """Return the voxels ``(z, y, x)`` of a volume in any known format."""
    kind = describe(path).format
    if kind == "tiff":
        return read_tiff(Path(path))
    if kind == "em":
        return read_em(path)
    if kind == "zarr":
        return containers.read_zarr(path)[0]
    if kind == "hdf5":
        return containers.read_hdf(path)[0]
    return mrc.open_volume(path)


def read_tiff(path: Path) -> np.ndarray:
    """Return a TIFF stack as ``(z, y, x)``."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our sentence says it
    try:
        with tifffile.TiffFile(path) as file:
            claimed = file.series[0].nbytes
            if claimed > max(2**28, 1000 * path.stat().st_size):
                raise FormatError(path, f"claims {claimed} bytes, which so small a file cannot hold.")
            data = file.asarray()
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001  the parser fails in many ways on what is damaged
        raise FormatError(path, f"not a TIFF that can be read: {str(error)[:100]}.") from None
    data = data[None] if data.ndim == 2 else data
    if data.ndim != 3 or data.size == 0:
        raise FormatError(path, f"a tomogram has three axes, this TIFF has shape {data.shape}.")
    if data.dtype.kind not in "iuf":
        raise FormatError(path, f"voxels must be numbers, this TIFF holds {data.dtype}.")
    return data


def _tiff_pixel_size(path: Path) -> float:
    """Return the length of a pixel where ImageJ wrote it in Å, nm or µm, else 0."""
    import tifffile

    units = {"angstrom": 1.0, "\\u00C5": 1.0, "nm": 10.0, "micron": 1e4}
    try:
        with tifffile.TiffFile(path) as file:
            tag = file.pages[0].tags.get("XResolution")
            unit = units.get(str((file.imagej_metadata or {}).get("unit", "")))
            ratio = tag.value if tag is not None else (0, 1)
    except Exception:  # noqa: BLE001  a size that cannot be read is none
        return 0.0
    return unit * ratio[1] / ratio[0] if unit and ratio[0] else 0.0


def write_tiff(path: str | Path, data: np.ndarray, pixel_size: float = 0.0) -> None:
    """Write ``(z, y, x)`` voxels as a TIFF of one page a slice, the pixel size as ImageJ has it."""
    import tifffile

    target = Path(path)
    part = target.with_name(target.name + ".part")
    values = np.asarray(data)
    if values.dtype not in (np.uint8, np.uint16, np.float32):
        values = values.astype(np.float32)
    metadata: dict[str, object] = {"axes": "ZYX"}
    resolution = (1.0, 1.0)
    if pixel_size > 0:
        metadata |= {"spacing": pixel_size, "unit": "angstrom"}
        resolution = (1 / pixel_size, 1 / pixel_size)
    tifffile.imwrite(part, values, imagej=True, resolution=resolution, metadata=metadata)
    part.replace(target)


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
    if kind not in _EM_DTYPES:
        raise FormatError(path, f"EM data type {kind} is not an image.")
    nx, ny, nz = (int(n) for n in np.frombuffer(raw, f"{order}i4", 3, 4))
    dtype = np.dtype(order + _EM_DTYPES[kind])
    if min(nx, ny, nz) < 1 or EM_HEADER + nx * ny * nz * dtype.itemsize > path.stat().st_size:
        raise FormatError(path, f"the header claims {nx}×{ny}×{nz} voxels; the file does not hold them.")
    return (nz, ny, nx), dtype
