"""import-coordinates-2d: RELION, EMAN and tables; real picks of two data sets; what is refused."""

import pytest
from numpy.testing import assert_allclose

from emtomo.io.coordinates_2d import read_picks
from emtomo.objects.exchange import export_output
from tests.conftest import shared
from tests.engine.helpers import Bench

HEAD = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("picks") / "p")
    made.run("simulate-micrographs", "sim", size_x=160, size_y=160, pixel_size=7, per_micrograph=3, number=3)
    return made


def run(bench, label, files, **given):
    return bench.run("import-coordinates-2d", label, micrographs="sim.micrographs", files=files, **given)


def test_relion_and_box_of_a_folder(bench, tmp_path):
    (tmp_path / "mic_001_autopick.star").write_text(HEAD + "10 20.5 0.7\n30 40 0.2\n\n")
    (tmp_path / "mic_002.box").write_text("10\t20\t32\t33\n")
    (tmp_path / "other_autopick.star").write_text(HEAD + "1 1 1\n\n")
    done = run(bench, "folder", tmp_path, box_size=32)
    found = done.coordinates
    assert_allclose(found.positions("mic_001"), [[70, 143.5], [210, 280]])
    assert_allclose(found.positions("mic_002"), [[26 * 7, 36 * 7]])
    assert found.frame()["score"].tolist() == [0.7, 0.2, 0] and found.box_size.get() == 32
    said = " ".join(done._remarks())
    assert "No micrograph for the picks of other" in said and "1 of 3 micrographs has no picks (mic_003)" in said


def test_a_list_of_relion_4_and_a_given_pixel_size(bench, tmp_path):
    (tmp_path / "a.star").write_text(HEAD + "100 200 1\n\n")
    rows = (
        "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\nX/mic_003.mrc a.star\n\n"
    )
    (tmp_path / "autopick.star").write_text(rows)
    done = run(bench, "list", tmp_path / "autopick.star", pixel_size=3.5)
    assert_allclose(done.coordinates.positions("mic_003"), [[350, 700]])


def test_what_is_exported_comes_back(bench, tmp_path):
    sim = bench.project.find("sim")
    for ending in ("csv", "star"):
        export_output(sim, "truth", tmp_path / f"picks.{ending}")
        done = run(bench, ending, tmp_path / f"picks.{ending}")
        assert_allclose(done.coordinates.positions(), sim.truth.positions(), atol=1e-4)


def test_picks_of_another_pixel_size_are_noticed(bench, tmp_path):
    """Micrographs of 160 × 160 pixels of 7 Å; positions that cannot be are an error, a single one is a remark."""
    star, table = tmp_path / "mic_001_autopick.star", tmp_path / "mic_001.csv"
    star.write_text(HEAD + "300 20 0.7\n30 310 0.7\n40 40 0.7\n\n")
    better = r"all lie inside if the pixel size is 3\.5 Å, or if the pixel size is 1\.75 Å"
    with pytest.raises(Exception, match="2 of 3 picks lie outside the micrographs; " + better):
        run(bench, "unbinned", star)
    assert_allclose(run(bench, "rescaled", star, pixel_size=3.5).coordinates.positions("mic_001")[0], [1050, 70])
    star.write_text(HEAD + "9999 20 0.7\n30 31 0.7\n40 40 0.7\n\n")
    assert "1 of 3 picks lies outside the micrographs." in run(bench, "outside", star)._remarks()
    table.write_text("micrograph_id,x,y\nmic_001,2000,100\n")
    with pytest.raises(Exception, match=r"1 of 1 picks lies outside the micrographs\.$"):
        run(bench, "far", table)


def test_the_pixel_size_of_positions_is_that_of_the_file(bench, tmp_path):
    file = tmp_path / "mic_001.star"
    rows = HEAD.replace("data_\n", "data_particles\n") + "_rlnOpticsGroup #4\n300 20 0.7 2\n30 31 0.7 1\n\n"
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n_rlnImagePixelSize #3\n{}\n\n"
    file.write_text(optics.format("1 7 14\n2 3.5 14") + rows)
    done = run(bench, "two sizes", file)
    assert_allclose(done.coordinates.positions("mic_001"), [[1050, 70], [210, 217]])
    assert "The files say that positions count in pixels of 3.5 Å." in done._remarks()
    file.write_text(optics.format("1 7 14\n2 0 14") + rows)
    with pytest.raises(Exception, match="line 8: rlnMicrographPixelSize must be a finite number above 0 Å, got 0"):
        run(bench, "no size", file)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("mic_001.star", HEAD + "10 nan 0.7\n\n", "line 7: rlnCoordinateY must be a finite number"),
        ("mic_001.box", "10 20\n", "a file of boxes has 4 to 5 columns"),
        ("mic_001.csv", "micrograph_id,x\nmic_001,1\n", "there is no y"),
        ("mic_001.csv", "micrograph_id,x,y\nmic_001,1,a\n", "line 2: y must be a finite number"),
        ("mic_001.star", "data_\n\nloop_\n_a #1\n1\n", "no block has rlnCoordinateX"),
        ("z.star", HEAD + "1 1 1\n\n", "of none of the micrographs"),
    ],
)
def test_wrong_files_are_one_sentence(bench, tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    i = bench.add("import-coordinates-2d", f"bad {tmp_path.name}", micrographs="sim.micrographs", files=tmp_path)
    errors = bench.project.getProtocol(i).validate()
    assert len(errors) == 1 and sentence in errors[0]


def test_real_picks():
    """3,035 hand-marked centres of apoferritin."""
    found = read_picks(shared("micrographs", "apoferritin", "truth_particles.star"))
    assert len(found) == 3035 and found["name"].nunique() == 19
