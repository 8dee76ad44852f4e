"""A project: a folder with runs, opened by one process at a time for writing."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
from pyworkflow.project import Project
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.constants import MODE_RESTART, MODE_RESUME, STATUS_SAVED
from pyworkflow.protocol.protocol import getProtocolFromDb
from pyworkflow.utils import getHostFullName

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported
from emtomo.engine.cluster import ClusterOptions, untrusted_address
from emtomo.engine.damage import check_databases, damage_of_file
from emtomo.engine.engine_words import log_line, plain_error
from emtomo.engine.launcher import LAUNCH, PROCESS, install, is_alive, is_lock, note_launch
from emtomo.engine.plugin import Domain
from emtomo.engine.queues import in_queue, job_numbers, launch_log
from emtomo.engine.run_folder import check_project_folder, check_run_folder, check_writable
from emtomo.engine.run_reading import check_known, clean_words, id_of_run, no_run, read_runs, whole_objects
from emtomo.engine.state import process_in
from emtomo.errors import ProjectError, one_line

ENDING_SECONDS = 20.0
START_SECONDS = 20.0  # between a launch on another machine and the first word of the run's process
LITTLE = 2**16  # bytes, in which a run cannot say why it ends
RECORD_SECONDS = 1.0  # between a process' start and its record


class EmtomoProject(Project):
    """pyworkflow's project with the cures that a user needs.

    The working directory becomes the project's folder: all paths in a project
    are relative to it. One project per process, one thread.
    """

    runs: list[Protocol] | None  # all, once they were asked for

    # --- opening ---

    @classmethod
    def start(cls, path: str | Path) -> Self:
        """Create the folder `path` as a new, empty project and open it."""
        folder = Path(path).absolute()
        if (folder / cls.getDbName()).exists():
            raise ProjectError(f"{folder} is a project already.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProjectError(f"{folder} exists and is not an empty folder.")
        install()
        project = cls(Domain, str(folder))
        with clear_messages(folder):
            project.create()
        return project

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the project in the folder `path`."""
        folder = check_project(path)
        install()
        project = cls(Domain, str(folder))
        with clear_messages(folder):
            project.load()
        return project

    # --- runs ---

    def runs_now(self) -> list[Protocol]:
        """Return all runs, with the state that their own databases tell."""
        with clear_messages(self.path):
            return list(self.getRuns())

    def getRuns(self, *args: Any, **kwargs: Any) -> list[Protocol]:
        """Return the runs; labels and comments that somebody else gave them are one line without codes of terminals."""
        runs: list[Protocol] = super().getRuns(*args, **kwargs)
        for run in runs:
            clean_words(run)
        return runs

    def runs_with_parents(self, ids: Iterable[int]) -> dict[int, Protocol]:
        """Return runs and all above them by id, with the state that their own databases tell; no others are read."""
        with clear_messages(self.path):
            for run in self.runs or ():
                run.closeMappers()
            self.runs = self._runsGraph = None  # read when all are asked for
            runs = read_runs(self.mapper, ids)
            for run in runs:
                self._setProtocolMapper(run)
                clean_words(run)
                if run.isActive():
                    self._updateProtocol(run)
            self.mapper.commit()
        return {run.getObjId(): run for run in runs}

    def find(self, name: str) -> Protocol:
        """Return the run with the id or the label `name`."""
        with clear_messages(self.path):
            wanted = id_of_run(self.mapper, name)
        found = self.runs_with_parents([wanted]).get(wanted) if wanted is not None else None
        if found is not None:
            return found
        raise no_run(name, self.runs_now())

    def labels(self) -> set[str]:
        """Return the labels of all runs, from the database alone: to read every run would take ever longer."""
        with clear_messages(self.path):
            return {label for _, label in whole_objects(self.mapper)}

    def update(self, run: Protocol) -> None:
        """Read the present state of one active run into `run`."""
        with clear_messages(self.path):
            self._updateProtocol(run)
            self.mapper.commit()

    def free_label(self, label: str) -> str:
        """Return `label`, with a number behind it if the project has it already."""
        taken = self.labels()
        number, free = 1, label
        while free in taken:
            number += 1
            free = f"{label} ({number})"
        return free

    def new_run(self, protocol_class: type[Protocol], label: str) -> Protocol:
        """Return a new run that is not yet saved.

        Raises
        ------
        ProjectError
            If the project has a run of that label, or the label is a number or holds a dot.
        """
        check_label(label)
        check_writable(self.path)
        if label in self.labels():
            raise ProjectError(f"This project has a run labelled {label!r} already; labels are unique.")
        run = protocol_class(project=self)  # the engine's newProtocol reads every run to find a free label
        run.setObjLabel(label)
        run.setMapper(self.mapper)
        run.setProject(self)
        return run

    def launch(self, run: Protocol, *, restart: bool = False) -> None:
        """Start `run` in a process of its own; a run that ran before continues unless `restart`.

        Runs that take its outputs are not in the way: they are out of date until they are resumed.

        Raises
        ------
        ProjectError
            If an earlier process of it does not end, or its Dask cluster was never given on this machine.
        """
        check_known(run)
        self._check_folder(run)
        self._await_end(run)
        unknown = untrusted_address(run.options(ClusterOptions)) if getattr(run, "can_distribute", bool)() else ""
        if unknown:
            raise ProjectError(
                f"{run.getObjLabel()} is to work on the Dask cluster {unknown}, which was never given on this machine; "
                "if you trust it, give it again as the parameter cluster."
            )
        with clear_messages(self.path):
            run.runMode.set(MODE_RESTART if restart else MODE_RESUME)
            note_launch(run, os.getpid())
            Path(self.path, run._getLogsPath(PROCESS)).unlink(missing_ok=True)  # of a try that has ended
            self.launchProtocol(run, wait=False, force=True)

    def saveProtocol(self, protocol: Protocol) -> None:
        """Store a run; of a new one none can take outputs, so that the others are not read."""
        check_known(protocol)
        if protocol.hasObjId():
            super().saveProtocol(protocol)
            return
        protocol.setStatus(STATUS_SAVED)
        self._setupProtocol(protocol)

    def _check_folder(self, run: Protocol) -> None:
        """Raise ProjectError if the run's folder is not in the project, or leads elsewhere."""
        check_writable(self.path)
        check_run_folder(self.path, run.getWorkingDir())

    def deleteProtocol(self, *protocols: Protocol) -> None:
        """Delete runs with their folders, which are in this project."""
        for run in protocols:
            self._check_folder(run)
        super().deleteProtocol(*protocols)

    def resetProtocol(self, protocol: Protocol) -> None:
        """Forget what a run has made."""
        self._check_folder(protocol)
        super().resetProtocol(protocol)

    def _await_end(self, run: Protocol) -> None:
        """Wait for the process of an earlier try, which writes after it reported its end; refuse if it stays."""
        record = self._process_record(run)
        if record.get("host") != getHostFullName() or _another(record["pid"], record["started"]):
            return
        end = time.monotonic() + ENDING_SECONDS
        while is_alive(record["pid"]):
            if time.monotonic() > end:
                raise ProjectError(f"The process {record['pid']} of {run.getObjLabel()} is still ending; try again.")
            time.sleep(0.05)

    def amend(self, run: Protocol) -> None:
        """Store changed parameters of a run; what depends on it runs again when it is resumed."""
        check_known(run)
        check_writable(self.path)
        with clear_messages(self.path):
            self._storeProtocol(run)
            self.mapper.commit()

    def fail(self, run: Protocol, reason: str) -> None:
        """Mark `run` as failed without starting it."""
        check_known(run)
        run.setMapper(self.mapper)
        run.setFailed(reason)
        self._storeProtocol(run)
        self.mapper.commit()

    def stopProtocol(self, protocol: Protocol) -> None:
        """Stop a run, also one whose process number the project does not know yet."""
        check_writable(self.path)
        if not protocol.getPid() and not protocol.useQueue():
            protocol.setPid(self._process_record(protocol).get("pid", 0))
        job_numbers(protocol)  # go into a command
        super().stopProtocol(protocol)
        self.mapper.commit()

    def checkPid(self, protocol: Protocol) -> bool:
        """Return whether the process of an active run lives; mark the run as failed if not.

        A process of another machine cannot be seen from here and counts as
        alive; a process that only took over the number does not.
        """
        process = self._process_record(protocol)
        pid = protocol.getPid() or process.get("pid") or 0
        if pid == 0 or not protocol.isActive() or protocol.isInteractive():
            return True
        host = process.get("host") or protocol.getHostFullName() or getHostFullName()
        if host != getHostFullName():
            return True
        if is_alive(pid) and not (process.get("pid") == pid and _another(pid, process["started"])):
            return True
        if self._ended_by_itself(protocol):
            return True
        protocol.setFailed(
            f"The process of this run ({pid}) ended without reporting a result; {self._last_words(protocol)}"
        )
        return False

    def checkJobId(self, protocol: Protocol) -> bool:
        """Return whether the job of an active run is in its queue; mark the run as failed if not."""
        jobs = [one_line(job) for job in protocol.getJobIds()]
        if not protocol.isActive() or protocol.isInteractive():
            return True
        if not jobs:
            return self._begins(protocol)
        there = jobs[0].isdecimal() and in_queue(protocol.getHostConfig(), int(jobs[0]))
        if there or self._ended_by_itself(protocol):
            return True
        protocol.setFailed(
            f"Job {jobs[0]} of this run is no longer in the queue and reported no result; {self._last_words(protocol)}"
        )
        return False

    def _begins(self, protocol: Protocol) -> bool:
        """Return whether a run without process and job is about to begin; mark it as failed if nobody starts it.

        Who started it may have been killed before the run's process was noted.
        """
        launch = Path(self.path, LAUNCH.format(protocol.strId()))
        starter = process_in(launch)
        here = starter.get("host") == getHostFullName()
        if here and is_alive(starter["pid"]) and not _another(starter["pid"], starter["started"]):
            return True
        if here:
            self._await_record(protocol, launch)
        if self._process_record(protocol):
            return self.checkPid(protocol)
        database = Path(self.path, protocol.getDbPath())
        if not here and database.exists() and time.time() - database.stat().st_mtime < START_SECONDS:
            return True
        protocol.setFailed("The run was to be started and never began: who started it has ended. Resume it.")
        return False

    def _await_record(self, protocol: Protocol, launch: Path) -> None:
        """Wait for the record of a process that was started just before its starter was killed, if there is one."""
        log, end = Path(self.path, protocol._getLogsPath("launch.stderr")), time.monotonic() + RECORD_SECONDS
        begun = log.exists() and log.stat().st_mtime >= launch.stat().st_mtime
        while begun and not self._process_record(protocol) and time.monotonic() < end:
            time.sleep(0.05)

    def _updateProtocol(self, protocol: Protocol, tries: int = 0, checkPid: bool = False) -> int:
        """Read the state of an active run from its own database; one whose database is gone or damaged has failed."""
        problem = damage_of_file(Path(self.path, protocol.getDbPath()))
        if problem and protocol.isActive() and self._begins(protocol):
            return 0
        if problem and protocol.isActive():
            protocol.setFailed(f"The run's own database {problem}; emtomo resume --restart makes it again.")
        if problem:
            self._storeProtocol(protocol)
            return 0
        return super()._updateProtocol(protocol, tries, checkPid)

    def _ended_by_itself(self, protocol: Protocol) -> bool:
        """Return whether the run's own database says how it ended; make the engine read that next time.

        The engine notes the time of that file after reading it: what a run wrote in
        between, its last words, would never be read.
        """
        own = getProtocolFromDb(self.path, protocol.getDbPath(), protocol.getObjId())
        ended = not own.isActive()
        own.getProject().closeMapper()
        own.closeMappers()
        if ended:
            protocol.lastUpdateTimeStamp.set(None)
            self.mapper.store(protocol)
        return ended

    def _process_record(self, protocol: Protocol) -> dict[str, Any]:
        """Return number, start and host of the run's process, as it wrote them; empty where it did not, or not so."""
        return process_in(Path(self.path, protocol._getLogsPath(PROCESS)))

    def _last_words(self, protocol: Protocol) -> str:
        for name in (launch_log(protocol), protocol._getLogsPath("run.stderr")):
            path = Path(self.path, name)
            raw = path.read_bytes() if path.is_file() and not path.is_symlink() else b""  # no words of other files
            if name.endswith("run.stderr"):  # what an earlier try wrote is not why this one ended
                raw = raw[int(self._process_record(protocol).get("stderr", 0)) :]
            lines = [line.strip() for line in raw.decode("utf8", errors="replace").split("\n") if line.strip()]
            if lines:
                return f"its log ends with: {log_line(lines[-1])[:300]}"
        if shutil.disk_usage(self.path).free < LITTLE:
            return "the disk is full."
        return "it was killed or the machine stopped."


def check_project(path: str | Path) -> Path:
    """Return the folder of a project; check that it is one, with no link to elsewhere and no damaged database.

    Raises
    ------
    ProjectError
        If it is not.
    """
    folder = Path(path).absolute()
    if not (folder / EmtomoProject.getDbName()).exists():
        raise ProjectError(f"{folder} is not a project: it has no {EmtomoProject.getDbName()}.")
    check_project_folder(folder)
    check_databases(folder)
    return folder


def check_label(label: str) -> None:
    """Check that `label` can be that of a run.

    Raises
    ------
    ProjectError
        If it is empty, a number or more than one line, or holds a dot or a control character.
    """
    if label.isdigit() or "." in label or not label.strip() or one_line(label) != label.strip():
        raise ProjectError(f"A label must not be empty, a number, several lines, or hold a dot; got {label!r}.")


def error_of(run: Protocol) -> str:
    """Return why `run` failed, without colours."""
    return plain_error(str(run.getErrorMessage() or ""))


@contextmanager
def clear_messages(path: str | Path) -> Iterator[None]:
    """Turn the engine's ways to fail on a project into one sentence."""
    try:
        yield
    except SystemExit as stop:
        raise ProjectError(f"The host configuration of {path} cannot be read: {stop}") from stop
    except PermissionError as error:
        raise ProjectError(f"{path}: no permission to write ({error}).") from error
    except Exception as error:
        if is_lock(error):
            raise ProjectError(f"Another program is writing to {path}; try again when it is done.") from error
        raise


def _another(pid: int, started: float) -> bool:
    """Return whether process `pid` is not the one that started at `started`."""
    try:
        return abs(psutil.Process(pid).create_time() - started) > 1.0
    except psutil.Error:
        return True


__all__ = ["EmtomoProject", "clear_messages", "error_of"]
