"""Volumes in HDF5 (EMAN) and OME-Zarr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, ReadOptions, WriteOptions
from emtomo.io.hdf_data import check_array, check_links, read_array
from emtomo.io.image_format import ImageFormat, ImageInfo, choose_volume, several_volumes
from emtomo.io.limits import check_claim, check_plain
from emtomo.io.zarr_data import check_stored_chunks, check_zarr

CHUNK = 128
_EMAN = "MDF/images"


def read_hdf(path: str | Path, volume: str = "") -> tuple[np.ndarray, float]:
    """Return the voxels ``(z, y, x)`` of an HDF5 file, and the pixel size in Å, 0 where it does not say.

    EMAN keeps image n as ``MDF/images/n/image`` with the attribute EMAN.apix_x; in other files every dataset of
    two or three axes is a volume.

    Parameters
    ----------
    path : str or Path
    volume : str
        Which one, by number from 1 or by name; needed where there are several. 2D images of EMAN are one volume.
    """
    with _open_hdf(path) as file:
        image = _choose(path, file, volume)
        if image.volumes > 1:
            raise several_volumes(Path(path), image.volumes, image.names)
        depth, *plane = image.shape
        parts = [read_array(path, one).reshape(-1, *plane) for one in image.datasets]
        return np.concatenate(parts), image.voxel_size[0]


@contextmanager
def _open_hdf(path: str | Path) -> Iterator[Any]:
    """Open an HDF5 file that has no links to others; what its library says of a damaged one becomes a sentence."""
    import h5py  # type: ignore[import-untyped]

    check_plain(path)
    try:
        with h5py.File(path, "r") as file:
            check_links(path, file)
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError, SystemError) as error:
        if isinstance(error, FormatError):
            raise
        # an error within a visit of h5py's becomes a SystemError, which says less
        reason = str(error.__cause__ or error)[:100]
        raise FormatError(path, f"not an HDF5 file that can be read: {reason}.") from None


@dataclass(frozen=True)
class _HdfImage:
    """Datasets that are one volume, the voxel size x, y, z in Å, and the volumes of the file where none was chosen."""

    datasets: list[Any]
    voxel_size: tuple[float, float, float]
    volumes: int
    names: tuple[str, ...]
    white: bool | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x of all data sets, one after the other along z."""
        parts = [_without_axes_of_one(one.shape) for one in self.datasets]
        y, x = parts[0][-2:]
        return (sum(1 if len(part) == 2 else part[0] for part in parts), y, x)


def _choose(path: str | Path, file: Any, volume: str) -> _HdfImage:
    """Return the first volume, or the one that is asked for, checked against what the file can hold."""
    of_eman = _EMAN in file
    candidates = _eman(path, file) if of_eman else _plain_datasets(path, file)
    names = tuple(candidates)
    index = choose_volume(Path(path), volume, len(names), names) if volume else 0
    found = candidates[names[index]]
    for one in found:
        if not _is_image(one) or 0 in one.shape or _plane(one) != _plane(found[0]):
            raise FormatError(path, "the image is no array of numbers with two or three axes, or its slices differ.")
        check_array(path, one)
    check_claim(path, sum(one.nbytes for one in found), Path(path).stat().st_size)
    notes = found[0].parent.attrs if of_eman else {}
    x, y, z = (_as_size(notes.get(f"EMAN.apix_{axis}")) for axis in "xyz")
    return _HdfImage(found, (x, y, z), 1 if volume else len(names), () if volume else names, True if of_eman else None)


def _as_size(value: Any) -> float:
    """Return a pixel size in Å, 0 where it is none."""
    try:
        size = float(np.asarray(value, float).ravel()[0])
    except (TypeError, ValueError, IndexError):
        return 0.0
    return size if np.isfinite(size) and size > 0 else 0.0


def _plain_datasets(path: str | Path, file: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    file.visititems(lambda name, item: found.update({str(name): [item]}) if _is_image(item) else None)
    if not found:
        raise FormatError(path, "a dataset with two or three axes is needed, got none.")
    return found


def _eman(path: str | Path, file: Any) -> dict[str, list[Any]]:
    """Return the volumes by the names of their datasets; 2D images are slices of one."""
    groups = file[_EMAN]
    numbers = sorted(int(k) for k in groups if k.isdecimal() and len(k) < 10 and "image" in groups[k])
    if not numbers:
        raise FormatError(path, "there is no image in it.")
    found = {f"{_EMAN}/{k}/image": groups[str(k)]["image"] for k in numbers}
    first, item = next(iter(found.items()))
    if getattr(item, "shape", (0, 0, 0))[:-2] in ((), (1,)):
        return {first: list(found.values())}
    return {name: [item] for name, item in found.items()}


def _is_image(item: Any) -> bool:
    numbers = hasattr(item, "dtype") and getattr(item.dtype, "kind", "") in "iuf"
    return numbers and len(_without_axes_of_one(item.shape)) in (2, 3)


def _without_axes_of_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of three axes or less: first those of one channel or time are left out, in front or at the end."""
    left = list(shape)
    while len(left) > 3 and 1 in (left[0], left[-1]):
        left.pop(0 if left[0] == 1 else -1)
    return tuple(left)


def _plane(item: Any) -> tuple[int, ...]:
    return _without_axes_of_one(item.shape)[-2:]


def zarr_metadata(path: str | Path, volume: str = "") -> tuple[str, tuple[int, ...], tuple[float, float, float]]:
    """Return the name of the finest level of an OME-Zarr image, its shape, and the voxel size x, y, z in Å.

    Versions 0.4 and 0.5 (``multiscales`` in .zattrs, or in zarr.json under ome); lengths in other units are converted.
    Of several images `volume` is the number, counted from 1, or the name.

    Raises
    ------
    FormatError
        If the folder is no OME-Zarr image, or has no volume of that name or number, or not three axes.
    """
    attributes: Any = dict(_open_group(path).attrs)
    name, scale, axes = _finest_level(path, attributes.get("ome", attributes), volume)
    size = _lengths(axes, scale)
    array = _open_array(path, name)
    shape = tuple(int(n) for n in array.shape)
    if len(shape) < 3 or any(n != 1 for n in shape[:-3]) or 0 in shape:
        raise FormatError(path, f"a tomogram has three axes and voxels, this image has shape {shape}.")
    return name, shape[-3:], size


def _open_group(path: str | Path) -> Any:
    import zarr

    try:
        return zarr.open_group(Path(path), mode="r", use_consolidated=False)
    except Exception as error:  # noqa: BLE001  zarr fails in many ways on what is no image
        raise FormatError(path, f"not an OME-Zarr image: its attributes cannot be read ({_said(error)}).") from None


def _open_array(path: str | Path, name: str) -> Any:
    """Return an array of a group, which lies in it and can be described."""
    import zarr

    folder = _folder_in(path, name)
    if not any((folder / file).is_file() for file in (".zarray", "zarr.json")):
        raise FormatError(path, f"not an OME-Zarr image: there is no array {name!r} in it.")
    check_stored_chunks(path, name, folder)
    try:
        array = _open_group(path)[name]
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001  see above
        raise FormatError(path, f"the description of its array {name!r} is damaged ({_said(error)}).") from None
    if not isinstance(array, zarr.Array):
        raise FormatError(path, f"not an OME-Zarr image: {name!r} in it is no array.")
    return array


def _said(error: Exception) -> str:
    """Return the words of the library, attributed to it."""
    return f"Zarr: {str(error)[:100].rstrip('.')}"


def _finest_level(path: str | Path, attributes: Any, volume: str) -> tuple[str, list[Any], list[Any]]:
    """Return the name of the first level of an image of a group, its scale and its axes, empty where not said."""
    images = attributes.get("multiscales") if isinstance(attributes, dict) else None
    if not isinstance(images, list) or not images or not all(isinstance(one, dict) for one in images):
        raise FormatError(path, "not an OME-Zarr image: its attributes have no multiscales, which list its levels.")
    named = tuple(str(one.get("name") or k + 1) for k, one in enumerate(images))
    named = named if len(images) > 1 and len(set(named)) == len(named) else ()
    if len(images) > 1 and not volume:
        raise several_volumes(Path(path), len(images), named)
    image = images[choose_volume(Path(path), volume or "1", len(images), named)]
    levels, axes = image.get("datasets"), image.get("axes")
    level = levels[0] if isinstance(levels, list) and levels and isinstance(levels[0], dict) else {}
    name, changes = level.get("path"), level.get("coordinateTransformations")
    if not isinstance(name, str):
        raise FormatError(path, "not an OME-Zarr image: its multiscales name no dataset by its path.")
    changes = changes if isinstance(changes, list) else []
    scales = [one.get("scale") for one in changes if isinstance(one, dict) and one.get("type") == "scale"]
    scale = scales[0] if scales and isinstance(scales[0], list) else []
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in scale):
        raise FormatError(path, f"the scale of its dataset {name!r} must be numbers, got {str(scale)[:60]}.")
    return name, scale, axes if isinstance(axes, list) else []


def _lengths(axes: list[Any], scale: list[Any]) -> tuple[float, float, float]:
    """Return x, y, z of a voxel in Å, 0 where it is not known."""
    units = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4}
    found = [0.0, 0.0, 0.0]
    for k in range(1, min(3, len(scale)) + 1):
        axis = axes[-k] if len(axes) >= k and isinstance(axes[-k], dict) else {}
        found[k - 1] = _as_size(float(scale[-k]) * units.get(axis.get("unit", "angstrom"), 0.0))
    return found[0], found[1], found[2]


def read_zarr(path: str | Path, volume: str = "") -> tuple[np.ndarray, float]:
    """Return the voxels ``(z, y, x)`` of the finest level of an OME-Zarr image, and the pixel size in Å.

    Raises
    ------
    FormatError
        If it is no OME-Zarr image, or a chunk is damaged.
    """
    name, shape, size = zarr_metadata(path, volume)
    array = _open_array(path, name)
    check_zarr(path, array, _folder_in(path, name))
    try:
        data = np.asarray(array[...])
    except Exception as error:  # noqa: BLE001  see above
        raise FormatError(path, f"a chunk of its array {name!r} cannot be decoded ({_said(error)}).") from None
    return data.reshape(shape), size[0]


def _folder_in(path: str | Path, name: str) -> Path:
    """Return the folder of an array of a group, which lies in the group's."""
    root = Path(path).resolve()
    folder = Path(path, name)
    if not folder.resolve().is_relative_to(root):
        raise FormatError(path, f"its image {name!r} lies outside of it: that is not followed.")
    return folder


def write_zarr(path: str | Path, data: np.ndarray, pixel_size: float, levels: int = 3) -> None:
    """Write a volume as OME-Zarr 0.4: levels binned by averaging twos, lengths in Å.

    Written under a temporary name, then renamed; an image that stands there is replaced.

    Raises
    ------
    FormatError
        If something else than a Zarr image has that name.
    """
    import shutil

    import zarr

    target = Path(path)
    if target.exists() and not (target.is_dir() and is_zarr(target)):
        raise FormatError(path, "exists and is no Zarr image; it is not replaced.")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    group: Any = zarr.open_group(part, mode="w", zarr_format=2)
    entries, level = [], np.asarray(data)
    for k in range(levels):
        chunks = tuple(min(CHUNK, n) for n in level.shape)
        array = group.create_array(str(k), shape=level.shape, chunks=chunks, dtype=level.dtype)
        array[...] = level
        scale = [pixel_size * 2**k] * 3
        # the middle of the first voxel of a coarser level lies between voxels of the finest
        shift = [pixel_size * (2**k - 1) / 2] * 3
        entries.append({"path": str(k), "coordinateTransformations": [
            {"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]})  # fmt: skip
        if min(level.shape) < 2:
            break
        level = _bin_by_two(level)
    axes = [{"name": a, "type": "space", "unit": "angstrom"} for a in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "name": target.stem, "axes": axes, "datasets": entries}]
    if target.is_dir():
        shutil.rmtree(target)
    part.replace(target)


def _bin_by_two(data: np.ndarray) -> np.ndarray:
    even = data[tuple(slice(0, n // 2 * 2) for n in data.shape)].astype(np.float32)
    z, y, x = (n // 2 for n in even.shape)
    return even.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5)).astype(data.dtype)


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group."""
    if (path / "zarr.json").exists():
        try:
            return bool(json.loads((path / "zarr.json").read_text(encoding="utf8")).get("node_type") == "group")
        except (ValueError, OSError, AttributeError):
            return False
    return (path / ".zgroup").exists()


def _is_hdf(start: FileStart) -> bool:
    return start.data.startswith(b"\x89HDF")


def _is_zarr(start: FileStart) -> bool:
    return start.is_folder and (is_zarr(start.path) or (start.path / ".zattrs").exists())


def _describe_hdf(path: Path, volume: str = "") -> ImageInfo:
    with _open_hdf(path) as file:
        image = _choose(path, file, volume)
        return ImageInfo("hdf5", image.shape, image.voxel_size[0], voxel_size=image.voxel_size, volumes=image.volumes,
                         names=image.names, white=image.white)  # fmt: skip


def _describe_zarr(path: Path, volume: str = "") -> ImageInfo:
    _, shape, size = zarr_metadata(path, volume)
    return ImageInfo("zarr", (shape[0], shape[1], shape[2]), size[0], voxel_size=size)


def _read_hdf(path: Path, options: ReadOptions) -> np.ndarray:
    return read_hdf(path, options.volume)[0]


def _read_zarr(path: Path, options: ReadOptions) -> np.ndarray:
    return read_zarr(path, options.volume)[0]


def _write_zarr(path: Path, data: np.ndarray, options: WriteOptions) -> list[Path]:
    if not options.pixel_size:
        raise FormatError(path, "OME-Zarr needs the pixel size, which the source does not say; give it.")
    write_zarr(path, data, options.pixel_size)
    return [path]


HDF5 = ImageFormat("hdf5", "HDF5", _is_hdf, _read_hdf, described=("EMAN2's volumes and stacks, else datasets",),
                   describe=_describe_hdf)  # fmt: skip
ZARR = ImageFormat("zarr", "OME-Zarr", _is_zarr, _read_zarr, _write_zarr, suffix=".zarr", endings=(".zarr",),
                   described=("0.4 and 0.5 are read, 0.4 with three levels is written",),
                   describe=_describe_zarr)  # fmt: skip
