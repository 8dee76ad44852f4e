"""pick-manually: files and folders of points, groups, earlier coordinates, thumbnails, bad input."""

import numpy as np
import pytest

from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PIXEL, SHAPE = 8.0, (20, 40, 31)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two tomograms and points in them."""
    folder = tmp_path_factory.mktemp("manual")
    for k, name in enumerate("ab"):
        volume = np.random.default_rng(k).standard_normal(SHAPE, np.float32)
        volume[10, 20, 15] = 50
        mrc.write_volume(folder / f"{name}.mrc", volume, PIXEL)
    (folder / "points.csv").write_text(
        "tomogram_id,x,y,z,group\na,15,20,10,2\na,3,5,6,1\nb,15,20,10,2\n", encoding="utf8"
    )
    (folder / "edit.csv").write_text("tomogram_id,x,y,z,label\na,16,20,9,remove\nb,1,1,1,\n", encoding="utf8")
    (folder / "wrong.csv").write_text("tomogram_id,x,y,z,label\na,16,20,9,delete\n", encoding="utf8")
    (folder / "other.csv").write_text("tomogram_id,x,y,z\nzz,16,20,9\n", encoding="utf8")
    saves = folder / "saves of a day"
    saves.mkdir()
    (saves / "1.csv").write_text("tomogram_id,x,y,z\na,1,2,3\n", encoding="utf8")
    (saves / "2.csv").write_text("tomogram_id,x,y,z\na,1,2,3\nb,4,5,6\n", encoding="utf8")
    (folder / "empty").mkdir()
    made = Bench(folder / "project")
    made.run("import-tomograms", "import", files=folder, pattern="*.mrc", pixel_size=PIXEL)
    made.folder = folder
    return made


@pytest.fixture(scope="module")
def picked(bench):
    return bench.run(
        "pick-manually",
        "picked",
        tomograms="import.tomograms",
        points=bench.folder / "points.csv",
        unit="voxel",
        box_size=10,
    )


def test_points_become_coordinates_with_their_groups(picked):
    found = picked.coordinates
    np.testing.assert_allclose(found.positions("a"), [[0, 0, 0], [-12 * PIXEL, -15 * PIXEL, -4 * PIXEL]])
    assert found.frame()["group"].tolist() == [2, 1, 2] and set(found.frame()["picker"]) == {"manual"}
    assert found.box_size.get() == 10


def test_thumbnails_show_the_middle_of_each_box(picked):
    pictures = mrc.read_volume(picked._getExtraPath("coordinates_a_thumbnails.mrc"))
    assert pictures.shape == (2, 10, 10)
    assert np.unravel_index(pictures[0].argmax(), (10, 10)) == (5, 5)


def test_earlier_coordinates_are_kept_removed_and_added_to(bench, picked):
    run = bench.run(
        "pick-manually",
        "edited",
        tomograms="import.tomograms",
        coordinates="picked.coordinates",
        points=bench.folder / "edit.csv",
        unit="voxel",
        box_size=10,
        thumbnails="no",
    )
    frame = run.coordinates.frame()
    assert frame["tomogram_id"].tolist() == ["a", "b", "b"]
    assert any("1 previous coordinate was removed" in line for line in run._summary())
    kept = bench.run("pick-manually", "kept", tomograms="import.tomograms", coordinates="picked.coordinates")
    np.testing.assert_allclose(kept.coordinates.positions(), picked.coordinates.positions())


def test_particles_outside_are_reported(bench):
    points = bench.folder / "far.csv"
    points.write_text("tomogram_id,x,y,z\na,99999,0,0\na,0,0,0\n", encoding="utf8")
    run = bench.run("pick-manually", "far", tomograms="import.tomograms", points=points, box_size=10)
    assert any("1 particle lies outside" in line for line in run._summary())


def test_every_file_of_a_folder_is_one_output(bench):
    run = bench.run("pick-manually", "saves", tomograms="import.tomograms", points=bench.folder / "saves of a day")
    assert len(run.coordinates) == 1 and len(run.coordinates_2) == 2 and not hasattr(run, "coordinates_3")


def test_bad_input_is_reported(bench):
    def errors(label, **parameters):
        run = bench.project.find(str(bench.add("pick-manually", label, tomograms="import.tomograms", **parameters)))
        return " ".join(run.validate())

    assert "Give a file of points" in errors("nothing")
    assert "label must be empty or remove; got delete" in errors("wrong", points=bench.folder / "wrong.csv")
    assert "zz" in errors("other", points=bench.folder / "other.csv")
    assert "1 to 9" in errors("empty", points=bench.folder / "empty")
