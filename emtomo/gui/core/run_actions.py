"""What the window asks of a project; every function is called in the thread that owns it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pyworkflow.object import PointerList
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import PathParam, PointerParam

from emtomo.engine.cluster import ClusterOptions, trust
from emtomo.engine.engine_words import MISSING, without_bold
from emtomo.engine.identity import path_in_project
from emtomo.engine.launcher import is_alive
from emtomo.engine.parameters import INTERNAL, protocol_named, public_name, set_parameters
from emtomo.engine.project import EmtomoProject, check_label, clear_messages
from emtomo.engine.provenance import pointer_texts, read_provenance
from emtomo.engine.queues import queue_of, set_queue, unset_queue
from emtomo.engine.run_reading import check_known
from emtomo.engine.runner import parents_of
from emtomo.engine.state import read_json, write_json
from emtomo.engine.templates import Template, add_workflow
from emtomo.errors import ProjectError
from emtomo.gui.core.fields import field_of
from emtomo.gui.core.picking_run import FOLDER, LOCK
from emtomo.gui.core.runs import SCHEDULED
from emtomo.isolation import python_command
from emtomo.options import option_fields
from emtomo.version import __version__

PICK = "Press Pick to pick in a window."
NOT_SCIENCE = ("threads", "steps_at_once", "device", *(f.name for f in option_fields(ClusterOptions)))


@dataclass(frozen=True)
class FormValues:
    """A form as it was filled in: all that is needed to save or start a run."""

    protocol: str
    label: str
    values: dict[str, str]
    comment: str = ""
    run: int | None = None
    queue: tuple[str, dict[str, str]] | None = None


def prepare_run(project: EmtomoProject, form_values: FormValues, folder: Path) -> Protocol:
    """Return the run of a form with its parameters set; nothing is stored.

    Raises
    ------
    ProjectError
        If a label is taken, or a value cannot be read.
    """
    if form_values.run is None:
        run = project.new_run(protocol_named(form_values.protocol), form_values.label)
    else:
        run = project.find(str(form_values.run))
        if run.isActive():
            raise ProjectError(f"{run.getObjLabel()} is {run.getStatus()}; stop it before you change it.")
        if run.getObjLabel() != form_values.label:
            set_label(project, run, form_values.label)
    set_parameters(project, run, form_values.values, folder)
    run.setObjComment(form_values.comment)
    if form_values.queue is not None:
        set_queue(project, run, *form_values.queue)
    else:
        unset_queue(run)
    return run


def validate_form(project: EmtomoProject, form_values: FormValues, folder: Path) -> list[str]:
    """Return what forbids the run of a form to start, in sentences; inputs that are only pending are none."""
    try:
        run = prepare_run(project, form_values, folder)
    except ProjectError as error:
        return [str(error)]
    return validation_messages(run)


def validation_messages(run: Protocol) -> list[str]:
    """Return the sentences of a run's own validation; inputs that are only pending are none."""
    pending = any(p.get() is None and p.getObjValue() is not None for _, p in run.iterInputAttributes())
    messages = [without_bold(str(sentence)) for sentence in run.validate()]
    messages = [s for s in messages if not (pending and s.endswith(f" {MISSING}"))]
    return [f"{s} {PICK}" for s in messages[:1]] + messages[1:] if messages and awaits_picks(run) else messages


def awaits_picks(run: Protocol) -> bool:
    """Return whether a picking run has neither points nor anything else to begin with."""
    given = any(getattr(run, name).get() for name in getattr(type(run), "READS", ()))
    return bool(getattr(type(run), "INTERACTIVE", "")) and not given


def save_form(project: EmtomoProject, form_values: FormValues, folder: Path) -> int:
    """Store the run of a form and return its number."""
    before = texts_of(project.find(str(form_values.run))).get("cluster", "") if form_values.run is not None else ""
    run = prepare_run(project, form_values, folder)
    cluster = form_values.values.get("cluster", "")
    if cluster != before:  # typed by the user, not brought by a project
        trust(cluster)
    if form_values.run is None:
        project.saveProtocol(run)
    else:
        project.amend(run)
    return int(run.getObjId())


def start_form(project: EmtomoProject, form_values: FormValues, folder: Path, *, restart: bool = False) -> int:
    """Store the run of a form and start it; one whose inputs are still being made starts after them.

    Raises
    ------
    ProjectError
        With every reason why it cannot.
    """
    i = save_form(project, form_values, folder)
    run = project.find(str(i))
    found_text = validation_messages(run)
    if found_text:
        raise ProjectError(" ".join(found_text))
    launch_runs(project, [i], restart=restart)
    return i


def launch_runs(project: EmtomoProject, ids: Iterable[int], *, restart: bool = False) -> None:
    """Start runs; those that wait for others are handed to a process that starts them in their turn."""
    runs = {int(run.getObjId()): run for run in project.runs_now()}
    chosen = [runs[i] for i in ids]
    active = [run.getObjLabel() for run in chosen if run.isActive()]
    if active:
        raise ProjectError(f"{', '.join(active)} is running already.")
    waits = any(not runs[i].isFinished() for run in chosen for i in parents_of(run) if i in runs)
    if len(chosen) > 1:  # picks that are still to come are waited for
        chosen = [run for run in chosen if not (awaits_picks(run) and validation_messages(run))]
        if not chosen:
            raise ProjectError(f"These runs need picks first. {PICK}")
    if waits or len(chosen) > 1:
        schedule(project, [int(run.getObjId()) for run in chosen], restart=restart)
    else:
        project.launch(chosen[0], restart=restart)


def schedule(project: EmtomoProject, ids: list[int], *, restart: bool = False) -> None:
    """Let a process of its own start runs as their inputs become ready, picks included; it outlives the window."""
    command = [*python_command("-m", "emtomo", "resume"), project.path, *map(str, ids), "--wait-for-picks"]
    if restart:
        command.append("--restart")
    log = Path(project.path, "Logs", "scheduler.log")
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env=dict(os.environ),
        )
    path = Path(project.path, SCHEDULED)
    write_json(path, [*_schedulers(path), {"pid": child.pid, "runs": ids}])
    _children.append(child)


def _schedulers(path: Path) -> list[dict[str, Any]]:
    """Return the processes in a file of state that start runs and are alive, each with number and runs."""
    found = [one for one in read_json(path, []) if isinstance(one, dict) and isinstance(one.get("runs"), list)]
    return [one for one in found if type(one.get("pid")) is int and is_alive(one["pid"])]


_children: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Collect schedulers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def unschedule(project: EmtomoProject, i: int) -> bool:
    """End the scheduler that was to start run `i`; return whether there was one."""
    path = Path(project.path, SCHEDULED)
    known = _schedulers(path)
    mine = [one for one in known if i in one["runs"]]
    for one in mine:
        process = psutil.Process(int(one["pid"]))
        if "emtomo" in process.cmdline():
            process.terminate()
    write_json(path, [one for one in known if one not in mine])
    return bool(mine)


def stop_runs(project: EmtomoProject, ids: Iterable[int]) -> None:
    """Stop runs that are active or wait for their turn."""
    for i in ids:
        waited = unschedule(project, i)
        run = project.find(str(i))
        if run.isActive():
            project.stopProtocol(run)
        elif not waited:
            raise ProjectError(f"{run.getObjLabel()} is {run.getStatus()}, not running.")


def copy_runs(project: EmtomoProject, ids: Iterable[int]) -> list[int]:
    """Copy runs with their parameters, and the connections between them; return the new numbers."""
    chosen = [project.find(str(i)) for i in ids]
    for run in chosen:
        check_known(run)
    with clear_messages(project.path):
        text = project.getProtocolsJson(chosen)
    made = add_workflow(project, Template("copy", "", json.loads(text)), {}, Path.cwd())
    by_id = {int(run.getObjId()): run for run in chosen}
    sources = [by_id[int(one["object.id"])] for one in json.loads(text)]
    for source, run in zip(sources, made, strict=True):
        if getattr(type(source), "INTERACTIVE", ""):
            copy_picks(project, source, run)
    return [int(run.getObjId()) for run in made]


def copy_picks(project: EmtomoProject, source: Protocol, run: Protocol) -> None:
    """Give the copy of a picking run picks of its own: from then on each is edited for itself."""
    old, new = (Path(FOLDER, str(one.getObjId())) for one in (source, run))
    if not Path(project.path, old).is_dir():
        return
    left = shutil.ignore_patterns(LOCK, "*.part")
    shutil.copytree(Path(project.path, old), Path(project.path, new), ignore=left, dirs_exist_ok=True)
    for name, param in run.getDefinition().iterParams():
        value: Any = getattr(run, name, None)
        path = (
            Path(path_in_project(project.path, value.get())) if isinstance(param, PathParam) and value.get() else None
        )
        if path is not None and path.is_relative_to(old):
            value.set(str(new / path.relative_to(old)))
    project.amend(run)


def delete_runs(project: EmtomoProject, ids: Iterable[int]) -> None:
    """Delete runs and their folders.

    Raises
    ------
    ProjectError
        If one is active, or a run that stays takes its outputs.
    """
    chosen = set(ids)
    runs = {run.getObjId(): run for run in project.runs_now()}
    for i in sorted(chosen):
        if runs[i].isActive():
            raise ProjectError(f"{runs[i].getObjLabel()} is {runs[i].getStatus()}; stop it before you delete it.")
    needed = [run.getObjLabel() for i, run in runs.items() if i not in chosen and parents_of(run) & chosen]
    if needed:
        raise ProjectError(f"{', '.join(needed)} would lose an input: delete those as well, or give them another.")
    with clear_messages(project.path):
        project.getRunsGraph(refresh=True)
        project.deleteProtocol(*[runs[i] for i in sorted(chosen, reverse=True)])


def set_label(project: EmtomoProject, run: Protocol, label: str) -> None:
    """Give a run another label, unique in the project; it is not stored yet."""
    check_label(label)
    if label in {other.getObjLabel() for other in project.runs_now() if other.getObjId() != run.getObjId()}:
        raise ProjectError(f"This project has a run labelled {label!r} already; labels are unique.")
    run.setObjLabel(label)


def rename_run(project: EmtomoProject, i: int, label: str, comment: str) -> None:
    """Give run `i` a label and a comment."""
    run = project.find(str(i))
    check_known(run)
    if label != run.getObjLabel():
        set_label(project, run, label)
    run.setObjComment(comment)
    project.amend(run)


def texts_of(run: Protocol) -> dict[str, str]:
    """Return the parameters of a run by public name, as text that :func:`set_parameters` reads."""
    found = {}
    for name, param in run.getDefinition().iterParams():
        if name in INTERNAL:
            continue
        value = getattr(run, name, None)
        if isinstance(param, PointerParam):
            found_text = pointer_texts(value)
            parts = found_text if isinstance(value, PointerList) else [found_text]
            found[public_name(name)] = ",".join(p for p in parts if p)
        else:
            plain = value.get() if value is not None else None
            if isinstance(param, PathParam) and plain:
                plain = str(Path(str(plain)).absolute())  # kept relative to the project, the working directory
            found[public_name(name)] = "" if plain is None else text_of(plain)
    return found


def read_form(project: EmtomoProject, i: int) -> tuple[dict[str, str], tuple[str, dict[str, str]] | None]:
    """Return what a form shows of run `i`: its parameters as text, and its queue."""
    run = project.find(str(i))
    check_known(run)
    return texts_of(run), queue_of(run)


def text_of(value: Any) -> str:
    """Return a parameter's value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Details:
    """What the panel below the workflow shows of one run."""

    summary: list[str]
    parameters: dict[str, str]
    labels: dict[str, str]
    methods: str
    citations: list[str]


def details(project: EmtomoProject, i: int) -> Details:
    """Return summary, parameters, methods text and citations of run `i`."""
    run = project.find(str(i))
    labels = {public_name(n): str(p.label) for n, p in run.getDefinition().iterParams() if n not in INTERNAL}
    summary = [str(line) for line in run._summary()] if run.isFinished() else []
    return Details(summary, texts_of(run), labels, methods(run), [str(c) for c in getattr(run, "CITATIONS", ())])


def methods(run: Protocol) -> str:
    """Return a paragraph for a paper's methods section: what was done, with what, with which parameters."""
    record = read_provenance(run._getPath())
    found_text = " ".join((type(run).__doc__ or "").split("\n\n")[0].split())
    changed = []
    for name, param in run.getDefinition().iterParams():
        if name in INTERNAL or isinstance(param, PointerParam) or not str(param.label):
            continue
        one = field_of(public_name(name), name, param, None, "")
        value = text_of(getattr(run, name).get()) if getattr(run, name).get() is not None else ""
        if value and value != one.default and one.kind != "path" and public_name(name) not in NOT_SCIENCE:
            changed.append(f"{str(param.label)[0].lower()}{str(param.label)[1:]} {value}")
    how = f" Parameters that differ from the defaults: {'; '.join(changed)}." if changed else " Default parameters."
    made = [f"{name}: {text}" for name, text in record.get("outputs", {}).items()]
    result = f" Result: {'; '.join(made)}." if made else ""
    if hasattr(run, "methods_sentence"):  # a protocol of several methods says which one it was
        found_text = run.methods_sentence()
    name = getattr(run, "NAME", run.getClassName())
    return f"{name} (emtomo {record.get('emtomo', __version__)}): {found_text}{how}{result}"
