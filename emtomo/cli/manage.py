"""Commands that change or compare the runs of a project, as the window does."""

from pathlib import Path
from typing import Annotated

import typer
from pyworkflow.protocol import Protocol

from emtomo.cli.arguments import Json, ProjectFolder, RunName, key_values
from emtomo.cli.output import result, result_json, say
from emtomo.engine.cluster import trust
from emtomo.engine.parameters import set_parameters
from emtomo.engine.project import EmtomoProject
from emtomo.engine.run_reading import protocol_name
from emtomo.errors import ProjectError
from emtomo.wording import bytes_text, count_text


def delete(
    project: ProjectFolder,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids or labels.")],
) -> None:
    """Delete runs and their folders; runs that others take outputs of only together with those."""
    from emtomo.gui.core.run_actions import delete_runs

    opened = EmtomoProject.open(project)
    chosen = [opened.find(name) for name in names]
    labels = [run.getObjLabel() for run in chosen]
    delete_runs(opened, {int(run.getObjId()) for run in chosen})
    say(f"Deleted: {', '.join(labels)}.")


def rename(
    project: ProjectFolder,
    name: RunName,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="The new label, unique in the project.")],
) -> None:
    """Give a run another label."""
    from emtomo.gui.core.run_actions import rename_run

    opened = EmtomoProject.open(project)
    run = opened.find(name)
    before = run.getObjLabel()
    rename_run(opened, int(run.getObjId()), label, str(run.getObjComment() or ""))
    say(f"{before} is now {label}.")


def copy(
    project: ProjectFolder,
    name: RunName,
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="Parameters that differ in the copy.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="key=value", help="The same, for one parameter.")
    ] = None,
    label: Annotated[str, typer.Option(help="Label of the copy; by default that of the run with a number.")] = "",
) -> None:
    """Copy a run with its parameters, some of them changed; emtomo resume carries the copy out."""
    from emtomo.gui.core.run_actions import copy_runs, rename_run

    values, folder = key_values([*(parameters or []), *(settings or [])]), Path.cwd()
    opened = EmtomoProject.open(project)
    source = opened.find(name)
    set_parameters(opened, source, values, folder)  # refused before there is a copy; nothing is stored
    opened = EmtomoProject.open(opened.path)
    (made,) = copy_runs(opened, [int(source.getObjId())])
    try:
        if label:
            rename_run(opened, made, label, "")
    except ProjectError:
        opened.deleteProtocol(opened.find(str(made)))
        raise
    run = opened.find(str(made))
    set_parameters(opened, run, values, folder)
    trust(values.get("cluster", ""))
    opened.amend(run)
    say(f"Copied to {run.getObjLabel()}; emtomo resume {project} {run.getObjLabel()!r} carries it out.")
    result(run.getObjLabel())


def compare(project: ProjectFolder, one: RunName, other: RunName, as_json: Json = False) -> None:
    """List the parameters in which two runs differ."""
    from emtomo.gui.core.compare import differences

    opened = EmtomoProject.open(project)
    first, second = (opened.find(name) for name in (one, other))
    rows = differences(opened, int(first.getObjId()), int(second.getObjId()))
    if as_json:
        result_json([{"parameter": label, one: a, other: b} for label, a, b in rows])
        return
    if not rows:
        say("No parameter differs.")
    for label, a, b in rows:
        result(f"{label}: {a or '(empty)'} → {b or '(empty)'}")


def parameters(project: ProjectFolder, name: RunName, as_json: Json = False) -> None:
    """List the parameters of a run."""
    from emtomo.gui.core.run_actions import texts_of

    opened = EmtomoProject.open(project)
    run = opened.find(name)
    values = texts_of(run)
    if as_json:
        result_json(values)
        return
    result(f"{run.getObjLabel()} ({protocol_name(run)})")
    for key, value in values.items():
        result(f"  {key:<22}{value or '(empty)'}")


def clean(
    project: ProjectFolder,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs; all by default.")] = None,
    delete_files: Annotated[
        bool, typer.Option("--delete", help="Delete the intermediate files; otherwise only list them.")
    ] = False,
) -> None:
    """List what the runs take on disk and what of it is intermediate: kept iterations, temporary files."""
    opened = EmtomoProject.open(project)
    chosen = [opened.find(name) for name in names] if names else opened.runs_now()
    total = freed = 0
    for run in chosen:
        folder = Path(opened.path, run.getWorkingDir())
        size = sum(_size(path) for path in folder.rglob("*")) if folder.is_dir() else 0
        files = intermediate_files(folder) if run.isFinished() else []
        spare = sum(_size(path) for path in files)
        if delete_files:
            for path in files:
                path.unlink(missing_ok=True)
        total, freed = total + size, freed + spare
        result(
            f"{bytes_text(size):>10}  {bytes_text(spare):>10} intermediate  {run.getObjLabel()}{_state(run, folder)}"
        )
    done = "deleted" if delete_files else "intermediate; --delete removes them"
    say(f"{bytes_text(total)} in {count_text(len(chosen), 'run')}, {bytes_text(freed)} {done}.")


def intermediate_files(folder: Path) -> list[Path]:
    """Return the files of a finished run that nothing needs any more.

    Iterations that a refinement kept, all but the last; what was left in its temporary folder; files that were
    never finished.
    """
    iterations = sorted((folder / "extra" / "iterations").glob("it_*.npz"))[:-1]
    temporary = [path for path in (folder / "tmp").rglob("*") if path.is_file()]
    unfinished = [p for p in folder.rglob("*") if p.is_file() and (p.suffix == ".part" or p.name.startswith("part_"))]
    return [path for path in dict.fromkeys([*iterations, *temporary, *unfinished]) if not path.is_symlink()]


def _state(run: Protocol, folder: Path) -> str:
    if not folder.is_dir():
        return "  (its folder is gone)" if run.isFinished() else "  (not run yet)"
    return "" if run.isFinished() else f"  ({run.getStatus()})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for verb in (delete, rename, copy, compare, parameters, clean):
        app.command()(verb)
