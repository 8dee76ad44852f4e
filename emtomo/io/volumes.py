"""Sizes of tomograms: from RELION's tomograms.star, Scipion's sets, or the tomograms themselves."""

from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import images, scipion, star
from emtomo.io.names import stem
from emtomo.io.particles import VolumeGeometry
from emtomo.io.referenced import find_referenced_file, reading_named_file
from emtomo.io.text import as_numbers

_SIZE = ["rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"]
_IMAGES = (".mrc", ".rec", ".em", ".tif", ".tiff", ".hdf", ".h5", ".map")
LARGEST = 1_000_000  # voxels along an axis


def read_volumes(path: str | Path) -> dict[str, VolumeGeometry]:
    """Return size and pixel size of tomograms by the stem of their name.

    Parameters
    ----------
    path : str or Path
        RELION's tomograms.star or optimisation set, Scipion's SetOfTomograms, a tomogram, or a folder of tomograms.

    Raises
    ------
    EmtomoError
        If there is no tomogram in it.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(
            p for p in path.iterdir() if p.suffix.lower() in _IMAGES or p.name.endswith((".mrc.gz", ".zarr"))
        )
        if not files:
            raise EmtomoError(f"{path}: there is no tomogram in this folder ({', '.join(_IMAGES)}).")
        return {stem(p.name): _of_image(p) for p in files}
    if path.suffix.lower() == ".star":
        return _of_star(path)
    if path.suffix.lower() == ".sqlite":
        return _of_scipion(path)
    return {stem(images.split_volume(path)[0].name): _of_image(path)}


def _of_image(path: Path) -> VolumeGeometry:
    info = images.describe(path)
    images.check_one_volume(path, info)
    return VolumeGeometry((info.shape[2], info.shape[1], info.shape[0]), info.pixel_size)


def _of_star(path: Path) -> dict[str, VolumeGeometry]:
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if "rlnTomoTomogramsFile" in b and len(b)), None)
    if table is not None:  # an optimisation set: paths are from RELION's project folder
        name = str(table["rlnTomoTomogramsFile"].iloc[0])
        named = find_referenced_file(path, name)
        if named.resolve() == path.resolve():
            raise FormatError(path, "it names itself.")
        with reading_named_file(path, named):
            return _of_star(named)
    table = next((b for b in blocks.values() if {"rlnTomoName", *_SIZE} <= set(b)), None)
    if table is None or len(table) == 0:
        raise FormatError(path, "no block has rlnTomoName and rlnTomoSizeX/Y/Z.")
    sizes = star.floats(path, table, _SIZE)
    if (sizes < 1).any() or (sizes > LARGEST).any():
        raise FormatError(path, f"sizes of tomograms must lie between 1 and {LARGEST} voxels.")
    steps = np.zeros(len(table))
    if "rlnTomoTiltSeriesPixelSize" in table:
        steps = star.floats(path, table, ["rlnTomoTiltSeriesPixelSize"])[:, 0]
        if not (steps > 0).all():
            line = star.line_of(path, table, int(np.argmin(steps > 0)))
            raise FormatError(path, f"rlnTomoTiltSeriesPixelSize must be above 0 Å, got {steps.min():g}.", line)
    names = star.words(table, "rlnTomoName")
    return {
        stem(str(name)): VolumeGeometry((int(x), int(y), int(z)), float(step))
        for name, (x, y, z), step in zip(names, sizes, steps, strict=True)
    }


def _of_scipion(path: Path) -> dict[str, VolumeGeometry]:
    found = scipion.read_set(path)
    if "_filename" not in found.items or len(found.items) == 0:
        raise FormatError(path, f"a {found.name or 'set'} of Scipion, but none of tomograms.")
    volumes = {}
    rates = as_numbers(found.items["_samplingRate"]) if "_samplingRate" in found.items else np.zeros(len(found.items))
    names = found.items["_tsId"] if "_tsId" in found.items else found.items["_filename"]
    for name, file, rate in zip(names, found.items["_filename"], rates, strict=True):
        size = str(found.properties.get("_firstDim") or "").split(",")
        try:
            volume = _of_image(find_referenced_file(path, str(file)))
        except EmtomoError:
            if len(size) < 3 or not all(s.strip().isdecimal() for s in size[:3]):
                raise
            volume = VolumeGeometry((int(size[0]), int(size[1]), int(size[2])), 0.0)
        volumes[stem(str(name))] = VolumeGeometry(volume.size, float(rate) if rate > 0 else volume.pixel_size)
    return volumes


def write_optimisation_set(path: str | Path, particles: str, tomograms: str) -> None:
    """Write RELION's optimisation set: the names of the files of particles and of tomograms."""
    star.write_blocks(path, {"": {"rlnTomoParticlesFile": particles, "rlnTomoTomogramsFile": tomograms}})


def read_optimisation_set(path: str | Path) -> tuple[Path, Path | None]:
    """Return the files of particles and of tomograms that an optimisation set names.

    Raises
    ------
    FormatError
        If it does not name a file of particles.
    """
    for block in star.read_blocks(path).values():
        if "rlnTomoParticlesFile" in block and len(block):
            particles = find_referenced_file(Path(path), str(block["rlnTomoParticlesFile"].iloc[0]))
            if "rlnTomoTomogramsFile" not in block:
                return particles, None
            return particles, find_referenced_file(Path(path), str(block["rlnTomoTomogramsFile"].iloc[0]))
    raise FormatError(path, "no block has rlnTomoParticlesFile.")
