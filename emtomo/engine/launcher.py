"""Start runs as processes of their own, and tell living from dead ones.

pyworkflow's launcher goes through a shell with half-quoted paths, shares
process group and output with its caller (Ctrl-C kills the runs) and takes a
zombie for alive. :func:`install` replaces what is at fault, by name; the tests
of this module fail when a new pyworkflow changes those names.
"""

import contextlib
import os
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pyworkflow as pw
import pyworkflow.utils
from pyworkflow.mapper.sqlite_db import SqliteDb
from pyworkflow.utils import getHostFullName

from emtomo.engine.queues import engine_launch, submit
from emtomo.engine.run_server import RunServer
from emtomo.engine.state import write_json
from emtomo.errors import ProjectError
from emtomo.isolation import python_command

LOCK_SECONDS = 8.0
PROCESS = "process.json"
LAUNCH = "Logs/launch_{}.json"  # in the project's folder; {}: the run
RUN_MODULE = "emtomo.engine.run_main"
WAIT_SECONDS = 0.05
_children: list[subprocess.Popen[bytes]] = []
_server = RunServer(RUN_MODULE)
_lock = threading.Lock()


def reap() -> None:
    """Collect runs of ours that have ended, so that none stays a zombie."""
    with _lock:
        _children[:] = [child for child in _children if child.poll() is None]


def is_alive(pid: int) -> bool:
    """Return whether process `pid` of this machine runs; a zombie does not."""
    reap()
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill_run(pid: int | None) -> None:
    """Kill the run with process `pid` and its children; nothing else, whoever may have the number now.

    The engine's own function takes a missing number for the caller itself.
    """
    reap()
    try:
        process = psutil.Process(pid) if pid else None
        if process is None or RUN_MODULE not in process.cmdline():
            return
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(family, timeout=5)


def run_command(protocol: Any) -> list[str]:
    """Return the command that carries out `protocol`, as a list of arguments."""
    return [
        *python_command("-m", RUN_MODULE),
        protocol.getProject().path,
        protocol.getDbPath(),
        protocol.strId(),
        str(Path(protocol.getStdoutLog()).absolute()),
        str(Path(protocol.getStderrLog()).absolute()),
    ]


def launch_local(protocol: Any, wait: bool = False, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> None:
    """Start `protocol` as a queue job or as a process in a session of its own."""
    protocol.cleanExecutionAttributes()
    protocol._store(protocol._jobId)
    command = run_command(protocol)
    if protocol.useQueueForProtocol():
        try:
            protocol.setJobId(submit(protocol, shlex.join(command)))
            protocol.setPid(0)
        except ProjectError as error:
            protocol.setFailed(str(error))
        return
    Path(protocol._getLogsPath()).mkdir(parents=True, exist_ok=True)
    pid = start(command, Path(protocol._getLogsPath("launch.stderr")))
    note_launch(protocol, pid)
    while wait and is_alive(pid):
        time.sleep(WAIT_SECONDS)
    protocol.setPid(pid)


def note_launch(protocol: Any, pid: int) -> None:
    """Note which process sees to it that a run begins: first the one that starts it, then the run's own."""
    started = 0.0
    with contextlib.suppress(psutil.Error):  # gone already
        started = psutil.Process(pid).create_time()
    path = Path(protocol.getProject().path, LAUNCH.format(protocol.strId()))
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"pid": pid, "started": started, "host": getHostFullName()}, sync=False)


def start(command: list[str], log: Path) -> int:
    """Start a process in a session of its own, a run as a fork of the server; return its number."""
    # the project's folder is entered when all is imported
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1"}
    program = python_command("-m", RUN_MODULE)
    if command[: len(program)] == program:
        with contextlib.suppress(OSError):  # then by itself, which tells what is wrong
            return _server.fork(command[len(program) :], log, environment)
    with log.open("wb") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
            cwd=Path(__file__).parent,
            env=environment,
        )
    with _lock:
        _children.append(child)
    return child.pid


def install() -> None:
    """Put the functions of this module in the places of the engine's own."""
    engine_launch._launchLocal = launch_local
    pyworkflow.utils.isProcessAlive = is_alive
    pyworkflow.utils.process.isProcessAlive = is_alive
    pyworkflow.utils.process.killWithChilds = kill_run
    pw.PYTHON = sys.executable
    if getattr(SqliteDb, "_emtomo", False):
        return
    connect = SqliteDb._createConnection

    def impatient(self: Any, dbName: str, timeout: float) -> None:
        connect(self, dbName, min(timeout, LOCK_SECONDS))

    SqliteDb._createConnection = impatient
    SqliteDb._emtomo = True


def is_lock(error: BaseException | None) -> bool:
    """Return whether `error`, or what it came from, says that another program holds the database."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
