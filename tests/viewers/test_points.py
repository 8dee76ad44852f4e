"""Points of a file on a tomogram."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from emtomo.cli import app
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.viewers.points import picture_of_points


@pytest.fixture
def tomogram(tmp_path):
    mrc.write_volume(tmp_path / "TS_1.mrc", np.zeros((20, 60, 80), np.float32), 10.0)
    return tmp_path / "TS_1.mrc"


def dots(png):
    """Return how many pixels have the colour of points of group 1."""
    image = np.asarray(Image.open(png).convert("RGB"), int)
    return int((np.abs(image - [255, 127, 14]).sum(axis=2) < 40).sum())


def test_points_of_a_text_file_are_drawn(tomogram, tmp_path):
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nTS_1,20,30,10\nTS_1,60,30,10\nTS_2,1,1,1\n")
    reported = picture_of_points(tmp_path / "p.csv", tomogram, tmp_path / "a.png")
    assert reported == "2 of 3 positions (text) on TS_1.mrc."
    none = tmp_path / "none.png"
    mrc.write_volume(tmp_path / "x.mrc", np.zeros((20, 60, 80), np.float32), 10.0)
    assert dots(tmp_path / "a.png") > 20
    done = CliRunner().invoke(
        app, ["view", str(tmp_path / "p.csv"), "--on", str(tomogram), "--pixel-size", "5", "--png", str(none)]
    )
    assert done.exit_code == 0, done.output
    assert none.exists()


def test_a_table_that_counts_tomograms_says_that_all_are_drawn(tomogram, tmp_path):
    row = "{0} 1 1 0 0 0 0 0 0 .5 0 0 1 -60 60 -60 60 0 0 {0} 0 0 0 20 30 10 0 0 0 0 0 1 0 0 0\n"
    (tmp_path / "p.tbl").write_text(row.format(1) + row.format(2))
    reported = picture_of_points(tmp_path / "p.tbl", tomogram, tmp_path / "a.png")
    assert (
        reported
        == "2 of 2 positions (dynamo) on TS_1.mrc. They are of 2 tomograms, which the file counts: all are drawn."
    )


def test_faults_are_reported(tomogram, tmp_path):
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nTS_9,20,30,10\n")
    with pytest.raises(EmtomoError, match="no position belongs to TS_1.mrc; the file names TS_9"):
        picture_of_points(tmp_path / "p.csv", tomogram, tmp_path / "a.png")
    (tmp_path / "q.csv").write_text("x,y,z\n2000,30,10\n")
    with pytest.raises(EmtomoError, match=r"None of 1 positions lies within TS_1.mrc \(80×60×20"):
        picture_of_points(tmp_path / "q.csv", tomogram, tmp_path / "a.png")
