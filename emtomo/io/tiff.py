"""TIFF volumes: stacks of pages, however they are grouped."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, ReadOptions, WriteOptions
from emtomo.io.image_format import ImageFormat, ImageInfo, choose_volume, several_volumes
from emtomo.io.limits import check_claim, inflate

_DEFLATE = (8, 32946)  # TIFF's numbers of compression by zlib
_MARKS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def _open(path: Path) -> Any:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our sentence says it
    return tifffile.TiffFile(path)


def _choose(path: Path, series: list[Any], volume: str) -> tuple[list[Any], list[Any], int]:
    """Return the series that make up the volume, the others (previews, planes of another size), and how many there are.

    A program writes a volume as one series of three axes, or as pages that tifffile takes for series of two; the
    candidate with most voxels is the volume, and one of several planes before a single picture, however large. Several
    with as many voxels are several volumes.

    Raises
    ------
    FormatError
        If the file holds pictures in colours alone, or not the volume that is asked for.
    """
    planes: dict[Any, list[Any]] = {}
    candidates: list[list[Any]] = []
    for one in series:
        if "S" in one.axes:
            continue  # colours: a preview
        if len([n for n in one.shape if n > 1]) > 2:
            candidates.append([one])
        else:
            planes.setdefault((tuple(one.shape), str(one.dtype)), []).append(one)
    candidates += planes.values()
    if not candidates:
        shape = tuple(series[0].shape) if series else ()
        raise FormatError(path, f"a tomogram has three axes, this TIFF holds colours or several volumes: {shape}.")
    rank = [_rank(parts) for parts in candidates]
    largest = [parts for parts, own in zip(candidates, rank, strict=True) if own == max(rank)]
    index = choose_volume(path, volume, len(largest)) if volume else 0
    rest = [one for one in series if all(one is not part for parts in largest for part in parts)]
    return largest[index], rest, 1 if volume else len(largest)


def _rank(parts: list[Any]) -> tuple[bool, int]:
    """Return whether there are several planes, and the number of voxels."""
    voxels = sum(one.size for one in parts)
    shape = parts[0].shape
    return voxels > int(np.prod(shape[-2:], dtype=object)), voxels


def _plan(path: Path, file: Any, volume: str) -> tuple[list[Any], tuple[int, int, int], tuple[str, ...], int]:
    """Return the series of the volume, its shape, what is left out, and how many volumes there are."""
    chosen, rest, count = _choose(path, list(file.series), volume)
    shape = [n for n in chosen[0].shape if n != 1]
    if len(shape) <= 2:
        plane = tuple(chosen[0].shape)[-2:]
        full = (len(chosen), *plane) if len(plane) == 2 else (0, 0, 0)
    else:
        full = tuple(chosen[0].shape)[-3:] if len(shape) == 3 else tuple(chosen[0].shape)
    if len(full) != 3 or 0 in full:
        raise FormatError(path, f"a tomogram has three axes, this TIFF has shape {tuple(chosen[0].shape)}.")
    if np.dtype(chosen[0].dtype).kind not in "iuf":
        raise FormatError(path, f"voxels must be numbers, this TIFF holds {chosen[0].dtype}.")
    claimed = int(np.prod(full, dtype=object)) * np.dtype(chosen[0].dtype).itemsize
    check_claim(path, claimed, path.stat().st_size)
    sizes = ", ".join(dict.fromkeys("×".join(str(n) for n in one.shape[::-1]) for one in rest))
    others = "1 other image" if len(rest) == 1 else f"{len(rest)} other images"
    notes = (f"{others} of the TIFF ({sizes}) left out.",) if rest else ()
    return chosen, (int(full[0]), int(full[1]), int(full[2])), notes, count


def read_tiff(path: str | Path, volume: str = "") -> np.ndarray:
    """Return a TIFF volume as ``(z, y, x)``: all pages of one size, previews left out.

    Raises
    ------
    FormatError
        If it cannot be read, or holds colours, or several volumes of which `volume` does not name one.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            chosen, shape, _, count = _plan(path, file, volume)
            if count > 1:
                raise several_volumes(path, count)
            for one in chosen:
                _check_strips(path, file, one)
            parts = [one.asarray().reshape(-1, *shape[1:]) for one in chosen]
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001  the parser fails in many ways on what is damaged
        raise FormatError(path, f"not a TIFF that can be read: {str(error)[:100]}.") from None
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_strips(path: Path, file: Any, series: Any) -> None:
    """Raise FormatError if a strip or tile that deflate has compressed inflates to more than the whole page."""
    for page in series.pages:
        if page is None or page.keyframe.compression not in _DEFLATE:
            continue
        frame = page.keyframe
        tile = frame.tilewidth * frame.tilelength if frame.is_tiled else 0
        largest = max(int(frame.size), tile) * frame.dtype.itemsize + 1024
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.filehandle.seek(offset)
            inflate(path, file.filehandle.read(count), largest)


def _voxel_size(file: Any) -> tuple[float, float, float]:
    """Return the lengths x, y, z of a voxel where ImageJ wrote them in Å, nm or µm, else 0."""
    units = {"a": 1.0, "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "\\u00c5": 1.0, "nm": 10.0, "nanometer": 10.0}
    units |= dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00b5m"), 1e4)
    try:
        notes = file.imagej_metadata or {}
        unit = units.get(str(notes.get("unit", "")).lower(), 0.0)
        sizes = [unit * _length(file.pages[0].tags.get(name)) for name in ("XResolution", "YResolution")]
        sizes.append(unit * float(notes.get("spacing", 0.0)))
    except Exception:  # noqa: BLE001  a size that cannot be read is none
        return 0.0, 0.0, 0.0
    x, y, z = (size if np.isfinite(size) and size > 0 else 0.0 for size in sizes)
    return x, y, z


def _length(tag: Any) -> float:
    """Return one over a TIFF's resolution, a fraction; 0 where there is none."""
    return tag.value[1] / tag.value[0] if tag is not None and tag.value[0] else 0.0


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


def _sniff(start: FileStart) -> bool:
    return start.data.startswith(_MARKS)


def _describe(path: Path, volume: str = "") -> ImageInfo:
    try:
        with _open(path) as file:
            _, shape, notes, count = _plan(path, file, volume)
            size = _voxel_size(file)
            return ImageInfo("tiff", shape, size[0], voxel_size=size, notes=notes, volumes=count)
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001  see above
        raise FormatError(path, f"not a TIFF that can be read: {str(error)[:100]}.") from None


def _read(path: Path, options: ReadOptions) -> np.ndarray:
    return read_tiff(path, options.volume)


def _write(path: Path, data: np.ndarray, options: WriteOptions) -> list[Path]:
    write_tiff(path, data, options.pixel_size or 0.0)
    return [path]


TIFF = ImageFormat("tiff", "TIFF", _sniff, _read, _write, suffix=".tif", endings=(".tif", ".tiff"),
                   described=("all pages of one size; previews are left out",), describe=_describe)  # fmt: skip
