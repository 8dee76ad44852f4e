"""What the picker writes and the protocols read; wizards and previews."""

import json
import platform
import subprocess
import sys

import numpy as np
import pytest

from emtomo.compute.positions import to_voxels
from emtomo.engine.parameters import output_target, protocols_by_name, set_parameters
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.picking_run import PickingRun
from emtomo.gui.core.previews import PREVIEWED, preview
from emtomo.gui.core.wizards import WIZARDS, even, wizard_for
from emtomo.io import mrc
from emtomo.objects import positions_of
from emtomo.objects.exchange import export_output
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow


@pytest.fixture
def opened(project):
    return EmtomoProject.open(project)


def bench_of(opened):
    bench = Bench.__new__(Bench)
    bench.project = opened
    return bench


def picking_run_of(opened, folder, kind, previous=None, run=900):
    tomograms = opened.find("simulate").tomograms
    return PickingRun(folder, run, tomograms, kind, previous)


def test_registered_models_are_those_that_were_picked(opened, project):
    picking_run = picking_run_of(opened, project, "models")
    names = picking_run.names
    for k, name in enumerate(names):
        session = picking_run.session(name)
        session.new_model("vesicle")
        for x, y, z in ((10, 20, 30), (40, 50, 60), (11.25, 20, 8)):
            session.add(x + k, y, z)
        session.add(25, 25, 25, "inside")
    assert (
        picking_run.unsaved
        and [r.count for r in picking_run.rows()] == [4, 4]
        and picking_run.row(names[0]).status == "done"
    )
    values = picking_run.export()
    assert not picking_run.unsaved
    run = bench_of(opened).run("pick-vectorial", "drawn", tomograms="simulate.tomograms", box_size=20, **values)
    frame = run.meshes.frame(tomogram_id=names[1])
    voxels = to_voxels(positions_of(frame), picking_run.shape(names[1]), picking_run.pixel_size)
    np.testing.assert_allclose(voxels[0], [30, 20, 11], atol=1e-3)
    np.testing.assert_allclose(voxels[2], [8, 20, 12.25], atol=1e-3)
    assert frame["role"].tolist() == ["point"] * 3 + ["inside"] and set(frame["model"]) == {"vesicle"}
    # the same run opened again finds everything, and picking on is unsaved again
    again = picking_run_of(opened, project, "models")
    assert [r.count for r in again.rows()] == [4, 4] and not again.unsaved
    again.session(names[0]).add(1, 2, 3)
    assert again.unsaved


def test_two_windows_never_write_to_the_same_points(opened, project):
    picking_run = picking_run_of(opened, project, "models")
    picking_run.lock()
    picking_run.lock()  # the same process may open its list again
    lock = picking_run.folder / "open.json"
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    lock.write_text(json.dumps({"pid": other.pid, "host": platform.node()}))
    with pytest.raises(EmtomoError, match=f"another window \\(process {other.pid}\\)"):
        picking_run.lock()
    other.kill()
    other.wait()
    picking_run.lock()  # its process was killed: taken over
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(EmtomoError, match="on elsewhere"):
        picking_run.lock()
    lock.write_text("rubbish")
    picking_run.lock()
    picking_run.unlock()
    assert not lock.exists()


def test_points_that_are_registered_again_are_never_stale(opened, project):
    """The file has the same name; what a finished run made from it before must not stay."""
    picking_run = picking_run_of(opened, project, "models")
    session = picking_run.session(picking_run.names[0])
    session.new_model("vesicle")
    session.add(10, 20, 30)
    bench = bench_of(opened)
    run = bench.run("pick-vectorial", "again", tomograms="simulate.tomograms", box_size=20, **picking_run.export())
    assert len(run.meshes) == 1 and not opened.find("again").out_of_date()
    session.add(11, 21, 31)
    values = picking_run.export()
    run = opened.find("again")
    assert run.out_of_date()
    set_parameters(opened, run, values, project)
    opened.amend(run)
    assert bench.go(run.getObjId())[run.getObjId()] == "finished"
    assert len(opened.find("again").meshes) == 2


def test_previous_meshes_are_edited_in_place(opened, project):
    picking_run = picking_run_of(opened, project, "models", opened.find("pick").meshes)
    before = opened.find("pick").meshes.frame()
    assert sum(r.count for r in picking_run.rows()) == len(before) and not picking_run.unsaved
    session = picking_run.session(picking_run.names[0])
    group = next(iter(session.models))
    session.select(group)
    session.remove_last()
    assert picking_run.unsaved
    run = bench_of(opened).run(
        "pick-vectorial", "edited", tomograms="simulate.tomograms", meshes="pick.meshes", **picking_run.export()
    )
    frame = run.meshes.frame()
    assert len(frame) == len(before) - 1  # replaced, not added to
    merged = before.merge(frame.round(2), on=["tomogram_id", "group", "role"], how="inner")
    assert (np.abs(merged["x_x"] - merged["x_y"]) < 0.05).sum() >= len(frame) - 1


def test_every_save_of_particles_is_an_output_of_its_own(opened, project):
    picking_run = picking_run_of(opened, project, "particles")
    session = picking_run.session(picking_run.names[0])
    session.new_model("particles")
    session.add(20, 30, 40)
    with pytest.raises(EmtomoError, match="no model"):
        session.new_model("vesicle")
    picking_run.export()
    session.add(21, 31, 41)
    values = picking_run.export()
    run = bench_of(opened).run("pick-manually", "boxes", tomograms="simulate.tomograms", box_size=20, **values)
    assert len(run.coordinates) == 1 and len(run.coordinates_2) == 2
    session.undo()
    session.undo()
    with pytest.raises(EmtomoError, match="no point to register"):
        picking_run.export()


NAMES = ("ribosomes, free", 'it\'s "bound"', "")


@pytest.mark.parametrize("ending", ["csv", "star"])
def test_the_names_of_sets_come_back_from_the_files(opened, project, tmp_path, ending):
    picking_run = picking_run_of(opened, project, "particles", run=901)
    session = picking_run.session(picking_run.names[0])
    for k, name in enumerate(NAMES):
        session.name_model(session.new_model("particles"), name)
        session.add(20 + k, 30, 40)
    bench = bench_of(opened)
    label = f"named {ending}"
    run = bench.run("pick-manually", label, tomograms="simulate.tomograms", box_size=20, **picking_run.export())
    assert run.coordinates.frame()["set_name"].tolist() == list(NAMES)
    export_output(run, "coordinates", tmp_path / f"out.{ending}")
    back = bench.run("import-coordinates", f"{label} back", tomograms="simulate.tomograms",
                     files=tmp_path / f"out.{ending}")  # fmt: skip
    # a STAR file holds no straight quotes
    expected = NAMES if ending == "csv" else [n.replace("'", "’").replace('"', "”") for n in NAMES]
    assert back.coordinates.frame()["set_name"].tolist() == list(expected)
    # opened again to be edited, the sets have their names
    again = picking_run_of(opened, project, "particles", run.coordinates, run=902 if ending == "csv" else 903)
    session = again.session(again.names[0])
    assert [m.name for m in session.models.values()] == list(NAMES)
    assert not again.unsaved
    session.name_model(1, "another")
    assert again.unsaved


def test_corrected_picks_of_the_network_are_registered_with_their_scores(opened, project):
    picking_run = picking_run_of(opened, project, "references")
    session = picking_run.session(picking_run.names[0])
    good, bad, found = (session.new_model(kind) for kind in ("positive", "negative", "particles"))
    session.add_many(good, [[10, 11, 12, "point"]])
    session.add_many(bad, [[40, 41, 42, "point"]])
    session.add_many(found, [[20, 30, 40, "point", 0.75], [21, 31, 41, "point", 0.5]])
    values = picking_run.export()
    text = (picking_run.folder / "references.csv").read_text()
    assert "positive" in text and "negative" in text and text.count("\n") == 3
    run = bench_of(opened).run("pick-convnet", "corrected", tomograms="simulate.tomograms", group=4, **values)
    frame = run.coordinates.frame()
    assert frame["score"].tolist() == [0.75, 0.5] and set(frame["group"]) == {4} and set(frame["picker"]) == {"convnet"}
    voxels = to_voxels(positions_of(frame), picking_run.shape(picking_run.names[0]), picking_run.pixel_size)
    np.testing.assert_allclose(voxels[0], [40, 30, 20], atol=1e-3)


@pytest.mark.parametrize(("protocol", "name"), sorted(WIZARDS), ids=str)
def test_every_wizard_on_an_empty_form_gives_a_sentence(opened, project, protocol, name):
    texts = FormModel(protocols_by_name()[protocol], "x").texts()
    with pytest.raises(EmtomoError) as reported:
        wizard_for(protocol, name)[1](opened, texts, project)
    assert str(reported.value).endswith(".") and "\n" not in str(reported.value)


@pytest.mark.parametrize(("protocol", "name"), PREVIEWED, ids=str)
def test_every_preview_on_an_empty_form_gives_a_sentence(opened, protocol, name):
    with pytest.raises(EmtomoError, match="^Choose the .* first.$"):
        preview(opened, protocol, name, FormModel(protocols_by_name()[protocol], "x").texts())


def test_box_sizes_are_rescaled_to_the_tomograms_that_are_extracted_from(opened, project):
    texts = {"coordinates": "model.coordinates", "tomograms": "simulate.tomograms"}
    find = wizard_for("extract-subtomograms", "box_size")[1]
    (same,) = find(opened, texts, project)
    assert same.values == {"box_size": "24"}
    (binned,) = find(opened, texts | {"tomograms": "bin.tomograms"}, project)
    assert binned.values == {"box_size": "12"} and "12 voxels" in binned.message
    assert [even(v) for v in (23.1, 24, 24.9, 25, 1)] == [24, 24, 24, 26, 2]


def test_pixel_size_and_origin_come_from_the_header(opened, project):
    file = project / opened.find("simulate").tomograms.frame()["file"].iloc[0]
    texts = {"files": str(file), "pattern": "*.mrc"}
    (size,) = wizard_for("import-tomograms", "pixel_size")[1](opened, texts, project)
    assert float(size.values["pixel_size"]) == pytest.approx(10.0)
    reported = wizard_for("import-tomograms", "origin")[1](opened, texts, project)
    assert [p.values["origin"] for p in reported] == ["centre", "header", "manual", "manual"]
    assert float(reported[2].values["origin_x"]) == -64 * 10.0  # the first of 128 voxels
    with pytest.raises(EmtomoError, match=r"no file is called \*.xyz"):
        wizard_for("import-tomograms", "pixel_size")[1](
            opened, {"files": str(file.parent), "pattern": "*.xyz"}, project
        )


def test_previews_show_before_and_after(opened):
    mask = preview(opened, "create-mask", "threshold", {"volume": "average.average", "extend": "0", "soft_edge": "2"})
    shares = []
    for value in (mask.low, mask.high):
        before, after, reported = mask.draw(value)
        assert before.shape[:2] == after.shape[:2] and after.shape[2] == 3
        shares.append(float(reported.split(": ")[1].split("%")[0]))
    assert shares[0] > shares[1]  # a lower threshold holds more
    shown = preview(opened, "match-template", "lowpass", {"reference": "average.average", "lowpass": "80"})
    assert shown.value == 80
    before, fine, _ = shown.draw(shown.low)
    _, coarse, _ = shown.draw(shown.high)
    rough = [np.abs(np.diff(p.astype(float), axis=1)).mean() for p in (fine, coarse)]
    assert rough[1] < rough[0]
    slab = preview(opened, "denoise-tomograms", "sigma", {"tomograms": "simulate.tomograms"})
    assert "eed, 10 iterations" in slab.draw(0.0)[2]
    _, smooth, _ = slab.draw(3.0)
    assert np.abs(np.diff(smooth.astype(float))).mean() < np.abs(np.diff(slab.draw(0.0)[1].astype(float))).mean()


def test_what_an_import_will_find_and_what_models_will_give_is_seen_before(opened, project, tmp_path):
    folder = tmp_path / "my 'data'"
    folder.mkdir()
    for name, shape in (("a.mrc", (5, 6, 7)), ("b.mrc", (4, 6, 7))):
        mrc.write_volume(folder / name, np.random.default_rng(0).normal(size=shape).astype(np.float32), 8.0)
    (folder / "notes.txt").write_text("no image", encoding="utf8")
    found = preview(opened, "import-tomograms", "files", {"files": folder.name}, tmp_path)
    xy, xz, sentence = found.draw(2.0)
    assert (found.low, found.high) == (1, 2) and xy.shape == (6, 7) and xz.shape == (4, 7)
    assert sentence == "2 image files of 3 files, of 2 sizes. b.mrc: 7×6×4, 8 Å/px"
    for pattern, words in (("c*", "No file in"), ("*.txt", "notes.txt")):
        with pytest.raises(EmtomoError, match=words):
            preview(opened, "import-tomograms", "files", {"files": str(folder), "pattern": pattern})
    made = preview(opened, "model-workflow", "cropping", {"meshes": "pick.meshes", "cropping": "8"})
    across, _, sentence = made.draw(8.0)
    first = opened.find("model").coordinates.frame()
    count = (first["tomogram_id"] == first["tomogram_id"].iloc[0]).sum()
    assert f": {count} coordinates at" in sentence  # what the run of the same parameter made
    assert made.draw(16.0)[2] != sentence and (across == (255, 196, 0)).all(axis=2).any()


def test_pointers_can_be_emptied_by_an_empty_text(opened, project):
    run = opened.find("extract")
    set_parameters(opened, run, {"tomograms": ""}, project)
    assert run.input_tomograms.pointsNone()
    assert output_target(opened, "model.coordinates")[1] == "coordinates"


def test_the_box_size_that_was_set_in_the_window_is_registered_with_the_points(opened, project):
    picking_run = PickingRun(project, 900, opened.find("simulate").tomograms, "particles", None, 40)
    session = picking_run.session(picking_run.names[0])
    session.new_model("particles")
    session.add(30, 30, 30)
    assert "box_size" not in picking_run.export() and not picking_run.unsaved
    picking_run.set_box(16)
    assert picking_run.unsaved
    again = PickingRun(project, 900, opened.find("simulate").tomograms, "particles", None, 40)  # after a crash
    assert again.box_size == 16 and again.unsaved
    values = again.export()
    assert values["box_size"] == "16" and not again.unsaved
    run = bench_of(opened).run("pick-manually", "boxed", tomograms="simulate.tomograms", **values)
    assert run.coordinates.box_size.get() == 16


def test_a_project_that_was_moved_away_is_not_begun_anew(tmp_path):
    project = tmp_path / "p"
    project.mkdir()
    session = PickingSession("a", project / "Picking" / "5" / "a.jsonl", within=project)
    session.new_model("vesicle")
    session.add(1, 2, 3)
    other = PickingSession("b", project / "Picking" / "5" / "b.jsonl", within=project)
    project.rename(tmp_path / "q")
    session.add(4, 5, 6)  # the open journal moved along
    with pytest.raises(EmtomoError, match="is gone: this change is not kept"):
        other.new_model("vesicle")
    assert not project.exists() and not other.models
    assert PickingSession("a", tmp_path / "q" / "Picking" / "5" / "a.jsonl").count == 2
