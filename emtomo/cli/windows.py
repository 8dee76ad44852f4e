"""The verb that opens the windows."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from emtomo.errors import EmtomoError, ProjectError


def gui(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="[PROJECT]", help="A project, or a folder that becomes one; asked for without."),
    ] = None,
) -> None:
    """Open the project window."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise EmtomoError(
            "There is no display (DISPLAY is empty); over SSH use ssh -X, or work with emtomo run, view and report."
        )
    try:
        import tkinter

        from emtomo.gui.tk.project import run_window
        from emtomo.gui.tk.start import ask_project
    except ImportError as error:
        raise EmtomoError(f"Windows need Python's tkinter ({error}): install python3-tk.") from None
    try:
        folder = project.absolute() if project is not None else ask_project()
        if folder is not None:
            _usable(folder)
            run_window(folder)
    except tkinter.TclError as error:
        raise EmtomoError(f"The display cannot be used: {error}.") from None


def _usable(folder: Path) -> None:
    """Raise if a folder neither is a project nor can become one."""
    from emtomo.engine.project import EmtomoProject

    if (folder / EmtomoProject.getDbName()).exists():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder} is not a project, and not an empty folder that could become one.")


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command."""
    app.command()(gui)
