"""Each protocol with real runs: what comes out, and what is said of bad input."""

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_allclose

from emtomo.compute.noise import noise_level
from emtomo.compute.rotations import angle_of_vectors
from emtomo.engine.lineage import upstream
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms, positions_of, rotations_of
from tests.engine.helpers import SAMPLE, Bench

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench.simulated(tmp_path_factory, tmp_path_factory.mktemp("b") / "project", "sim", **SAMPLE, number=2)


@pytest.fixture(autouse=True)
def in_project(bench):
    import os

    os.chdir(bench.project.path)


def errors(bench, name, **parameters):
    """What validation says, without a run."""
    from emtomo.engine.parameters import protocol_named, set_parameters

    run = bench.project.newProtocol(protocol_named(name))
    set_parameters(bench.project, run, {k: str(v) for k, v in parameters.items()}, Path("/"))
    return " ".join(run.validate())


def volume(path, shape=(6, 7, 8), size=5.0, dtype=np.float32, value=None):
    data = np.random.default_rng(0).normal(size=shape).astype(dtype) if value is None else np.full(shape, value, dtype)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = size
    return data


# --- import-tomograms ---


def test_import_of_many_formats_at_once_with_odd_names(bench, tmp_path):
    folder = tmp_path / "in put's"
    folder.mkdir()
    volume(folder / "TS_01 (a).mrc")
    volume(folder / "TS_02_15.00Apx.mrc", dtype=np.int8)
    raw = (folder / "TS_01 (a).mrc").read_bytes()
    with gzip.open(folder / "TS_03.mrc.gz", "wb") as stream:
        stream.write(raw)
    tifffile.imwrite(folder / "TS_04.tif", np.arange(336, dtype=np.uint8).reshape(6, 7, 8))
    (folder / "TS_05_skip.mrc").write_bytes(raw)
    run = bench.run("import-tomograms", "formats", files=folder, pattern="*", pixel_size=5, exclude_words="skip")
    frame = run.tomograms.frame()
    assert frame["tomogram_id"].tolist() == ["TS_01 (a)", "TS_02", "TS_03", "TS_04"]
    assert frame[["size_z", "size_y", "size_x"]].drop_duplicates().to_numpy().tolist() == [[6, 7, 8]]
    assert Path(frame["file"][0]).is_symlink() and not Path(frame["file"][2]).is_symlink()
    assert_allclose(mrc.read_volume(frame["file"][3]).ravel(), np.arange(336) % 256)
    assert run.tomograms.pixel_size.get() == 5.0


def test_import_marks_ids_copies_and_reads_acquisitions(bench, tmp_path):
    for name in ("tomo_A_bin4.mrc", "tomo_B_bin4.mrc", "tomo_B_bin8.mrc"):
        volume(tmp_path / name)
    table = tmp_path / "acquisition.txt"
    table.write_text("name tilt_min tilt_max tilt_step tilt_axis_angle\nA -50 55 2.5 84\nB -40 45 2 84\n")
    run = bench.run("import-tomograms", "marked", files=tmp_path, pattern="tomo_{TS}_bin4.mrc", copy="yes",
                    acquisition=table, origin="manual", origin_x=12.5)  # fmt: skip
    frame = run.tomograms.frame()
    assert frame["tomogram_id"].tolist() == ["A", "B"]
    assert frame["tilt_min"].tolist() == [-50, -40] and frame["tilt_max"].tolist() == [55, 45]
    assert not Path(frame["file"][0]).is_symlink() and run.tomograms.origin_x.get() == 12.5
    assert run.tomograms.pixel_size.get() == 5.0  # from the header


def test_import_warns_where_the_header_says_another_pixel_size(bench, tmp_path):
    volume(tmp_path / "a.mrc", size=4.0)
    run = bench.run("import-tomograms", "sizes", files=tmp_path / "a.mrc", pixel_size=5)
    assert any("another pixel size than 5 Å: a 4.000" in line for line in run._summary())


def test_what_cannot_be_imported_is_reported(bench, tmp_path):
    assert "no such file or folder" in errors(bench, "import-tomograms", files=tmp_path / "none")
    assert "No file in" in errors(bench, "import-tomograms", files=tmp_path, pattern="*.mrc")
    assert "must not be empty" in errors(bench, "import-tomograms")
    volume(tmp_path / "a.mrc")
    volume(tmp_path / "a.rec")
    assert "Two files have the tomogram id 'a'" in errors(bench, "import-tomograms", files=tmp_path, pattern="a*")
    (tmp_path / "b.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:-8])
    assert "but the file holds" in errors(bench, "import-tomograms", files=tmp_path / "b.mrc")
    assert "smallest tilt (5°) must be below" in errors(
        bench, "import-tomograms", files=tmp_path / "a.mrc", tilt_min=5, tilt_max=-5
    )
    for size, bound in ((-1, ">= 0.001"), (1e-9, ">= 0.001"), (1e9, "<= 100000")):
        said = errors(bench, "import-tomograms", files=tmp_path / "a.mrc", pixel_size=size)
        assert f"Pixel size must be {bound} Å/px, got {size:g}" in said
    data = volume(tmp_path / "nan.mrc", shape=(40, 4, 4))
    data[33, 1, 2] = np.nan  # one voxel is enough, wherever it is
    with mrcfile.new(tmp_path / "nan.mrc", overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = 5.0
    assert "slice 33 holds NaN" in bench.fails("import-tomograms", "nan", files=tmp_path / "nan.mrc")


# --- import-coordinates ---


def test_positions_in_voxels_become_angstrom_from_the_centre(bench, tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("tomogram_id,x,y,z,score\nsim_01.mrc,64,64,32,1\nother/sim_02_10.00Apx.mrc,65,62,32,2\n")
    run = bench.run("import-coordinates", "coords", tomograms="sim.tomograms", files=file)
    frame = run.coordinates.frame()
    assert_allclose(frame[["x", "y", "z"]].to_numpy(), [[0, 0, 0], [10, -20, 0]])
    assert frame["tomogram_id"].tolist() == ["sim_01", "sim_02"] and frame["score"].tolist() == [1, 2]


def test_positions_from_the_origin_that_was_imported(bench, tmp_path):
    """An MRC header whose first voxel lies at 15, 25, 35 Å: zero is that far before it."""
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.zeros((6, 8, 10), np.float32))
        file.voxel_size = 5.0
        file.header.origin.x, file.header.origin.y, file.header.origin.z = 15.0, 25.0, 35.0
    (tmp_path / "p.csv").write_text("x,y,z\n15,25,35\n")
    bench.run("import-tomograms", "with origin", files=tmp_path / "a.mrc", origin="header")
    run = bench.run(
        "import-coordinates",
        "from origin",
        tomograms="with origin.tomograms",
        files=tmp_path / "p.csv",
        centred="yes",
        pixel_size=1,
    )
    assert_allclose(run.coordinates.positions(), [[-25.0, -20.0, -15.0]])  # the first voxel, from voxel n // 2


def test_tomograms_whose_zeros_differ_are_no_one_set(bench, tmp_path):
    for name, n, start in (("a", 10, -4), ("b", 10, -5), ("c", 12, -5)):
        with mrcfile.new(tmp_path / f"{name}.mrc") as file:
            file.set_data(np.zeros((6, 8, n), np.float32))
            file.voxel_size = 5.0
            file.header.nxstart = start
    with pytest.raises(Exception, match=r"at -5, -20, -15 Å in a and 0, -20, -15 Å in b\. Import these apart"):
        bench.run("import-tomograms", "two zeros", files=tmp_path, pattern="[ab].mrc", origin="header")
    run = bench.run("import-tomograms", "a zero", files=tmp_path, pattern="c.mrc", origin="header", pixel_size=7)
    assert [float(run.tomograms.origin_x.get()), float(run.tomograms.origin_y.get())] == [-7.0, -28.0]


def test_unmatched_names_are_listed_and_nothing_is_never_success(bench, tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("tomogram_id,x,y,z\nsim_01,1,2,3\nTS_99,1,2,3\n")
    run = bench.run("import-coordinates", "partly", tomograms="sim.tomograms", files=file)
    reported = " ".join(run._summary())
    assert "TS_99 (1)" in reported and "No positions for sim_02" in reported
    file.write_text("tomogram_id,x,y,z\nTS_99,1,2,3\n")
    message = bench.fails("import-coordinates", "nothing", tomograms="sim.tomograms", files=file)
    assert "the files name TS_99, the project has sim_01, sim_02" in message
    file.write_text("tomogram_id,x,y,z\n")
    assert "There is no position in" in bench.fails(
        "import-coordinates", "empty", tomograms="sim.tomograms", files=file
    )


def test_dynamo_table_with_its_map(bench, tmp_path):
    row = ["0"] * 26
    row[19], row[23:26] = "3", ["64", "64", "32"]
    (tmp_path / "a.tbl").write_text(" ".join(row) + "\n")
    (tmp_path / "map.doc").write_text(" 3 /some/where/sim_02.rec\n 4 other.rec\n")
    run = bench.run(
        "import-coordinates",
        "dynamo",
        tomograms="sim.tomograms",
        files=tmp_path / "a.tbl",
        table_map=tmp_path / "map.doc",
    )
    assert run.coordinates.tomogram_ids() == ["sim_02"]


# --- bin, denoise ---


def test_binning_keeps_positions_and_halves_the_size(bench):
    run = bench.run("bin-tomograms", "bin", tomograms="sim.tomograms", factor=2)
    assert run.tomograms.shape("sim_01") == (32, 64, 64) and run.tomograms.pixel_size.get() == 20.0
    file = run.tomograms.frame()["file"].iloc[0]
    assert mrc.read_header(file).pixel_size == pytest.approx(20.0)
    assert "must be >= 1, got 0.5" in errors(bench, "bin-tomograms", tomograms="sim.tomograms", factor=0.5)
    assert "sim_01 has fewer voxels along an axis than the factor 64" in errors(
        bench, "bin-tomograms", tomograms="bin.tomograms", factor=64.0
    )


def test_denoising_gives_calmer_tomograms(bench):
    run = bench.run("denoise-tomograms", "den", tomograms="sim.tomograms", method="bflow")
    before = mrc.read_volume(bench.project.find("sim").tomograms.frame()["file"].iloc[0])
    after = mrc.read_volume(run.tomograms.frame()["file"].iloc[0])
    assert noise_level(after) < 0.3 * noise_level(before) and np.corrcoef(after.ravel(), before.ravel())[0, 1] > 0.4
    assert "device must be cpu" in errors(bench, "denoise-tomograms", tomograms="sim.tomograms", device="tpu")


def test_tomograms_side_by_side_give_the_same_as_one_after_the_other(bench):
    options = {"tomograms": "sim.tomograms", "iterations": 3}
    one = bench.run("denoise-tomograms", "serial", **options)
    two = bench.run("denoise-tomograms", "side by side", **options, steps_at_once=2)
    assert two.numberOfThreads.get() == 2
    for a, b in zip(one.tomograms.frame()["file"], two.tomograms.frame()["file"], strict=True):
        assert_allclose(mrc.read_volume(a), mrc.read_volume(b), atol=1e-5)


# --- models ---


def test_points_models_failed_meshes_and_orientation_from_other_meshes(bench, tmp_path):
    sim = bench.project.find("sim")
    points = tmp_path / "p.csv"
    frame = sim.meshes.frame()
    bad = pd.DataFrame({"tomogram_id": "sim_02", "group": 9, "model": "vesicle", "role": "point",
                        "x": [0.0, 1], "y": [0.0, 1], "z": [0.0, 1]})  # fmt: skip
    pd.concat([frame, bad])[["tomogram_id", "group", "x", "y", "z", "role", "model"]].to_csv(points, index=False)
    bench.run("pick-vectorial", "pick", tomograms="sim.tomograms", points=points)
    run = bench.run("model-workflow", "mod", meshes="pick.meshes", cropping=8)
    assert run.coordinates.tomogram_ids() == ["sim_01", "sim_02"]
    failed = run.failed_meshes.frame()
    assert failed["group"].unique().tolist() == [9] and "at least 4" in failed["reason"].iloc[0]
    assert list(Path(run._getExtraPath()).glob("*.obj"))
    truth = sim.truth.frame()
    truth = truth[(truth["group"] == 1) & (truth["tomogram_id"] == "sim_01")]
    general = tmp_path / "g.csv"
    truth.assign(group=1)[["tomogram_id", "group", "x", "y", "z"]].to_csv(general, index=False)
    bench.run("pick-vectorial", "points", tomograms="sim.tomograms", points=general, model="general")
    run = bench.run("model-workflow", "oriented", meshes="points.meshes", orientation_meshes="sim.meshes", cropping=2)
    found = run.coordinates.frame()
    assert_allclose(found[["x", "y", "z"]].to_numpy(), truth[["x", "y", "z"]].to_numpy())
    assert np.median(angle_of_vectors(rotations_of(found)[:, :, 2], rotations_of(truth)[:, :, 2])) < 4
    more = bench.run("pick-vectorial", "more", tomograms="sim.tomograms", meshes="sim.meshes", points=general)
    assert set(more.meshes.frame()["group"]) == {1, 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tomogram_id,x,y,z\nTS_9,1,2,3\n", "names tomograms that are not in the project: 'TS_9'"),
        ("tomogram_id,x,y,z,role\nsim_01,1,2,3,top\n", "role must be one of"),
        ("tomogram_id,x,y,z,model\nsim_01,1,2,3,ball\n", "model must be one of"),
        ("tomogram_id,x,y\nsim_01,1,2\n", "columns x, y, z"),
        ("tomogram_id,x,y,z\n", "there is no point in it"),
    ],
)
def test_bad_points_are_reported_before_the_run(bench, tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    assert message in errors(bench, "pick-vectorial", tomograms="sim.tomograms", points=tmp_path / "p.csv")


def test_no_points_and_no_model_that_can_be_built(bench, tmp_path):
    assert "Give a file of points" in errors(bench, "pick-vectorial", tomograms="sim.tomograms")
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nsim_01,1,2,3\n")
    bench.run("pick-vectorial", "one point", tomograms="sim.tomograms", points=tmp_path / "p.csv")
    assert "No model could be built" in bench.fails("model-workflow", "none", meshes="one point.meshes")


# --- extraction and average ---


def test_boxes_from_another_binning_are_at_the_same_place(bench):
    bench.run("bin-tomograms", "half", tomograms="sim.tomograms", factor=2)
    a = bench.run("extract-subtomograms", "ext1", coordinates="sim.truth", box_size=24, normalize="none")
    b = bench.run("extract-subtomograms", "ext2", coordinates="sim.truth", tomograms="half.tomograms", box_size=12,
                  normalize="none", border="pad")  # fmt: skip
    assert upstream(a.input_coordinates, SetOfTomograms) is not None
    assert a.subtomograms.white.get() and a.subtomograms.pixel_size.get() == 10.0
    assert b.subtomograms.pixel_size.get() == 20.0 and b.subtomograms.box_size.get() == 12
    whole = a.subtomograms.frame()
    truth = bench.project.find("sim").truth.frame()
    refined = whole[["x", "y", "z"]].to_numpy() + whole[["shift_x", "shift_y", "shift_z"]].to_numpy()
    keys = {tuple(np.round(p, 6)) for p in truth[["x", "y", "z"]].to_numpy()}
    assert all(tuple(np.round(p, 6)) in keys for p in refined)
    sim = bench.project.find("sim").tomograms
    for name, rows in whole.groupby("tomogram_id"):
        assert sorted(rows["index"]) == list(range(len(rows)))
        stack = mrc.open_volume(rows["file"].iloc[0]).reshape(-1, 24, 24, 24)
        tomogram = mrc.read_volume(sim.frame(tomogram_id=name)["file"].iloc[0])
        for row in rows.rename(
            columns={"index": "place"}
        ).itertuples():  # every row points at its own box, whatever the order of the stack
            z, y, x = (int(round(p / 10)) + n // 2 for p, n in zip((row.z, row.y, row.x), tomogram.shape, strict=True))
            assert stack[row.place, 12, 12, 12] == -tomogram[z, y, x]
            assert stack[row.place, 3, 12, 20] == -tomogram[z - 9, y, x + 8]
    again = bench.run(
        "extract-subtomograms",
        "ext3",
        coordinates="ext1.subtomograms",
        tomograms="sim.tomograms",
        box_size=24,
        normalize="none",
    )
    first = [mrc.open_volume(r.subtomograms.frame()["file"].iloc[0]) for r in (a, again)]
    np.testing.assert_array_equal(*first)


def test_average_at_the_true_poses_is_the_membrane_protein(bench):
    from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation

    bench.run("select-subset", "proteins", items="sim.truth", groups=1)
    bench.run(
        "extract-subtomograms",
        "extp",
        coordinates="proteins.subset",
        tomograms="sim.tomograms",
        box_size=30,
        border="pad",
    )
    run = bench.run("apply-alignment", "avg", subtomograms="extp.subtomograms")
    average = mrc.read_volume(run.average.file.get())
    molecule = mrc.read_volume(bench.project.find("sim")._getExtraPath("membrane.mrc"))
    above = slice(18, 28)  # above the membrane only the protein is in the sample
    assert np.corrcoef(average[above, 8:22, 8:22].ravel(), molecule[above, 8:22, 8:22].ravel())[0, 1] > 0.6
    assert fourier_shell_correlation(average, average)[0] == pytest.approx(1)
    aligned = run.subtomograms.frame()
    assert_allclose(rotations_of(aligned), np.broadcast_to(np.eye(3), (len(aligned), 3, 3)))
    stack = mrc.open_volume(aligned["file"].iloc[0])
    assert stack.shape[0] == 30 * int((aligned["tomogram_id"] == aligned["tomogram_id"].iloc[0]).sum())
    plain = bench.run("apply-alignment", "plain", subtomograms="extp.subtomograms", wedge="no", interpolation="linear")
    assert plain.average.particles.get() == len(aligned)


def test_what_cannot_be_cut_or_averaged_is_reported(bench, tmp_path):
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nsim_01,64,64,32\n")
    bench.run("import-coordinates", "plain points", tomograms="sim.tomograms", files=tmp_path / "p.csv")
    bench.run("extract-subtomograms", "unoriented", coordinates="plain points.coordinates", box_size=16)
    assert "1 of 1 subtomograms has no orientation" in errors(
        bench, "apply-alignment", subtomograms="unoriented.subtomograms"
    )
    message = bench.fails("extract-subtomograms", "too big", coordinates="plain points.coordinates", box_size=200)
    assert "No box of 200 voxels fits" in message


# --- sets ---


def test_items_of_a_list_are_left_out_and_bad_lists_are_reported(bench, tmp_path):
    frame = bench.project.find("sim").truth.frame()
    bad, total = tmp_path / "left out by hand.txt", len(frame)
    bad.write_text("1\n\n3\n")
    rest = bench.run("select-subset", "rest", items="sim.truth", left_out=bad)
    assert_allclose(positions_of(rest.subset.frame()), positions_of(frame.drop(index=[0, 2])))
    for text, reported in (
        (f"2\n{total + 1}\n", f"line 2: must be the number of an item, 1 to {total}"),
        ("0", "line 1"),
        ("²", "line 1"),
        ("1;2", "'1;2'"),
        ("9" * 5000, "line 1"),
    ):
        bad.write_text(text)
        assert reported in errors(bench, "select-subset", items="sim.truth", left_out=bad)
    assert "must be a text file" in errors(bench, "select-subset", items="sim.truth", left_out=tmp_path)


def test_consensus_cleaning_and_subset_of_real_sets(bench):
    run = bench.run("consensus-picks", "con", coordinates="sim.truth,sim.truth", radius=2)
    truth = bench.project.find("sim").truth.frame()
    assert len(run.coordinates) == len(truth)
    again = bench.run("clean-coordinates", "cle", coordinates="con.coordinates", min_distance=200)
    assert 0 < len(again.coordinates) < len(truth)
    some = bench.run("select-subset", "sel", items="con.coordinates", number=5, seed=2)
    assert len(some.subset) == 5
    assert "only" in errors(bench, "select-subset", items="con.coordinates", number=10**6)
    assert "asks for 3 votes, but there are 2" in errors(
        bench, "consensus-picks", coordinates="sim.truth,sim.truth", votes=3
    )
