"""Verbs on projects and runs."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pyworkflow.protocol import Protocol

from emtomo.cli.arguments import Json, ProjectFolder, RunName, is_project, key_values
from emtomo.cli.executors import QUEUE, Executor, QueueName, QueueSettings, check_executor, set_executor
from emtomo.cli.output import Interrupt, Watcher, duration, result, result_json, say
from emtomo.engine.cluster import trust
from emtomo.engine.damage import damage_of_run, mend
from emtomo.engine.engine_words import without_bold
from emtomo.engine.overview import run_states
from emtomo.engine.parameters import protocol_named, protocols_by_name, set_parameters, way_to_give
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.queues import NewProject, check_queue
from emtomo.engine.run_folder import check_writable
from emtomo.engine.run_reading import check_known, is_known, unknown_sentence
from emtomo.engine.runner import out_of_date, run_all
from emtomo.engine.templates import (
    add_workflow,
    check_template,
    export_workflow,
    find_shipped,
    read_template,
    runs_of_template,
    update_workflow,
)
from emtomo.errors import EmtomoError, ProjectError, one_line
from emtomo.wording import count_text, list_text


def new(project: ProjectFolder) -> None:
    """Make a new, empty project."""
    opened = EmtomoProject.start(project)
    say(f"New project in {opened.path}.")


def run(
    project: ProjectFolder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Protocol, e.g. import-tomograms.")],
    parameters: Annotated[list[str] | None, typer.Argument(metavar="key=value", help="Inputs are RUN.output.")] = None,
    label: Annotated[str, typer.Option(help="Name of the run, unique in the project.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "",
    executor: Executor = "",
    queue: QueueName = "",
    queue_settings: QueueSettings = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, or return at once.")] = True,
) -> None:
    """Run one protocol."""
    if str(project) in protocols_by_name() and not is_project(project):
        raise ProjectError(f"The project comes first: emtomo run PROJECT {project} key=value ...")
    folder, cls = Path.cwd(), protocol_named(name)
    values = key_values(parameters or [], lambda key: way_to_give(cls(), key))
    opened = EmtomoProject.open(project)
    made = opened.new_run(cls, label or opened.free_label(cls.NAME.split("-")[0]))
    if device:
        values["device"] = device
    set_parameters(opened, made, values, folder)
    trust(values.get("cluster", ""))
    set_executor(opened, made, executor, queue, key_values(queue_settings or []))
    errors = made.validate()
    if errors:
        raise ProjectError(" ".join(without_bold(str(e)) for e in errors))
    opened.saveProtocol(made)
    _carry_out(opened, [made.getObjId()], wait)


def workflow(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="A file, or the name of a shipped template.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROJECT] [key=value]", help="Its folder, and variables, as with the options."),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="Project folder; made if it does not exist.", show_default="emtomo-project"),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="key=value", help="Variable.")] = None,
    executor: Executor = "",
    queue: QueueName = "",
    queue_settings: QueueSettings = None,
    again: Annotated[
        bool, typer.Option("--again", help="Add the runs a second time; by default those that are there are updated.")
    ] = False,
) -> None:
    """Add the runs of a template to a project and run them; those that it has already are updated."""
    template, project, given = _sort_arguments([template, *(more or [])], project)
    parsed, folder = read_template(template), Path.cwd()
    values = key_values([*given, *(settings or [])], parsed.way_to_give)
    parsed.fill_in(values, folder)  # complain before a project is made
    check_executor(executor)
    queue_values = key_values(queue_settings or [])
    check_template(parsed)
    exists = (project / EmtomoProject.getDbName()).exists()
    opened = EmtomoProject.open(project) if exists else None
    if executor == QUEUE or queue or queue_values:
        check_queue(opened or NewProject(), queue, queue_values)
    opened = opened or EmtomoProject.start(project)
    there = [] if again else runs_of_template(opened, parsed, values)
    if there:
        made = update_workflow(opened, parsed, values, folder, there)
        say(f"The {count_text(len(there), 'run')} of {parsed.name} are updated; --again adds them a second time.")
    else:
        made = add_workflow(opened, parsed, values, folder)
    for one in made:
        set_executor(opened, one, executor, queue, queue_values, strict=False)
        opened.amend(one)
    _carry_out(opened, [one.getObjId() for one in made], True)


def _sort_arguments(arguments: list[str], project: Path | None) -> tuple[str, Path, list[str]]:
    """Return template, project folder and key=value pairs from the arguments of `workflow`, in whatever order."""
    pairs = [one for one in arguments if "=" in one and not Path(one).exists()]
    names = [one for one in arguments if one not in pairs]
    known = [one for one in names if one in find_shipped() or Path(one).is_file()]
    template = (known or names or [""])[0]
    folders = [one for one in names if one != template]
    if not names or len(folders) + (project is not None) > 1:
        raise ProjectError(
            f"One template and one project are needed, got {list_text(names, 'no name')}"
            f"{f' and --project {project}' if project is not None else ''}: emtomo workflow TEMPLATE PROJECT "
            "key=value ..."
        )
    return template, project or Path(*(folders or ["emtomo-project"])), pairs


def workflow_export(
    project: ProjectFolder,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs; all by default.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path("workflow.json.template"),
    relative: Annotated[
        bool, typer.Option("--relative", help="Names of files count from the template's folder; else whole names.")
    ] = False,
    variables: Annotated[
        list[str] | None,
        typer.Option("--variable", metavar="NAME=RUN.parameter", help="A parameter that --set NAME=VALUE changes."),
    ] = None,
) -> None:
    """Write runs as a template that can be run again."""
    target, wanted = output.absolute(), key_values(variables or [])
    opened = EmtomoProject.open(project)
    chosen = [opened.find(name) for name in names] if names else opened.runs_now()
    places = {}
    for alias, text in wanted.items():
        run, dot, parameter = text.rpartition(".")
        if not dot:
            raise ProjectError(f"A variable is written NAME=RUN.parameter, got {alias}={text}.")
        places[alias] = opened.find(run), parameter
    export_workflow(opened, chosen, target, relative=relative, variables=places)
    say(f"{count_text(len(chosen), 'run')} written to {target}.")


def status(project: ProjectFolder, as_json: Json = False) -> None:
    """List the runs and their states."""
    states = run_states(project)
    if as_json:
        result_json([{**asdict(one), "left": one.left} for one in states])
        return
    for one in states:
        parts = [f"{one.id:>5}  {one.status:<10}"]
        if one.status == "running" and one.progress is not None:
            parts.append(f"{one.progress:.0%}" + (f", {duration(one.left)} left" if one.left else ""))
        parts.append(f"{one_line(one.label)}  ({one_line(one.protocol)})")
        parts += [f"({note})" for note in ("out of date" if one.out_of_date else "", one.queue) if note]
        if one.started:
            parts.append(f"{one.started}, {duration(one.seconds)}" if one.seconds else one.started)
        result("  ".join(parts))
        for sentence in [one.error] if one.error else one.damage:
            result(f"       {one_line(sentence)}")


def outputs(project: ProjectFolder, as_json: Json = False) -> None:
    """List what the runs made."""
    opened = EmtomoProject.open(project)
    rows = [
        {"run": one.getObjLabel(), "id": one.getObjId(), "output": name, "type": type(value).__name__,
         "summary": _summary(value)}
        for one in opened.runs_now() if hasattr(one, "outputs") for name, value in one.outputs().items()
    ]  # fmt: skip
    if as_json:
        result_json(rows)
        return
    for row in rows:
        result(f"{one_line(row['run'])}.{row['output']}  {one_line(row['summary'])}")


def stop(project: ProjectFolder, name: RunName) -> None:
    """Stop a run; it can be resumed."""
    opened = EmtomoProject.open(project)
    found = opened.find(name)
    if not found.isActive():
        raise ProjectError(f"{name} is {found.getStatus()}, not running.")
    opened.stopProtocol(found)
    say(f"{found.getObjLabel()} stopped.")


def resume(
    project: ProjectFolder,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs; all unfinished by default.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="key=value", help="Change a parameter of the (one) run.")
    ] = None,
    restart: Annotated[bool, typer.Option(help="Forget earlier results.")] = False,
    executor: Executor = "",
    queue: QueueName = "",
    queue_settings: QueueSettings = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, or return at once.")] = True,
    wait_for_picks: Annotated[
        bool, typer.Option("--wait-for-picks", help="Wait for picking runs above until a user has registered points.")
    ] = False,
) -> None:
    """Continue runs that were stopped, killed or failed, or whose inputs have changed; finished steps stay."""
    values, folder = key_values(settings or []), Path.cwd()
    opened = EmtomoProject.open(project)
    everything = opened.runs_now()
    if names:
        chosen = [opened.find(name) for name in names]
        for one in chosen:
            check_known(one)
    else:
        old = {one.getObjId() for one in out_of_date(everything)}
        chosen = [one for one in everything if one.getObjId() in old or not (one.isFinished() or one.isActive())]
        unknown = [one for one in chosen if not is_known(one)]
        for one in unknown:
            say(unknown_sentence(one))
        chosen = [one for one in chosen if one not in unknown]
        if unknown and not chosen:
            raise typer.Exit(1)
    damaged = [one for one in everything if damage_of_run(one)] if not (names or restart) else []
    for one in damaged:
        say(f"{one.getObjLabel()}: {'; '.join(damage_of_run(one))}: {mend(one)}.")
    chosen = [one for one in chosen if one not in damaged]
    if not chosen and damaged:
        raise typer.Exit(1)
    if not chosen:
        say("Every run is finished and up to date, or running.")
        return
    active = [one.getObjLabel() for one in chosen if one.isActive()]
    if active:
        raise ProjectError(f"{', '.join(active)} is running.")
    if values:
        if len(chosen) != 1:
            raise ProjectError("Parameters are changed of one run at a time; name it.")
        set_parameters(opened, chosen[0], values, folder)
        trust(values.get("cluster", ""))
        opened.amend(chosen[0])
    if executor or queue or queue_settings:
        for one in chosen:
            set_executor(opened, one, executor, queue, key_values(queue_settings or []), strict=len(chosen) == 1)
            opened.amend(one)
    _carry_out(opened, [one.getObjId() for one in chosen], wait, restart=restart, wait_for_picks=wait_for_picks)
    old_labels = [one.getObjLabel() for one in out_of_date(opened.runs_now())] if wait else []
    if old_labels:
        say(f"Out of date now: {', '.join(old_labels)}; emtomo resume without a run brings them up to date.")


def _carry_out(
    opened: EmtomoProject, ids: list[int], wait: bool, *, restart: bool = False, wait_for_picks: bool = False
) -> None:
    """Run the runs; exit with 1 if one does not finish."""
    if not wait:
        for i in ids:
            opened.launch(opened.find(str(i)), restart=restart)
        say("Started; emtomo status shows its progress.")
        return
    watcher = Watcher(ids)
    try:
        with only_starter(opened, ids), Interrupt() as interrupt, watcher as look:

            def look_or_stop(runs: dict[int, Protocol]) -> None:
                look(runs)
                interrupt.check()

            states = run_all(opened, ids, restart=restart, wait_for_picks=wait_for_picks, on_change=look_or_stop)
    except KeyboardInterrupt:
        say("emtomo: stopped watching; runs that have started go on, emtomo resume starts the rest.")
        raise typer.Exit(130) from None
    bad = [i for i, state in states.items() if state != "finished"]
    for i in bad:
        if i not in watcher.reported:
            run = opened.find(str(i))
            say(f"emtomo: run {run.getObjLabel()} {states[i]}: {error_of(run)}")
    if bad:
        raise typer.Exit(1)


@contextmanager
def only_starter(opened: EmtomoProject, ids: list[int]) -> Iterator[None]:
    """Hold the right to start these runs: a second command gets a sentence instead of starting them again.

    Raises
    ------
    ProjectError
        If another process holds it.
    """
    import fcntl

    check_writable(opened.path)
    folder = Path(opened.path, "Logs")
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for i in ids:
            stream = stack.enter_context((folder / f"start_{i}.lock").open("a"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                label = opened.find(str(i)).getObjLabel()
                raise ProjectError(f"Another emtomo command is carrying out {label}; see emtomo status.") from None
        yield


def _summary(value: object) -> str:
    """Return what an output says of itself, or that its files are gone."""
    try:
        return str(value)
    except (EmtomoError, OSError, sqlite3.Error) as error:
        return f"(cannot be read: {error})"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command."""
    for verb in (new, run, workflow, status, outputs, stop, resume):
        app.command()(verb)
    app.command("workflow-export")(workflow_export)
