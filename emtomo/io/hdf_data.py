"""Arrays of an HDF5 file, without following it to other files and without more memory than the array takes."""

from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.limits import check_chunks, check_claim, inflate

_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3


def check_links(path: str | Path, file: Any) -> None:
    """Raise FormatError if anything in an open HDF5 file is a link to another file."""
    import h5py  # type: ignore[import-untyped]

    def target(name: str, link: Any) -> str | None:
        """Return where a link to another file points to, None for others."""
        return f"{link.filename!r} at {name!r}" if isinstance(link, h5py.ExternalLink) else None

    found = file.visititems_links(target)  # ends at the first that is not None
    if found is not None:
        raise FormatError(path, f"points to another file ({found}): that is not followed.")


def check_array(path: str | Path, item: Any) -> None:
    """Raise FormatError if a dataset's numbers are in other files, or its claim cannot be.

    See :func:`emtomo.io.limits.check_claim`.
    """
    if item.external:
        raise FormatError(path, f"keeps its numbers in another file ({item.external[0][0]!r}): that is not followed.")
    if item.is_virtual:
        raise FormatError(path, "is put together from other files (a virtual dataset): that is not followed.")
    held = Path(path).stat().st_size
    if item.chunks is None and item.nbytes > held:
        raise FormatError(path, f"claims {item.nbytes} bytes, more than the file holds.")
    check_claim(path, item.nbytes, held)
    if item.chunks is not None:
        size = int(np.prod(item.chunks, dtype=object)) * item.dtype.itemsize
        check_chunks(path, item.nbytes, size, item.id.get_num_chunks())


def read_array(path: str | Path, item: Any) -> np.ndarray:
    """Return the numbers of a dataset, which :func:`check_array` has accepted.

    Chunks that deflate has compressed are inflated here, one after the other: HDF5 would inflate one to any size.

    Raises
    ------
    FormatError
        If it is compressed by filters that are not known together, or damaged.
    """
    plist = item.id.get_create_plist()
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    plain = item.id.get_type().get_size() == item.dtype.itemsize and set(filters) <= {_DEFLATE, _SHUFFLE, _FLETCHER}
    if item.chunks is None or _DEFLATE not in filters:
        return np.asarray(item[()])
    if not plain:
        raise FormatError(path, f"is compressed by filters of HDF5 that are not known together: {filters}.")
    out = np.full(item.shape, item.fillvalue, item.dtype)
    stored: list[Any] = []
    item.id.chunk_iter(stored.append)
    for one in stored:
        start = one.chunk_offset
        chunk = _chunk(path, item, filters, one)
        part = tuple(slice(a, min(a + n, m)) for a, n, m in zip(start, item.chunks, item.shape, strict=True))
        out[part] = chunk[tuple(slice(0, s.stop - s.start) for s in part)]
    return out


def _chunk(path: str | Path, item: Any, filters: list[int], stored: Any) -> np.ndarray:
    size = int(np.prod(item.chunks)) * item.dtype.itemsize
    mask, raw = item.id.read_direct_chunk(stored.chunk_offset)
    for k in reversed(range(len(filters))):
        if mask & (1 << k):  # this chunk was stored without it
            continue
        if filters[k] == _DEFLATE:
            raw = inflate(path, raw, size + 4)
        elif filters[k] == _FLETCHER:
            raw = raw[:-4]
        else:
            raw = np.frombuffer(raw, np.uint8).reshape(item.dtype.itemsize, -1).T.tobytes()
    if len(raw) != size:
        raise FormatError(path, f"a chunk holds {len(raw)} bytes instead of {size}.")
    return np.frombuffer(raw, item.dtype).reshape(item.chunks)
