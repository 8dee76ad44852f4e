"""Start runs as forks of one process that has loaded the protocols: loading takes longer than a small run.

The first run that a program starts begins this process; it ends with the program, the runs go on. Each run is a fork,
in a session of its own, with nothing of another run in it. Nothing that takes threads has been used before the fork.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from emtomo.isolation import python_command

# beginnings of variables that modules read while they are loaded: with others a new process is needed
_EARLY = ("CUDA", "HOME", "LC_", "LD_", "MKL", "MPL", "NUMBA", "OMP", "OPENBLAS", "PATH", "PYTHON", "SCIPION")
_LATEST_SECONDS = 120.0  # until a run must have been started
_END_SECONDS = 5.0


class RunServer:
    """The side of the program that starts runs.

    Parameters
    ----------
    module : str
        What is started with ``--server`` and the number of a socket, and calls :func:`serve`.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._early: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def fork(self, arguments: list[str], log: Path, environment: dict[str, str]) -> int:
        """Start a run and return the number of its process.

        Parameters
        ----------
        arguments : list of str
            Of the module's ``main``.
        log : Path
            Takes what the run says beside its own logs.
        environment : dict

        Raises
        ------
        OSError
            If no run could be started this way.
        """
        request = {"arguments": arguments, "log": str(log.absolute()), "environment": environment}
        with self._lock:
            early = {name: value for name, value in environment.items() if name.startswith(_EARLY)}
            if (
                self._socket is None
                or self._process is None
                or self._process.poll() is not None
                or early != self._early
            ):
                self.close()
                self._socket = self._begin(environment)
                self._early = early
            try:
                self._socket.sendall(json.dumps(request).encode() + b"\n")
                return self._answer(self._socket)
            except OSError:
                self.close()
                raise

    def _begin(self, environment: dict[str, str]) -> socket.socket:
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                python_command("-m", self._module, "--server", str(there.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                start_new_session=True,
                cwd=Path(__file__).parent,
                env=environment,
            )
        here.settimeout(_LATEST_SECONDS)
        return here

    def _answer(self, connection: socket.socket) -> int:
        """Return the number that comes; what does not answer in time is killed, but not a run that it has started."""
        answer = b""
        while not answer.endswith(b"\n"):
            try:
                part = connection.recv(100)
            except TimeoutError:
                assert self._process is not None
                self._process.kill()
                continue
            if not part:
                raise ConnectionError("The process that starts runs has ended.")
            answer += part
        return int(answer)

    def close(self) -> None:
        """Let the process end; its runs go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def serve(number: int) -> list[str]:
    """Load the protocols, then fork for every request that comes; return the arguments of a run in its fork.

    Parameters
    ----------
    number : int
        The socket's file descriptor.
    """
    _load()
    signal.signal(signal.SIGCHLD, _reap)
    gc.freeze()
    with socket.socket(fileno=number) as connection, connection.makefile("rb") as requests:
        for line in requests:
            pid = os.fork()
            if pid == 0:
                return _become_run(json.loads(line))
            connection.sendall(b"%d\n" % pid)
    sys.exit()


def _load() -> None:
    """Load all that runs need; end if something has begun to use threads that do not survive a fork."""
    import pyworkflow.project
    import pyworkflow.protocol  # noqa: F401

    import emtomo.compute.kernels  # noqa: F401  numba, once for all runs
    from emtomo.engine.code_version import source_digest
    from emtomo.engine.plugin import Domain

    Domain.getMapperDict()
    source_digest()  # of what was loaded just now; the files may be replaced while this process lives
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if threading.active_count() > 1 or getattr(parallel, "_is_initialized", False):
        sys.exit(1)


def _reap(*_: object) -> None:
    """Collect the runs that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _become_run(request: dict[str, Any]) -> list[str]:
    """Make a fork what a process started by itself would be, and return its arguments."""
    import numpy as np

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 2)
    os.close(log)
    np.random.seed()  # noqa: NPY002  each run its own, as if it had been started by itself
    sys.argv[1:] = request["arguments"]
    return sys.argv[1:]
