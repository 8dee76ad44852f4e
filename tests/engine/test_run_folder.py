"""Names and links in a project that somebody sent never decide where emtomo writes."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from emtomo.cli.logs import _lines, iteration_lines
from emtomo.engine.project import EmtomoProject
from emtomo.engine.run_folder import check_project_folder, check_run_folder, path_in_run
from emtomo.engine.state import read_json, write_json
from emtomo.errors import EmtomoError, FormatError, ProjectError
from emtomo.objects import SetOfCoordinates3D
from emtomo.viewers.report import _keep
from tests.engine.helpers import SAMPLE, Bench

HOSTILE = ["../../../../x/thesis", "/home/x/thesis", "..", ".", "a/b", "a\\b", "a\0b", "a\nb", "a\x1b[2Jb", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_a_path_is_refused_when_a_set_is_written_and_when_it_is_read(name, tmp_path):
    frame = pd.DataFrame({"tomogram_id": ["good", name], "x": 1.0, "y": 2.0, "z": 3.0})
    new = SetOfCoordinates3D.create(tmp_path / "new.sqlite")
    with pytest.raises(FormatError, match="tomogram_id must"):
        new.extend(frame)
    path = tmp_path / "set.sqlite"
    SetOfCoordinates3D.save(path, frame.assign(tomogram_id="good"))
    with sqlite3.connect(path) as db:
        column = dict(db.execute("SELECT label_property, column_name FROM Classes"))["tomogram_id"]
        db.execute(f"UPDATE Objects SET {column} = ? WHERE id = 2", [name])
    for read in (lambda s: s.frame(), lambda s: s.tomogram_ids(), lambda s: s.frame(["tomogram_id"])):
        with pytest.raises(FormatError, match="tomogram_id must") as reported:
            read(SetOfCoordinates3D.open(path))
        assert "\n" not in str(reported.value) and "\x1b" not in str(reported.value) and len(str(reported.value)) < 400


def test_usual_names_are_taken(tmp_path):
    names = ["TS_01", "tomo 1 'a' \"b\"", "Ångström", "a..b", "-x", "", "TS_01.mrc_15.00Apx"]
    SetOfCoordinates3D.save(tmp_path / "a.sqlite", pd.DataFrame({"tomogram_id": names, "x": 0.0, "y": 0.0, "z": 0.0}))
    assert SetOfCoordinates3D.open(tmp_path / "a.sqlite").tomogram_ids() == names


@pytest.mark.parametrize("name", ["../x", "extra/../../../x", "a\0b", "../000001_Prot2/x", "../.."])
def test_a_path_outside_of_the_run_is_refused(name):
    with pytest.raises(ProjectError, match="its own folder"):
        path_in_run("Runs/000001_Prot", f"Runs/000001_Prot/{name}")


def test_paths_inside_are_taken():
    for name in ("", "extra/a.mrc", "extra/../logs/run.db", "extra/..a"):
        assert path_in_run("Runs/000001_Prot", f"Runs/000001_Prot/{name}").startswith("Runs/000001_Prot")


@pytest.mark.parametrize("folder", ["../other", "/tmp/x", "Runs", "Runs/..", "Runs/a/b", ".", "", "Logs/a"])
def test_a_run_is_in_the_folder_of_runs(folder, tmp_path):
    with pytest.raises(ProjectError):
        check_run_folder(tmp_path, folder)


@pytest.mark.parametrize(
    "link", ["Runs", "Runs/a", "Runs/a/extra", "Runs/a/tmp", "Runs/a/logs/run.stdout", "Runs/a/extra/TS_1.mrc.part",
             "Runs/a/coordinates.sqlite.part", "Runs/a/extra/fingerprint.json", "Runs/a/extra/deep/er"],
)  # fmt: skip
def test_links_out_of_a_run_are_refused(link, tmp_path):
    elsewhere, project = tmp_path / "elsewhere", tmp_path / "project"
    (elsewhere / "a" / "extra").mkdir(parents=True)
    path = project / link
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    with pytest.raises(ProjectError, match="is a link to"):
        check_run_folder(project, "Runs/a")


def test_an_image_may_be_a_link_to_where_it_was_imported_from(tmp_path):
    (tmp_path / "Runs/a/extra").mkdir(parents=True)
    (tmp_path / "Runs/a/extra/TS_1.mrc").symlink_to("/elsewhere/TS_1.mrc")
    check_run_folder(tmp_path, "Runs/a")


@pytest.mark.workflow
def test_a_received_project_overwrites_nothing(tmp_path, tmp_path_factory):
    thesis = tmp_path / "x" / "thesis.mrc"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    bench = Bench.simulated(tmp_path_factory, tmp_path / "project", "sim", **SAMPLE)
    made = bench.project.find("sim")
    with sqlite3.connect(made.tomograms.getFileName()) as db:
        column = dict(db.execute("SELECT label_property, column_name FROM Classes"))["tomogram_id"]
        db.execute(f"UPDATE Objects SET {column} = ?", ["../../../../x/thesis"])
    reported = bench.fails("bin-tomograms", "bin", tomograms="sim.tomograms", factor=2)
    assert "tomogram_id must be a plain name" in reported
    assert thesis.read_text() == "years of work"
    # the run's folder itself leads elsewhere, by a link or by what the project says
    run = bench.project.find("bin")
    folder, elsewhere = Path(run.getWorkingDir()), tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    (elsewhere / "keep").write_text("mine")
    for act in (lambda: bench.project.launch(run, restart=True), lambda: bench.project.deleteProtocol(run)):
        with pytest.raises(ProjectError, match="is a link to"):
            act()
    run.setWorkingDir(str(elsewhere))
    for act in (lambda: bench.project.launch(run, restart=True), lambda: bench.project.deleteProtocol(run)):
        with pytest.raises(EmtomoError, match="folder"):
            act()
    assert (elsewhere / "keep").read_text() == "mine"


def test_a_project_whose_database_is_a_link_is_not_opened(tmp_path):
    EmtomoProject.start(tmp_path / "real")
    (tmp_path / "received").mkdir()
    (tmp_path / "received/project.sqlite").symlink_to(tmp_path / "real/project.sqlite")
    with pytest.raises(ProjectError, match="is a link to"):
        EmtomoProject.open(tmp_path / "received")


@pytest.mark.parametrize(
    "name", ["Logs/launch_2.json.part", "Logs/scheduler.log", "Picking/a.txt", "settings.sqlite.damaged"]
)
def test_a_project_that_keeps_links_is_not_opened(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    check_project_folder(tmp_path)
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(ProjectError, match="does not write through links"):
        check_project_folder(tmp_path)


def test_links_in_a_run_are_neither_shown_nor_written_through(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"iteration": "secret"}\nsecret,iteration\n')
    for name in ("state.json", "state.json.part", "run.stdout", "metrics.csv", "a.png", "a.png.part"):
        (tmp_path / name).symlink_to(secret)
    before = secret.read_text()
    assert read_json(tmp_path / "state.json", {}) == {}
    assert "secret,iteration" not in "".join(_lines(str(tmp_path / "run.stdout"), everything=True))
    assert list(iteration_lines(tmp_path / "metrics.csv", "iteration")) == []
    write_json(tmp_path / "state.json", {"a": 1})
    drawn = tmp_path / "drawn.png"
    drawn.write_bytes(b"picture")
    _keep(drawn, tmp_path / "a.png")
    assert secret.read_text() == before and read_json(tmp_path / "state.json", {}) == {"a": 1}
    assert (tmp_path / "a.png").read_bytes() == b"picture" and not (tmp_path / "a.png").is_symlink()
