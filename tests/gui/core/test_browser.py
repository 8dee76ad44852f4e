"""The particle browser without a window: columns, filter, one selection, colours, pictures, plots, new sets."""

import mrcfile
import numpy as np
import pandas as pd
import pytest

from emtomo.errors import EmtomoError
from emtomo.gui.core import browser_columns
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_columns import colour_column, display_table, rgb_hex
from emtomo.gui.core.browser_images import Look, ParticlePictures, prepare_browser
from emtomo.gui.core.chart import ChartView
from emtomo.gui.core.scatter import COUNT, SELECTED, draw_points, histogram_of, plot_chart, row_at, rows_within
from emtomo.gui.core.shown import Shown
from emtomo.io.poses import from_relion
from emtomo.objects import SetOfCoordinates3D, SetOfSubtomograms, SetOfTomograms, coordinates_frame
from emtomo.objects.rotation import rotation_columns
from emtomo.objects.subtomogram import Subtomogram

ANGLES = np.array([[10.0, 20, 30], [-170, 90, 0], [0, 120, -45]])


def frame_of(n=3, **columns):
    rotations = np.full((n, 3, 3), np.nan)
    rotations[: min(n, 3)] = from_relion(ANGLES[: min(n, 3)])
    data = {"tomogram_id": [f"TS {k % 2 + 1}" for k in range(n)], "x": np.arange(n) * 10.0, "y": 0.0, "z": 0.0}
    data |= rotation_columns(rotations, n) | {"score": np.linspace(0, 1, n)[::-1], "group": np.arange(n) % 2 + 1}
    return pd.DataFrame(data | columns)


def browser_of(n=10, **columns):
    return ParticleBrowser(frame_of(n, **columns), Subtomogram.FIELDS)


def test_rotations_are_shown_as_euler_angles_and_lengths_have_units(monkeypatch):
    browser = browser_of(4)
    assert not [name for name in browser.columns if name.startswith("r1")]
    assert np.allclose(browser.table[["rot", "tilt", "psi"]][:3], ANGLES)
    assert browser.table[["rot", "tilt", "psi"]].iloc[3].isna().all()  # no orientation
    assert (browser.heading("x"), browser.heading("tilt"), browser.heading("score")) == ("x (Å)", "tilt (°)", "score")
    image = display_table(frame_of(3).assign(psi=[1.0, 2, 3]))
    assert list(image["psi_in_plane"]) == [1, 2, 3] and np.allclose(image["psi"], ANGLES[:, 2])
    assert "tilt 20°" in browser.describe(0) and "x 0 Å" in browser.describe(0) and "tilt" not in browser.describe(3)
    assert display_table(pd.DataFrame({"a": [1]}, index=[7])).index.tolist() == [0]
    shares = []
    with monkeypatch.context() as patch:  # in portions it is the same
        patch.setattr(browser_columns, "AT_ONCE", 2)
        assert display_table(frame_of(5), shares.append)[["rot", "tilt"]].equals(
            display_table(frame_of(5))[["rot", "tilt"]]
        )
    assert shares == [0.4, 0.8, 1.0]


def test_filter_and_order_are_those_of_tables_and_the_selection_survives_them():
    browser = browser_of(10)
    said = []
    browser.listeners.append(said.append)
    browser.show("group = 2 and score < 0.9", ("score", False))
    assert browser.rows.tolist() == [9, 7, 5, 3, 1] and said == ["rows"]
    browser.select_shown()
    browser.show("score > 0.5", ("score", True))
    assert browser.rows.tolist() == [0, 1, 2, 3, 4]
    assert browser.counts() == "5 of 10 particles selected, 5 shown, 3 selected ones are not shown."
    browser.show("tilt > 100")
    assert browser.rows.tolist() == [2]  # Euler angles are filtered like any column
    with pytest.raises(EmtomoError, match="no column 'r11'"):
        browser.show("r11 > 0")
    assert browser.rows.tolist() == [2] and browser.condition == "tilt > 100"
    browser.show("", ("tilt", True))
    assert browser.rows[:3].tolist() == [2, 1, 0]  # those without an angle come last in both directions
    browser.show("", ("tomogram_id", True))
    assert browser.table["tomogram_id"].iloc[browser.rows[0]] == "TS 2"


def test_clicks_select_one_more_or_all_between_in_the_order_shown():
    browser = browser_of(10)
    browser.show("", ("score", False))  # 9 … 0
    browser.click(7)
    browser.click(4, extend=True)
    assert np.flatnonzero(browser.selected).tolist() == [4, 5, 6, 7] and browser.current == 4
    browser.click(9, add=True)
    browser.click(5, add=True)
    assert np.flatnonzero(browser.selected).tolist() == [4, 6, 7, 9]
    browser.invert()
    assert np.flatnonzero(browser.selected).tolist() == [0, 1, 2, 3, 5, 8]
    assert browser.undo() and np.flatnonzero(browser.selected).tolist() == [4, 6, 7, 9]
    assert browser.undo() and browser.selected[5] and browser.redo() and not browser.selected[5]
    browser.clear()
    assert not browser.redo() and browser.counts() == "10 particles."


def test_what_is_kept_is_a_part_and_is_asked_about_once():
    browser = browser_of(5)
    for rows in ([], range(5)):
        browser.select(np.array(list(rows), int))
        with pytest.raises(EmtomoError, match="Select a part"):
            browser.take_left_out(keep_selected=True)
        assert not browser.unsaved
    browser.select(np.array([1, 3]))
    assert browser.unsaved
    assert browser.take_left_out(keep_selected=True).tolist() == [0, 2, 4] and not browser.unsaved
    assert browser.take_left_out(keep_selected=False).tolist() == [1, 3]


def test_colours_are_by_value_for_few_and_a_scale_for_many():
    few = colour_column(pd.Series(["b", "a", None, "b"], dtype=object), 4)
    assert (few.rgb[0] == few.rgb[3]).all() and (few.rgb[0] != few.rgb[1]).any() and few.legend[0][0] == "a"
    many = colour_column(pd.Series(np.arange(100.0)), 100)
    assert rgb_hex(many.rgb[0]) == "#440154" and rgb_hex(many.rgb[-1]) == "#fde724"
    assert [text for text, _ in many.legend] == ["0.99", "49.5", "98.01"]
    assert (colour_column(pd.Series([np.nan, np.nan, 0.5]), 3).rgb[0] == 128).all()
    assert colour_column(pd.Series([np.nan]), 1).legend == [("no numbers", "#808080")]
    groups = colour_column(pd.Series([1, 2, None, 1], dtype=object), 4)
    assert [text for text, _ in groups.legend] == ["1", "2"] and (groups.rgb[2] == 128).all()


def test_a_histogram_and_a_plot_give_rows_for_a_rectangle():
    browser = browser_of(100)
    browser.show("group = 1")
    view = ChartView(plot_chart(browser, "x", COUNT))
    view.place(0, 0, 500, 300)
    ((a, _), (b, _)) = view.to_screen(np.array([100.0, 305.0]), np.zeros(2))
    assert rows_within(browser, view, "x", COUNT, (b, 7, a, 9)).tolist() == list(range(10, 31, 2))
    browser.select(np.arange(10, 20))
    bars = histogram_of(browser, "x")
    assert bars.shown.sum() == 50 and bars.chosen.sum() == 5
    view = ChartView(plot_chart(browser, "x", "score"))
    view.place(0, 0, 500, 300)
    at = view.to_screen(browser.numbers("x"), browser.numbers("score"))
    box = (at[20, 0] - 1, at[20, 1] - 1, at[24, 0] + 1, at[24, 1] + 1)
    assert rows_within(browser, view, "x", "score", box).tolist() == [20, 22, 24]
    assert row_at(browser, view, "x", "score", *at[22], 5) == 22
    assert row_at(browser, view, "x", "score", 5, 295, 5) is None
    picture = draw_points(browser, view, "x", "score", (0, 0, 0))
    assert picture.shape == (300, 500, 3) and tuple(picture[int(at[12, 1]), int(at[12, 0])]) == SELECTED
    assert tuple(picture[int(at[20, 1]), int(at[20, 0])]) == tuple(browser.colouring.rgb[20])
    empty = plot_chart(browser_of(3, score=np.full(3, np.nan)), "score", COUNT)
    assert empty.y_range[1] > 0


def test_sets_of_one_and_of_none_that_have_no_numbers_can_be_shown():
    one = ParticleBrowser(pd.DataFrame({"name": ["a"], "size": [3]}), noun="thing")
    one.click(0)
    assert one.counts() == "1 of 1 thing selected." and one.numeric_columns() == ["size"]
    assert plot_chart(one, "size", COUNT).curves[0].y[1] == 1
    assert not ParticleBrowser(pd.DataFrame({"name": []})).rows.size


@pytest.fixture
def boxes(tmp_path):
    """Subtomograms of 6³ whose voxels say which box and which slice they are of, and a tomogram of 9 × 10 × 12."""
    stack = np.zeros((3, 6, 6, 6), np.float32)
    stack += np.arange(3)[:, None, None, None] * 100 + np.arange(6)[None, :, None, None]
    mrcfile.write(tmp_path / "boxes.mrc", stack.reshape(-1, 6, 6))
    grey = np.arange(9 * 10 * 12, dtype=np.float32).reshape(9, 10, 12)
    mrcfile.write(tmp_path / "a tomogram.mrc", grey, voxel_size=10)
    row = pd.DataFrame(
        {"tomogram_id": ["TS 1"], "file": ["a tomogram.mrc"], "size_x": [12], "size_y": [10], "size_z": [9]}
    )
    SetOfTomograms.save(tmp_path / "t.sqlite", pd.DataFrame(row), pixel_size=10.0)
    frame = coordinates_frame("TS 1", np.array([[0.0, 0, 0], [20, -10, 30], [-60, -50, -40]]))
    SetOfCoordinates3D.save(tmp_path / "c.sqlite", frame, pixel_size=10.0, box_size=4)
    frame["file"], frame["index"] = "boxes.mrc", np.arange(3)
    known = {field.name for field in Subtomogram.FIELDS}
    frame = frame[[name for name in frame if name in known]]
    SetOfSubtomograms.save(tmp_path / "s.sqlite", frame, pixel_size=10.0, box_size=6)
    tomograms = SetOfTomograms.open(tmp_path / "t.sqlite")

    def make(kind, file):
        shown = Shown(tmp_path, 1, "run", "particles", "p", kind.open(tmp_path / file), tmp_path, tomograms)
        prepare_browser(shown)
        return shown.prepared["images"]

    return make(SetOfSubtomograms, "s.sqlite"), make(SetOfCoordinates3D, "c.sqlite"), grey


def test_pictures_are_slabs_of_boxes_or_cut_from_the_tomogram(boxes):
    images, picks, grey = boxes
    assert (images.kind, picks.kind) == ("boxes", "cut")
    assert np.allclose(images.picture(2, Look(slab=1)), 203) and np.allclose(images.picture(1, Look(slab=3)), 103)
    assert np.allclose(images.picture(0, Look(slab=0)), 2.5)
    assert np.allclose(images.picture(0, Look("xz", 1)), np.arange(6)[:, None])
    assert np.allclose(picks.picture(0, Look(slab=1)), grey[4, 3:7, 4:8])
    assert np.allclose(picks.picture(1, Look(slab=1)), grey[7, 2:6, 6:10])
    corner = picks.picture(2, Look(slab=1))  # half of it lies outside: edges are repeated
    assert corner.shape == (4, 4) and corner[0, 0] == corner[2, 2] == grey[0, 0, 0] and corner[3, 3] == grey[0, 1, 1]
    scene = picks.scene("TS 1")
    assert scene.points[1].tolist() == [7, 4, 8] and scene.size == 4
    assert np.allclose(images.mean(np.array([0, 2]))[4], 104)
    with pytest.raises(EmtomoError, match="no boxes of their own"):
        picks.mean(np.array([0]))
    with pytest.raises(EmtomoError, match="is not in this project"):
        picks.scene("TS 7")


def test_a_low_pass_takes_fine_detail_away_and_leaves_the_mean(boxes):
    from emtomo.compute.slices import lowpass_image

    rng = np.random.default_rng(1)
    for shape in ((15, 20), (16, 16)):
        y, x = np.indices(shape)
        coarse = np.cos(2 * np.pi * x / shape[1]) + 3
        image = coarse + np.cos(np.pi * (x + y))
        assert np.allclose(lowpass_image(image, 2.0, 2.0 * shape[1] / 3), coarse, atol=0.15)
        noise = rng.normal(size=shape)
        assert lowpass_image(noise, 2.0, 12.0).mean() == pytest.approx(noise.mean(), abs=1e-6)
    images, _, _ = boxes
    assert np.allclose(images.picture(1, Look("xz", 1, 1000.0)), 102.5, atol=0.01)  # all but the mean is taken away


def test_an_empty_set_is_refused_in_a_sentence(tmp_path):
    SetOfCoordinates3D.save(
        tmp_path / "c.sqlite", coordinates_frame("TS", np.zeros((0, 3))), pixel_size=1.0, box_size=4
    )
    shown = Shown(tmp_path, 1, "run", "picks", "p", SetOfCoordinates3D.open(tmp_path / "c.sqlite"), tmp_path)
    with pytest.raises(EmtomoError, match="empty set"):
        prepare_browser(shown)
    assert ParticlePictures(shown, pd.DataFrame({"name": ["a"]})).kind == "none"
