"""Small parts of the windows' logic: keys, settings, tables, galleries, background work."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from emtomo.errors import EmtomoError
from emtomo.gui.core.actions import Action, key_list, key_text
from emtomo.gui.core.background import Mailbox, Task, sentence
from emtomo.gui.core.gallery import GAP, compose
from emtomo.gui.core.plots import convergence, pixels
from emtomo.gui.core.runs import Run, Watched, descendants, duration, last_row
from emtomo.gui.core.settings import Settings, scaling
from emtomo.gui.core.tables import filter_rows


def test_keys_are_shown_as_people_read_them():
    assert key_text("<Control-k>") == "Ctrl+K"
    assert key_text("c") == "C" and key_text("C") == "Shift+C"
    assert key_text("<Control-Z>") == "Ctrl+Shift+Z"
    assert key_text("<Up> <Prior> 1") == "Up or Page up or 1" and key_text("<plus> <equal>") == "+ or ="
    assert key_text("<Key-3>") == "3" and key_text("") == ""
    rows = key_list("", [Action("a", "Do it", print, "<F5>"), Action("b", "No key", print)], [("Wheel", "zoom")])
    assert rows == [("Wheel", "zoom"), ("F5", "Do it")]


def test_settings_survive_damage_and_folders_that_cannot_be_written(tmp_path):
    path = tmp_path / "a" / "s.json"
    settings = Settings(path)
    settings.put("theme", "dark")
    assert Settings(path).get("theme", "light") == "dark"
    assert Settings(path).get("theme", 5) == 5  # another type than asked for
    path.write_text("{not json")
    assert Settings(path).get("theme", "light") == "light"
    (tmp_path / "file").write_text("")
    Settings(tmp_path / "file" / "s.json").put("theme", "dark")  # reported to nobody: nothing is lost
    here = tmp_path / "p"
    here.mkdir()
    settings.remember(str(here))
    settings.remember("/no/such/folder")
    settings.remember(str(here))
    assert settings.recent() == [str(here)]


@pytest.mark.parametrize(
    ("reported", "dpi", "resources", "wanted"),
    [("2", 96, None, 2.0), ("150%", 96, None, 1.5), ("", 96, 192.0, 2.0), ("", 96, None, 1.0), ("", 192, None, 2.0),
     ("rubbish", 96, None, 1.0), ("", 5000, None, 1.0), ("100", 96, None, 1.0)],
)  # fmt: skip
def test_scale_comes_from_the_user_the_desktop_or_the_screen(monkeypatch, reported, dpi, resources, wanted):
    monkeypatch.setenv("EMTOMO_SCALE", reported)
    assert scaling(dpi, resources) == wanted


def test_tables_are_filtered_by_conditions_that_are_never_evaluated():
    frame = pd.DataFrame({"score": [1.0, 2.5, 4.0], "group": [1, 1, 2], "name": ["TS_01", "ts_02", "x y"]})
    scores = frame["score"].to_numpy()
    assert scores[filter_rows(frame, "")].tolist() == [1.0, 2.5, 4.0]
    assert scores[filter_rows(frame, "score > 2 and group = 1")].tolist() == [2.5]
    assert scores[filter_rows(frame, "name ~ ts_")].tolist() == [1.0, 2.5]
    assert scores[filter_rows(frame, "name = 'x y'")].tolist() == [4.0]
    assert scores[filter_rows(frame, "group != 1 AND score<=4")].tolist() == [4.0]
    for bad in ("score >", "__import__('os')", "nothing = 1", "name > 3", "score > abc"):
        with pytest.raises(EmtomoError):
            filter_rows(frame, bad)


def test_galleries_put_pictures_where_clicks_find_them(rng):
    images = [np.full((9, 9), float(k)) + rng.normal(size=(9, 9)) for k in range(7)]
    sheet = compose(images, 20, 100)
    assert sheet.columns == 4 and sheet.picture.shape == (2 * (20 + GAP), 100)
    for k in range(7):
        x0, y0, x1, y1 = sheet.box(k)
        assert sheet.at((x0 + x1) / 2, (y0 + y1) / 2) == k
    assert sheet.at(99, 47) is None and sheet.at(0, 0) is None
    assert compose([], 20, 100).at(5, 5) is None
    # the first row of an image is at the bottom
    image = np.zeros((10, 10))
    image[0] = 1
    assert compose([image], 10, 14).picture[GAP // 2 + 9, GAP // 2 + 5] == 255


def test_work_comes_back_on_the_thread_that_drains_and_cancelled_work_never():
    box, heard = Mailbox(), []
    Task(box, lambda _: threading.get_ident(), heard.append, heard.append).thread.join()

    def wrong(_):
        raise EmtomoError("No.")

    Task(box, wrong, heard.append, lambda reported: heard.append(("failed", reported))).thread.join()
    gone = Task(box, lambda _: "late", heard.append, heard.append)
    gone.cancel()
    gone.thread.join()
    assert not heard
    while box.deliver(1.0):
        pass
    assert len(heard) == 2 and heard[0] != threading.get_ident() and heard[1] == ("failed", "No.")
    assert sentence(FileNotFoundError(2, "No such file", "x.mrc")) == "x.mrc: No such file."
    done = []
    for _ in range(1000):
        box.put(lambda: (time.sleep(0.002), done.append(1)))
    box.deliver(0.01)
    assert 1 <= len(done) < 100  # what waits is spread, so that the window can answer


def run(i, parents=(), **more):
    return Run(i, f"r{i}", "p", "title", more.pop("status", "finished"), frozenset(parents), **more)


def test_runs_tell_their_state_in_words_and_glyphs():
    assert (
        run(1, status="running", progress=0.5, left=120, resolution=12.34).status_line
        == "▶ running  50%  2 min left  12.3 Å"
    )
    assert run(1, seconds=61.0, out_of_date=True).status_line == "✓ finished  61 s  out of date"
    assert run(7).matches("R7 finish") and not run(7).matches("r7 failed")
    assert descendants({1: run(1), 2: run(2, [1]), 3: run(3, [2]), 4: run(4)}, [1]) == {2, 3}
    assert (duration(5), duration(300), duration(7500)) == ("5 s", "5 min", "2 h 05 min")


def test_time_left_follows_the_speed_and_waits_for_three_looks(tmp_path):
    watched = Watched()
    assert watched.estimate_time_left(1, 1, 10, 0.0) is None and watched.estimate_time_left(1, 2, 10, 1.0) is None
    assert watched.estimate_time_left(1, 3, 10, 2.0) == pytest.approx(7.0)
    assert watched.estimate_time_left(1, 3, 10, 4.0) == pytest.approx(5.0)  # nothing new, but time has passed
    assert watched.estimate_time_left(1, 0, 10, 5.0) is None  # begun again
    path = tmp_path / "m.csv"
    assert last_row(path) == {}
    path.write_text("iteration,resolution\n1,20\n2,15.5\n")
    assert last_row(path) == {"iteration": "2", "resolution": "15.5"}


def test_curves_of_a_run_are_drawn_before_and_while_it_iterates(tmp_path):
    (tmp_path / "extra").mkdir()
    empty = pixels(convergence(tmp_path), 300, 200, 100)
    assert empty.shape == (200, 300, 3)
    (tmp_path / "extra" / "metrics.csv").write_text("iteration,resolution,angle_change\n1,30,9\n2,20,4\n")
    assert len(convergence(tmp_path).axes) == 2
    (tmp_path / "extra" / "metrics.csv").write_text("")
    assert len(convergence(tmp_path).axes) == 1


def test_a_resolution_does_not_claim_more_than_its_sampling():
    from emtomo.objects import FSC, Average
    from emtomo.objects.volume import resolution_text

    assert resolution_text(40.0, 20.0) == "reaches Nyquist (40.0 Å)"
    assert resolution_text(40.1, 20.0) == "40.1 Å" and resolution_text(12.345, 3.0, 2) == "12.35 Å"
    assert "reaches Nyquist (40.0 Å)" in str(FSC(file="a.csv", pixel_size=20.0, resolution=40.0))
    assert "resolution 52 Å" in str(Average(file="a.mrc", pixel_size=20.0, box_size=16, resolution=52.0))
    assert run(1, resolution=40.0, at_nyquist=True).status_line.endswith("Nyquist (40.0 Å)")
