"""The command that prints what a run wrote while it worked."""

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pyworkflow.protocol import Protocol

from emtomo.cli.arguments import ProjectFolder, RunName
from emtomo.cli.output import result, say
from emtomo.engine.damage import damage_of_run, mend
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.queues import launch_log
from emtomo.engine.run_folder import is_own_file
from emtomo.engine.run_progress import progress_of

FOLLOW_SECONDS = 0.5
# tables that protocols write while they iterate, and what a row is called
TABLES = {"metrics.csv": "iteration", "changes.csv": "iteration", "losses.csv": "iteration"}
# lines by which the engine says what it is, not what is done
_ENGINE = re.compile(
    r"^(Logging configured|Running protocol using|RESUMING PROTOCOL|Protocol starts|Hostname:|PID:|pyworkflow:|plugin|"
    r"currentDir:|workingDir:|runMode:|Scipion threads:|binary (MPI|Threads)|\s*\* Cannot get information about MPI|"
    r"\s*Running steps|Cleaning temp folder|Nothing to clean up|-{3,})"
)


def log(
    project: ProjectFolder,
    name: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the run ends.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="With the engine's own lines.")] = False,
) -> None:
    """Print the log of a run: its steps, a line per iteration, remarks and errors."""
    opened = EmtomoProject.open(project)
    run = opened.find(name)
    printed: dict[str, int] = {}
    said: set[str] = set()
    while True:
        for source, lines in log_lines(run, everything=everything).items():
            known = printed.get(source, 0)
            for line in lines[known:] if len(lines) >= known else lines:  # fewer: begun again
                result(line)
            said.update(lines)
            printed[source] = len(lines)
        if not follow or not run.isActive():
            break
        try:
            time.sleep(FOLLOW_SECONDS)
        except KeyboardInterrupt:
            say("emtomo: stopped watching; the run goes on.")
            raise typer.Exit(130) from None
        run = opened.find(str(run.getObjId()))
    for line in ending(run):
        if line not in said:  # steps write their remarks to the log
            result(line)


def log_lines(run: Protocol, *, everything: bool = False) -> dict[str, list[str]]:
    """Return the lines of a run's log, and one for each iteration, by file: to each, lines are only ever added."""
    found = {"log": list(_lines(run.getStdoutLog(), everything))}
    for table, noun in TABLES.items():
        found[table] = list(iteration_lines(Path(run._getExtraPath(table)), noun))
    return found


def ending(run: Protocol) -> Iterator[str]:
    """Yield what is known at the end of a run: remarks, or what went wrong, also with its files since."""
    if run.isActive():
        state = progress_of(run)
        if state.get("total"):
            yield f"{state.get('what') or run.getStatus()}: {state['done'] / state['total']:.0%}"
    for path in (run.getStderrLog(), launch_log(run)):
        yield from _lines(path, True)
    if run.isFinished() and hasattr(run, "_remarks"):
        yield from run._remarks()
    if lost := damage_of_run(run):
        yield f"{run.getObjLabel()}: {'; '.join(lost)}: {mend(run)}."
    if run.isFailed():
        yield f"failed: {error_of(run)}"


def iteration_lines(path: Path, noun: str) -> Iterator[str]:
    """Yield a line for each row of a table that an iterative protocol writes."""
    if not is_own_file(path):
        return
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf8", errors="replace").splitlines()))
    except OSError:
        return
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            return  # the last row is being written
        first = row.pop(noun, str(number))
        yield f"{noun} {first}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items() if value)


def _lines(path: str, everything: bool) -> Iterator[str]:
    if Path(path).is_symlink():
        yield f"{path} is a link: what it leads to is not shown."
    if not is_own_file(path):
        return
    for line in Path(path).read_text(encoding="utf8", errors="replace").rstrip().split("\n"):
        if line.strip() and (everything or not _ENGINE.match(line)):
            yield line


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command()(log)
