"""The private names of pyworkflow that emtomo replaces: these fail when a new version moves them."""

import importlib
import importlib.metadata
import inspect
import os
import subprocess
import sys
import time

import pytest
import pyworkflow.utils.process
from pyworkflow.mapper.sqlite_db import SqliteDb
from pyworkflow.project import Project
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.executor import StepThread, ThreadStepExecutor

from emtomo.engine.launcher import LOCK_SECONDS, install, is_alive
from emtomo.engine.plugin import Domain, Plugin

launch = importlib.import_module("pyworkflow.protocol.launch")


def test_the_version_is_the_one_that_was_tried():
    assert importlib.metadata.version("scipion-pyworkflow") == "3.11.7"


def test_replaced_names_exist_with_the_arguments_that_ours_take():
    install()
    original = launch._launchLocal
    assert original.__module__ == "emtomo.engine.launcher"
    source = inspect.getsource(launch.launch)
    assert "_launchLocal(protocol, wait, stdin, stdout, stderr)" in source
    assert "isProcessAlive" in inspect.getsource(Project.checkPid)
    assert "self.__updateDoneSteps()" in inspect.getsource(Protocol._run)
    assert hasattr(Protocol, "_Protocol__updateDoneSteps")
    assert list(inspect.signature(ThreadStepExecutor.runSteps).parameters)[:6] == [
        "self",
        "steps",
        "stepStartedCallback",
        "stepFinishedCallback",
        "stepsCheckCallback",
        "stepsCheckSecs",
    ]
    assert list(inspect.signature(StepThread.__init__).parameters) == ["self", "step", "lock"]
    assert inspect.signature(Protocol._insertFunctionStep).parameters["needsGPU"].default is True


def test_domain_keeps_its_own_registries():
    base = Domain.__mro__[1]
    for name in ("_plugins", "_protocols", "_objects", "_viewers", "_wizards"):
        assert getattr(Domain, name) is not getattr(base, name)
    assert Plugin.__module__ == "emtomo"
    assert "ImportTomograms" in Domain.getProtocols() and "SetOfTomograms" in Domain.getObjects()


def test_a_locked_database_gives_up_soon_whatever_the_engine_asks_for(tmp_path, monkeypatch):
    assert LOCK_SECONDS < 10
    monkeypatch.setattr("emtomo.engine.launcher.LOCK_SECONDS", 0.2)
    import sqlite3

    install()
    path = str(tmp_path / "a.sqlite")
    with sqlite3.connect(path) as holder:
        holder.execute("CREATE TABLE t (a)")
        holder.commit()
        holder.execute("BEGIN EXCLUSIVE")
        db = SqliteDb()
        db._createConnection(path, 1000)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            db.executeCommand("INSERT INTO t VALUES (1)")
        db.close()


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    time.sleep(1.0)
    assert not is_alive(child.pid)
    child.wait()
    assert is_alive(os.getpid())


@pytest.mark.parametrize("pid", [None, 0, 2**22 + 1])
def test_stopping_a_run_without_a_process_harms_nobody(pid):
    install()
    assert pyworkflow.utils.process.killWithChilds(pid) is None  # the engine's own kills this very process for None


def test_only_runs_are_killed():
    install()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    pyworkflow.utils.process.killWithChilds(child.pid)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_as_a_guest_nothing_is_touched():
    code = (
        "import os; os.environ['SCIPION_DOMAIN'] = 'pwem'\n"
        "from emtomo.engine.environment import prepare\n"
        "before = dict(os.environ); assert prepare() is False and dict(os.environ) == before"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SCIPION")}
    environment["SCIPION_DOMAIN"] = "pwem"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_settings_hold_even_if_pyworkflow_was_imported_before():
    code = (
        "import pyworkflow, emtomo.engine\n"
        "assert pyworkflow.Config.SCIPION_DOMAIN == 'emtomo' and not pyworkflow.Config.SCIPION_NOTIFY\n"
        "assert pyworkflow.Config.SCIPION_HOSTS.endswith('hosts.conf')"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SCIPION")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_connects_to_a_network(tmp_path):
    """Import, project, protocols: an audit hook counts connections other than to this machine's files."""
    code = f"""
import sys
seen = []
watched = ('socket.connect', 'urllib.Request')
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in watched else None)
from emtomo.engine.project import EmtomoProject
from emtomo.engine.parameters import protocols_by_name
project = EmtomoProject.start({str(tmp_path / "p")!r})
run = project.new_run(protocols_by_name()['simulate-tomograms'], 'a')
project.saveProtocol(run)
project.runs_now()
sys.exit(str(seen) if seen else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
