"""Read a project's runs and outputs from a script, wherever it stands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import pandas as pd

from emtomo.checks import check_path
from emtomo.errors import ProjectError


class Output:
    """One output of a run: a set (one row per item) or a single result such as an average.

    Attributes
    ----------
    name : str
        As RUN.output.
    kind : str
        The type, e.g. ``"SetOfCoordinates3D"``.
    project : Path
        Folder of the project.
    """

    def __init__(self, name: str, project: Path, value: Any) -> None:
        self.name, self.kind, self.project, self._value = name, type(value).__name__, project, value

    def __repr__(self) -> str:
        return f"<{self.name}: {self.kind}, {self.summary()}>"

    def summary(self) -> str:
        """Return one line about it."""
        with _inside(self.project):
            return str(self._value)

    @property
    def properties(self) -> dict[str, Any]:
        """What is true of the whole output, e.g. ``pixel_size`` in Å; files as absolute paths."""
        return {key: self._absolute(key, value) for key, value in self._value.values().items()}

    def frame(self, columns: list[str] | None = None) -> pd.DataFrame:
        """Return the items as a table, one row each; a single result is a table of one row.

        Lengths are in Å, angles in degrees; the names of files are absolute.

        Parameters
        ----------
        columns : list of str, optional
            All by default.

        Raises
        ------
        EmtomoError
            If there is no such column.
        """
        if not hasattr(self._value, "frame"):
            table = pd.DataFrame([self.properties])
            missing = [name for name in columns or [] if name not in table]
            if missing:
                raise ProjectError(
                    f"{self.name} has no column {', '.join(missing)}; it has {', '.join(self.properties)}."
                )
            return table if columns is None else table[columns]
        with _inside(self.project):
            table = self._value.frame(columns)
        for name in table.columns:
            if name == "file" or str(name).endswith("_file"):
                table[name] = [self._absolute(str(name), value) for value in table[name]]
        return table

    def _absolute(self, name: str, value: Any) -> Any:
        is_file = (name == "file" or name.endswith("_file")) and isinstance(value, str) and value
        return str(self.project / value) if is_file else value


class Project:
    """A project opened for reading; made by :func:`open_project`.

    Attributes
    ----------
    path : Path
        Its folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_path(path).absolute()
        with _inside(self.path):
            from emtomo.engine.project import EmtomoProject

            self._project = EmtomoProject.open(self.path)

    def __repr__(self) -> str:
        return f"<project {self.path}>"

    def runs(self) -> pd.DataFrame:
        """Return one row per run: id, label, protocol, status, and the names of its outputs."""
        rows = []
        with _inside(self.path):
            for run in self._project.runs_now():
                outputs = sorted(name for name, _ in run.iterOutputAttributes())
                protocol = getattr(run, "NAME", type(run).__name__)
                rows.append((run.getObjId(), run.getObjLabel(), protocol, run.getStatus(), outputs))
        return pd.DataFrame(rows, columns=["id", "label", "protocol", "status", "outputs"])

    @overload
    def outputs(self) -> dict[str, Output]: ...

    @overload
    def outputs(self, name: str) -> Output: ...

    def outputs(self, name: str | None = None) -> dict[str, Output] | Output:
        """Return one output, or all outputs by their names.

        Parameters
        ----------
        name : str, optional
            RUN.output, e.g. ``"model.coordinates"``, or the run alone where it has one output. RUN is a label or an id.

        Raises
        ------
        ProjectError
            If there is no such run or output; the message names those that there are.
        """
        found = self._read()
        if name is None:
            return found
        if name in found:
            return found[name]
        ids = {f"{row.id}": str(row.label) for row in self.runs().itertuples()}
        run, _, output = name.partition(".")
        label = ids.get(run, run)
        full = f"{label}.{output}" if output else label
        close = [key for key in found if key == full or (not output and key.startswith(f"{label}."))]
        if len(close) == 1:
            return found[close[0]]
        known = ", ".join(close or found)
        there = f"the outputs are: {known}" if known else "there are no outputs yet"
        raise ProjectError(f"There is no output {name!r} in {self.path}; {there}.")

    def _read(self) -> dict[str, Output]:
        with _inside(self.path):
            return {
                f"{run.getObjLabel()}.{name}": Output(f"{run.getObjLabel()}.{name}", self.path, value)
                for run in self._project.runs_now()
                for name, value in run.iterOutputAttributes()
            }


def open_project(path: str | Path) -> Project:
    """Open a project to read its runs and outputs; nothing in it is changed.

    The engine is loaded here for the first time. The working directory stays what it is.

    Parameters
    ----------
    path : str or Path
        Folder of the project.

    Returns
    -------
    Project

    Raises
    ------
    ProjectError
        If the folder is not a project.

    Examples
    --------
    ::

        project = emtomo.open_project("my_project")
        project.runs()
        picks = project.outputs("model.coordinates").frame()
    """
    return Project(path)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in the project's folder, to which its paths are relative, and come back."""
    if not folder.is_dir():
        raise ProjectError(f"{folder} is not a folder.")
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
