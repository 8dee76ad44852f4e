"""Imported particles lie where their files say, in the unit that their files say, within their tomograms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.extraction import box_starts, fits
from emtomo.errors import EmtomoError
from emtomo.io import formats, mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
XYZ = "_rlnCoordinateX _rlnCoordinateY _rlnCoordinateZ"


def blob(shape=(24, 36, 40), value=-1.0):
    z, y, x = np.indices(shape)
    return (value * np.exp(-((x - 12) ** 2 + (y - 20) ** 2 + (z - 9) ** 2) / 8)).astype(np.float32)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("places") / "project")
    folder = made.project.path_of("in") if hasattr(made.project, "path_of") else tmp_path_factory.mktemp("in")
    for name in ("TS_01", "TS_02"):
        mrc.write_volume(folder / f"{name}.mrc", blob(), 10.0)
    made.folder = folder
    made.run("import-tomograms", "tomos", files=folder, pattern="*.mrc", tilt_min=-60, tilt_max=60)
    return made


def star(folder, name, columns, *rows, optics=""):
    path = folder / name
    head = f"data_optics\n\nloop_\n{optics}\n\n" if optics else ""
    loop = "\n".join(columns.split()) + "\n" + "\n".join(rows)
    path.write_text(f"{head}data_particles\n\nloop_\n{loop}\n")
    return path


def boxes(folder):
    for k in range(2):
        mrc.write_volume(folder / f"p{k}.mrc", np.ones((16, 16, 16), np.float32), 5.0)


def test_boxes_lie_where_their_own_pixel_size_says(bench, tmp_path):
    boxes(tmp_path)
    columns = f"_rlnMicrographName {XYZ} _rlnOriginXAngst _rlnOriginYAngst _rlnOriginZAngst _rlnOpticsGroup "
    columns += "_rlnImageName _rlnAngleRot _rlnAngleTilt _rlnAnglePsi"
    optics = "_rlnOpticsGroup\n_rlnImagePixelSize\n1 5.0"
    rows = ("TS_01.tomostar 24 40 18 0 0 0 1 p0.mrc 0 0 0", "TS_02.tomostar 26 42 20 10 0 0 1 p1.mrc 10 20 30")
    path = star(tmp_path, "warp.star", columns, *rows, optics=optics)
    found = bench.run("import-subtomograms", "warp", files=path, tomograms="tomos.tomograms").subtomograms
    assert_allclose(found.frame()[["x", "y", "z"]], [[-80, 20, -30], [-70, 30, -20]], atol=1e-4)
    assert_allclose(found.frame()["shift_x"], [0, -10], atol=1e-4)
    alone = bench.run("import-subtomograms", "alone", files=path).subtomograms.frame()
    assert_allclose(alone[["x", "y", "z"]].iloc[0], [120, 200, 90], atol=1e-4)
    optics = "_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnTomoTiltSeriesPixelSize\n1 20.0 2.5"
    four = star(tmp_path, "four.star", columns.replace("rlnMicrographName", "rlnTomoName"),
                "TS_01 48 80 36 0 0 0 1 p0.mrc 0 0 0", optics=optics)  # fmt: skip
    done = bench.run("import-subtomograms", "relion 4", files=four)
    assert "which is taken: " in " ".join(done.summary()) and "p0.mrc 5 Å; check which is right" in " ".join(
        done.summary()
    )
    alone = done.subtomograms
    assert_allclose(alone.frame()[["x", "y", "z"]], [[120, 200, 90]], atol=1e-4)
    assert alone.pixel_size.get() == 20.0


def test_voxel_origins_take_the_forms_size(bench, tmp_path):
    boxes(tmp_path)
    columns = f"_rlnMicrographName {XYZ} _rlnOriginX _rlnOriginY _rlnOriginZ _rlnImageName"
    path = star(tmp_path, "r30.star", columns, "TS_01.tomostar 24 40 18 2 0 -3 p0.mrc")
    for label, given in (("given", {"pixel_size": 5}), ("from headers", {})):
        found = bench.run("import-subtomograms", label, files=path, tomograms="tomos.tomograms", **given).subtomograms
        row = found.frame().iloc[0]
        assert_allclose(row[["shift_x", "shift_y", "shift_z"]].astype(float), [-10, 0, 15], atol=1e-4)
        assert_allclose(row[["x", "y", "z"]].astype(float), [-80, 20, -30], atol=1e-4)


@pytest.mark.parametrize("downsampling", [1, 2])
def test_boxes_that_go_out_come_back_to_their_places(bench, downsampling, tmp_path):
    points = tmp_path / "picks.csv"
    points.write_text("tomogram_id,x,y,z,rot,tilt,psi\nTS_01,12,20,9,10,20,30\nTS_02,25,17,12,0,0,0\n")
    label = f"by {downsampling}"
    bench.run("import-coordinates", f"{label} picks", tomograms="tomos.tomograms", files=points)
    bench.run(
        "extract-subtomograms", f"{label} boxes", coordinates=f"{label} picks.coordinates", box_size=8,
        downsampling=downsampling, border="pad",
    )  # fmt: skip
    target = tmp_path / "out.star"
    bench.run("export-particles-star", f"{label} out", subtomograms=f"{label} boxes.subtomograms", file=target)
    back = bench.run(
        "import-subtomograms", f"{label} back", files=target, tomograms="tomos.tomograms"
    ).subtomograms.frame()
    there = bench.project.find(f"{label} boxes").subtomograms.frame()
    for column in ("x", "y", "z", "shift_x", "shift_y", "shift_z", "r11", "r23"):
        assert_allclose(back[column], there[column], atol=1e-3, err_msg=column)


def test_positions_outside_are_reported_with_the_unit_that_would_fit(bench, tmp_path):
    run = lambda label, text, **given: bench.fails(  # noqa: E731
        "import-coordinates", label, tomograms="tomos.tomograms", files=_text(tmp_path, label, text), **given
    )
    said = run("unbinned", "tomogram_id,x,y,z\nTS_01,60,70,40\nTS_01,70,30,40\nTS_02,44,50,40\n")
    assert "3 of 3 positions lie outside" in said and "all lie inside if the pixel size is 5 Å" in said
    said = run("angstrom", "tomogram_id,x,y,z\nTS_01,300,200,90\nTS_01,390,350,200\n")
    assert "all lie inside if these are Å from the first voxel" in said
    said = run("nowhere", "tomogram_id,x,y,z\nTS_01,9999999,1,1\n")
    assert "1 of 1 positions lies outside" in said
    rows = "TS_01,12,20,9\n" * 3 + "TS_01,45,20,9\n"
    path = _text(tmp_path, "one", f"tomogram_id,x,y,z\n{rows}")
    done = bench.run("import-coordinates", "one", tomograms="tomos.tomograms", files=path)
    assert "1 of 4 positions lies outside their tomogram" in " ".join(done.summary())


def test_clicks_in_voxels_taken_for_angstrom_are_reported(bench, tmp_path):
    path = _text(
        tmp_path, "clicks", "tomogram_id,group,x,y,z\n" + "TS_01,1,12,20,9\nTS_01,1,13,21,10\nTS_01,1,14,19,9\n"
    )
    done = bench.run("pick-manually", "clicks", tomograms="tomos.tomograms", points=path, unit="angstrom")
    assert "are they in voxels?" in " ".join(done.summary())
    far = _text(tmp_path, "far", "tomogram_id,x,y,z\nTS_01,300,250,100\nTS_01,380,20,10\n")
    said = bench.fails("pick-manually", "far", tomograms="tomos.tomograms", points=far, unit="angstrom")
    assert "Å from the first voxel instead of the centre" in said


def _text(folder, name, text):
    path = folder / f"{name}.csv"
    path.write_text(text)
    return path


def test_positions_that_cannot_be_reach_no_kernel():
    for bad in (np.nan, np.inf, 1e19, -1e19):
        with pytest.raises(EmtomoError, match="Particle 2 lies at"):
            box_starts(np.array([[1.0, 2, 3], [bad, 2, 3]]), 8)
    starts, _ = box_starts(np.array([[1e6, 2, 3]]), 8)
    assert not fits(starts, 8, (10, 10, 10)).any()


def test_white_tomograms_stay_white(bench, tmp_path):
    folder = tmp_path / "white"
    folder.mkdir()
    mrc.write_volume(folder / "TS_01.mrc", blob(value=1.0), 10.0)
    raw = bytearray((folder / "TS_01.mrc").read_bytes())
    raw[224:228] = b"EMAN"
    (folder / "TS_01.mrc").write_bytes(bytes(raw))
    for label, given, white in (("auto", {}, True), ("dark", {"white": "no"}, False)):
        found = bench.run("import-tomograms", f"white {label}", files=folder / "TS_01.mrc", **given).tomograms
        assert bool(found.white.get()) is white
    binned = bench.run("bin-tomograms", "white binned", tomograms="white auto.tomograms", factor=2).tomograms
    assert bool(binned.white.get())
    mrc.write_volume(folder / "TS_02_10.00Apx.mrc", blob(value=1.0), 10.0)
    run = bench.run("import-tomograms", "named as by Warp", files=folder / "TS_02_10.00Apx.mrc")
    assert "import them with white=yes" in " ".join(run.summary()) and not run.tomograms.white.get()


def test_half_maps_of_another_pixel_size_are_refused(bench, tmp_path):
    for name, size in (("full", 1.0), ("h1", 2.0), ("h2", 2.0)):
        mrc.write_volume(tmp_path / f"{name}.mrc", np.random.default_rng(0).normal(size=(8, 8, 8)), size)
    files = {"file": tmp_path / "full.mrc", "half1": tmp_path / "h1.mrc", "half2": tmp_path / "h2.mrc"}
    said = bench.fails("import-volume", "halves", kind="average", **files)
    assert "different pixel sizes: full.mrc 1 Å, h1.mrc 2 Å" in said
    done = bench.run("import-volume", "halves given", kind="average", pixel_size=2, **files)
    assert done.average.pixel_size.get() == 2.0 and "different pixel sizes" in " ".join(done.summary())
    done = bench.run("import-volume", "another size", file=tmp_path / "h1.mrc", pixel_size=5)
    assert "The header of h1.mrc says a pixel size of 2 Å; 5 Å is taken." in done.summary()


def test_an_odd_binned_size_is_reported(bench, tmp_path):
    """110 slices binned by 2 are 55, whose centre 27 is slice 54 of the 110, not 55."""
    mrc.write_volume(tmp_path / "TS_odd.mrc", np.zeros((10, 12, 16), np.float32), 10.0)  # 10 -> 5, centre 2, not 2.5
    bench.run("import-tomograms", "odd", files=tmp_path / "TS_odd.mrc")
    path = _text(tmp_path, "odd", "tomogram_id,x,y,z,pixel_size\nTS_odd,4,3,2,20\n")
    done = bench.run("import-coordinates", "odd picks", tomograms="odd.tomograms", files=path)
    assert "whose first voxel lies 0, 0, 1 voxels (x, y, z) further in" in " ".join(done.summary())
    bench.run("bin-tomograms", "odd binned", tomograms="odd.tomograms", factor=2)
    there = bench.run("import-coordinates", "binned picks", tomograms="odd binned.tomograms", files=path)
    assert_allclose(there.coordinates.frame()[["x", "y", "z"]], [[0, 0, 0]], atol=1e-6)  # the centre, of both
    assert "further in" not in " ".join(there.summary())


def test_an_odd_binned_size_is_exact_where_the_binned_tomograms_are_named(bench, tmp_path):
    """A table without a comment counts in voxels of the tomogram binned by 2, whose 19 rows have voxel 9 = row 19."""
    mrc.write_volume(tmp_path / "whole.mrc", blob((24, 38, 44)), 10.0)
    bench.run("import-tomograms", "whole", files=tmp_path / "whole.mrc")
    bench.run("bin-tomograms", "half", tomograms="whole.tomograms", factor=2)
    path = tmp_path / "whole.tbl"
    path.write_text(" ".join(["1"] + ["0"] * 22 + ["11.0", "9.0", "6.0"] + ["0"] * 9) + "\n")
    given = {"named": {"tomograms": "whole.tomograms", "counted_in": "half.tomograms"},
             "binned": {"tomograms": "half.tomograms"}}  # fmt: skip
    for label, inputs in given.items():
        run = bench.run("import-coordinates", f"counted {label}", files=path, **inputs)
        assert_allclose(run.coordinates.positions(), [[0, 0, 0]], atol=1e-6)
        assert "binned by" not in " ".join(run._summary())
    assert "No pixel size is given" in " ".join(run._summary())
    bench.run("export-coordinates", "motive list", particles="counted binned.coordinates", format="stopgap",
              file=tmp_path / "list.star")  # fmt: skip
    back = bench.run("import-coordinates", "list back", tomograms="whole.tomograms", files=tmp_path / "list.star")
    assert_allclose(back.coordinates.positions(), [[0, 0, 0]], atol=1e-6)  # STOPGAP's columns say no pixel size
    assert "No pixel size" not in " ".join(back._summary())
    boxes(tmp_path)
    columns = f"_rlnMicrographName {XYZ} _rlnImageName _rlnPixelSize"
    stars = star(tmp_path, "whole.star", columns, "whole 11 9 6 p0.mrc 20")
    run = bench.run("import-subtomograms", "counted boxes", files=stars, **given["named"])
    assert_allclose(run.subtomograms.frame()[["x", "y", "z"]], [[0, 0, 0]], atol=1e-6)
    wrong = bench.run("import-coordinates", "counted off", files=path, tomograms="whole.tomograms", pixel_size=20)
    assert "name those as counted_in" in " ".join(wrong._summary())
    assert_allclose(wrong.coordinates.positions(), [[0, -10, 0]], atol=1e-6)


def test_relion5_gets_positions_from_half_the_unbinned_size(bench, tmp_path):
    """The centre of 38 rows binned to 19 is row 19: RELION's origin in 38 rows, half a row off in 19."""
    mrc.write_volume(tmp_path / "r5.mrc", blob((24, 38, 45)), 10.0)
    bench.run("import-tomograms", "r5", files=tmp_path / "r5.mrc")
    bench.run("bin-tomograms", "r5 half", tomograms="r5.tomograms", factor=2)
    path = _text(tmp_path, "r5", "tomogram_id,x,y,z,pixel_size\nr5,11,9,6,20\n")
    run = bench.run("import-coordinates", "r5 picks", tomograms="r5 half.tomograms", files=path)
    assert_allclose(run.coordinates.positions(), [[0, 0, 0]], atol=1e-6)
    bench.run("export-coordinates", "r5 out", particles="r5 picks.coordinates", format="relion5",
              file=tmp_path / "r5.star")  # fmt: skip
    found = formats.read(tmp_path / "r5.star")
    assert_allclose(found.positions, [[-5, 0, 0]], atol=1e-4)  # 45 columns: half is 22.5, the centre voxel 22
    back = bench.run("import-coordinates", "r5 back", tomograms="r5 half.tomograms", files=tmp_path / "r5.star")
    assert_allclose(back.coordinates.positions(), [[0, 0, 0]], atol=1e-3)
    lines = (tmp_path / "r5.star").read_text().splitlines()
    (tmp_path / "r5.star").write_text("\n".join(line for line in lines if "emtomo:" not in line) + "\n")
    for tomograms in ("r5", "r5 half"):  # RELION keeps no comment
        back = bench.run("import-coordinates", f"{tomograms} again", tomograms=f"{tomograms}.tomograms",
                         files=tmp_path / "r5.star")  # fmt: skip
        assert_allclose(back.coordinates.positions(), [[0, 0, 0]], atol=1e-3)


def test_one_volume_of_a_stack_is_imported(bench, tmp_path):
    stack = np.stack([blob(), 2 * blob(), 3 * blob()])
    mrc.write_volume(tmp_path / "three.mrc", stack, 10.0)
    assert "it holds 3 volumes" in bench.fails("import-tomograms", "three", files=tmp_path / "three.mrc")
    run = bench.run("import-tomograms", "second", files=tmp_path / "three.mrc", dataset="2")
    assert_allclose(mrc.read_volume(run.tomograms.frame()["file"].iloc[0]), stack[1])
    assert list(run.tomograms.tomogram_ids()) == ["three_2"]  # the others of the file get names of their own
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        mrc.write_volume(tmp_path / name / "of one name.mrc", stack[0], 10.0)
    assert "{TS}" in bench.fails("import-tomograms", "twice", files=tmp_path, pattern="*/of one name.mrc")
    run = bench.run("import-tomograms", "folders", files=tmp_path, pattern="{TS}/of one name.mrc")
    assert list(run.tomograms.tomogram_ids()) == ["a", "b"]
    cube = np.stack([blob((16, 16, 16)) + k for k in range(2)])
    mrc.write_volume(tmp_path / "cubes.mrc", cube, 10.0)
    run = bench.run("import-volume", "second cube", file=tmp_path / "cubes.mrc", dataset="2", white="yes")
    assert_allclose(mrc.read_volume(run.volume.file.get()), cube[1])


def test_the_contrast_of_a_volume_is_what_wrote_it_or_what_it_looks_like(bench, tmp_path):
    z, y, x = np.indices((16, 16, 16)) - 8
    ball = (x**2 + (y - 2) ** 2 + z**2 < 16).astype(np.float32)
    mrc.write_volume(tmp_path / "dark.mrc", 5 - ball, 4.0)
    mrc.write_volume(tmp_path / "white.mrc", ball, 4.0)
    mrc.write_volume(tmp_path / "eman.mrc", 5 - ball, 4.0)
    raw = bytearray((tmp_path / "eman.mrc").read_bytes())
    raw[224:228] = b"EMAN"  # whose volumes are white, whatever they look like
    (tmp_path / "eman.mrc").write_bytes(bytes(raw))
    for name, white, expected, said in (
        ("dark", "auto", ball - 5, "looks dark"), ("white", "auto", ball, ""), ("eman", "auto", 5 - ball, ""),
        ("dark", "yes", 5 - ball, ""), ("white", "no", -ball, "inverted to white"),
    ):  # fmt: skip
        run = bench.run("import-volume", f"contrast {name} {white}", file=tmp_path / f"{name}.mrc", white=white)
        assert_allclose(mrc.read_volume(run.volume.file.get()), expected)
        assert said in " ".join(run._summary())
        assert said or "dark" not in " ".join(run._summary())
