"""IMOD models (.mod): scattered points, and pairs of points that say where particles look."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.limits import read_plain
from emtomo.io.particles import ParticleList, convert_frame, no_names, size_of
from emtomo.io.per_tomogram import one_pixel_size, write_for_each_tomogram
from emtomo.io.text import write_bytes

_HEADER, _OBJECT = 240, 176
_SCATTERED = 1 << 9
_FLIPPED = 1 << 16  # IMODF_FLIPYZ: y and z of all points are exchanged
_BYTES = 1 << 13  # IMODF_MAT1_IS_BYTES
_HALF = np.array([0.5, 0.5, 0.0])  # where the centre of the first voxel lies in a model
ANGSTROM = -10  # power of ten of a metre


@dataclass
class Contour:
    """One contour: points in voxels of the model's file, the number of its object, from 0, and whether that is of
    scattered points."""

    object: int
    points: np.ndarray
    scattered: bool = False


@dataclass
class ImodModel:
    """An IMOD model.

    Attributes
    ----------
    contours : list of Contour
    size : tuple
        x, y, z of the image in voxels.
    pixel_size : float
        Å; NaN when the model does not say.
    flipped : bool
        The model was made with y and z exchanged; points and size are in the order of the file of the image.
    offset : (3,) array
        To be subtracted from points to count from the first voxel of the whole image (MINX).
    """

    contours: list[Contour]
    size: tuple[int, int, int]
    pixel_size: float
    offset: np.ndarray
    flipped: bool = False


def read_chunks(path: str | Path) -> ImodModel:
    """Read an IMOD model: big-endian header, then chunks of a 4-letter name and their bytes up to IEOF.

    IMOD's file format (imodel_files, version 1.2). A chunk that claims more than the file holds is an error. y and z
    that 3dmod exchanged, for a model seen from the side, are put back before the offset counts, as IMOD does it.
    """
    try:
        raw = read_plain(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    if raw[:8] not in (b"IMODV1.2", b"IMODV1.3") or len(raw) < _HEADER:
        raise FormatError(path, "not an IMOD model of version 1.2.")
    size = struct.unpack(">3i", raw[136:148])
    units, pixel = struct.unpack(">i", raw[220:224])[0], struct.unpack(">f", raw[216:220])[0]
    known = np.isfinite(pixel) and pixel > 0 and -13 < units < 4 and units != 0
    model = ImodModel([], size, pixel * 10.0 ** (units - ANGSTROM) if known else np.nan, np.zeros(3))
    place, objects, closed, scattered = _HEADER, 0, False, False
    while place + 4 <= len(raw):
        name = raw[place : place + 4]
        if name == b"IEOF":
            closed = True
            break
        body = place + 4
        if name == b"OBJT":
            objects, length = objects + 1, _OBJECT
            scattered = bool(_ints(path, raw, body + 132, 1)[0] & _SCATTERED)
        elif name == b"CONT":
            count = _ints(path, raw, body, 1)[0]
            length = 16 + 12 * count
            if count >= 0 and body + length <= len(raw):
                points = np.frombuffer(raw, ">f4", 3 * count, body + 16).reshape(-1, 3).astype(float)
                model.contours.append(Contour(max(objects - 1, 0), points, scattered))
        elif name == b"MESH":
            vertices, indices = _ints(path, raw, body, 2)
            length = 16 + 12 * vertices + 4 * indices
        else:
            length = 4 + _ints(path, raw, body, 1)[0]
            if name == b"MINX" and length >= 76 and body + 76 <= len(raw):
                minx = np.frombuffer(raw, ">f4", 18, body + 4).reshape(6, 3).astype(float)
                scale = np.where(minx[3] == 0, 1.0, minx[3])
                model.offset = minx[4] / scale
        if length < 0 or body + length > len(raw):
            shown = name.decode("latin1")
            raise FormatError(path, f"a part named {shown!r} claims {length} bytes, more than the file holds.")
        place = body + length
    if not closed:
        raise FormatError(path, "the model ends before its end mark (IEOF).")
    if not np.isfinite(model.offset).all() or any(not np.isfinite(c.points).all() for c in model.contours):
        raise FormatError(path, "there is a point that is no number.")
    if struct.unpack(">I", raw[152:156])[0] & _FLIPPED:
        model.flipped, model.size = True, (size[0], size[2], size[1])
        for contour in model.contours:
            contour.points = contour.points[:, [0, 2, 1]]
    return model


def _ints(path: str | Path, raw: bytes, place: int, count: int) -> tuple[int, ...]:
    if place + 4 * count > len(raw):
        raise FormatError(path, "the model ends before its end mark (IEOF).")
    return struct.unpack(f">{count}i", raw[place : place + 4 * count])


def read_model(path: str | Path, size: tuple[int, int, int] | None = None) -> ParticleList:
    """Read the points of an IMOD model as particles in voxels from the first one's centre.

    If every contour has two points, and no object is of scattered points, each is one particle and the second point
    says where its z axis looks; else each point is a particle. Groups are contours of three points and more, else
    objects. Model coordinates have the first voxel's centre at (0.5, 0.5, 0), and are those of the image that was
    open: its offset (MINX) is taken off, so that they count from the first voxel of the whole volume, unless `size`
    (x, y, z of the tomogram) is that of the image that was open.

    Raises
    ------
    FormatError
        If there is no point in it, or it is no IMOD model.
    """
    model = read_chunks(path)
    if size is not None and tuple(size) == model.size:
        model.offset = np.zeros(3)
    contours = [c for c in model.contours if len(c.points)]
    if not contours:
        raise FormatError(path, "there is no point in it.")
    lengths = np.array([len(c.points) for c in contours])
    objects = np.array([c.object for c in contours])
    rotations = None
    if (lengths == 2).all() and not any(c.scattered for c in contours):
        from emtomo.compute.rotations import from_directions

        pairs = np.stack([c.points for c in contours])
        points, group = pairs[:, 0], objects + 1
        rotations = from_directions(pairs[:, 1] - pairs[:, 0])
    else:
        points = np.concatenate([c.points for c in contours])
        group = np.repeat(np.arange(len(contours)) if (lengths > 2).any() else objects, lengths) + 1
    particles = ParticleList(
        no_names(len(points)),
        points - model.offset - _HALF,
        np.zeros((len(points), 3)),
        rotations,
        pixel_size=np.full(len(points), model.pixel_size),
        columns={"group": group.astype(np.int64)},
        format="imod",
    )
    if rotations is not None:
        particles.notes.append(
            "Contours of two points: the second says where the z axis looks; rotations about it are lost."
        )
    if model.flipped:
        particles.notes.append("The model was made with y and z exchanged (flipped); they are put back.")
    if model.offset.any():
        shown = ", ".join(f"{v:g}" for v in model.offset)
        particles.notes.append(f"The model was made on a part of a volume that starts at {shown} (MINX).")
    return particles


def write_model(path: str | Path, particles: ParticleList, size: tuple[int, int, int] | None = None) -> None:
    """Write particles of one tomogram as an IMOD model: one object for each group.

    Scattered points; with orientations, contours of two points, centre and tip of the z axis (10 voxels). There is no
    MINX: 3dmod takes the points as voxels of the image that is open, whatever pixel size and origin its header says.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
        In voxels from the first one.
    size : tuple, optional
        x, y, z of the tomogram.
    """
    points = particles.centres + _HALF
    tips = None
    if particles.rotations is not None and np.isfinite(particles.rotations).all():
        tips = points + 10 * particles.rotations[:, :, 2]
    group = particles.columns.get("group", np.ones(len(points), int))
    groups = np.unique(group)
    limits = size or tuple(int(v) for v in np.ceil(points.max(axis=0, initial=1)) + 1)
    pixel = particles.pixel_size[0] if len(points) and np.isfinite(particles.pixel_size).all() else 0.0
    name = b"emtomo".ljust(128, b"\x00")
    parts = [b"IMODV1.2", name, struct.pack(">3i", *limits), struct.pack(">2I", len(groups), _BYTES),
             struct.pack(">4i", 1, 3, 0, 255), struct.pack(">3f", 0, 0, 0), struct.pack(">3f", 1, 1, 1),
             struct.pack(">3i", 0, 0, 0), struct.pack(">2i", 1, 128), struct.pack(">fi", pixel or 1.0, ANGSTROM if pixel
             else 0), struct.pack(">i3f", 0, 0, 0, 0)]  # fmt: skip
    for number in groups:
        mine = np.flatnonzero(group == number)
        parts.append(_object(f"group {number}", len(mine) if tips is not None else 1, tips is None))
        if tips is None:
            parts.append(_contour(points[mine]))
        else:
            parts += [_contour(np.stack([points[k], tips[k]])) for k in mine]
    write_bytes(path, b"".join([*parts, b"IEOF"]))


def _object(name: str, contours: int, scattered: bool) -> bytes:
    flags = (_SCATTERED if scattered else 1 << 3) | 1 << 1  # open contours are flagged, scattered points too
    return b"".join([
        b"OBJT", name.encode()[:63].ljust(64, b"\x00"), bytes(64), struct.pack(">iIii", contours, flags, 0, 1),
        struct.pack(">3f", 0, 1, 0), struct.pack(">i", 5), bytes([1, 3, 1, 1, 0, 0, 0, 0]), struct.pack(">2i", 0, 0),
    ])  # fmt: skip


def _contour(points: np.ndarray) -> bytes:
    return b"CONT" + struct.pack(">iIii", len(points), 0, 0, 0) + points.astype(">f4").tobytes()


def _sniff(start: FileStart) -> bool:
    return start.data.startswith(b"IMODV")


def _read(path: Path, options: ReadOptions) -> ParticleList:
    return read_model(path, size_of(options.sizes, path.name))


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    here = convert_frame(
        particles, "voxel", "corner", pixel_size=one_pixel_size(particles, options), volumes=options.sizes
    )

    def write_one(target: Path, mine: ParticleList, name: str) -> None:
        """Write the particles of one tomogram."""
        write_model(target, mine, size_of(options.sizes, name))

    return write_for_each_tomogram(path, here, ".mod", write_one)


MODEL = Format(
    "imod",
    "IMOD model",
    _sniff,
    _read,
    _write,
    words_of("positions z_axis group pixel_size"),
    ".mod",
    (".mod",),
    names_tomograms="not",
    one_tomogram=True,
    described=(
        "voxels; the first one's centre is (0.5, 0.5, 0)",
        "contours of two points: centre, tip of z",
        "point; shifts are added",
    ),
)
