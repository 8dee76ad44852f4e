"""What `emtomo.io` offers scripts and notebooks: volumes, particles and tilt series, whichever format they have."""

from pathlib import Path

import numpy as np

from emtomo.checks import check_path, check_pixel_size, check_volume, check_whole_number
from emtomo.errors import EmtomoError
from emtomo.io import convert_tilts, formats, images, mrc, tiff, volumes
from emtomo.io.image_format import ImageInfo
from emtomo.io.particles import ParticleList, VolumeGeometry
from emtomo.io.tilts import Tilts

_SUFFIXES = (".mrc", ".mrcs", ".rec", ".map", ".st", ".ali", ".tif", ".tiff")


def read_volume(path: str | Path) -> np.ndarray:
    """Read a volume or stack: MRC (also compressed), EM, TIFF, HDF5 (EMAN2) or Zarr, known by its content.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    (z, y, x) float32 array

    Raises
    ------
    FormatError
        If the file is missing, damaged or of no known format.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> emtomo.io.write_volume("ball.mrc", np.ones((4, 6, 8)), pixel_size=10.0)
    >>> emtomo.io.read_volume("ball.mrc").shape
    (4, 6, 8)
    """
    return np.array(images.read_any(check_path(path)), np.float32)


def describe_volume(path: str | Path) -> ImageInfo:
    """Read format, shape and pixel size of a volume, not its voxels.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ImageInfo
        ``format``, ``shape`` (z, y, x), ``pixel_size`` in Å (0 where the file does not say) and ``origin``.

    Raises
    ------
    FormatError
        If the file is missing, damaged or of no known format.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> emtomo.io.write_volume("ball.mrc", np.ones((4, 6, 8)), pixel_size=10.0)
    >>> emtomo.io.describe_volume("ball.mrc").pixel_size
    10.0
    """
    return images.describe(check_path(path))


def write_volume(path: str | Path, volume: np.ndarray, pixel_size: float) -> None:
    """Write a volume as MRC, or as TIFF if the name says so; the file appears when it is complete.

    Parameters
    ----------
    path : str or Path
        Ends with .mrc, .mrcs, .rec, .map, .st, .ali, .tif or .tiff.
    volume : (z, y, x) array
    pixel_size : float
        Å per voxel.

    Raises
    ------
    EmtomoError
        If the array has not three axes, the pixel size is not positive, or the name has another ending.
    """
    target, array = check_path(path), check_volume(volume, "volume", finite=False)
    pixel_size = check_pixel_size(pixel_size)
    if target.suffix.lower() not in _SUFFIXES:
        raise EmtomoError(f"{path}: the name must end with {', '.join(_SUFFIXES)}.")
    if target.suffix.lower().startswith(".tif"):
        tiff.write_tiff(target, np.asarray(array, np.float32), pixel_size)
    else:
        mrc.write_volume(target, array, pixel_size, stack=target.suffix.lower() in (".mrcs", ".st", ".ali"))


def read_particles(
    path: str | Path,
    *,
    format: str = "auto",
    pixel_size: float | None = None,
    tomograms: str | Path | None = None,
    table_map: str | Path | None = None,
) -> ParticleList:
    """Read particles from a file of RELION, Warp, M, Dynamo, IMOD, EMAN2, STOPGAP, Scipion, copick, … or from text.

    Parameters
    ----------
    path : str or Path
    format : str
        A name from the table of formats; by default recognised by content.
    pixel_size : float, optional
        Å per voxel of the positions, where the file does not say.
    tomograms : str or Path, optional
        Where the sizes of the tomograms are known from: a folder of tomograms, one tomogram, or a tomograms.star.
    table_map : str or Path, optional
        Dynamo's .doc that names the tomogram of every number.

    Returns
    -------
    ParticleList
        ``positions`` (n, 3) x, y, z in ``unit`` from ``origin``, ``rotations`` (n, 3, 3), ``columns``, ``notes``.

    Raises
    ------
    EmtomoError
        One sentence with file and line, when the file is not what it should be.

    Examples
    --------
    >>> from pathlib import Path
    >>> import emtomo
    >>> _ = Path("picks.csv").write_text("tomogram_id,x,y,z\\nTS_01,10,20,30\\nTS_01,11,22,33\\n")
    >>> particles = emtomo.io.read_particles("picks.csv")
    >>> len(particles), particles.positions[1].tolist()
    (2, [11.0, 22.0, 33.0])
    """
    names = None if table_map is None else check_path(table_map)
    particles = formats.read(check_path(path), format, table_map=names, sizes=_sizes_of(tomograms))
    if pixel_size is not None:
        particles.set_pixel_size(check_pixel_size(pixel_size))
    return particles


def write_particles(
    path: str | Path,
    particles: ParticleList,
    *,
    format: str = "auto",
    pixel_size: float | None = None,
    tomograms: str | Path | None = None,
    box_size: int = 32,
) -> list[Path]:
    """Write particles in a format of another program.

    Parameters
    ----------
    path : str or Path
        A folder, for formats with one file for each tomogram and particles of several tomograms.
    particles : ParticleList
    format : str
        A name from the table of formats; by default by the ending of `path`.
    pixel_size : float, optional
        Å per voxel of the positions in the file, by default as they are; also of `particles`, where they have none.
    tomograms : str or Path, optional
        As in :func:`read_particles`; needed where the format counts from another origin.
    box_size : int
        For formats that hold one.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    EmtomoError
        If the format cannot hold such particles, or something is missing that it needs.

    Examples
    --------
    >>> from pathlib import Path
    >>> import emtomo
    >>> _ = Path("picks.csv").write_text("tomogram_id,x,y,z\\nTS_01,10,20,30\\n")
    >>> particles = emtomo.io.read_particles("picks.csv", pixel_size=10.0)
    >>> [file.name for file in emtomo.io.write_particles("picks.star", particles, format="relion4")]
    ['picks.star']
    """
    if not isinstance(particles, ParticleList):
        raise EmtomoError(f"The particles must be a ParticleList, got {type(particles).__name__}.")
    target = check_path(path)
    kind = formats.format_of(target, particles) if format == "auto" else format
    if pixel_size is not None:
        pixel_size = check_pixel_size(pixel_size)
    if pixel_size is not None and np.isnan(particles.pixel_size).any():
        particles = particles.select(np.arange(len(particles)))
        particles.pixel_size = np.where(np.isnan(particles.pixel_size), pixel_size, particles.pixel_size)
    box = check_whole_number(box_size, "The box size", 1)
    return formats.write(target, particles, kind, pixel_size=pixel_size, sizes=_sizes_of(tomograms), box_size=box)


def _sizes_of(tomograms: str | Path | None) -> dict[str, VolumeGeometry] | None:
    return volumes.read_volumes(check_path(tomograms)) if tomograms is not None else None


def read_tilt_series(path: str | Path, *, format: str = "auto", pixel_size: float | None = None) -> list[Tilts]:
    """Read the alignment and CTF of tilt series: SerialEM, IMOD, AreTomo, RELION, Warp, CTFFIND, Gctf, Scipion.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of such files.
    format : str
        By default recognised by content.
    pixel_size : float, optional
        Å per pixel of the images, where the file does not say.

    Returns
    -------
    list of Tilts
        Each with ``table``, one row per image, in the order of the stack.

    Raises
    ------
    EmtomoError
        If there is no tilt series in it.

    Examples
    --------
    >>> from pathlib import Path
    >>> import emtomo
    >>> _ = Path("TS_01.tlt").write_text("-3.0\\n0.0\\n3.0\\n")
    >>> emtomo.io.read_tilt_series("TS_01.tlt", pixel_size=2.0)[0].table["angle"].tolist()
    [-3.0, 0.0, 3.0]
    """
    size = None if pixel_size is None else check_pixel_size(pixel_size)
    return convert_tilts.read_series(check_path(path), format, size)
