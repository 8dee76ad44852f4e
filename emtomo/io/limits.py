"""What a file may claim: it is a plain file, and its claim is held against its size and the memory that is free."""

import stat
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from emtomo.errors import FormatError
from emtomo.wording import bytes_text

SMALL = 2**28  # bytes, that a file of any size may claim: zeros of a small volume shrink to nothing
RATIO = 1100  # by which deflate (gzip, zlib) shrinks zeros; no data shrink more
MANY_CHUNKS = 100_000
SMALL_CHUNK = 4096  # bytes: many chunks below it take minutes to read
_BLOCK = 2**20


def check_plain(path: str | Path) -> None:
    """Raise FormatError if `path` is a pipe, device or socket: opening one may wait for ever.

    A missing file, or a folder, is left to who opens it.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(path, "no plain file (a pipe, a device or a socket).")


def open_plain(path: str | Path) -> BinaryIO:
    """Open a plain file for reading bytes; raises what opening raises, and FormatError for a pipe or device."""
    check_plain(path)
    return Path(path).open("rb")


def read_plain(path: str | Path) -> bytes:
    """Return the bytes of a plain file that fits into the memory that is free."""
    with open_plain(path) as stream:
        check_memory(path, Path(path).stat().st_size)
        return stream.read()


def free_memory() -> int:
    """Return how many bytes of memory this process may still take."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        return min(free, int(limit) - used) if limit.isdecimal() else free
    except (OSError, ValueError):
        return free


def check_memory(path: str | Path, needed: int) -> None:
    """Raise FormatError if `needed` bytes are more than is free."""
    free = free_memory()
    if needed > free:
        raise FormatError(path, f"needs {bytes_text(needed)} of memory, {bytes_text(free)} are free.")


def check_claim(path: str | Path, needed: int, held: int, *, ratio: int = RATIO) -> None:
    """Check what a compressed file claims to hold.

    Parameters
    ----------
    path : str or Path
    needed : int
        Bytes that it claims.
    held : int
        Bytes on disk.
    ratio : int
        By which they may have been compressed.

    Raises
    ------
    FormatError
        If so few bytes cannot hold it, or memory for it is not free.
    """
    if needed > max(SMALL, ratio * held):
        raise FormatError(path, f"claims {bytes_text(needed)}, more than {held} bytes can hold.")
    check_memory(path, needed)


def check_chunks(path: str | Path, needed: int, chunk: int, count: int) -> None:
    """Check the chunks of an image of `needed` bytes: `count` chunks of `chunk` bytes each.

    Raises
    ------
    FormatError
        If one chunk is much larger than the image, or many are tiny.
    """
    if chunk > max(SMALL, 4 * needed):
        raise FormatError(path, f"one chunk claims {bytes_text(chunk)}, the whole image {bytes_text(needed)}.")
    if count > MANY_CHUNKS and chunk < SMALL_CHUNK:
        raise FormatError(path, f"is divided into {count} chunks of {chunk} bytes: rewrite it with larger chunks.")
    check_memory(path, needed + chunk)


def inflate(path: str | Path, data: bytes, largest: int, *, wbits: int = zlib.MAX_WBITS | 32) -> bytes:
    """Return what is compressed by zlib or gzip in `data`.

    Raises
    ------
    FormatError
        If it is damaged or more than `largest` bytes; no more than these are ever in memory.
    """
    decoder = zlib.decompressobj(wbits)
    try:
        found = decoder.decompress(data, largest + 1)
    except zlib.error as error:
        raise FormatError(path, f"cannot be decompressed: {error}.") from None
    if len(found) > largest:
        raise FormatError(path, f"a compressed part holds more than the {largest} bytes that it should.")
    return found


def read_exactly(path: str | Path, stream: Any, target: memoryview) -> None:
    """Fill `target` with bytes of a stream, block by block; FormatError if it ends before."""
    place = 0
    while place < len(target):
        block = stream.read(min(_BLOCK, len(target) - place))
        if not block:
            raise FormatError(path, f"claims {len(target)} bytes of image and ends after {place}.")
        target[place : place + len(block)] = block
        place += len(block)
