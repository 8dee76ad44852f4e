"""In which pixel size coordinates and origins count, column by column, and what no pixel size can be."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError
from emtomo.io.convert import convert_particles
from emtomo.io.formats import read, write
from emtomo.io.particles import VolumeGeometry, convert_frame
from tests.io.seeds import write_seed

TOMOGRAM = {"TS_01": VolumeGeometry((40, 36, 24), 10.0), "TS_02": VolumeGeometry((40, 36, 24), 10.0)}
XYZ = "_rlnCoordinateX _rlnCoordinateY _rlnCoordinateZ"
ORIGINS = "_rlnOriginXAngst _rlnOriginYAngst _rlnOriginZAngst"


def loop(name, columns, *rows):
    return f"data_{name}\n\nloop_\n" + "\n".join(columns.split()) + "\n" + "\n".join(rows) + "\n\n"


def save(folder, *blocks, name="a.star"):
    path = folder / name
    path.write_text("".join(blocks))
    return path


def voxels(path, given=None, of="positions"):
    """Refined centres in voxels of the 10 Å tomograms."""
    found = read(path)
    if given:
        found.set_pixel_size(given, of)
    return convert_frame(found, "voxel", "corner", pixel_size=10.0, volumes=TOMOGRAM).centres


def test_warp_and_relion_3_count_in_boxes_relion_4_in_the_tilt_series(tmp_path):
    row = "TS_01 24 40 18 1"
    boxes = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0")
    particles = loop("particles", f"_rlnMicrographName {XYZ} _rlnOpticsGroup", row)
    assert_allclose(voxels(save(tmp_path, boxes, particles)), [[12, 20, 9]])
    both = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize _rlnTomoTiltSeriesPixelSize", "1 20.0 2.5")
    four = loop("particles", f"_rlnTomoName {XYZ} _rlnOpticsGroup", "TS_01 48 80 36 1")
    found = read(save(tmp_path, both, four))
    assert found.box_pixel_size.tolist() == [20.0] and not found.counts_in_boxes
    assert_allclose(voxels(save(tmp_path, both, four)), [[12, 20, 9]])
    binned = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize _rlnTomoSubtomogramBinning", "1 20.0 8")
    assert_allclose(voxels(save(tmp_path, binned, four)), [[12, 20, 9]])
    for column in ("_rlnTomoTiltSeriesPixelSize", "_rlnMicrographPixelSize"):  # beside the particles, not in the optics
        beside = loop("particles", f"_rlnTomoName {XYZ} _rlnOpticsGroup {column}", "TS_01 48 80 36 1 2.5")
        assert_allclose(voxels(save(tmp_path, boxes, beside)), [[12, 20, 9]])
    three = loop("", f"_rlnMicrographName {XYZ} _rlnMagnification _rlnDetectorPixelSize", "TS_01 24 40 18 10000 5")
    assert_allclose(voxels(save(tmp_path, three)), [[12, 20, 9]])


def test_a_size_of_the_detector_without_magnification_is_in_angstrom(tmp_path):
    columns = f"{XYZ} _rlnLCCmax _rlnDetectorPixelSize _rlnMicrographName"
    path = save(tmp_path, loop("", columns, "6 10 4.5 0.434 20.0 TS_01.tomostar", "3 4 5 0.3 20.0 TS_02"))
    assert_allclose(voxels(path), [[12, 20, 9], [6, 8, 10]])
    assert read(path).columns["score"].tolist() == [0.434, 0.3]


def test_a_pixel_size_that_is_given_scales_coordinates_but_no_origins_in_angstrom(tmp_path):
    optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0")
    rows = loop("particles", f"_rlnMicrographName {XYZ} {ORIGINS} _rlnOpticsGroup", "TS_01 12 20 9 20 0 -30 1")
    path = save(tmp_path, optics, rows)
    assert_allclose(voxels(path, 10.0), [[10, 20, 12]])
    assert_allclose(voxels(path), [[4, 10, 7.5]])
    convert_particles(path, tmp_path / "b.star", to="relion3.1", pixel_size=10.0)
    assert_allclose(voxels(tmp_path / "b.star"), [[10, 20, 12]])
    assert_allclose(read(tmp_path / "b.star").shifts, [[-20, 0, 30]])
    convert_particles(path, tmp_path / "c.tbl", pixel_size=10.0)
    assert_allclose(read(tmp_path / "c.tbl").shifts, [[-2, 0, 3]])


def test_origins_in_angstrom_need_no_size_in_the_file(tmp_path):
    rows = ("tomograms/TS_01.mrc 12 20 9 10 -20 5 1", "tomograms/TS_02.mrc 12 20 9 0 0 0 2")
    path = save(tmp_path, loop("particles", f"_rlnMicrographName {XYZ} {ORIGINS} _rlnOpticsGroup", *rows))
    assert_allclose(voxels(path), [[11, 22, 8.5], [12, 20, 9]])  # from the tomograms
    assert_allclose(voxels(path, 10.0), [[11, 22, 8.5], [12, 20, 9]])  # from the form
    with pytest.raises(EmtomoError, match="length of a voxel"):
        write(tmp_path / "b.tbl", read(path), "dynamo")


def test_voxel_origins_count_in_voxels_of_the_boxes(tmp_path):
    columns = f"_rlnMicrographName {XYZ} _rlnOriginX _rlnOriginY _rlnOriginZ"
    path = save(tmp_path, loop("", columns, "TS_01 24 40 18 2 0 -3", "TS_02 26 42 20 0 0 0"))
    found = read(path)
    found.set_pixel_size(5.0, of="boxes")
    here = convert_frame(found, "angstrom", "centre", volumes=TOMOGRAM)
    assert_allclose(here.shifts, [[-10, 0, 15], [0, 0, 0]])
    assert_allclose(here.positions[0], [-80, 20, -30])


def test_numbers_that_are_missing_are_passed_over(tmp_path):
    columns = f"{XYZ} _rlnMicrographName _rlnAutopickFigureOfMerit _rlnPixelSize"
    path = save(tmp_path, loop("", columns, "1 2 3 TS_01 nan nan", "2 3 4 TS_01 0.5 nan"))
    assert_allclose(voxels(path), [[1, 2, 3], [2, 3, 4]])
    assert any("1 of 2 cells of rlnAutopickFigureOfMerit" in note for note in read(path).notes)


@pytest.mark.parametrize("size", ["0.0", "-10", "nan", "inf", "wide"])
@pytest.mark.parametrize("where", ["optics", "column", "detector"])
def test_no_particle_has_a_pixel_size_that_cannot_be(size, where, tmp_path):
    if where == "optics":
        optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "2 5.0", f"1 {size}")
        path = save(tmp_path, optics, loop("particles", f"_rlnMicrographName {XYZ} _rlnOpticsGroup", "TS_01 1 2 3 1"))
    else:
        column = "_rlnPixelSize" if where == "column" else "_rlnDetectorPixelSize"
        path = save(tmp_path, loop("", f"_rlnTomoName {XYZ} {column}", "TS_01 1 2 3 5.0", f"TS_01 1 2 3 {size}"))
    with pytest.raises(EmtomoError, match=r"a.star, line \d+: rln\w+Size must be a finite number above 0 Å"):
        read(path)


def test_text_and_other_programs_are_checked_too(tmp_path):
    path = save(tmp_path, "tomogram_id,x,y,z,pixel_size\nTS_01,12,20,9,0\n", name="a.csv")
    with pytest.raises(EmtomoError, match="line 2: pixel_size must be above 0 Å, got 0"):
        read(path)
    with pytest.raises(EmtomoError, match="must be above 0 Å, got -1"):
        read(save(tmp_path, "x,y,z\n1,2,3\n", name="b.csv")).set_pixel_size(-1.0)
    points = '{"points": [{"location": {"x": 1, "y": 2, "z": 3}}], "voxel_spacing": %s}'
    with pytest.raises(EmtomoError, match="voxel_spacing must be above 0"):
        read(save(tmp_path, points % 0, name="c.json"))
    tbl = " ".join(["1"] * 35 + ["-5"])
    with pytest.raises(EmtomoError, match="apix"):
        read(save(tmp_path, tbl + "\n", name="d.tbl"))


def test_a_particle_of_an_optics_group_that_is_not_there_is_refused(tmp_path):
    optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0")
    rows = loop("particles", f"_rlnMicrographName {XYZ} _rlnOpticsGroup", "TS_01 1 2 3 1", "TS_01 1 2 3 2")
    with pytest.raises(EmtomoError, match=re.escape("optics group 2 is not in the table of optics, which has 1")):
        read(save(tmp_path, optics, rows))
    two = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0", "2 10.0")
    with pytest.raises(EmtomoError, match="the table of particles has no rlnOpticsGroup"):
        read(save(tmp_path, two, loop("particles", f"_rlnMicrographName {XYZ}", "TS_01 1 2 3")))
    with pytest.raises(EmtomoError, match="optics group 1 is in the table of optics twice"):
        read(save(tmp_path, two.replace("2 10.0", "1 10.0"), rows))
    old = loop("optics", "_rlnOpticsGroup _rlnDetectorPixelSize _rlnMagnification", "1 5.0 10000", "2 10 10000")
    assert_allclose(voxels(save(tmp_path, old, rows)), [[0.5, 1, 1.5], [1, 2, 3]])


def test_origins_in_angstrom_and_in_voxels_count_along_each_axis(tmp_path):
    optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0")
    both = f"_rlnMicrographName {XYZ} _rlnOpticsGroup _rlnOriginX _rlnOriginY _rlnOriginZ {ORIGINS}"
    mixed = f"_rlnMicrographName {XYZ} _rlnOpticsGroup _rlnOriginXAngst _rlnOriginYAngst _rlnOriginZ"
    one = f"_rlnMicrographName {XYZ} _rlnOpticsGroup _rlnOriginZAngst _rlnAngleRot _rlnAngleTilt"
    path = save(tmp_path, optics, loop("particles", mixed, "TS_01 24 40 18 1 10 -20 3"))
    assert_allclose(voxels(path), [[11, 22, 7.5]])
    path = save(tmp_path, optics, loop("particles", both, "TS_01 24 40 18 1 1 2 3 0 0 10"))
    assert_allclose(voxels(path), [[12, 20, 8]])
    assert "those in Å are taken" in read(path).notes[0]
    path = save(tmp_path, optics, loop("particles", one, "TS_01 24 40 18 1 10 0 90"))
    assert_allclose(voxels(path), [[12, 20, 8]])
    assert read(path).notes == ["rlnAnglePsi is missing: taken as 0."]
    assert_allclose(read(path).rotations[0, :, 2], [-1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("kind", ["motl", "stopgap", "eman", "imod", "dynamo"])
def test_voxels_of_several_sizes_in_a_tomogram_are_written_in_one(kind, tmp_path):
    optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0", "2 10.0")
    rows = loop("particles", f"_rlnMicrographName {XYZ} _rlnOpticsGroup", "TS_01 24 40 18 1", "TS_01 12 20 9 2")
    found = read(save(tmp_path, optics, rows))
    path = write(tmp_path / "TS_01_info.json", found, kind)[0]
    assert_allclose(read(path, kind).centres, [[24, 40, 18]] * 2, atol=1e-5)
    again = read(write(tmp_path / "TS_01_info.json", found, kind, sizes=TOMOGRAM)[0], kind)
    assert_allclose(again.centres - again.centres[0], 0, atol=1e-5)


def test_a_fourth_column_of_fractions_is_a_score(tmp_path):
    found = read(save(tmp_path, "12.5 20.25 9.75 0.98\n13 21 10 0.5\n", name="a.txt"))
    assert found.columns["score"].tolist() == [0.98, 0.5] and "group" not in found.columns
    found = read(save(tmp_path, "12.5 20.25 9.75 2\n13 21 10 1\n", name="b.txt"))
    assert found.columns["group"].tolist() == [2, 1] and "score" not in found.columns


def test_a_list_of_coordinate_files_is_followed(tmp_path):
    (tmp_path / "coords").mkdir()
    save(tmp_path / "coords", "12 20 9\n13 21 10\n", name="TS_01.coords")
    save(tmp_path / "coords", "  5\t6   7\n8 9 10\n", name="TS_02.coords")
    names = ("TS_01 coords/TS_01.coords", "TS_02 coords/TS_02.coords")
    found = read(save(tmp_path, loop("", "_rlnTomoName _rlnTomoImportParticleFile", *names)))
    assert found.tomograms.tolist() == ["TS_01", "TS_01", "TS_02", "TS_02"]
    assert_allclose(found.positions[[0, 3]], [[12, 20, 9], [8, 9, 10]])


@pytest.mark.parametrize("kind", ["relion3.0", "relion3.1", "relion4", "dynamo", "text"])
def test_what_is_written_with_another_pixel_size_lies_at_the_same_place(kind, tmp_path):
    optics = loop("optics", "_rlnOpticsGroup _rlnImagePixelSize", "1 5.0")
    rows = loop("particles", f"_rlnMicrographName {XYZ} {ORIGINS} _rlnOpticsGroup", "TS_01 24 40 18 20 0 -30 1")
    given = read(save(tmp_path, optics, rows))
    suffix = {"dynamo": "tbl", "text": "csv"}.get(kind, "star")
    file = write(tmp_path / f"b.{suffix}", given, kind, pixel_size=2.5)[0]
    assert_allclose(voxels(file, 2.5 if kind == "dynamo" else None), [[10, 20, 12]], err_msg=kind)
    assert np.allclose(read(file).pixel_size, 2.5)


def test_lists_of_stopgap_and_peet_say_their_pixel_size(tmp_path):
    names = "tomo_num orig_x orig_y orig_z pixelsize"
    stopgap = loop("stopgap_motivelist", " ".join(f"_{name}" for name in names.split()), "1 24 40 18 5")
    assert_allclose(read(save(tmp_path, stopgap)).pixel_size, 5)
    with pytest.raises(EmtomoError, match="pixelsize must be above 0"):
        read(save(tmp_path, stopgap.replace(" 5\n", " 0\n")))
    found = read(write_seed("peet", tmp_path))
    assert found.pixel_size.tolist() == read(tmp_path / "run.mod").pixel_size.tolist() == [10.0] * 3
