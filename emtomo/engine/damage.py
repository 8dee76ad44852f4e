"""What is missing or damaged in a project, and how to mend it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pyworkflow.object import Set
from pyworkflow.protocol import Protocol

from emtomo.errors import ProjectError

DATABASE, SETTINGS = "project.sqlite", "settings.sqlite"
_SQLITE = b"SQLite format 3\x00"


def damage_of_file(path: Path) -> str:
    """Return what is wrong with a sqlite file in words that follow its name; empty if nothing is seen."""
    if not path.is_file():
        return "is missing" if not path.exists() else "is no plain file"
    with path.open("rb") as stream:
        start = stream.read(16)
    if start != _SQLITE:
        return "is empty" if not start else "is no sqlite database"
    return ""


def check_databases(folder: Path) -> None:
    """Check the databases of a project before the engine opens them.

    Settings hold no results: damaged ones are put aside.

    Raises
    ------
    ProjectError
        If the project's own database is damaged.
    """
    path = folder / DATABASE
    problem = damage_of_file(path) or _damage_inside(path)
    if problem:
        raise ProjectError(
            f"{path} {problem}: the project cannot be opened. Put a copy of it in its place; the results are in "
            f"{folder / 'Runs'}, each beside a provenance.json that says how it was made."
        )
    settings = folder / SETTINGS
    if settings.exists() and (damage_of_file(settings) or _damage_inside(settings)):
        settings.replace(settings.with_name(f"{SETTINGS}.damaged"))


def _damage_inside(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "Objects" not in tables:
                return "has no table of objects"
            db.execute("SELECT * FROM Objects LIMIT 1").fetchall()
    except sqlite3.OperationalError:  # somebody writes, or it needs its journal
        return ""
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    return ""


def damage_of_run(run: Protocol) -> list[str]:
    """Return what is gone of a finished run, in sentences; none where all is there."""
    if not run.isFinished():
        return []
    gone = damage_of_folder(Path(run.getWorkingDir()))
    return gone or [sentence for name, value in _outputs(run) for sentence in damage_of_output(name, value)]


def damage_of_folder(folder: Path) -> list[str]:
    """Return a sentence where a run's folder is gone."""
    return [] if folder.is_dir() else [f"its folder {folder} is gone"]


def damage_of_output(name: str, value: Any) -> Iterator[str]:
    """Yield what is wrong with the files of an output."""
    if isinstance(value, Set):
        yield from damage_of_set(name, Path(value.getFileName() or ""))
        return
    file = getattr(value, "file", None)
    if file is not None and file.get():
        yield from missing_file(name, file.get())


def damage_of_set(name: str, path: Path) -> list[str]:
    """Return a sentence where the database of the set that a run calls `name` is gone or damaged."""
    problem = damage_of_file(path) or _damage_inside(path)
    return [f"{name}: {path} {problem}"] if problem else []


def missing_file(name: str, path: str) -> list[str]:
    """Return a sentence where the file of the output `name` is gone."""
    return [] if Path(path).exists() else [f"{name}: {path} is missing"]


def _outputs(run: Protocol) -> list[tuple[str, Any]]:
    return list(run.outputs().items()) if hasattr(run, "outputs") else []


def mend(run: Protocol) -> str:
    """Return the command that makes a damaged run again."""
    label = run.getObjLabel()
    return f"emtomo resume PROJECT {label!r} --restart makes it again"
