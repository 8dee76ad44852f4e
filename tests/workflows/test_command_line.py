"""The command line as a new user types it."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.command import emtomo

pytestmark = [pytest.mark.workflow]


def emtomo_process(*arguments):
    """Carry out a command in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SCIPION", "NUMBA_ENABLE"))}
    command = [sys.executable, "-m", "emtomo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_process_says_the_same(tmp_path):
    for arguments in (
        ["new", tmp_path / "p"],
        ["status", tmp_path / "p", "--json"],
        ["status", "/no/where"],
    ):
        by_itself, here = emtomo_process(*arguments), emtomo(*arguments)
        if arguments[0] == "new":
            assert (by_itself.returncode, here.returncode) == (0, 2) and "is a project already" in here.stderr
        else:
            assert (by_itself.returncode, by_itself.stdout) == (here.returncode, here.stdout), arguments
            assert by_itself.stderr.split() == here.stderr.split()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = emtomo("demo", "--project", "my demo ü", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "my demo ü", done


def test_demo_finds_what_was_simulated(demo):
    folder, done = demo
    reported = done.stderr
    vesicles = re.findall(r"radius ([\d.]+) Å, true ([\d.]+) Å; centre off by ([\d.]+)", reported)
    assert len(vesicles) == 3
    for found, true, off in vesicles:
        assert abs(float(found) / float(true) - 1) < 0.01 and float(off) < 1.0
    some, all_ = re.search(r"(\d+) of (\d+) membrane proteins", reported).groups()
    assert int(some) >= 0.95 * int(all_)
    assert float(re.search(r"correlates .* at ([\d.]+);", reported).group(1)) > 0.8
    paths = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert set(paths) == {"project", "points", "average", "report"}
    assert all(Path(p).exists() for p in paths.values())


def test_demo_refuses_a_folder_that_is_there(demo):
    again = emtomo("demo", "--project", demo[0])
    assert again.returncode == 2 and "is a project already" in again.stderr


class Tags(HTMLParser):
    """Collects tags, and every address that a browser would load."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href") and v]


def test_report_has_a_picture_for_each_output_and_loads_nothing_from_elsewhere(demo):
    page = Tags()
    page.feed((demo[0] / "report.html").read_text(encoding="utf8"))
    assert page.tags.count("img") >= 9 and page.tags.count("svg") == 1 and page.tags.count("h2") == 8
    assert all(a.startswith(("data:", "#")) for a in page.addresses)


def test_status_outputs_and_log(demo):
    rows = json.loads(emtomo("status", demo[0], "--json").stdout)
    assert [r["status"] for r in rows] == ["finished"] * 8
    assert "vectorial picking" in emtomo("status", demo[0]).stdout
    outputs = json.loads(emtomo("outputs", demo[0], "--json").stdout)
    assert {o["type"] for o in outputs} >= {"SetOfTomograms", "SetOfMeshes", "SetOfCoordinates3D", "Average"}
    assert "STARTED" in emtomo("log", demo[0], "model workflow").stdout


@pytest.mark.parametrize(
    "output",
    ["simulate.tomograms", "simulate.tilt_series", "simulate.truth", "denoise.tomograms", "vectorial picking.meshes",
     "model workflow.coordinates", "extract.subtomograms", "average.average"],
)  # fmt: skip
def test_every_output_has_a_picture(demo, output, tmp_path):
    done = emtomo("view", demo[0], output, "--png", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    image = Image.open(tmp_path / "a.png").convert("L")
    low, high = image.getextrema()
    assert image.width > 500 and high - low > 150


def test_view_of_a_file(demo, tmp_path):
    average = next(demo[0].glob("Runs/*/extra/average.mrc"))
    assert emtomo("view", average, "--png", tmp_path / "a.png").returncode == 0
    bad = tmp_path / "bad.mrc"
    bad.write_bytes(b"x" * 2000)
    done = emtomo("view", bad, "--png", tmp_path / "b.png")
    assert done.returncode == 2 and "not an MRC file" in done.stderr and "Traceback" not in done.stderr


def test_a_workflow_is_exported_and_run_again(demo, tmp_path):
    template = tmp_path / "again.json.template"
    names = ["simulate", "import", "bin"]
    assert emtomo("workflow-export", demo[0], *names, "-o", template).returncode == 0
    done = emtomo("workflow", template, "--project", tmp_path / "p", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [r["label"] for r in json.loads(emtomo("status", tmp_path / "p", "--json").stdout)] == names


def test_one_run_by_hand_and_a_changed_parameter(demo, tmp_path):
    folder = tmp_path / "p"
    assert emtomo("new", folder).returncode == 0
    points = pd.read_csv(demo[0] / "points.csv")
    points.to_csv(tmp_path / "points.csv", index=False)
    tomogram = next(demo[0].glob("Runs/*Import*/extra/*.mrc")).resolve()
    done = emtomo("run", folder, "import-tomograms", f"files={tomogram}", "--label", "import")
    assert done.returncode == 0, done.stderr
    relative = emtomo("run", "p", "pick-vectorial", "tomograms=import.tomograms", "points=points.csv", cwd=tmp_path)
    assert relative.returncode == 0, relative.stderr
    done = emtomo("run", folder, "model-workflow", "meshes=pick.meshes", "cropping=20", "--label", "mod")
    few = int(re.search(r"coordinates: (\d+) particles", done.stderr).group(1))
    done = emtomo("resume", folder, "mod", "--set", "cropping=10")
    assert int(re.search(r"coordinates: (\d+) particles", done.stderr).group(1)) > 3 * few


def test_what_a_change_puts_out_of_date_is_reported_and_brought_up_to_date(tmp_path):
    folder = tmp_path / "p"
    small = ["size_x=96", "size_y=96", "size_z=48", "vesicles=1", "vesicle_radius=180"]
    assert emtomo("new", folder).returncode == 0
    assert emtomo("run", folder, "simulate-tomograms", *small, "--label", "sim").returncode == 0
    assert emtomo("run", folder, "select-subset", "items=sim.truth", "number=9", "--label", "one").returncode == 0
    assert emtomo("run", folder, "select-subset", "items=one.subset", "--label", "two").returncode == 0
    assert emtomo("run", folder, "select-subset", "items=two.subset", "--label", "three").returncode == 0
    assert "up to date" in emtomo("resume", folder).stderr
    done = emtomo("resume", folder, "one", "--set", "number=5")
    assert "Out of date now: two, three" in done.stderr, done.stderr
    rows = {r["label"]: r["out_of_date"] for r in json.loads(emtomo("status", folder, "--json").stdout)}
    assert rows == {"sim": False, "one": False, "two": True, "three": True}
    assert emtomo("resume", folder).returncode == 0
    outputs = {o["run"]: o["summary"] for o in json.loads(emtomo("outputs", folder, "--json").stdout)}
    assert outputs["three"].startswith("5 particles")
    assert not any(r["out_of_date"] for r in json.loads(emtomo("status", folder, "--json").stdout))


def test_a_run_returns_at_once_when_asked(demo, tmp_path):
    folder = tmp_path / "p"
    assert emtomo("new", folder).returncode == 0
    tomogram = next(demo[0].glob("Runs/*Import*/extra/*.mrc")).resolve()
    assert emtomo("run", folder, "import-tomograms", f"files={tomogram}", "--label", "import").returncode == 0
    started = emtomo("run", folder, "bin-tomograms", "tomograms=import.tomograms", "--no-wait", "--label", "bin")
    assert started.returncode == 0 and "Started" in started.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "P", "no-such"], "no protocol 'no-such'"),
        (["run", "P", "bin-tomograms"], "Tomograms must be given."),
        (["run", "P", "bin-tomograms", "factor"], "key=value"),
        (["log", "P", "nobody"], "no run 'nobody'"),
        (["view", "P", "average.nothing"], "no output 'nothing'"),
        (["status", "/no/where"], "not a project"),
        (["workflow", "no_template"], "no template no_template"),
        (["workflow", "directional_picking", "--project", "/tmp/x"], "needs tomograms"),
        (["describe", "nothing"], "no protocol 'nothing'"),
        (["stop", "P", "average"], "not running"),
    ],
)
def test_bad_usage_is_one_sentence_and_status_2(demo, arguments, message):
    done = emtomo(*[demo[0] if a == "P" else a for a in arguments])
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_failed_run_is_status_1_and_one_line(demo, tmp_path):
    (tmp_path / "p.csv").write_text("tomogram_id,x,y,z\nnobody,1,2,3\n")
    done = emtomo("run", demo[0], "import-coordinates", "tomograms=import.tomograms", f"files={tmp_path / 'p.csv'}",
                  "--label", "wrong")  # fmt: skip
    assert done.returncode == 1
    assert "emtomo: run wrong failed: No position belongs to a tomogram" in done.stderr


def test_protocols_describe_and_doctor_tell_what_is_there():
    listed = json.loads(emtomo("protocols", "--json").stdout)
    assert len(listed["protocols"]) >= 12 and listed["templates"]
    for row in listed["protocols"]:
        reported = json.loads(emtomo("describe", row["name"], "--json").stdout) if row["name"] < "c" else None
        if reported:
            for parameter in reported["parameters"]:
                assert parameter["label"] and parameter["help"], parameter
    text = emtomo("describe", "denoise-tomograms").stdout
    assert "Time step" in text and "<= 0.15" in text and "one of: eed, bflow" in text
    assert "(must be given)" in emtomo("describe", "directional_picking").stdout
    doctor = emtomo_process("doctor").stdout
    assert "cores" in doctor and "numba threads by" in doctor and "scipion-pyworkflow 3.11.7" in doctor
