"""Steps of a run as tasks of a Dask cluster, each in a process of its own.

A process of its own has the project as its folder, takes the threads of its worker, and cannot harm the worker.
It reads the run from the run's database and writes only its own files, under a temporary name first; workers
therefore see the project's folder under the same name as the machine that started the run.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emtomo.engine.cluster import threads_of_worker
from emtomo.errors import EmtomoError
from emtomo.isolation import python_command

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)
MODULE = "emtomo.engine.step_main"
PULSE = "pulse"
BEAT_SECONDS = 2.0
FAILED = 3  # exit status of a step that failed with a sentence, on the last line of its output
LONGEST_LOG = 20_000
# what Dask sets for its workers, whose tasks are to take one thread each and to give memory back at once
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")


class StepKilled(EmtomoError):
    """A step's process was ended by a signal.

    Attributes
    ----------
    worker : str
        Address of the Dask worker that had started it.
    """

    def __init__(self, message: str, worker: str) -> None:
        super().__init__(message)
        self.worker = worker

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Let the error travel from the worker."""
        return type(self), (str(self), self.worker)


def signal_words(number: int) -> str:
    """Return in a sentence that a process was ended by a signal; the kernel sends SIGKILL when memory is short."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return f"Its process was killed ({name}), probably out of memory."
    return f"Its process was ended by {name}."


class RemoteSteps:
    """Carries out steps of one run on a cluster.

    Parameters
    ----------
    client : distributed.Client
    protocol : EmtomoProtocol
        The run.
    """

    def __init__(self, client: "Client", protocol: Any) -> None:
        self.client = client
        self.together = max(1, int(protocol.numberOfThreads.get()))
        self.threads = int(protocol.threads.get())
        self.run = [protocol.getProject().path, protocol.getDbPath(), protocol.strId()]
        self.pulse = str(Path(protocol._getLogsPath(PULSE)).absolute())
        self._known: set[str] = set()
        self._looking = threading.Lock()
        self._workers()

    def __call__(self, step: str, arguments: list[Any]) -> None:
        """Carry out a step of the run on some worker and wait for it.

        Raises
        ------
        EmtomoError
            If it fails, with its own sentence.
        """
        what = f"{step} {arguments[0]}" if arguments else step
        task = [*self.run, step, json.dumps(arguments), self.pulse]
        try:
            message = self._carry_out(task, what)
        except StepKilled as killed:
            log.warning("%s: %s It is given to another worker once.", what, killed)
            message = self._carry_out(task, what, but=killed.worker)
        if message.strip():
            log.info("%s: %s", what, message.strip())

    def _carry_out(self, task: list[str], what: str, but: str = "") -> str:
        """Return what a step printed that some worker has carried out, another than `but` where there is one."""
        from distributed import KilledWorker

        others = [address for address in self._workers() if address != but] if but else []
        where = {"workers": others, "allow_other_workers": True} if others else {}
        future = self.client.submit(carry_out, task, self.threads, self.together, pure=False, key=None, **where)
        try:
            return str(future.result())
        except KilledWorker as error:
            raise EmtomoError(
                f"Several Dask workers ended during {what}: they were killed, probably out of memory."
            ) from error
        except StepKilled as killed:
            if not but:
                raise
            raise EmtomoError(
                f"{what}: {killed} It had been killed on another worker before: give workers more memory, or let fewer "
                "steps run at the same time."
            ) from killed
        finally:
            self._workers()

    def _workers(self) -> set[str]:
        """Return the addresses of the workers, and say which of them were lost since the last look."""
        now = set(self.client.nthreads())
        with self._looking:
            lost, self._known = self._known - now, now
        for address in sorted(lost):
            log.warning("The Dask worker %s was lost; what it had begun is given to others.", address)
        return now


def carry_out(task: list[str], threads: int, together: int) -> str:
    """Carry out a step in a process of its own, inside a worker, and return what it printed.

    A step of a run that was killed may still be at work when the run goes on: the new one waits for it.
    """
    from distributed import Lock, get_worker

    count = min(threads or sys.maxsize, threads_of_worker(together))
    environment = {k: v for k, v in os.environ.items() if k not in _LIMITS}
    with Lock("emtomo " + json.dumps(task[:5])):
        done = subprocess.run(
            [*python_command("-m", MODULE), *task, str(count), str(os.getpid())],
            cwd=Path(__file__).parent,  # the project's folder is entered when all is imported
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
        )
    output = (done.stdout + done.stderr)[-LONGEST_LOG:]
    if done.returncode == 0:
        return output
    if done.returncode < 0:
        raise StepKilled(signal_words(-done.returncode), get_worker().address)
    lines = [line for line in done.stdout.split("\n") if line.strip()] or [f"its process ended with {done.returncode}"]
    raise EmtomoError(
        lines[-1] if done.returncode == FAILED else f"Step {task[3]} {task[4]}: {output.strip() or lines[-1]}"
    )


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """Let `path` tell the steps on other machines that the run lives: its time changes every few seconds."""
    over = threading.Event()

    def beat() -> None:
        """Touch the file until the run is over."""
        while not over.wait(BEAT_SECONDS):
            path.touch()

    path.touch()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
