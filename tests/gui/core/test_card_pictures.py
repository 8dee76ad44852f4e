"""The small pictures on cards: of every kind of output, kept and found again."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emtomo.gui.core import card_pictures
from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.objects import FSC, Average, SetOfCoordinates3D, SetOfTomograms
from emtomo.objects.coordinates import coordinates_frame


def shown(folder, value, **given):
    return Shown(folder, 1, "run", "out", "protocol", value, folder, **given)


def run(*outputs, **given):
    return Run(3, "a", "p", "P", "finished", frozenset(), tuple(outputs), **given)


def test_a_volume_shows_its_middle_slice_with_y_upwards(tmp_path):
    volume = np.zeros((5, 20, 40), np.float32)
    volume[2, :10] = 1  # the lower half of the middle slice alone
    mrc.write_volume(tmp_path / "v.mrc", volume, pixel_size=2.0)
    picture = card_pictures.draw_picture(shown(tmp_path, Average(file="v.mrc", pixel_size=2.0)))
    grey = np.asarray(picture.convert("L"))
    assert picture.size == (128, 64) and grey[:30].max() < 20 and grey[-30:].min() > 235


def test_picks_lie_on_their_tomogram_and_scores_that_differ_are_a_histogram(tmp_path):
    mrc.write_volume(tmp_path / "t.mrc", np.zeros((4, 64, 64), np.float32), pixel_size=10.0)
    tomograms = SetOfTomograms.create(tmp_path / "t.sqlite", pixel_size=10.0)
    tomograms.extend(
        pd.DataFrame({"tomogram_id": ["one"], "file": ["t.mrc"], "size_x": [64], "size_y": [64], "size_z": [4]})
    )
    tomograms.write()
    places = np.array([[160.0, 160.0, 0.0], [-160.0, 0.0, 0.0]])
    picks = SetOfCoordinates3D.create(tmp_path / "c.sqlite", pixel_size=10.0, box_size=8)
    picks.extend(coordinates_frame("one", places))
    picks.write()
    picture = card_pictures.draw_picture(shown(tmp_path, picks, tomograms=tomograms))
    for x, y in ((96, 32), (32, 64)):
        assert picture.getpixel((x, y)) == card_pictures.POINT
    assert picture.getpixel((64, 100)) != card_pictures.POINT
    scored = SetOfCoordinates3D.create(tmp_path / "s.sqlite", pixel_size=10.0, box_size=8)
    scored.extend(coordinates_frame("one", places, score=np.array([0.2, 0.9])))
    scored.write()
    assert card_pictures.INK in card_pictures.draw_picture(shown(tmp_path, scored)).getdata()


def test_a_curve_is_drawn_and_a_damaged_one_is_refused(tmp_path):
    (tmp_path / "f.csv").write_text("frequency,fsc\n0.0,1.0\n0.05,0.5\n0.1,0.0\n")
    picture = card_pictures.draw_picture(shown(tmp_path, FSC(file="f.csv", pixel_size=5.0)))
    column = [y for y in range(128) if picture.getpixel((64, y)) == card_pictures.INK]
    assert abs(np.mean(column) - 64) < 3
    (tmp_path / "f.csv").write_text("frequency,fsc\nzero,one\n")
    with pytest.raises(ValueError):
        card_pictures.draw_picture(shown(tmp_path, FSC(file="f.csv", pixel_size=5.0)))


def test_the_picture_path_is_that_of_the_result_that_there_is_now(tmp_path):
    first = run(RunOutput(3, "a", "average", ("Average",), "box 8"), seconds=4.0)
    card_pictures.keep_picture(tmp_path, first, Image.new("RGB", (4, 4), (1, 2, 3)))
    assert card_pictures.read_picture(tmp_path, first).getpixel((0, 0)) == (1, 2, 3)
    again = run(RunOutput(3, "a", "average", ("Average",), "box 16"), seconds=4.0)
    assert card_pictures.read_picture(tmp_path, again) is None
    card_pictures.keep_picture(tmp_path, again, Image.new("RGB", (4, 4)))
    assert card_pictures.read_picture(tmp_path, first) is None  # one picture a run
    assert card_pictures.newest_picture(tmp_path) == card_pictures.picture_path(tmp_path, again)
    card_pictures.picture_path(tmp_path, again).write_bytes(b"no picture")
    assert card_pictures.read_picture(tmp_path, again) is None


def test_cards_say_results_in_few_words_and_the_share_of_the_time():
    done = run(RunOutput(3, "a", "c", ("SetOfCoordinates3D",), "381 particles in 2 tomograms, oriented, box 24"),
               RunOutput(3, "a", "s", ("SetOfSubtomograms",), "253 subtomograms, box 24"),
               RunOutput(3, "a", "t", ("Volume",), "", pending=True))  # fmt: skip
    assert done.card_result == "381 particles  ·  253 subtomograms"
    assert card_pictures.choose_output(done).name == "s"
    busy = Run(1, "b", "p", "P", "running", frozenset(), progress=0.5, left=60.0, seconds=20.0)
    assert busy.card_state == "▶ 20 s of 80 s" and busy.time_share == 0.25
    assert Run(1, "b", "p", "P", "running", frozenset(), progress=0.5).time_share == 0.5 and done.time_share == 0.0
