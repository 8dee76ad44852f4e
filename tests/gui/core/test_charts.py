"""Charts: what is shown where, what is read out, two runs over each other, files."""

import csv

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.gui.core.chart import Chart, ChartCurve, ChartView, merge
from emtomo.gui.core.chart_export import save_charts
from emtomo.gui.core.run_charts import (
    fsc_chart,
    fsc_of_folder,
    metric_charts,
    metrics_file,
    motion_charts,
    run_charts,
    tilt_charts,
    tilt_series_names,
)


def test_pixels_and_numbers_are_inverse_and_zoom_keeps_the_place_under_the_mouse():
    chart = Chart("a", "x", "y", (ChartCurve("", np.arange(5.0), np.arange(5.0) ** 2),))
    view = ChartView(chart)
    view.place(50, 10, 450, 310)
    ((px, py),) = view.to_screen(np.array([3.0]), np.array([9.0]))
    assert np.allclose(view.to_data(px, py), (3, 9))
    view.zoom_at(2.0, px, py)
    assert np.allclose(view.to_data(px, py), (3, 9)) and not view.fitted
    before = view.x0, view.x1
    view.zoom_at(2.0, 20, 100)  # over the ticks of y: along y alone
    assert (view.x0, view.x1) == before
    view.pan(40, 0)
    assert np.allclose(view.to_data(px + 40, py)[0], 3)
    view.zoom_to(*view.to_screen(np.array([1.0, 2.0]), np.array([0.0, 4.0])).ravel())
    assert np.allclose((view.x0, view.x1, view.y0, view.y1), (1, 2, 0, 4))


def test_new_numbers_keep_a_part_that_was_zoomed_to_and_else_are_all_shown():
    def chart(n):
        return Chart("a", "x", "y", (ChartCurve("", np.arange(n), np.arange(n)),))

    view = ChartView(chart(3))
    view.take(chart(11))
    assert view.x1 >= 10
    view.zoom_at(4.0, 200, 200)
    part = view.x0, view.x1
    view.take(chart(31))
    assert (view.x0, view.x1) == part
    view.fit()
    assert view.x1 >= 30


@pytest.mark.parametrize("y", [[np.nan, np.nan], [], [2.0, 2.0], [1e300, 1e300], [-1e-12, 1e-12], [np.inf, 1.0]])
def test_a_chart_of_odd_numbers_still_has_axes_and_ticks(y):
    view = ChartView(Chart("a", "x", "y", (ChartCurve("", np.arange(len(y), dtype=float), np.array(y, float)),)))
    view.place(50, 10, 450, 310)
    assert view.x1 > view.x0 and view.y1 > view.y0 and np.isfinite([view.x0, view.x1, view.y0, view.y1]).all()
    assert view.y_ticks() and all(view.y0 <= v <= view.y1 for v, _ in view.y_ticks())
    assert view.read_at(200, 200) is None or np.isfinite(view.read_at(200, 200).y)


def test_counts_have_ticks_at_whole_numbers_and_frequencies_in_angstrom():
    view = ChartView(Chart("a", "iteration", "y", (ChartCurve("", np.array([1.0, 2, 3]), np.ones(3)),), whole=True))
    assert [label for _, label in view.x_ticks()] == ["1", "2", "3"]
    x = np.linspace(0, 0.1, 21)
    view = ChartView(Chart("a", "resolution (Å)", "FSC", (ChartCurve("corrected", x, 1 - 10 * x),), resolution=True))
    view.place(0, 0, 600, 300)
    ticks = view.x_ticks()
    assert ticks[0] == (0.0, "∞") and ticks[-1][1] == "10"
    assert all(place == pytest.approx(1 / float(label)) for place, label in ticks[1:])
    px, py = view.to_screen(x, 1 - 10 * x)[5]  # 1/0.025
    reading = view.read_at(px + 3, py - 3)
    assert reading.x == pytest.approx(0.025) and "40.00 Å" in reading.text and "FSC 0.75" in reading.text


def write_run(folder, name, text):
    (folder / "extra").mkdir(parents=True, exist_ok=True)
    (folder / "extra" / name).write_text(text)
    return folder


def test_two_runs_lie_over_each_other_by_what_they_show(tmp_path):
    one = write_run(tmp_path / "1", "metrics.csv", "iteration,resolution,angle_change\n1,30,9\n2,20,4\n")
    two = write_run(tmp_path / "2", "metrics.csv", "iteration,resolution\n1,25\n2,18\n3,15\n")
    assert [c.title for c in metric_charts(one)] == ["resolution (Å): 20", "change of orientation (°): 4"]
    charts = merge([run_charts(one, "first"), run_charts(two, "second")])
    assert [c.title for c in charts] == ["resolution (Å)", "change of orientation (°): 4"]
    assert [(c.label, c.dashed) for c in charts[0].curves] == [("first", False), ("second", True)]
    assert charts[0].curves[1].y.tolist() == [25, 18, 15]
    for folder, name in ((one, "fsc one"), (two, "fsc two")):
        write_run(folder, "fsc.csv", "frequency,corrected,unmasked\n0,1,1\n0.05,0.5,0.4\n0.1,0,0\n")
        assert fsc_of_folder(folder, name)[0].curves[0].label == f"{name} · corrected"
    both = merge([[fsc_chart(one / "extra" / "fsc.csv", "a", 12.0, 5.0)], fsc_of_folder(two, "b")])
    assert len(both) == 1 and both[0].title == "FSC" and both[0].places == (1 / 12,) and len(both[0].curves) == 4


def test_a_run_that_has_written_nothing_or_half_a_line_has_no_charts(tmp_path):
    assert metrics_file(tmp_path) is None and run_charts(tmp_path) == []
    write_run(tmp_path, "metrics.csv", "")
    assert run_charts(tmp_path) == []
    write_run(tmp_path, "metrics.csv", "iteration,resolution\n")
    assert run_charts(tmp_path) == []
    write_run(tmp_path, "fsc.csv", "nothing\n1\n")
    with pytest.raises(EmtomoError, match="a column frequency"):
        fsc_of_folder(tmp_path)


def test_species_shares_tilts_and_trials_have_curves_of_their_own(tmp_path):
    text = "iteration,species,resolution,held_out_gain\n1,a,30,5\n1,b,40,5\n2,a,25,7\n2,b,35,7\n"
    write_run(tmp_path, "metrics.csv", text)
    write_run(
        tmp_path, "tilts.csv", "series,tilt,angle,defocus_before,defocus,turn,shift,scale,bfactor\n"
        "TS 1,1,30,20000,21000,0.1,3,1,-10\nTS 1,2,-30,20000,,0.2,4,0.9,-20\nTS_2,1,0,30000,31000,0,1,1,0\n",
    )  # fmt: skip
    rows = "1,TS 1,shifts,True,12,8,\n1,TS 1,warp,False,-3,8,\n1,TS 1,defocus,True,5,0,not tried\n"
    rows += "2,TS 1,stage,True,40,8,\n"
    write_run(tmp_path, "trials.csv", "iteration,series,name,kept,gain,held_out,remark\n" + rows)
    charts = {c.key or c.title: c for c in run_charts(tmp_path, series="TS 1")}
    assert [c.name for c in charts["resolution (Å)"].curves] == ["a", "b"]
    assert charts["resolution (Å)"].curves[1].y.tolist() == [40, 35]
    tried = [c.name for c in charts["held-out score of what was tried"].curves]
    assert tried == ["stage, kept", "shifts, kept", "warp, not kept"]  # what helped most is named first
    assert motion_charts(tmp_path, "TS 1") == []
    moved = "TS 1,a,0,0,0\nTS 1,b,0,0,0\nTS 1,a,60,2.5,0.5\nTS 1,b,60,1,0.2\nTS_2,a,0,9,9\n"
    write_run(tmp_path, "motion.csv", "series,species,dose,shift,rotation\n" + moved)
    shift, rotation = [c for c in run_charts(tmp_path, series="TS 1") if "of the particles" in c.title]
    assert [(c.name, c.y.tolist()) for c in shift.curves] == [("a", [0, 2.5]), ("b", [0, 1])]
    assert rotation.curves[1].x.tolist() == [0, 60]
    assert tilt_series_names(tmp_path) == ["TS 1", "TS_2"] and tilt_charts(tmp_path, "nothing of it") == []
    defocus = charts["defocus"]
    assert [c.name for c in defocus.curves] == ["after", "before"]
    assert defocus.curves[0].x.tolist() == [-30, 30] and defocus.curves[0].y[1] == pytest.approx(2.1)
    other = write_run(tmp_path / "2", "classes.csv", "iteration,likelihood,share_1,share_2\n1,5,.4,.6\n2,6,.3,.7\n")
    shares = metric_charts(other)[-1]
    assert [c.name for c in shares.curves] == ["class 1", "class 2"] and shares.curves[1].y.tolist() == [0.6, 0.7]


def test_charts_are_written_as_pictures_with_the_limits_shown_and_as_numbers(tmp_path):
    curve = ChartCurve("a <b> $c", np.array([0, 0.05, 0.1]), np.array([1, np.nan, 0]))
    chart = Chart("FSC", "resolution (Å)", "FSC", (curve,), resolution=True)
    view = ChartView(chart)
    view.zoom_to(view.left, view.top, (view.left + view.right) / 2, view.bottom)
    for kind, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        save_charts([view], tmp_path / f"a.{kind}", "run $x_")
        assert (tmp_path / f"a.{kind}").read_bytes().startswith(start)
    save_charts([view], tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf8")))
    assert [(r["chart"], r["curve"], float(r["x"])) for r in rows] == [("FSC", "a <b> $c", x) for x in (0, 0.05, 0.1)]
    assert rows[1]["y"] == "nan" and rows[0]["x_is"] == "spatial frequency (1/Å)"
    with pytest.raises(EmtomoError, match=r"must end in \.svg"):
        save_charts([view], tmp_path / "a.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.pdf", "a.png", "a.svg"]


def test_the_workflow_is_written_as_a_picture(tmp_path):
    from emtomo.gui.core.runs import Run
    from emtomo.gui.core.workflow_picture import save_workflow, workflow_figure

    runs = {
        1: Run(1, "import $1 & <x>", "import-tomograms", "import tomograms", "finished", frozenset()),
        2: Run(2, "bin", "bin-tomograms", "bin", "failed", frozenset({1, 99})),
        3: Run(3, "all", "select-subset", "select", "saved", frozenset({1, 2})),
    }
    texts = [t.get_text() for t in workflow_figure(runs).axes[0].texts]
    assert "import $1 & <x>" in texts and "bin: failed" in texts
    save_workflow(runs, tmp_path / "w.svg")
    assert "<svg" in (tmp_path / "w.svg").read_text(encoding="utf8")
    with pytest.raises(EmtomoError, match="no run yet"):
        save_workflow({}, tmp_path / "w.png")
    with pytest.raises(EmtomoError, match="must end in"):
        save_workflow(runs, tmp_path / "w.txt")


def test_fitted_ctfs_are_charts_against_the_tilt_angle(tmp_path):
    from emtomo.gui.core.ctf_charts import ctf_charts

    head = "tilt,angle,excluded,fitted,defocus_u,defocus_v,defocus_angle,phase_shift,correlation,resolution\n"
    rows = "1,3,False,True,30000,29000,10,0,.8,9\n2,-60,False,True,32000,31000,10,0,.3,\n3,60,True,False,,,,0,,\n"
    write_run(tmp_path, "TS 1_ctf.csv", head + rows)
    rings = "tilt,frequency,measured,fit\n1,.05,2,.1\n1,.06,-2,-.1\n2,.05,1,1\n"
    write_run(tmp_path, "TS 1_rings.csv", rings)
    charts = {c.key or c.title: c for c in ctf_charts(tmp_path, "TS 1", "run")}
    assert charts["defocus"].curves[0].x.tolist() == [-60, 3]  # the excluded image is left out
    assert np.allclose(charts["defocus"].curves[1].y, [3.1, 2.9]) and "phase shift" not in charts
    assert charts["rings"].title == "rings of image 1 at 3°" and charts["rings"].places == (1 / 9,)
    assert [c.y.tolist() for c in charts["rings"].curves] == [[1, -1], [1, -1]]
    assert ctf_charts(tmp_path, "nothing of it") == []
