"""Commands on runs: copied, compared, renamed, deleted, cleaned; their logs and states."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from emtomo.cli import logs
from emtomo.cli.logs import iteration_lines
from emtomo.cli.manage import intermediate_files
from emtomo.cli.output import Interrupt
from emtomo.cli.runs import only_starter
from emtomo.engine.engine_words import without_bold
from emtomo.engine.project import EmtomoProject
from emtomo.engine.templates import check_template, find_shipped, read_template
from emtomo.errors import ProjectError
from emtomo.io import mrc
from tests.command import emtomo

pytestmark = [pytest.mark.workflow]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manage")
    for k in range(2):
        mrc.write_volume(folder / f"t{k}.mrc", np.zeros((8, 10, 12), np.float32), 10.0)
    assert emtomo("new", folder / "my p").returncode == 0
    done = emtomo("run", folder / "my p", "import-tomograms", f"files={folder}", "pattern=*.mrc", "--label", "import")
    assert done.returncode == 0, done.stderr
    return folder / "my p"


def test_a_new_project_says_where_it_is(tmp_path):
    done = emtomo("new", "here", cwd=tmp_path)
    assert str(tmp_path / "here") in done.stderr
    assert "here/here" not in done.stderr


def test_a_run_is_copied_compared_renamed_and_deleted(project):
    done = emtomo("copy", project, "import", "pixel_size=20", "--label", "other")
    assert done.returncode == 0, done.stderr
    differences = emtomo("compare", project, "import", "other").stdout
    assert "→ 20" in differences
    assert len(differences.splitlines()) == 1
    assert json.loads(emtomo("parameters", project, "other", "--json").stdout)["pixel_size"] == "20"
    assert emtomo("resume", project, "other").returncode == 0
    assert "at 20.00 Å/px" in emtomo("outputs", project).stdout
    assert emtomo("rename", project, "other", "second one").returncode == 0
    assert emtomo("run", project, "bin-tomograms", "tomograms=second one.tomograms", "--label", "bin").returncode == 0
    kept = emtomo("delete", project, "second one")
    assert kept.returncode == 2 and "bin would lose an input" in kept.stderr
    assert emtomo("delete", project, "second one", "bin").returncode == 0
    assert [r["label"] for r in json.loads(emtomo("status", project, "--json").stdout)] == ["import"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["copy", "P", "import", "--set", "no=1"], "no parameter 'no'"),
        (["copy", "P", "import", "--label", "import"], "a run labelled 'import' already"),
        (["rename", "P", "import", "1"], "must not be empty, a number"),
        (["delete", "P", "nobody"], "no run 'nobody'"),
        (
            ["run", "P", "import-tomograms", "files=a", "files=b"],
            "as 'a' and 'b'; it takes one file",
        ),
        (["run", "P", "extract-subtomograms", "coordinates=a.b", "coordinates=c.d"], "it takes one input"),
        (["run", "P", "consensus-picks", "coordinates=a.b", "coordinates=c.d"], "commas: coordinates=a.b,c.d"),
        (["run", "P", "bin-tomograms", "factor=2", "factor=3"], "it takes one value"),
        (["run", "P", "bin-tomograms", "factr=2", "factr=3"], "did you mean 'factor'?"),
        (["workflow", "average_particles", "--set", "tomograms=a", "--set", "tomograms=b"], "it takes one file"),
        (["workflow", "average_particles", "--set", "tomogrm=a", "--set", "tomogrm=b"], "did you mean 'tomograms'?"),
    ],
)
def test_what_cannot_be_is_reported_and_changes_nothing(project, arguments, message):
    done = emtomo(*[project if a == "P" else a for a in arguments])
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert [r["label"] for r in json.loads(emtomo("status", project, "--json").stdout)] == ["import"]


def test_a_finished_run_took_as_long_as_it_took(project):
    first = json.loads(emtomo("status", project, "--json").stdout)[0]
    time.sleep(0.05)
    again = json.loads(emtomo("status", project, "--json").stdout)[0]
    assert first["seconds"] == again["seconds"] > 0
    assert first["started"][:2] == "20"
    assert first["left"] is None


def test_the_log_leaves_out_what_the_engine_says_of_itself(project):
    short = emtomo("log", project, "import", "--follow").stdout
    assert "STARTED" in short
    assert "pyworkflow:" not in short
    assert "pyworkflow:" in emtomo("log", project, "import", "--all").stdout


def test_failures_are_reported_once_and_not_before_the_run_is_tried_again(project, tmp_path):
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nnobody,1,2,3\n")
    done = emtomo("run", project, "import-coordinates", "tomograms=import.tomograms", f"files={tmp_path / 'p.csv'}",
                  "--label", "wrong")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("No position belongs") == 1
    exported = emtomo("export", project, "wrong.coordinates", tmp_path / "a.star")
    assert exported.returncode == 2
    assert "has not made coordinates" in exported.stderr
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nt0,1,2,3\n")
    again = emtomo("resume", project, "wrong")
    assert again.returncode == 0, again.stderr
    assert "failed" not in again.stderr
    assert emtomo("delete", project, "wrong").returncode == 0


def test_two_commands_do_not_start_one_run(project):
    before = Path.cwd()
    try:
        opened = EmtomoProject.open(project)
        with only_starter(opened, [7]), only_starter(opened, [8]):
            pass
        run = opened.find("import").getObjId()
        reported = pytest.raises(ProjectError, match="carrying out import")
        with only_starter(opened, [run]), reported, only_starter(opened, [run]):
            raise AssertionError
    finally:
        os.chdir(before)


def test_an_interrupt_is_never_lost():
    with Interrupt() as interrupt:
        interrupt.check()
        with contextlib.suppress(BaseException):  # as libraries do
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


def test_the_users_asterisks_stay():
    assert without_bold("**Input** cannot be EMPTY; no file matches *.mrc or a*b*") == (
        "Input cannot be EMPTY; no file matches *.mrc or a*b*"
    )
    assert without_bold("*.mrc and *.rec match no file") == "*.mrc and *.rec match no file"
    assert without_bold("*Reference* cannot be EMPTY.") == "Reference must be given."


def test_a_table_of_iterations_is_a_line_each(tmp_path):
    (tmp_path / "metrics.csv").write_text("iteration,resolution,angle_change\n1,30.5,12\n2,20.1,3\n3,")
    assert list(iteration_lines(tmp_path / "metrics.csv", "iteration")) == [
        "iteration 1: resolution 30.5, angle change 12",
        "iteration 2: resolution 20.1, angle change 3",
    ]
    (tmp_path / "losses.csv").write_text("loss\n0.5\n")
    assert list(iteration_lines(tmp_path / "losses.csv", "iteration")) == ["iteration 1: loss 0.5"]
    assert list(iteration_lines(tmp_path / "none.csv", "iteration")) == []


def test_a_log_that_is_followed_prints_every_line_once(tmp_path, monkeypatch, capsys):
    """Steps and iterations are in files of their own, both of which grow."""

    class Run:
        grown = 0

        def find(self, _):
            self.grown += 1
            (tmp_path / "out").write_text("".join(f"STARTED: step {k}\n" for k in range(self.grown)))
            (tmp_path / "metrics.csv").write_text(
                "iteration,resolution\n" + "".join(f"{k},9\n" for k in range(self.grown))
            )
            return self

        def isActive(self):
            return self.grown < 4

        def isFinished(self):
            return False

        isFailed = getObjId = getStatus = isFinished

        def getStdoutLog(self):
            return str(tmp_path / "out")

        def getStderrLog(self):
            return str(tmp_path / "none")

        def _getExtraPath(self, name):
            return str(tmp_path / name)

    monkeypatch.setattr(logs.EmtomoProject, "open", lambda _: Run())
    monkeypatch.setattr(logs, "launch_log", lambda _: str(tmp_path / "none"))
    monkeypatch.setattr(logs, "FOLLOW_SECONDS", 0)
    logs.log(tmp_path, "1", follow=True)
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert sorted(lines) == sorted([f"STARTED: step {k}" for k in range(4)]
                                   + [f"iteration {k}: resolution 9" for k in range(4)])  # fmt: skip


def test_only_what_nothing_needs_is_intermediate(tmp_path):
    for name in (
        "extra/iterations/it_001.npz",
        "extra/iterations/it_002.npz",
        "tmp/a.mrc",
        "extra/b.part",
        "extra/c.mrc",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    spare = {str(p.relative_to(tmp_path)) for p in intermediate_files(tmp_path)}
    assert spare == {"extra/iterations/it_001.npz", "tmp/a.mrc", "extra/b.part"}


def test_versions_and_wrong_commands():
    assert emtomo("--version").stdout.startswith("emtomo ")
    assert "Did you mean 'delete'" in emtomo("delet").stderr


def test_templates_say_what_they_need():
    rows = {row["name"]: row["needs"] for row in json.loads(emtomo("templates", "--json").stdout)}
    assert "tomograms" in rows["directional_picking"]
    assert "needs: " in emtomo("templates").stdout


def test_a_template_that_runs_twice_updates_its_runs(tmp_path):
    for k in range(2):
        mrc.write_volume(tmp_path / f"t{k}.mrc", np.ones((8, 10, 12), np.float32), 10.0)
    (tmp_path / "two.json.template").write_text(
        'Words.\n[{"object.className": "ImportTomograms", "object.id": "7", "object.label": "import", '
        '"files": "~Folder||2|in~", "pattern": "*.mrc", "pixel_size": "~Pixel size (optional)||4|size~"},'
        '{"object.className": "BinTomograms", "object.id": "3", "object.label": "bin", '
        '"tomograms": "7.tomograms", "factor": "~Factor|2|4|factor~"}]'
    )
    start = ("workflow", tmp_path / "two.json.template", "--project", tmp_path / "p", "--set", f"in={tmp_path}")
    assert emtomo(*start).returncode == 0
    again = emtomo(*start, "--set", "factor=4", "--set", "size=12")
    assert again.returncode == 0, again.stderr
    assert "The 2 runs of two are updated" in again.stderr
    rows = json.loads(emtomo("status", tmp_path / "p", "--json").stdout)
    assert [(r["label"], r["status"]) for r in rows] == [("import", "finished"), ("bin", "finished")]
    assert "at 48.00 Å/px" in emtomo("outputs", tmp_path / "p").stdout
    bad = emtomo(*start, "--set", "factor=none")
    assert bad.returncode == 2 and "factor must be a number" in bad.stderr
    assert emtomo(*start, "--again").returncode == 0
    rows = json.loads(emtomo("status", tmp_path / "p", "--json").stdout)
    assert [r["label"] for r in rows] == ["import", "bin", "import (2)", "bin (2)"]


def test_shipped_templates_say_what_may_be_left_out(tmp_path):
    template = read_template("refine_subtomograms")
    values = {v.alias: "5" for v in template.variables.values() if v.needed}
    assert {"tomograms", "pixel_size", "coordinates", "diameter", "unit_diameter"} == set(values)
    read = template.fill_in(values, tmp_path)[1]
    assert read["table_map"] is None and read["pixel_size"] is None
    read = template.fill_in({**values, "table_map": "a.doc", "coordinates_pixel_size": "12"}, tmp_path)[1]
    assert read["table_map"] == str(tmp_path / "a.doc") and read["pixel_size"] == 12
    dark = read_template("directional_picking")
    given = {"tomograms": "t", "points": "p", "pixel_size": "10"}
    assert [dark.fill_in({**given, "white": w}, tmp_path)[0]["white"] for w in ("no", "yes")] == ["no", "yes"]
    with pytest.raises(ProjectError, match="refine_surfaces must be yes or no, got 'maybe'"):
        dark.fill_in({**given, "refine_surfaces": "maybe"}, tmp_path)
    for name in find_shipped():
        check_template(read_template(name))


def test_a_step_of_a_template_may_be_left_out_and_passes_its_input_on(tmp_path):
    template = read_template("directional_picking")
    given = {"tomograms": "t", "points": "p", "pixel_size": "10"}
    plain = {one["object.label"]: one for one in template.fill_in(given, tmp_path)}
    assert "refine surface" not in plain
    assert plain["model workflow"]["meshes"] == plain["vectorial picking"]["object.id"] + ".meshes"
    refined = {one["object.label"]: one for one in template.fill_in({**given, "refine_surfaces": "yes"}, tmp_path)}
    assert refined["refine surface"]["meshes"] == plain["model workflow"]["meshes"]
    assert refined["model workflow"]["meshes"] == refined["refine surface"]["object.id"] + ".meshes"
    assert not any("object.when" in one for one in refined.values())
    with pytest.raises(ProjectError, match="refine_surfaces must be yes or no"):
        template.fill_in({**given, "refine_surfaces": "perhaps"}, tmp_path)
