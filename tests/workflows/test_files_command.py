"""The verbs on files of other programs, and import and export in a project, as a user types them."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.io import formats, mrc, poses
from emtomo.io.formats import FORMATS, read
from emtomo.io.particles import VolumeGeometry, convert_frame
from tests.command import emtomo
from tests.engine.helpers import SAMPLE, Bench
from tests.io.seeds import particles, write_seed

pytestmark = [pytest.mark.workflow]


def test_convert_and_its_messages(tmp_path):
    path = write_seed("dynamo", tmp_path)
    done = emtomo("convert", path, tmp_path / "a b.star", "--table-map", path.with_suffix(".doc"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "a b.star")
    assert "Recognised Dynamo table: 6 particles in 2 tomograms" in done.stderr
    bad = emtomo("convert", tmp_path / "gone.tbl", tmp_path / "x.star")
    assert bad.returncode == 2 and "gone.tbl: cannot be read" in bad.stderr and "Traceback" not in bad.stderr
    lost = emtomo("convert", path, tmp_path / "no folder" / "x.star", "--pixel-size", 2)
    assert lost.returncode == 2 and "There is no folder" in lost.stderr
    none = emtomo("convert", path, tmp_path / "x.star", "--pixel-size", "-2")
    assert none.returncode == 2 and "must be above 0 Å" in none.stderr
    for kind, target, word in (("mdoc", "m.tlt", "SerialEM mdoc"), ("aln", "x.xf", "AreTomo alignment")):
        source = write_seed(kind, tmp_path)
        done = emtomo("convert", source, tmp_path / target, "--pixel-size", "2")
        assert done.returncode == 0, done.stderr
        assert f"Recognised {word}" in done.stderr
    mrc.write_volume(tmp_path / "v.mrc", np.ones((3, 4, 5), np.float32), 2.0)
    assert emtomo("convert", tmp_path / "v.mrc", tmp_path / "v.zarr").returncode == 0
    assert emtomo("convert", tmp_path / "v.zarr", tmp_path / "v.tif").returncode == 0


def test_the_tutorials_two_commands(tmp_path):
    path = write_seed("dynamo", tmp_path)
    out = tmp_path / "w.star"
    done = emtomo("dynamo2warp", "-i", path, "-tm", path.with_suffix(".doc"), "-o", out)
    assert done.returncode == 0 and "6 particles written for Warp" in done.stderr
    assert read(out).tomograms.tolist() == ["TS_01.tomostar", "TS_02.tomostar"] * 3
    star = write_seed("relion3.1", tmp_path)
    done = emtomo("relion-star-downgrade", "-s", star)
    assert done.returncode == 0
    assert done.stdout.strip().endswith("TS_01_rln3.0.star")
    assert_allclose(read(Path(done.stdout.strip())).positions, read(star).centres, atol=1e-6)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with a simulated tomogram of an odd and an even size."""
    folder = tmp_path_factory.mktemp("files") / "it's a project"
    return Bench.simulated(tmp_path_factory, folder, "sim", **{**SAMPLE, "size_x": 127})


@pytest.mark.parametrize("kind", [k for k in formats.WRITTEN if k != "eman-list"])
def test_what_is_exported_is_imported_at_the_same_places(bench, kind, tmp_path):
    truth = bench.project.find("sim").truth
    target = tmp_path / ("sim_01_info.json" if kind == "eman" else f"sim_01{FORMATS[kind].suffix}")
    run = bench.run(
        "export-coordinates", f"out {kind.replace('.', '_')}", particles="sim.truth", format=kind, file=target
    )
    assert any("Written: " in line for line in run._summary())
    more = {"table_map": target.with_suffix(".doc")} if target.with_suffix(".doc").exists() else {}
    back = bench.run(
        "import-coordinates", f"in {kind.replace('.', '_')}", tomograms="sim.tomograms", files=target, **more
    ).coordinates
    from scipy.spatial import cKDTree

    distance, index = cKDTree(back.positions()).query(truth.positions())
    assert len(back) == len(truth) and distance.max() < 1e-3
    if "rotation" in FORMATS[kind].holds:
        assert_allclose(back.rotations()[index], truth.rotations(), atol=1e-5)


def test_export_on_the_command_line_and_in_the_run_itself(bench, tmp_path):
    folder = bench.project.path
    done = emtomo("export", folder, "sim.truth", tmp_path / "t.tbl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "t.tbl"), str(tmp_path / "t.doc")]
    assert "Written: " in done.stderr
    assert emtomo("export", folder, "sim.tomograms", tmp_path / "t.mrc").returncode == 0
    assert mrc.read_header(tmp_path / "t.mrc").shape == (64, 128, 127)
    assert emtomo("export", folder, "sim.tomograms", tmp_path / "t.zarr").returncode == 0
    bad = emtomo("export", folder, "sim.tilt_series", tmp_path / "t.st")
    assert bad.returncode == 2 and "the format of tilts must be one of" in bad.stderr
    run = bench.run("export-coordinates", "own place", particles="sim.meshes", format="text")
    assert len(read(Path(run._getExtraPath("particles.csv")))) == len(bench.project.find("sim").meshes)
    message = bench.fails("export-coordinates", "no folder", particles="sim.truth", file=tmp_path / "no" / "x.star")
    assert "There is no folder" in message


def test_positions_of_files_that_do_not_fit_are_reported(bench, tmp_path):
    flat = tmp_path / "sim_01.box"
    flat.write_text("10 20 30 30\n")
    assert "no z" in bench.fails("import-coordinates", "flat", tomograms="sim.tomograms", files=flat)
    listed = formats.write(tmp_path / "sim_01.json", particles(3, tomograms=1), "eman-list")[0]
    message = bench.fails("import-coordinates", "nowhere", tomograms="sim.tomograms", files=listed)
    assert "No position belongs to a tomogram" in message and "the files name particles" in message


def test_angles_in_text_may_be_those_of_any_program(bench, tmp_path):
    rotations = bench.project.find("sim").truth.rotations()[:5]
    for name in ("relion", "dynamo", "motl"):
        path = tmp_path / f"{name}.txt"
        np.savetxt(path, np.column_stack([np.full((5, 3), 20.0), getattr(poses, f"to_{name}")(rotations)]), fmt="%.9f")
        back = bench.run("import-coordinates", name, tomograms="sim.tomograms", files=path, angles=name).coordinates
        assert_allclose(back.rotations(), rotations, atol=1e-6)


def test_models_of_the_whole_tomogram_are_not_moved(bench, tmp_path):
    """MINX of an image of the tomogram's own size is the header's origin, not a part of a larger volume."""
    given = particles(4, tomograms=1)
    given.rotations = None
    given.positions *= np.array([126, 127, 63]) / 200  # within the tomogram
    path = formats.write(tmp_path / "sim_01.mod", given, "imod", sizes={"TS_01": VolumeGeometry((127, 128, 64), 10.0)})[
        0
    ]
    minx = np.array([[1] * 3, [-500, 30, 7], [0] * 3, [1] * 3, [-500, 30, 7], [0] * 3], ">f4")
    path.write_bytes(path.read_bytes()[:-4] + b"MINX" + (72).to_bytes(4, "big") + minx.tobytes() + b"IEOF")
    back = bench.run("import-coordinates", "model", tomograms="sim.tomograms", files=path).coordinates
    expected = convert_frame(
        given, "angstrom", "centre", volumes={"TS_01": VolumeGeometry((127, 128, 64), 10.0)}
    ).centres
    distance = np.linalg.norm(back.positions()[:, None] - expected[None], axis=2).min(axis=0)
    assert distance.max() < 1e-2


def test_boxes_go_out_with_their_poses_and_come_back(tmp_path, tmp_path_factory):
    folder = tmp_path / "a project"  # a STAR file cannot hold names of files with quotes
    bench = Bench.simulated(tmp_path_factory, folder, "sim", **{**SAMPLE, "size_x": 127})
    bench.run(
        "extract-subtomograms", "boxes", coordinates="sim.truth", tomograms="sim.tomograms", box_size=16, border="pad"
    )
    target = tmp_path / "boxes.star"
    bench.run("export-coordinates", "boxes out", particles="boxes.subtomograms", format="relion3.1", file=target)
    found = read(target)
    assert found.tags.white is not None and found.tags.premultiplied is False
    assert all(re.match(r"\d{6}@/.*sim_01.mrc", name) for name in found.columns["image"])
    back = bench.run("import-subtomograms", "boxes in", files=target, tomograms="sim.tomograms").subtomograms
    boxes = bench.project.find("boxes").subtomograms
    assert len(back) == len(boxes) and back.white.get() == boxes.white.get()
    assert back.box_size.get() == 16 and back.voltage.get() == boxes.voltage.get()
    a, b = boxes.frame(), back.frame()
    for column in ("x", "y", "z", "r11", "r23", "r33", "index"):
        assert_allclose(b[column], a[column], atol=1e-4, err_msg=column)
    assert [Path(f).name for f in b["file"]] == [Path(f).name for f in a["file"]]


def test_a_box_that_is_a_file_of_its_own_is_named_plainly():
    import pandas as pd

    from emtomo.io.particles_star import box_columns

    single = pd.DataFrame({"file": ["a.mrc", "b.mrc"], "index": [0, 0], "half": [1, 0]})
    assert box_columns(single)["image"].tolist() == ["a.mrc", "b.mrc"] and "half" not in box_columns(single)
    stack = pd.DataFrame({"file": ["a.mrc", "a.mrc"], "index": [0, 1]})
    assert box_columns(stack)["image"].tolist() == ["000001@a.mrc", "000002@a.mrc"]
