"""TIFF volumes: stacks of pages, however they are grouped."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, ReadOptions, WriteOptions
from emtomo.io.image_format import ImageFormat, ImageInfo
from emtomo.io.limits import check_claim, inflate

_DEFLATE = (8, 32946)  # TIFF's numbers of compression by zlib
_MARKS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def _open(path: Path) -> Any:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our sentence says it
    return tifffile.TiffFile(path)


def _choose(path: Path, series: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the series that make up the volume, and the others: previews, or planes of another size.

    A program writes a volume as one series of three axes, or as pages that tifffile takes for series of two; the
    candidate with most voxels is the volume.

    Raises
    ------
    FormatError
        If the file holds several volumes of one size, or pictures in colours.
    """
    planes: dict[Any, list[Any]] = {}
    candidates: list[list[Any]] = []
    for one in series:
        if "S" in one.axes:
            raise FormatError(
                path, f"a tomogram has three axes, this TIFF holds colours or several volumes: {one.shape}."
            )
        if len([n for n in one.shape if n > 1]) > 2:
            candidates.append([one])
        else:
            planes.setdefault((tuple(one.shape), str(one.dtype)), []).append(one)
    candidates += planes.values()
    voxels = [sum(one.size for one in parts) for parts in candidates]
    if len(candidates) > 1 and sorted(voxels)[-1] == sorted(voxels)[-2]:
        raise FormatError(path, f"the TIFF holds {voxels.count(max(voxels))} volumes of the same size; split it.")
    chosen = candidates[int(np.argmax(voxels))]
    return chosen, [one for one in series if all(one is not part for part in chosen)]


def _plan(path: Path, file: Any) -> tuple[list[Any], tuple[int, int, int], tuple[str, ...]]:
    """Return the series of the volume, its shape, and what is left out."""
    chosen, rest = _choose(path, list(file.series))
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
    notes = (f"{len(rest)} smaller images of the TIFF ({sizes}) are left out.",) if rest else ()
    return chosen, (int(full[0]), int(full[1]), int(full[2])), notes


def read_tiff(path: str | Path) -> np.ndarray:
    """Return a TIFF volume as ``(z, y, x)``: all pages of one size, previews left out.

    Raises
    ------
    FormatError
        If it cannot be read, holds several volumes or colours.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            chosen, shape, _ = _plan(path, file)
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


def _pixel_size(file: Any) -> float:
    """Return the length of a pixel where ImageJ wrote it in Å, nm or µm, else 0."""
    units = {"a": 1.0, "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "\\u00c5": 1.0, "nm": 10.0, "nanometer": 10.0}
    units |= dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00b5m"), 1e4)
    try:
        tag = file.pages[0].tags.get("XResolution")
        unit = units.get(str((file.imagej_metadata or {}).get("unit", "")).lower())
        ratio = tag.value if tag is not None else (0, 1)
        size = unit * ratio[1] / ratio[0] if unit and ratio[0] else 0.0
    except Exception:  # noqa: BLE001  a size that cannot be read is none
        return 0.0
    return size if np.isfinite(size) and size > 0 else 0.0


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


def _describe(path: Path) -> ImageInfo:
    try:
        with _open(path) as file:
            _, shape, notes = _plan(path, file)
            return ImageInfo("tiff", shape, _pixel_size(file), notes=notes)
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001  see above
        raise FormatError(path, f"not a TIFF that can be read: {str(error)[:100]}.") from None


def _read(path: Path, _: ReadOptions) -> np.ndarray:
    return read_tiff(path)


def _write(path: Path, data: np.ndarray, options: WriteOptions) -> list[Path]:
    write_tiff(path, data, options.pixel_size or 0.0)
    return [path]


TIFF = ImageFormat("tiff", "TIFF", _sniff, _read, _write, suffix=".tif", endings=(".tif", ".tiff"),
                   described=("all pages of one size; previews are left out",), describe=_describe)  # fmt: skip
