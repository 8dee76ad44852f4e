"""Arrays of a Zarr folder, without following it to other files and without more memory than the array takes."""

import bz2
import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.limits import check_chunks, check_claim, inflate

# what may stand between the bytes of a chunk and its numbers; others (pickle, json, …) make objects of them
_CODECS = {
    "blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "fixedscaleoffset", "astype", "bitround",
    "bytes", "transpose", "crc32c", "sharding_indexed", "adler32", "crc32", "fletcher32", "quantize",
}  # fmt: skip
_ZSTD = b"\x28\xb5\x2f\xfd"


def check_zarr(path: str | Path, array: Any, folder: Path) -> None:
    """Check what a Zarr array claims, before it is read.

    Parameters
    ----------
    path : str or Path
        The image, for the sentence.
    array : zarr.Array
    folder : Path
        Where its chunks are.

    Raises
    ------
    FormatError
        If its numbers are made by a codec that may run code, a chunk is a link, or it claims more than there is.
    """
    if array.dtype.kind not in "iuf":
        raise FormatError(path, f"voxels must be numbers, this image holds {array.dtype}.")
    codecs = [_name(codec) for codec in _codecs_of(array.metadata)]
    unknown = sorted(set(codecs) - _CODECS)
    if unknown:
        raise FormatError(path, f"is encoded by {', '.join(unknown)}, which is not decoded.")
    needed = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
    chunk = int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize
    count = int(np.prod([-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)], dtype=object))
    files = list(_chunk_files(path, folder))
    check_chunks(path, needed, chunk, count)
    check_claim(path, needed, sum(size for _, size in files))
    outer = next((c for c in reversed(codecs) if c not in ("crc32c", "adler32", "crc32", "fletcher32")), "")
    for file, size in files:
        if outer == "blosc":
            _check_blosc(path, Path(file), size)
        if size > 16:
            _check_chunk(path, Path(file), outer, chunk)


def check_stored_chunks(path: str | Path, name: str, folder: Path) -> None:
    """Raise FormatError if the description of array `name` in `folder` stores a chunk without voxels.

    Zarr itself refuses some such sizes and reads others as 1, depending on its version.
    """
    for size in _stored_chunks(folder):
        if any(n < 1 for n in size):
            raise FormatError(path, f"its array {name!r} claims chunks of {size} voxels.")


def _stored_chunks(folder: Path) -> list[tuple[int, ...]]:
    """Return the sizes of chunks, and of chunks in shards, that an array stores; what is no size is left to Zarr."""
    try:
        if (folder / "zarr.json").is_file():
            meta = json.loads((folder / "zarr.json").read_text())
            shapes, codecs = [meta["chunk_grid"]["configuration"]["chunk_shape"]], meta["codecs"]
            while shard := next((one["configuration"] for one in codecs if one["name"] == "sharding_indexed"), None):
                shapes.append(shard["chunk_shape"])
                codecs = shard["codecs"]
        else:
            shapes = [json.loads((folder / ".zarray").read_text())["chunks"]]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return []
    shapes = [one for one in shapes if isinstance(one, list) and all(isinstance(n, int) for n in one)]
    return [tuple(one) for one in shapes]


def _codecs_of(metadata: Any) -> list[Any]:
    if hasattr(metadata, "codecs"):
        found = list(metadata.codecs)
        inner = [one for codec in found for one in (*getattr(codec, "codecs", ()), *getattr(codec, "index_codecs", ()))]
        return [*inner, *found]
    return [*(metadata.filters or ()), *([metadata.compressor] if metadata.compressor is not None else [])]


def _name(codec: Any) -> str:
    """Return the registered name of a codec of numcodecs or of Zarr 3."""
    found = getattr(codec, "codec_id", None)
    if found is None:
        found = codec.to_dict().get("name", type(codec).__name__)
    return str(found).removeprefix("numcodecs.").removeprefix("numcodecs_")


def _chunk_files(path: str | Path, folder: Path) -> Iterator[tuple[str, int]]:
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            one = os.fspath(Path(root, name))
            if Path(one).is_symlink():
                raise FormatError(path, f"{name} in it is a link: it is not followed to other files.")
            if name in files and not name.startswith(".") and name != "zarr.json":
                yield one, Path(one).stat().st_size


def _check_blosc(path: str | Path, file: Path, size: int) -> None:
    """Raise FormatError if a chunk is shorter than its header says: Blosc would read memory that is not its own."""
    with file.open("rb") as stream:
        header = stream.read(16)
    stored = int.from_bytes(header[12:16], "little")  # compressed size with the header (README_CHUNK_FORMAT of c-blosc)
    if len(header) < 16 or stored > size:
        raise FormatError(path, f"its chunk {file.name} is cut: it holds {size} bytes of {max(stored, 16)}.")


def _check_chunk(path: str | Path, file: Path, codec: str, chunk: int) -> None:
    """Raise FormatError if a chunk says that it inflates to more than its voxels; those that do not say are tried."""
    largest = chunk + 1024
    with file.open("rb") as stream:
        start = stream.read(18)
        claimed = None
        if codec == "blosc":
            claimed = int.from_bytes(start[4:8], "little")
        elif codec == "lz4":
            claimed = int.from_bytes(start[:4], "little")
        elif codec == "zstd":
            claimed = _zstd_size(start)
        elif codec in ("zlib", "gzip"):
            inflate(path, start + stream.read(), largest)
        elif codec in ("bz2", "lzma"):
            decoder: Any = bz2.BZ2Decompressor() if codec == "bz2" else lzma.LZMADecompressor(memlimit=2**28)
            claimed = len(decoder.decompress(start + stream.read(), largest + 1))
    if claimed is not None and claimed > largest:
        raise FormatError(path, f"a chunk claims {claimed} bytes, it may hold {chunk}.")


def _zstd_size(start: bytes) -> int | None:
    """Return the size of its content that a frame of Zstandard says (RFC 8878, 3.1.1.1), None where it does not."""
    if start[:4] != _ZSTD:
        return None
    flags = start[4]
    single = bool(flags & 0x20)
    width = {0: 1 if single else 0, 1: 2, 2: 4, 3: 8}[flags >> 6]
    place = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(start[place : place + width], "little") + (256 if width == 2 else 0)
    return size if width else None
