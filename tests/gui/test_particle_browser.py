"""The particle browser and charts with real clicks: one selection in all panes; points read out, zoomed, compared."""

import os
from pathlib import Path

import numpy as np
import pytest

from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.gui
SMALL = {"size_x": 160, "size_y": 160, "pixel_size": 7, "per_micrograph": 8, "number": 2, "snr": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    before = Path.cwd()
    made = tmp_path_factory.mktemp("spa gui") / "a 'project'"
    bench = Bench(made)
    bench.run("simulate-micrographs", "simulate", **SMALL)
    bench.project.closeMapper()
    os.chdir(before)
    return made


def test_one_selection_in_table_gallery_and_plot(windows, folder):
    from emtomo.viewers import ViewParticles

    robot = windows(folder)
    output = robot.window.output_named(f"{robot.run_named('simulate').id}.particles")
    got = []
    robot.window.view(output, ViewParticles, got.append)
    assert robot.pump(until=lambda: got and got[0].panes["gallery"].sheet is not None, timeout=20)
    window = got[0]
    assert window.shown.progress.__self__.share == 1.0  # what the bar at the bottom shows
    browser, gallery = window.browser, window.panes["gallery"]
    robot.pump(0.5)  # the window takes its place
    total = len(browser)
    left, top = gallery.canvas.winfo_rootx(), gallery.canvas.winfo_rooty()
    for k, keys in ((1, ()), (3, ("ctrl",))):
        x0, y0, x1, y1 = gallery.sheet.box(k)
        robot.click_at(left + (x0 + x1) // 2, top + (y0 + y1) // 2, keys=keys)
    assert np.flatnonzero(browser.selected).tolist() == [1, 3]
    assert "micrograph id mic_001" in window.message.cget("text") and "defocus u" in window.message.cget("text")
    tree = window.table.tree
    rows = tree.get_children()
    assert tree.selection() == (rows[1], rows[3])  # the table shows the same
    x, y, width, height = tree.bbox(rows[4])
    robot.click_at(tree.winfo_rootx() + 20, tree.winfo_rooty() + y + height // 2, keys=("shift",))
    assert np.flatnonzero(browser.selected).tolist() == [3, 4]
    robot.click(window.w["invert"])
    assert np.flatnonzero(~browser.selected).tolist() == [3, 4]
    robot.click(window.w["average"])
    assert robot.pump(until=lambda: "mean" in window.w, timeout=20)
    chosen = window.images.frame.drop(index=[3, 4])
    images = [mrc.open_volume(folder / f)[k] for f, k in zip(chosen["file"], chosen["index"], strict=True)]
    shown = window.w["mean"].source
    assert shown.shape[0] == 1 and np.allclose(shown.data[0], np.mean(images, axis=0), atol=1e-5)
    window.w["mean"].close()
    window.show_tab("slices")
    slices = window.panes["slices"]
    assert robot.pump(until=lambda: slices.panel is not None and slices.panel.drawn is not None, timeout=20)
    h, v = slices.panel.screen_of(tuple(slices.scene.points[2]))
    robot.click_at(slices.panel.canvas.winfo_rootx() + int(h), slices.panel.canvas.winfo_rooty() + int(v))
    assert np.flatnonzero(browser.selected).tolist() == [slices.scene.rows[2]]
    window.show_tab("plot")
    plot = window.panes["plot"]
    plot.plot("x")
    robot.pump(0.3)
    view, canvas = plot.chart.view, plot.chart.canvas
    middle = float(np.median(browser.numbers("x")))
    ((edge, _),) = view.to_screen(np.array([middle]), np.zeros(1))
    here = canvas.winfo_rootx(), canvas.winfo_rooty()
    robot.drag((here[0] + int(edge), here[1] + 60), (here[0] + int(view.right), here[1] + 120))
    lowest = view.to_data(int(edge), 0)[0]
    assert browser.selected.tolist() == (browser.numbers("x") >= lowest).tolist() and 0 < browser.selected.sum() < total
    count = int(browser.selected.sum())
    robot.click(window.w["keep"])
    robot.finished("selected from simulate")
    made = next(o for o in robot.run_named("selected from simulate").outputs if o.name == "subset")
    assert made.kinds[0] == "SetOfParticles" and int(made.summary.split()[0]) == count
    window.close()


def whole_texts(canvas):
    """Return all texts of a canvas, none of which is cut."""
    texts = {i: canvas.bbox(i) for i in canvas.find_all() if canvas.type(i) == "text"}
    wide, high = canvas.winfo_width(), canvas.winfo_height()
    for i, (x0, y0, x1, y1) in texts.items():
        assert x0 >= 0 and y0 >= 0 and x1 <= wide and y1 <= high, canvas.itemcget(i, "text")
    return [canvas.itemcget(i, "text") for i in texts]


def test_charts_are_read_out_zoomed_moved_and_compared_by_the_mouse(windows, folder, tmp_path):
    from functools import partial

    from emtomo.gui.core.run_charts import run_charts, tilt_series_names
    from emtomo.gui.tk.chartwindow import ChartWindow

    robot = windows(folder)
    for name, rows in (("one", "1,30\n2,20\n3,15\n"), ("two", "1,25\n2,18\n")):
        (tmp_path / name / "extra").mkdir(parents=True)
        (tmp_path / name / "extra" / "metrics.csv").write_text(f"iteration,resolution\n{rows}")
    readers = {name: (lambda label, part, n=name: run_charts(tmp_path / n, label, part)) for name in ("one", "two")}
    window = ChartWindow(robot.window, "charts", "one", readers["one"], {"two": readers["two"]},
                         partial(tilt_series_names, tmp_path / "one"))  # fmt: skip
    assert robot.pump(until=lambda: window.canvases, timeout=10)
    robot.pump(0.4)
    (canvas,) = window.canvases
    left, top = canvas.canvas.winfo_rootx(), canvas.canvas.winfo_rooty()

    def place(x, y):
        ((px, py),) = canvas.view.to_screen(np.array([x]), np.array([y]))
        return left + int(px), top + int(py)

    robot.xdotool("mousemove", *place(2, 20))
    assert "iteration 2" in window.readout.cget("text") and "20" in window.readout.cget("text")
    whole = canvas.view.x0, canvas.view.x1
    robot.xdotool("mousemove", *place(2, 20), "click", 4)
    assert whole[0] < canvas.view.x0 < 2 < canvas.view.x1 < whole[1]
    (tmp_path / "one" / "extra" / "metrics.csv").write_text("iteration,resolution\n1,30\n2,20\n3,15\n4,12\n")
    zoomed = canvas.view.x0
    assert robot.pump(until=lambda: len(window.charts[0].curves[0].x) == 4, timeout=10)  # a new iteration arrives
    assert canvas.view.x0 == zoomed  # and the part that was zoomed to stays
    robot.click_at(*place(2.2, 19), times=2)
    assert canvas.view.x0 <= 1 and canvas.view.x1 >= 4
    robot.drag(place(2, 15), place(4, 25), button=3)
    assert abs(canvas.view.x0 - 2) < 0.05 and abs(canvas.view.x1 - 4) < 0.05
    robot.drag(place(3, 20), place(2.5, 20))
    assert canvas.view.x0 > 2.2
    robot.choose(window.other, "two")
    assert robot.pump(until=lambda: len(window.charts[0].curves) == 2, timeout=10)
    assert window.charts[0].curves[1].dashed and window.charts[0].curves[1].y.tolist() == [25, 18]
    window.save_to(tmp_path / "saved.csv")
    assert robot.pump(until=lambda: (tmp_path / "saved.csv").exists(), timeout=10)
    # the run goes on and has tilt series to choose from
    assert not window.part.winfo_ismapped()
    tilts = "series,angle,shift\nTS 1,-3,1.5\nTS 1,0,0.5\nTS 2,-3,2.5\nTS 2,0,3.5\n"
    (tmp_path / "one" / "extra" / "tilts.csv").write_text(tilts)
    assert robot.pump(until=lambda: len(window.charts) == 2, timeout=10)
    assert window.charts[1].curves[0].y.tolist() == [1.5, 0.5]
    assert robot.pump(until=lambda: window.part.winfo_ismapped(), timeout=5)
    robot.choose(window.part, "TS 2")
    assert robot.pump(until=lambda: window.charts[1].curves[0].y.tolist() == [2.5, 3.5], timeout=10)
    # names that do not fit are left to the mouse
    robot.choose(window.other, "no other run")
    rows = "".join(f"1,TS 1,group {k},True,{k}.5,10\n" for k in range(40))
    (tmp_path / "one" / "extra" / "trials.csv").write_text(f"iteration,series,name,kept,gain,held_out\n{rows}")
    assert robot.pump(until=lambda: len(window.charts) == 3 and len(window.charts[0].curves) == 1, timeout=10)
    robot.pump(0.4)
    c, view = window.canvases[1].canvas, window.canvases[1].view
    words = {c.itemcget(i, "text"): c.bbox(i) for i in c.find_all() if c.type(i) == "text"}
    named = [box for text, box in words.items() if text.startswith("group ")]
    assert f"{40 - len(named)} more" in words and 2 <= len(named) < 30
    assert max(box[3] for box in (*named, words[f"{40 - len(named)} more"])) <= view.bottom
    # nor is any text cut where names are long
    window.label = "a run with a name that is longer than its chart is wide " * 2
    robot.choose(window.other, "two")
    assert robot.pump(until=lambda: len(window.charts[0].curves) == 2, timeout=10)
    robot.pump(0.4)
    found = [text for canvas in window.canvases for text in whole_texts(canvas.canvas)]
    assert any("…" in text and text.endswith(", kept") for text in found)
    robot.key("Escape")
    assert robot.pump(until=lambda: not window.winfo_exists(), timeout=5)
