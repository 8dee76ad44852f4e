"""Templates that are written from a project, wrong names, and descriptions, as a user types them."""

import json
import shutil

import numpy as np
import pytest

from emtomo.io import mrc
from tests.command import emtomo

pytestmark = [pytest.mark.workflow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tomogram, and a project beside it that imports and bins it."""
    made = tmp_path_factory.mktemp("with data") / "first"
    made.mkdir()
    mrc.write_volume(made / "t1.mrc", np.ones((8, 10, 12), np.float32), 10.0)
    assert emtomo("new", made / "p").returncode == 0
    run = emtomo("run", made / "p", "import-tomograms", f"files={made / 't1.mrc'}", "--label", "import")
    assert run.returncode == 0, run.stderr
    run = emtomo("run", made / "p", "bin-tomograms", "tomograms=import.tomograms", "--label", "bin")
    assert run.returncode == 0, run.stderr
    return made


def test_a_template_moves_with_its_data_and_has_variables(folder, tmp_path):
    done = emtomo("workflow-export", folder / "p", "-o", folder / "w.json.template", "--relative",
                  "--variable", "factor=bin.factor", "--variable", "size=import.pixel_size",
                  "--variable", "step=import.tilt_step", "--variable", "angles=import.acquisition")  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (folder / "w.json.template").read_text(encoding="utf8")
    assert str(folder) not in text.split("[", 1)[1]
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("t1.mrc", "w.json.template"):
        shutil.copy(folder / name, moved / name)
    mrc.write_volume(moved / "t1.mrc", np.ones((8, 10, 14), np.float32), 10.0)
    done = emtomo("workflow", tmp_path / "q", moved / "w.json.template", "factor=1.5", "--set", "size=20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = emtomo("outputs", tmp_path / "q").stdout
    assert "14×10×8 at 20.00 Å/px" in made and "at 30.00 Å/px" in made
    variables = emtomo("describe", moved / "w.json.template")
    assert variables.returncode == 0, variables.stderr
    assert "factor" in variables.stdout and "(default: 2.0)" in variables.stdout
    assert variables.stdout.count("(optional)") == 3  # and the run above was given neither angles nor step


def test_the_project_may_stand_behind(folder, tmp_path):
    assert emtomo("parameters", "bin", folder / "p").stdout == emtomo("parameters", folder / "p", "bin").stdout != ""
    assert emtomo("compare", "bin", folder / "p", "import").stdout.startswith("Tomograms: 2.tomograms")
    done = emtomo("run", "import-tomograms", "files=t1.mrc", cwd=tmp_path)
    assert "The project comes first: emtomo run PROJECT import-tomograms" in done.stderr
    for given in (("directional_picking", "a", "b"), ("directional_picking", "a", "--project", "b")):
        assert "One template and one project are needed" in emtomo("workflow", *given, cwd=tmp_path).stderr
    emtomo("new", tmp_path / "empty")
    assert "this project has no runs" in emtomo("log", "3", tmp_path / "empty").stderr


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("factor", "written key=value"),
        ("f=bin", "A variable is written NAME=RUN.parameter"),
        ("f=bin.factr", "no parameter 'factr' (did you mean 'factor'?)"),
        ("f=bin.tomograms", "tomograms is an input of bin"),
        ("a|b=bin.factor", "must be one word"),
    ],
)
def test_a_variable_that_cannot_be(folder, variable, message):
    done = emtomo("workflow-export", folder / "p", "-o", folder / "bad.json.template", "--variable", variable)
    assert done.returncode == 2 and message in done.stderr
    assert not (folder / "bad.json.template").exists()


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (["run", "P", "import-tomogram"], "import-tomograms"),
        (["run", "P", "Bin-tomograms", "tomogram=import.tomograms"], "bin-tomograms"),
        (["run", "P", "bin-tomograms", "tomogram=import.tomograms"], "tomograms"),
        (["run", "P", "bin-tomograms", "tomograms=import.tomogram"], "tomograms"),
        (["run", "P", "bin-tomograms", "tomograms=imprt.tomograms"], "import"),
        (["workflow", "directional_piking"], "directional_picking"),
        (["workflow", "directional_picking", "--set", "tomogram=x"], "tomograms"),
        (["describe", "extract-subtomogram"], "extract-subtomograms"),
    ],
)
def test_a_wrong_name_gets_a_guess(folder, arguments, guess):
    done = emtomo(*[folder / "p" if a == "P" else a for a in arguments])
    assert done.returncode == 2
    assert f"(did you mean '{guess}'?)" in done.stderr


def test_a_name_like_nothing_gets_none():
    assert "did you mean" not in emtomo("describe", "qqqqqq").stderr


def test_descriptions_are_in_words():
    text = emtomo("describe", "extract-subtomograms").stdout
    assert "None" not in text and "True" not in text and "[3D coordinates or subtomograms] must be given" in text
    assert "Invert contrast? [yes or no] default: yes" in text
    assert "executor, cluster, workers: where the work is done" in text and "htcondor" not in text
    assert "htcondor" in emtomo("describe", "extract-subtomograms", "--all").stdout
    assert "cluster" in [
        p["name"] for p in json.loads(emtomo("describe", "extract-subtomograms", "--json").stdout)["parameters"]
    ]
