"""A project that somebody sent: nothing in its folder is run or obeyed, whatever is done with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.planted import plant, ran

pytestmark = [pytest.mark.workflow]

ENVIRONMENT = Path(sys.prefix)


def emtomo(folder, *arguments, module=False, **more):
    """Run the command with the project as its working folder, and lists in the environment that name it by nothing."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SCIPION", "NUMBA", "PYTHONSAFE"))}
    lists = {"LD_LIBRARY_PATH": f":{environment.get('LD_LIBRARY_PATH', '')}"}
    start = [sys.executable, "-m", "emtomo"] if module else [ENVIRONMENT / "bin" / "emtomo"]
    return subprocess.run(
        [*map(str, start), *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        env={**environment, **lists, **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def received(tmp_path_factory):
    folder = tmp_path_factory.mktemp("received") / "project"
    assert emtomo(Path.cwd(), "new", folder).returncode == 0
    small = ["size_x=40", "size_y=40", "size_z=24", "vesicles=1", "vesicle_radius=60", "soluble_proteins=2", "seed=1"]
    done = emtomo(folder, "run", ".", "simulate-tomograms", *small, "number=2", "--label", "simulate")
    assert done.returncode == 0, done.stderr
    plant(folder)
    return folder


VERBS = (
    ["status", ".", "--json"],
    ["outputs", "."],
    ["log", ".", "simulate"],
    ["run", ".", "denoise-tomograms", "tomograms=simulate.tomograms", "iterations=1", "--label", "denoise"],
    ["resume", ".", "simulate", "--restart"],
    ["workflow-export", ".", "-o", "out.json.template"],
    ["export", ".", "simulate.truth", "out.star"],
    ["convert", "out.star", "out.csv"],
    ["view", ".", "simulate.tomograms", "--png", "out.png"],
    ["report", ".", "-o", "out.html"],
    ["doctor"],
)


@pytest.mark.parametrize("arguments", VERBS, ids=lambda a: a[0])
def test_no_verb_runs_what_lies_in_the_folder(received, arguments):
    done = emtomo(received, *arguments)
    assert not ran(received)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or arguments[0] in ("convert",), done.stderr


def test_started_as_a_module_it_takes_no_module_of_the_folder_either(tmp_path):
    plant(tmp_path)
    # what Python itself needs to find emtomo comes from the folder before emtomo can prevent it: docs/security.md
    for name in ("emtomo", "sitecustomize", "usercustomize", *EARLY):
        (tmp_path / f"{name}.py").unlink(missing_ok=True)
    done = emtomo(tmp_path, "doctor", module=True)
    assert done.returncode == 0, done.stderr
    assert not ran(tmp_path)


EARLY = (
    "runpy", "pkgutil", "collections", "types", "warnings", "functools", "keyword", "operator", "reprlib", "typing",
    "importlib", "zipimport", "_collections_abc", "copyreg", "re", "enum", "contextlib", "heapq", "itertools",
)  # fmt: skip


def test_settings_of_the_folder_are_not_obeyed(received):
    code = (
        "import emtomo, numba, matplotlib\n"
        "import emtomo.compute.kernels\n"
        "from numba import njit\n"
        "numba.config.reload_config()\n"
        "f = njit(lambda x: x + 1); assert f(1) == 2 and f.signatures\n"
        "assert matplotlib.rcParams['savefig.dpi'] == 'figure' and numba.config.DISABLE_JIT == 0\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=received, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_a_run_on_a_dask_cluster_takes_nothing_of_the_folder(received):
    pytest.importorskip("distributed")
    # started elsewhere, so that the empty entry of PYTHONPATH is the project's folder for its children alone
    done = emtomo(
        received.parent, "run", received, "bin-tomograms", "tomograms=simulate.tomograms", "factor=2", "executor=dask",
        "--label", "dask", PYTHONPATH=":",
    )  # fmt: skip
    assert not ran(received)
    assert done.returncode == 0, done.stderr


def test_the_folder_of_a_run_is_left_as_it_was(received):
    rows = json.loads(emtomo(received, "status", ".", "--json").stdout)
    assert {row["status"] for row in rows} == {"finished"}
