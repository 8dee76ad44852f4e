"""Headers of MRC files, in every dialect: byte order, signs of bytes, order of axes, origin, stacks of volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.errors import FormatError

HEADER = 1024
DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
_UNREADABLE = {
    3: "mode 3 (complex 16-bit integers) is a transform, not an image.",
    4: "mode 4 (complex) is a transform, not an image.",
    16: "mode 16 (three bytes of colour a voxel) is a picture, not a density.",
}
_LONGEST = 2**24  # voxels along an axis
_STACKS = range(401, 631)  # space groups of stacks of volumes: 400 more than that of each
_IMOD = b"IMOD"
_SIGNED, _ORIGIN_OF_FIRST_VOXEL = 1, 4  # IMOD's flags
SIZES_AGREE = 0.01  # relative difference of voxel sizes along the axes that is taken for rounding


@dataclass(frozen=True)
class MrcInfo:
    """What the header of an MRC file says.

    Attributes
    ----------
    shape : tuple
        ``(z, y, x)``, whatever the order of the axes in the file; of all volumes of a stack together.
    voxel_size : tuple
        x, y, z in Å; 0 where the header does not say.
    origin : tuple
        Where the first voxel lies: x, y, z in Å, whichever of the header's conventions says it.
    mode : int
    dtype : str
        Of the stored numbers, with the byte order.
    offset : int
        Bytes before the first voxel, the extended header included.
    axes : tuple
        Which of x, y, z (1, 2, 3) are the file's sections, rows and columns; (3, 2, 1) as a rule.
    volumes : int
        How many volumes follow each other along z.
    compressed : bool
    white : bool or None
        Whether particles are white, where the program that wrote the file says so.
    notes : tuple of str
        What was guessed, for the user.
    sign_known : bool
        Whether the header says if bytes have a sign.
    start : tuple
        The same as `origin` in voxels, where a header counts in these.
    """

    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    origin: tuple[float, float, float]
    mode: int
    dtype: str
    offset: int
    axes: tuple[int, int, int] = (3, 2, 1)
    volumes: int = 1
    compressed: bool = False
    white: bool | None = None
    notes: tuple[str, ...] = ()
    sign_known: bool = True
    start: tuple[int, int, int] = (0, 0, 0)

    @property
    def pixel_size(self) -> float:
        """Å per voxel along x; 0 when the header does not say."""
        return self.voxel_size[0]

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Sections, rows and columns in the file."""
        z, y, x = (self.shape[3 - axis] for axis in self.axes)
        return z, y, x

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels."""
        sections, rows, columns = self.stored_shape
        width = (columns + 1) // 2 if self.mode == 101 else columns * np.dtype(self.dtype).itemsize
        return sections * rows * width


def parse_header(path: Path, raw: bytes, file_size: int | None) -> MrcInfo:
    """Return what 1024 bytes of header say.

    Parameters
    ----------
    path : Path
    raw : bytes
    file_size : int or None
        Bytes of the file, which decide where both byte orders are possible; ``None`` where it is compressed.

    Raises
    ------
    FormatError
        If it is no MRC file of an image.
    """
    order = _byte_order(path, raw, file_size)
    words = np.frombuffer(raw, f"{order}i4", 56)
    reals = np.frombuffer(raw, f"{order}f4", 56)
    nx, ny, nz, mode = (int(w) for w in words[:4])
    if mode in _UNREADABLE:
        raise FormatError(path, _UNREADABLE[mode])
    if min(nx, ny, nz) < 1:
        raise FormatError(path, f"the header claims {nx}×{ny}×{nz} voxels; a volume has at least one.")
    extended = int(words[23])
    if not 0 <= extended < 2**31 - HEADER:
        raise FormatError(path, f"the extended header claims {extended} bytes.")
    axes = _axes(words[16:19])
    stored = {axes[0]: nz, axes[1]: ny, axes[2]: nx}
    shape = stored[3], stored[2], stored[1]
    size = _voxel_size(words[7:10], reals[10:13])
    volumes = 1
    if int(words[22]) in _STACKS and axes == (3, 2, 1) and 0 < words[9] < nz and nz % int(words[9]) == 0:
        volumes = nz // int(words[9])
    notes = []
    if axes != (3, 2, 1):
        names = "".join("xyz"[axis - 1] for axis in axes[::-1])
        notes.append(f"Columns, rows and sections of the file are {', '.join(names)}; read as x, y, z.")
    dtype = f"{order}{DTYPES[mode]}"
    unsigned: bool | None = False
    if mode == 0:
        unsigned, note = _unsigned(raw, reals, order)
        dtype = f"{order}u1" if unsigned else dtype
        notes += [note] if note else []
    return MrcInfo(
        shape,
        size,
        _origin(raw, words, reals),
        mode,
        dtype,
        HEADER + extended,
        axes,
        volumes,
        file_size is None,
        True if raw[224:228] == b"EMAN" else None,
        tuple(notes),
        unsigned is not None,
        _start(words, axes),
    )


def _byte_order(path: Path, raw: bytes, file_size: int | None) -> str:
    """Return < or >: what the machine stamp says, where that is possible, else what fits the file's size best."""
    possible = []
    for order in "<>":
        words = np.frombuffer(raw, f"{order}i4", 24)
        sizes, mode = words[:3], int(words[3])
        if (mode in DTYPES or mode in _UNREADABLE) and (sizes >= 0).all() and (sizes < _LONGEST).all():
            possible.append(order)
    if not possible:
        mode = int(np.frombuffer(raw, "<i4", 1, 12)[0])
        if raw[208:211] == b"MAP" and mode in DTYPES:
            size = "×".join(str(n) for n in np.frombuffer(raw, "<i4", 3))
            raise FormatError(path, f"the header claims {size} voxels; an axis has 1 to {_LONGEST - 1}.")
        if raw[208:211] == b"MAP" and 0 <= mode < 200:
            known = ", ".join(str(m) for m in DTYPES)
            raise FormatError(path, f"mode {mode} is no mode that can be read; those are {known}.")
        raise FormatError(path, "not an MRC file: no known mode and size in either byte order.")
    stamp = {b"\x44": "<", b"\x11": ">"}.get(raw[212:213], "")
    if file_size is None:  # compressed: of sizes in the wrong order, one at least is enormous
        return stamp if stamp in possible else min(possible, key=lambda order: _voxels(raw, order))
    return min(possible, key=lambda order: (_is_too_short(raw, order, file_size), order != stamp))


def _voxels(raw: bytes, order: str) -> int:
    """Return how many voxels the header read in this order claims."""
    return int(np.prod(np.frombuffer(raw, f"{order}i4", 3), dtype=object))


def _is_too_short(raw: bytes, order: str, file_size: int) -> bool:
    """Return whether the file is too short for the header read in this order."""
    words = np.frombuffer(raw, f"{order}i4", 24)
    mode = int(words[3])
    per_voxel = np.dtype(DTYPES[mode]).itemsize if mode in DTYPES else 4
    extended = int(words[23])
    needed = HEADER + extended + _voxels(raw, order) * per_voxel // (2 if mode == 101 else 1)
    return extended < 0 or not needed <= file_size


def _axes(words: np.ndarray) -> tuple[int, int, int]:
    """Return which axis sections, rows and columns are; x, y, z of columns, rows, sections where it makes no sense."""
    columns, rows, sections = (int(w) for w in words)
    return (sections, rows, columns) if sorted((columns, rows, sections)) == [1, 2, 3] else (3, 2, 1)


def _voxel_size(samples: np.ndarray, cell: np.ndarray) -> tuple[float, float, float]:
    """Return Å per voxel along x, y, z: the cell over its samples; 0 where either is not above 0."""
    size = []
    for n, length in zip(samples.tolist(), cell.tolist(), strict=True):
        size.append(length / n if n > 0 and np.isfinite(length) and length > 0 else 0.0)
    return size[0], size[1], size[2]


def _origin(raw: bytes, words: np.ndarray, reals: np.ndarray) -> tuple[float, float, float]:
    """Return where the first voxel lies in Å as ORIGIN says; IMOD has minus it, unless its third flag is set.

    Source: MRC2014; IMOD's description of MRC files.
    """
    origin = np.where(np.isfinite(reals[49:52]), reals[49:52], 0.0).astype(float)
    inverted = raw[152:156] == _IMOD and not words[39] & _ORIGIN_OF_FIRST_VOXEL
    x, y, z = (-origin if inverted else origin) + 0.0
    return float(x), float(y), float(z)


def _start(words: np.ndarray, axes: Sequence[int]) -> tuple[int, int, int]:
    """Return where the first voxel lies in voxels along x, y, z: N*START, which is of columns, rows and sections."""
    start = {axis: int(words[4 + k]) for k, axis in enumerate(axes[::-1])}
    return (0, 0, 0) if any(abs(v) >= _LONGEST for v in start.values()) else (start[1], start[2], start[3])


def _unsigned(raw: bytes, reals: np.ndarray, order: str) -> tuple[bool | None, str]:
    """Return whether bytes go from 0 to 255, and a sentence where that is a guess.

    IMOD's stamp and first flag say it. Otherwise the header's smallest and largest value do, where they can; MRC2014
    has signed bytes, older files unsigned ones. ``None``: only the voxels can say.
    """
    low, high = float(reals[19]), float(reals[20])
    if raw[152:156] == _IMOD:
        return not np.frombuffer(raw, f"{order}i4", 1, 156)[0] & _SIGNED, ""
    if np.isfinite([low, high]).all() and -128 <= low < high <= 255:
        if low < 0 and high <= 127:
            return False, ""
        if low >= 0 and high > 127:
            return True, f"Bytes are read as 0 to 255: the header's largest value is {high:g}."
    return None, ""
