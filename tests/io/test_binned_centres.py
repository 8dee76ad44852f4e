"""The centre of a tomogram binned to an odd size is exact, in every format that counts from the first voxel."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.fourier.resampling import size_after_resampling
from emtomo.io.convert import convert_particles
from emtomo.io.formats import FORMATS, WRITTEN, read, write
from emtomo.io.particles import ParticleList, VolumeGeometry, convert_frame
from emtomo.io.tags import Tags
from tests.io.test_round_trips import FLOAT32, POSITIONED

PIXEL = 4.0
SIZES = ((110, 96, 55), (111, 97, 62), (108, 101, 57))
FACTORS = (1, 2, 3, 4)
TAGGED = tuple(kind for kind in POSITIONED if "tags" in FORMATS[kind].holds)
PLACES = np.array([[0.0, 0, 0], [40, -36, 12], [-81.5, 20.25, -33]])  # Å from the centre


def binned(size: tuple[int, int, int], factor: int) -> dict[str, VolumeGeometry]:
    x, y, z = (size_after_resampling(n, factor) for n in size)
    return {"TS_01": VolumeGeometry((x, y, z), PIXEL * factor)}


def picked(factor: int) -> ParticleList:
    names = np.full(len(PLACES), "TS_01", object)
    return ParticleList(
        names, PLACES.copy(), np.zeros((len(PLACES), 3)), np.repeat(np.eye(3)[None], len(PLACES), axis=0),
        unit="angstrom", origin="centre", pixel_size=np.full(len(PLACES), PIXEL * factor),
    )  # fmt: skip


def write_and_read(kind, factor, sizes, folder):
    name = "TS_01_info.json" if kind == "eman" else f"TS_01{FORMATS[kind].suffix}"
    files = write(folder / name, picked(factor), kind, sizes=sizes)
    maps = [file for file in files if file.suffix == ".doc"]
    found = read(next(f for f in files if f not in maps), table_map=maps[0] if maps else None, sizes=sizes)
    if not found.tomograms.any():
        found.tomograms = np.full(len(found), "TS_01", object)
    if not np.isfinite(found.pixel_size).all():
        found.set_pixel_size(PIXEL * factor)
    return found


def places(found, volumes):
    centres = convert_frame(found, "angstrom", "centre", volumes=volumes).centres
    return centres[np.argsort(centres[:, 0])]


def expected():
    return PLACES[np.argsort(PLACES[:, 0])]


@pytest.mark.parametrize("kind", POSITIONED)
def test_positions_in_binned_tomograms_lie_where_they_were_picked(kind, tmp_path):
    """Counted from the first voxel of the binned tomogram and read with it."""
    for size, factor in itertools.product(SIZES, FACTORS):
        volumes = binned(size, factor)
        found = write_and_read(kind, factor, volumes, tmp_path)
        assert_allclose(places(found, volumes), expected(), atol=2e-3 if kind in FLOAT32 else 1e-4)


@pytest.mark.parametrize("kind", TAGGED)
def test_files_of_binned_tomograms_are_exact_in_unbinned_ones(kind, tmp_path):
    """The file says where the centre was: 110 slices binned by 2 are 55, whose voxel 27 is slice 55 and not 54."""
    for size, factor in itertools.product(SIZES, FACTORS):
        found = write_and_read(kind, factor, binned(size, factor), tmp_path)
        assert_allclose(places(found, binned(size, 1)), expected(), atol=1e-4)


def test_relion5_counts_from_half_the_unbinned_size(tmp_path):
    """110 slices binned by 2 are 55: the centre, voxel 27, is slice 55, which is half of 110."""
    for size in ((110, 96, 110), (111, 97, 61)):
        write(tmp_path / "a.star", picked(2), "relion5", sizes=binned(size, 1))
        found = read(tmp_path / "a.star")
        # RELION's origin lies half a voxel of 4 Å behind the centre voxel of odd sizes
        assert_allclose(found.positions, PLACES - 2.0 * (np.array(size) % 2), atol=1e-4)
        found.tags.half = None  # as RELION would write it again
        assert_allclose(places(found, binned(size, 1)), expected(), atol=1e-4)


def test_the_first_voxel_of_a_binned_tomogram_is_not_that_of_the_unbinned_one(tmp_path):
    volumes = binned((110, 110, 110), 2)
    write(tmp_path / "a.star", picked(2), "relion3.1", sizes=volumes)
    found = read(tmp_path / "a.star")
    assert_allclose(found.positions[0], 27)  # voxel 55 // 2
    assert found.tags.centre == (216, 216, 216)
    assert_allclose(convert_frame(found, "voxel", "centre", pixel_size=PIXEL).positions[0], 0, atol=1e-9)
    found.set_pixel_size(8.0)
    assert found.tags.centre is not None
    found.set_pixel_size(10.0)  # the file's centre was of 8 Å
    assert found.tags.centre is None


def test_conversions_between_files_keep_the_centre(tmp_path):
    write(tmp_path / "a.star", picked(2), "relion3.1", sizes=binned((110, 96, 55), 2))
    convert_particles(tmp_path / "a.star", tmp_path / "b.csv")
    assert_allclose(places(read(tmp_path / "b.csv"), binned((110, 96, 55), 1)), expected(), atol=1e-4)


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "nan,1,1", "-1,2,3", "1,2,3,4", ""])
def test_a_centre_that_cannot_be_is_passed_over(text):
    tags = Tags()
    tags.take_text(f"emtomo: centre={text} white=1")
    assert tags.centre is None and tags.white


def test_the_centre_survives_as_text():
    tags, back = Tags(centre=(216.0, 188.5, 1 / 3)), Tags()
    back.take_text(tags.as_text())
    assert_allclose(back.centre, tags.centre)
    assert "eman-list" in WRITTEN  # without positions: not tried above
