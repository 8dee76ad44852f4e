"""Whole runs as jobs of a queue (SLURM, PBS, …) that a hosts.conf describes.

The engine fills hosts.conf's templates with text and hands commands to a shell; what comes from a form, a
project or a template is checked or cleaned here first, since somebody else may have written it.
"""

import importlib
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from pyworkflow import Config
from pyworkflow.exceptions import PyworkflowException
from pyworkflow.protocol import HostConfig, Protocol

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported
from emtomo.engine.run_folder import check_plain_folder
from emtomo.errors import ProjectError
from emtomo.wording import list_text

# the package re-exports a function of the same name: `import ... as` would give that one
engine_launch: Any = importlib.import_module("pyworkflow.protocol.launch")

LOOK_SECONDS = 5.0  # between two questions about the same job: queues are shared
ANSWER_SECONDS = 20.0
FOR_STEPS = "QUEUE_FOR_JOBS"
_HARMLESS = re.compile(r"[\w .:,=@/+-]*")
_seen: dict[tuple[str, int], tuple[float, bool, str]] = {}


@dataclass(frozen=True)
class QueueParameter:
    """What a queue asks of a job: memory, time, …"""

    name: str
    default: str
    label: str
    help: str


def queues_of(project: Any) -> dict[str, list[QueueParameter]]:
    """Return the queues of hosts.conf with their parameters; empty where there is none.

    Raises
    ------
    ProjectError
        If a parameter is not described as ``[name, default, label, help]``.
    """
    host = project.getHostConfig("localhost")
    system = getattr(host, "queueSystem", None)
    if system is None or not system.hasName() or not system.queues:
        return {}
    found: dict[str, list[QueueParameter]] = {}
    for name, rows in dict(system.queues).items():
        if not all(isinstance(row, list) and row for row in rows):
            raise ProjectError(f"hosts.conf: a parameter of queue {name} must be [name, default, label, help].")
        filled = [[*map(str, row), "", "", ""] for row in rows]
        found[str(name)] = [QueueParameter(n, d, label or n, h) for n, d, label, h, *_ in filled if n != FOR_STEPS]
    return found


class NewProject:
    """What :func:`queues_of` needs of a project that does not exist yet: the machine's hosts.conf."""

    def getHostConfig(self, name: str) -> Any:
        """Return what hosts.conf says of a host, else of the first."""
        hosts = HostConfig.load(Config.SCIPION_HOSTS)
        return hosts[name] if name in hosts else next(iter(hosts.values()))


def queue_of(run: Protocol) -> tuple[str, dict[str, str]] | None:
    """Return queue and parameters of a run; None for one that is a process of this machine."""
    if not run.useQueue():
        return None
    name, values = run.getQueueParams()
    return str(name), {str(k): str(v) for k, v in values.items() if k != FOR_STEPS}


def set_queue(project: Any, run: Protocol, name: str, values: dict[str, str]) -> None:
    """Let `run` be a job of queue `name` when it is started; see :func:`check_queue`."""
    name, chosen = check_queue(project, name, values)
    run._useQueue.set(True)
    run.setQueueParams((name, {**chosen, FOR_STEPS: "N"}))


def check_queue(project: Any, name: str, values: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return queue `name` (empty: the first) with all its parameters; what is not given has its default.

    Raises
    ------
    ProjectError
        If hosts.conf has no such queue, the queue no such parameter, or a value could be more than a value.
    """
    queues = queues_of(project)
    if not queues:
        raise ProjectError("No queue is set up: describe one in ~/.config/emtomo/hosts.conf (docs/clusters.md).")
    name = name or next(iter(queues))
    if name not in queues:
        raise ProjectError(f"There is no queue {name!r}; hosts.conf has {', '.join(queues)}.")
    usual = {one.name: one.default for one in queues[name]}
    unknown = sorted(set(values) - set(usual))
    if unknown:
        raise ProjectError(
            f"Queue {name} has no parameter {', '.join(unknown)}; it has {list_text(usual, 'no parameters')}."
        )
    chosen = usual | values
    _check(name, chosen)
    return name, chosen


def unset_queue(run: Protocol) -> None:
    """Let `run` be a process of this machine when it is started."""
    run._useQueue.set(False)


def submit(protocol: Protocol, command: str) -> int:
    """Hand `command` to the run's queue and return the job's number.

    Raises
    ------
    ProjectError
        If the queue does not take it, with the queue's own words.
    """
    host = protocol.getHostConfig()
    if not host.getQueueSystem().hasName():
        raise ProjectError("The run is to go to a queue, but no hosts.conf describes one (docs/clusters.md).")
    check_plain_folder(protocol.getWorkingDir())
    job = {**host.getQueuesDefault(), **protocol.getSubmitDict()}
    answer = queue_of(protocol)
    if answer is not None:  # the project may be somebody else's: no parameter may be more than the queue asks for
        check_queue(protocol.getProject(), *answer)
    for key in ("SCIPION_PROJECT", "SCIPION_PROTOCOL"):  # names that people choose, put into a script
        job[key] = re.sub(r"[^\w.-]+", "_", str(job[key]))
    job["JOB_NODEFILE"] = shlex.quote(str(job["JOB_NODEFILE"]))  # begins with the project's folder
    job["JOB_COMMAND"] = command
    try:
        number, said = engine_launch._submit(host, job)
    except KeyError as missing:
        raise ProjectError(f"hosts.conf: its template wants {missing}, which the queue does not have.") from missing
    except (TypeError, ValueError) as error:
        raise ProjectError(f"hosts.conf: its template cannot be filled in: {error}.") from error
    except PyworkflowException as error:
        raise ProjectError(f"hosts.conf: {' '.join(str(error).split())}") from error
    if number in (None, engine_launch.UNKNOWN_JOBID):
        words = " ".join(" ".join(map(str, said or ["no job number came back"])).split())
        raise ProjectError(f"The queue did not take the run: {words}")
    return int(number)


def job_numbers(run: Protocol) -> list[int]:
    """Return the numbers of a run's jobs, which commands for the queue are filled with.

    Raises
    ------
    ProjectError
        If the project says something else: somebody else may have written it.
    """
    jobs = [str(job) for job in run.getJobIds()]
    if not all(re.fullmatch(r"[0-9]{1,15}", job) for job in jobs):
        raise ProjectError(f"A job of a queue has a number; this project says {', '.join(jobs)[:80]!r}.")
    return [int(job) for job in jobs]


def in_queue(host: Any, job: int) -> bool:
    """Return whether the queue still has `job`; a queue that does not answer has it."""
    return _ask(host, job)[1]


def describe_waiting(run: Protocol) -> str:
    """Return what the queue says of a run whose job has not begun, e.g. ``"job 12: PENDING Resources"``, else none."""
    if not (run.isLaunched() and run.useQueue() and run.getJobIds()):
        return ""
    job = job_numbers(run)[0]
    return f"job {job}: {_ask(run.getHostConfig(), job)[2] or 'no answer from the queue'}"


def _ask(host: Any, job: int) -> tuple[float, bool, str]:
    """Return when the queue was asked about `job`, whether it has it, and its words; asked every few seconds."""
    key = (str(host.getCheckCommand()), int(job))
    known = _seen.get(key)
    if known is not None and time.monotonic() - known[0] < LOOK_SECONDS:
        return known
    if not host.getCheckCommand():  # the hosts.conf that the run was submitted with is gone
        return time.monotonic(), True, "no hosts.conf describes its queue any more"
    command = host.getCheckCommand() % {"JOB_ID": int(job)}
    try:
        # hosts.conf is the user's own file, and a job is a number
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=ANSWER_SECONDS)  # noqa: S602
        gone = re.compile(host.getJobDoneRegex() or r"(?!)")
        # an unknown number is an answer (squeue fails on it); a controller that is away is none
        away = done.returncode != 0 and bool(re.search(r"(?i)contact|connect|timed? ?out|unavailable", done.stderr))
        answer = " ".join(done.stdout.split())
        there = away or (bool(answer) and not gone.search(answer))
    except subprocess.TimeoutExpired:
        answer, there = "", True
    _seen[key] = (time.monotonic(), there, answer)
    return _seen[key]


def launch_log(run: Protocol) -> str:
    """Return where what starts a run writes errors: its job, or its process on this machine."""
    host = run.getHostConfig() if run.useQueue() else None
    if host is None or not host.getQueueSystem().hasName():
        return run._getLogsPath("launch.stderr")
    return run._getLogsPath(f"{host.getSubmitPrefix()}{run.strId()}.err")


def _check(name: str, values: dict[str, str]) -> None:
    for key, value in {"queue": name, **values}.items():
        if not _HARMLESS.fullmatch(value):
            raise ProjectError(
                f"{key} must be letters, digits and . : , = @ / + - _ on one line, since it goes into a job's script; "
                f"got {value!r}."
            )
