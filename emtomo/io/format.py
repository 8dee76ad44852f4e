"""What a file format is: how a file of it is recognised, read and written, and what it can hold."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from emtomo.errors import FormatError
from emtomo.io.limits import open_plain

if TYPE_CHECKING:
    from emtomo.io.particles import ParticleList, VolumeGeometry

START = 65536  # bytes that are read to recognise a file
ARCHIVE = "a compressed file or an archive, which is not read: decompress it first."  # what is said about one
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"Rar!")
T = TypeVar("T")


def is_archive(data: bytes) -> bool:
    """Return whether the beginning of a file is that of a compressed file or of an archive (zip, tar and so on)."""
    return data.startswith(_ARCHIVES) or data[257:262] == b"ustar"


@dataclass(frozen=True)
class FileStart:
    """The beginning of a file, by which formats recognise theirs.

    Attributes
    ----------
    path : Path
    data : bytes
        The first 64 KiB; empty for a folder.
    """

    path: Path
    data: bytes

    @cached_property
    def suffix(self) -> str:
        """The ending of the file's name, in lower case."""
        return self.path.suffix.lower()

    @cached_property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return self.path.is_dir()

    @cached_property
    def text(self) -> str:
        """The beginning as text with plain line ends; empty when it is binary."""
        encoding = "utf-16" if self.data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            text = self.data.decode(encoding, errors="ignore")
        except UnicodeDecodeError:
            return ""
        return "" if "\x00" in text else text.replace("\r\n", "\n").replace("\r", "\n")

    def matches(self, pattern: str) -> bool:
        """Return whether a regular expression is found in the text; ``^`` and ``$`` are those of lines."""
        return re.search(pattern, self.text, re.MULTILINE) is not None

    @cached_property
    def is_star(self) -> bool:
        """Whether this is a STAR file, also one that lacks the line with the name of its block."""
        return self.matches(r"^[ \t]*(data_|loop_[ \t]*$)")

    @cached_property
    def is_json(self) -> bool:
        """Whether this looks like a JSON object."""
        return self.text.lstrip()[:1] == "{"

    @cached_property
    def first_row(self) -> str:
        """The first line that is neither blank nor a comment."""
        return next((line for line in self.text.split("\n") if line.strip() and line.lstrip()[0] not in "#%"), "")


def read_start(path: str | Path) -> FileStart:
    """Return the beginning of a file or folder.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return FileStart(path, b"")
    try:
        with open_plain(path) as stream:
            return FileStart(path, stream.read(START))
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about a file beside its own content.

    Attributes
    ----------
    sizes : mapping
        Geometry of tomograms by the stem of their names.
    angles : str
        What nameless text columns are, see :func:`emtomo.io.points.read_points`.
    pixel_size : float, optional
        Å of the images, for tables of tilts that count in pixels.
    volume : str
        Which of several volumes of a file, see :func:`emtomo.io.image_format.choose_volume`.
    read_other : callable, optional
        Reads particles of any format, for lists that name files.
    """

    sizes: "Mapping[str, VolumeGeometry]" = field(default_factory=dict)
    angles: str = "normals"
    pixel_size: float | None = None
    volume: str = ""
    read_other: "Callable[[Path], ParticleList] | None" = None


@dataclass(frozen=True)
class WriteOptions:
    """What a writer needs beside the data.

    Attributes
    ----------
    pixel_size : float, optional
        Å per voxel of the positions to be written; by default as they are.
    sizes : mapping
        Geometry of tomograms by the stem of their names, where the origin of positions changes.
    box_size : int
        Voxels, for formats that hold it.
    tomograms : Path, optional
        The file that describes the tomograms, for formats that name it.
    """

    pixel_size: float | None = None
    sizes: "Mapping[str, VolumeGeometry]" = field(default_factory=dict)
    box_size: int = 32
    tomograms: Path | None = None


@dataclass(frozen=True)
class Format(Generic[T]):
    """One file format of `T`: particles, tilt series, or images.

    Attributes
    ----------
    name : str
        As given to ``--from`` and ``--to``.
    label : str
        For sentences.
    sniff : callable
        Whether the beginning of a file is of this format; asked in the order of the registries.
    read : callable, optional
        Path and :class:`ReadOptions` in, `T` out.
    write : callable, optional
        Path, `T` and :class:`WriteOptions` in, the files that were written out.
    holds : frozenset of str
        What the format can carry, in the words of its registry.
    suffix : str
        Ending of a new file; empty where it is written under its own name only.
    endings : tuple of str
        Endings of file names that ask for this format when written.
    family : str
        Formats of one family keep each other's columns.
    names_tomograms : {"by name", "by number", "by file name", "not"}
        How a file says which tomogram its particles belong to.
    one_tomogram : bool
        A file holds the particles of one tomogram.
    limits : callable, optional
        What of `holds` the format cannot carry in this case: data and :class:`WriteOptions` in, words out.
    described : tuple of str
        Cells for the table in docs/formats.md: positions, angles, centre (particles); else one remark.
    """

    name: str
    label: str
    sniff: Callable[[FileStart], bool]
    read: Callable[[Path, ReadOptions], T] | None = None
    write: Callable[[Path, T, WriteOptions], list[Path]] | None = None
    holds: frozenset[str] = frozenset()
    suffix: str = ""
    endings: tuple[str, ...] = ()
    family: str = ""
    names_tomograms: str = "by name"
    one_tomogram: bool = False
    limits: Callable[[T, WriteOptions], frozenset[str]] | None = None
    described: tuple[str, ...] = ()


def words_of(words: str) -> frozenset[str]:
    """Return the words of a sentence as a set, for `Format.holds`."""
    return frozenset(words.split())
