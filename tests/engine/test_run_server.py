"""Runs as forks of one process that has loaded the protocols: each as if it had been started by itself."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from emtomo.engine import launcher
from emtomo.engine.launcher import PROCESS
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.run_server import RunServer
from tests.engine.helpers import SAMPLE, Bench
from tests.engine.test_project import wait_for

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench.simulated(tmp_path_factory, tmp_path_factory.mktemp("server") / "it's a project", "sim", **SAMPLE)


@pytest.fixture(autouse=True)
def in_the_project(bench):
    os.chdir(bench.project.path)


def process_of(run):
    return json.loads(Path(run._getLogsPath(PROCESS)).read_text())["pid"]


def long_run(bench, label):
    """Start a run that takes a while and return its process."""
    i = bench.add("denoise-tomograms", label, tomograms="sim.tomograms", iterations=5000)
    bench.project.launch(bench.project.find(label))
    assert wait_for(lambda: Path(bench.project.find(label)._getLogsPath("progress.json")).exists())
    return i, psutil.Process(bench.project.find(label).getPid())


def test_a_run_has_a_session_a_folder_and_logs_of_its_own(bench):
    _, process = long_run(bench, "long")
    server = launcher._server._process
    assert process.ppid() == server.pid and os.getsid(process.pid) == process.pid
    assert process.cwd() == str(Path(bench.project.path).resolve())
    files = [Path(f"/proc/{process.pid}/fd/{k}").resolve() for k in range(3)]
    logs = Path(bench.project.find("long")._getLogsPath()).resolve()
    assert files[0] == Path("/dev/null") and files[2].parent == logs
    assert not sockets_of(process.pid) & sockets_of(server.pid)
    launcher.kill_run(process.pid)
    assert not process.is_running() and server.poll() is None


def sockets_of(pid):
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.startswith("socket:")}


def test_two_runs_begin_with_different_random_numbers_and_leave_no_zombie(bench):
    """numpy's old generator would be the same in every fork."""
    code = (
        "import os, sys, numpy as np\n"
        "from emtomo.engine.run_server import serve\n"
        "arguments = serve(int(sys.argv[2]))\n"
        "open(arguments[0], 'w').write(f'{np.random.random()} {sys.argv[1:]} {os.environ.get(\"ANOTHER\")}')\n"
    )
    folder = Path.cwd()
    (folder / "forked_module.py").write_text(code)
    server = RunServer("forked_module")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    pids = [server.fork([str(folder / f"out{k}")], folder / "log", environment) for k in range(2)]
    assert wait_for(lambda: all((folder / f"out{k}").exists() for k in range(2)))
    assert wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5)
    (a, first), (b, _) = ((folder / f"out{k}").read_text().split(" ", 1) for k in range(2))
    assert a != b and first == f"{[str(folder / 'out0')]} None"
    before = server._process.pid
    server.fork([str(folder / "out3")], folder / "log", {**environment, "ANOTHER": "1"})
    assert wait_for(lambda: (folder / "out3").exists() and (folder / "out3").read_text().endswith(" 1"))
    assert server._process.pid == before
    server.fork([str(folder / "out4")], folder / "log", {**environment, "OMP_NUM_THREADS": "3"})  # read at the start
    assert server._process.pid != before and not psutil.pid_exists(before)
    server.close()


def test_without_the_server_a_run_is_a_process_by_itself(bench):
    launcher._server._process.kill()
    launcher._server._process.wait()
    run = bench.run("bin-tomograms", "after", tomograms="sim.tomograms")  # with another server
    launcher._server._process.send_signal(signal.SIGSTOP)
    assert process_of(run) != launcher._server._process.pid
    launcher._server._process.kill()  # before it answers
    assert wait_for(lambda: psutil.Process(launcher._server._process.pid).status() == "zombie")
    monkey = RunServer("no.such.module")
    with pytest.raises(OSError):
        monkey.fork([], Path("log"), dict(os.environ))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "_server", monkey)
        patch.setattr(launcher, "reap", lambda: None)  # the process stays in the list when it has ended
        alone = bench.run("bin-tomograms", "alone", tomograms="sim.tomograms")
        assert process_of(alone) in [child.pid for child in launcher._children]


def test_a_server_that_does_not_answer_is_killed_and_a_run_that_it_started_is_kept(bench, monkeypatch):
    monkeypatch.setattr("emtomo.engine.run_server._LATEST_SECONDS", 0.5)
    silent = (
        "import os, socket, sys, time\n"
        "with socket.socket(fileno=int(sys.argv[2])) as connection:\n"
        "    connection.recv(10000)\n"
        "    time.sleep(float(os.environ['SECONDS']))\n"
        "    connection.sendall(b'77\\n')\n"
    )
    (Path.cwd() / "silent_module.py").write_text(silent)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    server = RunServer("silent_module")
    assert server.fork([], Path("log"), {**environment, "SECONDS": "0"}) == 77
    server.close()
    with pytest.raises(ConnectionError):
        server.fork([], Path("log"), {**environment, "SECONDS": "600"})
    assert server._process is None


def test_runs_go_on_and_the_server_ends_when_the_program_does(bench, tmp_path):
    code = (
        "import os, sys\n"
        "from emtomo.engine import launcher\n"
        "from tests.engine.helpers import Bench\n"
        "from emtomo.engine.project import EmtomoProject\n"
        f"bench = Bench.__new__(Bench); bench.project = EmtomoProject.open({bench.project.path!r})\n"
        "bench.add('denoise-tomograms', 'left', tomograms='sim.tomograms', iterations=200)\n"
        "bench.project.launch(bench.project.find('left'))\n"
        "print(launcher._server._process.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    server = int(done.stdout.split()[-1])
    assert wait_for(lambda: not psutil.pid_exists(server) or psutil.Process(server).status() == "zombie", 20)
    project = EmtomoProject.open(bench.project.path)
    assert wait_for(lambda: project.find("left").isFinished(), 60), error_of(project.find("left"))
