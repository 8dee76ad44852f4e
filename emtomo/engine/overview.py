"""States of the runs of a project at rest, from its database alone: to build 500 runs takes longer than many a run.

What these rows cannot tell for certain is left to the runs themselves: then there is no overview.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pyworkflow.protocol import Protocol

from emtomo.engine.damage import DATABASE, damage_of_folder, damage_of_run, damage_of_set, missing_file
from emtomo.engine.engine_words import plain_error
from emtomo.engine.form import INPUT
from emtomo.engine.identity import content_digest, files_in
from emtomo.engine.project import EmtomoProject, check_project, error_of
from emtomo.engine.protocol import FINGERPRINT, HOW_NOT_WHAT
from emtomo.engine.provenance import INTERNAL, read_provenance
from emtomo.engine.queues import describe_waiting
from emtomo.engine.run_progress import progress_in, progress_of
from emtomo.engine.run_reading import is_known, protocol_name, unknown_sentence
from emtomo.engine.runner import out_of_date
from emtomo.engine.state import read_json
from emtomo.errors import one_line
from emtomo.version import __version__

AT_REST = {"saved", "finished", "failed", "aborted"}
PROTOCOLS = Path(__file__).parents[1] / "protocols"
_CASTS: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: text.strip().lower() in ("1", "true"),
}


@dataclass(frozen=True)
class RunState:
    """What a list of runs shows of one."""

    id: int
    label: str
    protocol: str
    status: str
    progress: float | None
    started: str
    seconds: float | None
    queue: str
    error: str
    out_of_date: bool
    damage: list[str]

    @property
    def left(self) -> float | None:
        """Return how many seconds a run will still take, as far as its progress tells."""
        share = self.progress if self.status == "running" else None
        return self.seconds * (1 - share) / share if share and self.seconds else None


@dataclass
class _Row:
    """An object of the project with what it consists of."""

    id: int
    kind: str
    value: str | None
    label: str
    parts: dict[str, "_Row"] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the value of a part; empty where there is none."""
        part = self.parts.get(name)
        return "" if part is None or part.value is None else part.value


class _Doubt(Exception):
    """The rows alone do not show the state."""


def run_states(path: str | Path) -> list[RunState]:
    """Return the states of the runs of a project, which becomes the working folder.

    Raises
    ------
    ProjectError
        If there is no project, or it is damaged.
    """
    folder = check_project(path)
    os.chdir(folder)  # paths in a project are relative to it
    found = states_at_rest(folder)
    if found is not None:
        return found
    runs = EmtomoProject.open(folder).runs_now()
    old = {run.getObjId() for run in out_of_date(runs)}
    return [_state_of(run, run.getObjId() in old) for run in runs]


def _state_of(run: Protocol, old: bool) -> RunState:
    """Return the state that a run itself reports."""
    seconds = read_provenance(run._getPath()).get("seconds") if run.isFinished() else None
    if seconds is None and run.initTime.hasValue() and (run.isActive() or run.endTime.hasValue()):
        seconds = run.getElapsedTime().total_seconds()
    return RunState(
        id=run.getObjId(),
        label=run.getObjLabel(),
        protocol=protocol_name(run),
        status=run.getStatus(),
        progress=_share(progress_of(run)),
        started=str(run.initTime.get() or "")[:19],
        seconds=seconds,
        queue=describe_waiting(run),
        error=error_of(run) if run.isFailed() else "",
        out_of_date=old,
        damage=([] if is_known(run) else [unknown_sentence(run)]) + damage_of_run(run),
    )


def _share(progress: dict[str, Any]) -> float | None:
    return progress["done"] / progress["total"] if progress.get("total") else None


def states_at_rest(folder: Path) -> list[RunState] | None:
    """Return the states of all runs as they would tell them themselves; None where only they can.

    Parameters
    ----------
    folder : Path
        The project's, which is the working folder.
    """
    try:
        runs = {row.id: row for row in _read_rows(folder) if "workingDir" in row.parts}
        names = {path.stem.replace("_", ""): path.stem.replace("_", "-") for path in PROTOCOLS.glob("[a-z]*.py")}
        if any(run.kind.lower() not in names or run.text("status") not in AT_REST for run in runs.values()):
            return None
        old = {i for i, run in runs.items() if run.text("status") == "finished" and _is_out_of_date(run, runs)}
        parents = {i: _parents(run) for i, run in runs.items() if run.text("status") == "finished"}
        while below := {i for i, above in parents.items() if above & old} - old:
            old |= below
        return [_state(run, names[run.kind.lower()], run.id in old) for run in runs.values()]
    except (_Doubt, ValueError, sqlite3.Error, OSError):
        return None


def _read_rows(folder: Path) -> list[_Row]:
    """Return the objects that belong to no other."""
    uri = f"{Path(folder, DATABASE).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=1)) as db:
        found = db.execute("SELECT id, parent_id, name, classname, value, label FROM Objects ORDER BY id").fetchall()
    rows = {i: _Row(i, str(kind), value, str(label or "")) for i, _, _, kind, value, label in found}
    if any(row.value is not None and not isinstance(row.value, str) for row in rows.values()):
        raise _Doubt
    for i, parent, name, *_ in found:
        if parent is not None:
            rows[parent].parts[str(name).rpartition(".")[2]] = rows[i]
    return [rows[i] for i, parent, *_ in found if parent is None]


def _pointers(run: _Row) -> list[_Row]:
    """Return the inputs that are given, one by one."""
    inputs = [part for part in run.parts.values() if part.kind in ("Pointer", "PointerList")]
    each = [one for part in inputs for one in (part.parts.values() if part.kind == "PointerList" else [part])]
    return [one for one in each if one.value is not None]


def _parents(run: _Row) -> set[int]:
    waits = {int(i) for i in run.text("_prerequisites").split(",") if i.strip()}
    return waits | {int(pointer.value) for pointer in _pointers(run) if pointer.value is not None}


def _target(pointer: _Row) -> str | None:
    return None if pointer.value is None else f"{pointer.value}.{pointer.text('_extended')}"


def _parameter(part: _Row) -> Any:
    if part.kind == "PointerList":
        return [_target(one) for one in part.parts.values() if one.kind == "Pointer"]
    if part.kind == "Pointer":
        return _target(part)
    if part.kind not in _CASTS:
        raise _Doubt
    return None if part.value is None else _CASTS[part.kind](part.value)


def _is_out_of_date(run: _Row, runs: dict[int, _Row]) -> bool:
    """Return what :meth:`EmtomoProtocol.out_of_date` does, of a finished run."""
    before = read_json(Path(run.text("workingDir"), "extra", FINGERPRINT), {})
    if not before:
        return False
    parameters, files, noted = before.get("parameters"), before.get("files"), before.get("noted")
    if not (isinstance(parameters, dict) and isinstance(files, dict) and isinstance(noted, dict)):
        raise _Doubt
    if read_provenance(run.text("workingDir")).get("emtomo") != __version__:  # its protocol may have changed since
        raise _Doubt
    attributes = {name: INPUT + name if INPUT + name in run.parts else name for name in parameters}
    unknown = set(run.parts) - set(attributes.values()) - HOW_NOT_WHAT - INTERNAL
    if set(attributes.values()) - set(run.parts) or any(_may_be_parameter(name, run) for name in unknown):
        raise _Doubt
    if any(_parameter(run.parts[attribute]) != parameters[name] for name, attribute in attributes.items()):
        return True
    inputs = [[file, content_digest(file, noted)] for file in (_file_of(one, runs) for one in _pointers(run))]
    if sorted(inputs) != sorted(before.get("inputs", [])):
        return True
    return any(
        [[Path(file).name, content_digest(file, noted)] for file in files_in(run.text(attributes[name]))] != known
        for name, known in files.items()
    )


def _may_be_parameter(name: str, run: _Row) -> bool:
    """Return whether an attribute that no fingerprint names could be a parameter of a newer emtomo."""
    known = {"status", "initTime", "endTime", "interactive", "workingDir", "expertLevel", "lastUpdateTimeStamp"}
    known |= {"hostFullName", "allowHeader", "summaryVar", "methodsVar", "forceSchedule"}
    return not (name.startswith("_") or name in known or (run.parts[name].kind not in _CASTS and INPUT not in name))


def _file_of(pointer: _Row, runs: dict[int, _Row]) -> str:
    """Return the file of what an input is; empty where it has none."""
    target, name = runs.get(int(pointer.value or 0)), pointer.text("_extended")
    if target is None or not name or "." in name:
        raise _Doubt
    output = target.parts.get(name)
    return "" if output is None else _file(output)


def _file(output: _Row) -> str:
    return output.text("_mapperPath").split(",")[0].strip() or output.text("file")


def _state(run: _Row, protocol: str, old: bool) -> RunState:
    folder, status = Path(run.text("workingDir")), run.text("status")
    started, ended = run.text("initTime"), run.text("endTime")
    seconds = read_provenance(folder).get("seconds") if status == "finished" else None
    if seconds is None and started and ended:
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    return RunState(
        id=run.id,
        label=run.label if one_line(run.label) == run.label.strip() else one_line(run.label),
        protocol=protocol,
        status=status,
        progress=_share(progress_in(folder / "logs")),
        started=started[:19],
        seconds=seconds,
        queue="",
        error=plain_error(run.text("_error")) if status == "failed" else "",
        out_of_date=old,
        damage=_damage(run, folder) if status == "finished" else [],
    )


def _damage(run: _Row, folder: Path) -> list[str]:
    """Return what :func:`emtomo.engine.damage.damage_of_run` does, of a finished run."""
    gone = damage_of_folder(folder)
    if gone:
        return gone
    found = []
    for name, part in run.parts.items():
        if part.kind in _CASTS or name.startswith(("_", INPUT)) or not _file(part):
            continue
        found += (
            damage_of_set(name, Path(_file(part))) if "_mapperPath" in part.parts else missing_file(name, _file(part))
        )
    return found
