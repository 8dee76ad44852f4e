"""RELION's formats of particles, 3.0 to 5, Warp's, and the optimisation set that names particles and tomograms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import star, volumes
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.particles import ParticleList, concatenate
from emtomo.io.referenced import find_referenced_file, note_files_outside, reading_named_file
from emtomo.io.relion import read_relion
from emtomo.io.relion_write import write_relion
from emtomo.wording import count_text

_HOLDS = words_of(
    "positions rotation tomograms pixel_size shift tags other group score class_number half image ctf_image set_name"
)
_ANGLES = "rot, tilt, psi: Rz(-psi) Ry(-tilt) Rz(-rot)"
_SET = "optimisation_set.star"


def _read(path: Path, _: ReadOptions) -> ParticleList:
    return read_relion(path)


def _version(
    name: str,
    label: str,
    sniff: Callable[[FileStart], bool],
    more: str,
    described: tuple[str, str, str],
    endings: tuple[str, ...] = (),
) -> Format[ParticleList]:
    def write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
        write_relion(path, particles, name, pixel_size=options.pixel_size, volumes=options.sizes)
        return [path]

    holds = _HOLDS | words_of(more)
    return Format(name, label, sniff, _read, write, holds, ".star", endings, family="relion", described=described)


def _has_optics(start: FileStart) -> bool:
    named = r"^[ \t]*data_optics|^[ \t]*_rlnOpticsGroupName\b"  # a block may lack its name
    return start.is_star and start.matches(named)


def _is_5(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_rlnCenteredCoordinateXAngst\b")


def _is_4(start: FileStart) -> bool:
    return _has_optics(start) and "_rlnTomoName" in start.text


def _is_3_0(start: FileStart) -> bool:
    return start.is_star and "_rln" in start.text


def _never(_: FileStart) -> bool:
    return False  # the columns are those of RELION 3.0


RELION_3_0 = _version(
    "relion3.0", "RELION 3.0", _is_3_0, "images", ("voxels from the first", _ANGLES, "coordinate − origin (voxels)")
)
RELION_3_1 = _version(
    "relion3.1",
    "RELION 3.1",
    _has_optics,
    "images",
    (
        "voxels of the micrograph or tomogram (rlnMicrographPixelSize, …OriginalPixelSize), else of the boxes",
        "same",
        "coordinate − origin (Å)",
    ),
    (".star",),
)
RELION_4 = _version(
    "relion4",
    "RELION 4",
    _is_4,
    "id",
    ("voxels of the tilt series", "frame (rlnTomoSubtomogram…) @ angles", "coordinate − frame @ origin"),
)
RELION_5 = _version("relion5", "RELION 5", _is_5, "id", ("Å from size / 2", "same", "same"))
WARP = _version("warp", "Warp", _never, "images", ("voxels, or fractions 0 to 1 (read)", "as RELION", "as RELION 3.0"))


def _is_set(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_rlnTomoParticlesFile\b")


def _read_set(path: Path, _: ReadOptions) -> ParticleList:
    files = [file for file in volumes.read_optimisation_set(path) if file is not None]
    with reading_named_file(path, files[0]):
        particles = read_relion(files[0])
    particles.notes += note_files_outside(path, files)
    return particles


def _write_set(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    """Write RELION 5's particles and the optimisation set that names them and the tomograms.star they belong to."""
    if options.tomograms is None or options.tomograms.suffix != ".star":
        raise EmtomoError("An optimisation set names a tomograms.star; give it as the tomograms.")
    file = path.with_name(path.name.replace("optimisation_set", "particles"))
    write_relion(file, particles, "relion5", pixel_size=options.pixel_size, volumes=options.sizes)
    volumes.write_optimisation_set(path, file.name, str(options.tomograms.resolve()))
    return [path, file]


def _is_list(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_rlnTomoImportParticleFile\b")


def _read_list(path: Path, options: ReadOptions) -> ParticleList:
    """Read a list of coordinate files, as RELION's own import takes it: a tomogram's name and its file in every row."""
    table = next(b for b in star.read_blocks(path).values() if "rlnTomoImportParticleFile" in b)
    if len(table) == 0 or "rlnTomoName" not in table:
        raise FormatError(
            path, "a list of coordinate files needs the columns rlnTomoName and rlnTomoImportParticleFile."
        )
    parts, files = [], []
    for name, file in zip(
        star.words(table, "rlnTomoName"), star.words(table, "rlnTomoImportParticleFile"), strict=True
    ):
        found = find_referenced_file(path, str(file))
        files.append(found)
        if found.resolve() == path.resolve():
            raise FormatError(path, "the list names itself.")
        assert options.read_other is not None
        with reading_named_file(path, found):
            part = options.read_other(found)
        part.tomograms = np.full(len(part), name, object)
        parts.append(part)
    particles = concatenate(parts)
    particles.notes += [f"A list of {count_text(len(parts), 'coordinate file')}.", *note_files_outside(path, files)]
    return particles


COORDINATE_FILES = Format(
    "relion-coordinate-files",
    "RELION list of coordinate files",
    _is_list,
    _read_list,
    described=("those of the files that it names", "those of the files", "those of the files"),
)
OPTIMISATION_SET = Format(
    "optimisation-set",
    "RELION 5 optimisation set",
    _is_set,
    _read_set,
    _write_set,
    _HOLDS | words_of("id"),
    endings=(_SET,),
    family="relion",
    described=("those of the particles that it names", "as RELION 5", "as RELION 5"),
)
