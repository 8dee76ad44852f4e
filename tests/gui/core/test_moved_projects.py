"""A project is a folder: moved, copied or mounted elsewhere it is the same project, with its own picks."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from emtomo.engine.identity import content_digest, note, path_in_project
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.gui.core import run_actions
from emtomo.gui.core.picking_run import PickingRun
from emtomo.gui.core.run_actions import FormValues
from emtomo.gui.core.runs import snapshot
from emtomo.gui.core.shown import load
from emtomo.objects import SetOfCoordinates3D, coordinates_frame
from emtomo.objects.selection import read_selection, set_identity, write_selection
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow


def copy_plain(source, target):
    subprocess.run(["cp", "-r", source, target], check=True)


def copy_rsync(source, target):
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    subprocess.run(["rsync", "-rl", f"{source}/", f"{target}/"], check=True)


def move(source, target):
    source.rename(target)


def mount(source, target):
    target.symlink_to(source)  # another path to the same files, as another mount point is


@pytest.fixture(scope="module")
def made_picked(made_project, tmp_path_factory):
    """The project, with picks of its own that a run was made from."""
    before, project = Path.cwd(), tmp_path_factory.mktemp("picked") / made_project.name
    shutil.copytree(made_project, project, symlinks=True)
    opened = EmtomoProject.open(project)
    tomograms = opened.find("simulate").tomograms
    bench = Bench.__new__(Bench)
    bench.project = opened
    run = opened.find(str(bench.add("pick-vectorial", "mine", tomograms="simulate.tomograms", box_size=20)))
    picking = PickingRun(project, run.getObjId(), tomograms, "models")
    session = picking.session(picking.names[0])
    session.new_model("vesicle")
    session.add(10, 20, 30)
    form = FormValues("pick-vectorial", "mine", picking.export(), run=run.getObjId())
    run_actions.save_form(opened, form, project)
    assert bench.go(run.getObjId())[run.getObjId()] == "finished"
    opened.closeMapper()
    os.chdir(before)
    return project


@pytest.fixture
def picked(made_picked, tmp_path):
    """A copy of it that a test may change."""
    folder = tmp_path / made_picked.name
    shutil.copytree(made_picked, folder, symlinks=True)
    return folder


@pytest.mark.parametrize("how", [copy_plain, copy_rsync, move, mount])
def test_a_project_elsewhere_has_the_status_the_picks_and_the_resume_that_it_had(picked, tmp_path, how):
    target = tmp_path / "elsewhere" / "other name"
    target.parent.mkdir()
    how(picked, target)
    opened = EmtomoProject.open(target)
    rows = snapshot(opened)
    assert {r.status for r in rows.values()} == {"finished"}
    assert not [r.label for r in rows.values() if r.out_of_date]
    mine = next(r.id for r in rows.values() if r.label == "mine")
    assert opened.find("mine").points.get() == f"Picking/{mine}/points.csv"
    # its own picks, not those of the original
    journal = target / "Picking" / str(mine) / "points.csv"
    journal.write_text(journal.read_text().replace("10.0000", "11.0000"))
    assert snapshot(opened)[mine].out_of_date
    bench = Bench.__new__(Bench)
    bench.project = opened
    assert bench.go(mine)[mine] == "finished"
    assert not snapshot(opened)[mine].out_of_date
    opened.closeMapper()
    if how in (copy_plain, copy_rsync):
        first = EmtomoProject.open(picked)
        assert not snapshot(first)[mine].out_of_date
        first.closeMapper()


def test_nothing_in_a_project_names_the_place_where_it_is(picked):
    found = [
        path
        for path in picked.rglob("*")
        if path.is_file() and path.suffix in (".json", ".csv", ".jsonl", ".txt") and "Logs" not in path.parts
        if str(picked) in path.read_text(encoding="utf8", errors="replace") and path.name != "process.json"
    ]
    links = [p for p in picked.rglob("*") if p.is_symlink() and str(p.readlink()).startswith(str(picked))]
    assert not found and not links


def test_the_copy_of_a_picking_run_has_picks_of_its_own(picked):
    opened = EmtomoProject.open(picked)
    mine = opened.find("mine").getObjId()
    (copy,) = run_actions.copy_runs(opened, [mine])
    assert opened.find(str(copy)).points.get() == f"Picking/{copy}/points.csv"
    picking = PickingRun(picked, copy, opened.find("simulate").tomograms, "models")
    session = picking.session(picking.names[0])
    assert session.count == 1
    session.add(1, 2, 3)
    picking.export()
    assert len((picked / "Picking" / str(mine) / "points.csv").read_text().splitlines()) == 2
    assert len((picked / "Picking" / str(copy) / "points.csv").read_text().splitlines()) == 3
    (again,) = run_actions.copy_runs(opened, [opened.find("model").getObjId()])  # one that picks nothing
    assert not (picked / "Picking" / str(again)).exists()
    opened.closeMapper()


def test_a_form_shows_a_file_of_the_project_with_its_whole_name_and_keeps_it_relative(picked):
    opened = EmtomoProject.open(picked)
    run = opened.find("mine")
    texts, _ = run_actions.read_form(opened, run.getObjId())
    assert texts["points"] == str(picked / "Picking" / str(run.getObjId()) / "points.csv")
    run_actions.save_form(opened, FormValues("pick-vectorial", "mine", texts, run=run.getObjId()), picked.parent)
    assert opened.find("mine").points.get() == f"Picking/{run.getObjId()}/points.csv"
    assert not opened.find("mine").out_of_date()
    opened.closeMapper()


def test_an_older_fingerprint_by_times_still_counts(picked):
    opened = EmtomoProject.open(picked)
    run = opened.find("model")
    path = picked / run._getExtraPath("fingerprint.json")
    new = json.loads(path.read_text())
    old = []
    for file, _ in new["inputs"]:
        now = (picked / file).stat()
        old.append([file, now.st_mtime_ns, now.st_size])
    path.write_text(json.dumps({"parameters": new["parameters"], "inputs": old, "files": {}}))
    assert not opened.find("model").out_of_date()
    old[0][2] += 1
    path.write_text(json.dumps({"parameters": new["parameters"], "inputs": old, "files": {}}))
    assert opened.find("model").out_of_date()
    opened.closeMapper()


def test_a_digest_is_of_the_content_alone(tmp_path):
    one, other = tmp_path / "a b", tmp_path / "c"
    one.write_bytes(b"x" * 100)
    other.write_bytes(b"x" * 100)
    os.utime(other, ns=(1, 1))
    assert content_digest(one) == content_digest(other) != ""
    noted = note([str(one), str(tmp_path / "none")])
    assert list(noted) == [str(one)]
    other.write_bytes(b"y" * 100)
    assert content_digest(other) != content_digest(one)
    assert content_digest(tmp_path / "none") == ""


def test_files_in_a_project_are_named_from_its_folder(tmp_path):
    project = tmp_path / "p q"
    (project / "Picking").mkdir(parents=True)
    assert path_in_project(project, project / "Picking" / "x.csv") == "Picking/x.csv"
    assert path_in_project(project, project / "Picking" / ".." / "x.csv") == "x.csv"
    assert path_in_project(project, tmp_path / "p q2" / "x.csv") == str(tmp_path / "p q2" / "x.csv")
    link = tmp_path / "link"
    link.symlink_to(project)
    assert path_in_project(project, link / "Picking" / "x.csv") == "Picking/x.csv"
    assert path_in_project(link, project / "x.csv") == "x.csv"


# --- selections ---


def particles(tmp_path, n, shift=0.0, name="p"):
    out = SetOfCoordinates3D.create(tmp_path / f"{name}.sqlite", pixel_size=10.0, box_size=16)
    places = np.arange(3.0 * n).reshape(n, 3) + shift
    out.extend(coordinates_frame("TS_1", places, group=1, score=0.5, picker="test"))
    out.write()
    return SetOfCoordinates3D.open(tmp_path / f"{name}.sqlite")


def test_a_selection_is_of_one_set_and_refused_for_another(tmp_path):
    first = particles(tmp_path, 10)
    path = tmp_path / "left out.txt"
    write_selection(path, first, np.array([3, 1]))
    assert read_selection(path, first).tolist() == [1, 3]
    same = particles(tmp_path, 10, name="again")
    assert set_identity(same) == set_identity(first) and read_selection(path, same).tolist() == [1, 3]
    for other in (particles(tmp_path, 11, name="more"), particles(tmp_path, 10, shift=1.0, name="elsewhere")):
        with pytest.raises(EmtomoError, match="chosen in another set \\(10 items\\)"):
            read_selection(path, other)
    path.write_text("2\n\n3\n")  # written by hand
    assert read_selection(path, first).tolist() == [2, 3]
    path.write_text("2\n11\n")
    with pytest.raises(EmtomoError, match="1 to 10, got '11'"):
        read_selection(path, first)
    write_selection(path, first, np.zeros(0, int))
    assert len(read_selection(path, first)) == 0


def test_after_an_upstream_run_made_other_particles_a_selection_keeps_none_of_them(project):
    opened = EmtomoProject.open(project)
    bench = Bench.__new__(Bench)
    bench.project = opened
    shown = load(opened, "model.coordinates")
    path = project / "Picking" / "left_out.txt"
    path.parent.mkdir(exist_ok=True)
    n = len(shown.value)
    write_selection(path, shown.value, np.arange(2, n + 1))
    run = bench.run("select-subset", "kept", items="model.coordinates", left_out=path, number=0)
    assert len(run.subset) == 1
    model = opened.find("model")
    run_actions.save_form(
        opened, FormValues("model-workflow", "model", {"cropping": "6"}, run=model.getObjId()), project
    )
    assert bench.go(model.getObjId())[model.getObjId()] == "finished"
    assert len(opened.find("model").coordinates) != n
    assert "another set" in " ".join(opened.find("kept").validate())
    with pytest.raises(EmtomoError, match="was made again since this window was opened"):
        shown.check_unchanged()
    opened.closeMapper()
