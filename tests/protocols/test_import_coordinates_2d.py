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
    (tmp_path / "mic_001_autopick.star").write_text(HEAD + "1000 2000 0.7\n\n")
    assert "1 of 1 picks lies outside" in " ".join(run(bench, "outside", tmp_path)._remarks())


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
