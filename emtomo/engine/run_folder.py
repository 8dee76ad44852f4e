"""Where a run may write: in its own folder, whatever the names in a project that somebody sent are."""

import os
import re
from pathlib import Path

from emtomo.errors import ProjectError

RUNS = "Runs"
_OWN = (
    "project.sqlite", "project.sqlite-journal", "settings.sqlite", "settings.sqlite.damaged", "settings.sqlite-journal",
    RUNS, "Logs", "Picking", "Tmp", ".config",
)  # fmt: skip
_PLAIN = re.compile(r"[\w./-]+")
LINKABLE = ".mrc"  # an import may keep the images where they are


def path_in_run(folder: str, path: str) -> str:
    """Return `path` if it lies in the run's folder and no link leads out of it.

    Parameters
    ----------
    folder : str
        The run's folder.
    path : str
        A name that begins with `folder`.

    Raises
    ------
    ProjectError
        If it lies elsewhere.
    """
    root, wanted = os.path.normpath(folder), os.path.normpath(path)
    inside = wanted == root or wanted.startswith(root + os.sep) or (root == "." and _is_below(wanted))
    if not inside or "\0" in path:
        raise ProjectError(f"A run may write in its own folder {folder} alone, not to {path!r}.")
    for above in Path(wanted).parents:
        if len(str(above)) <= len(root):
            break
        _refuse_link(above)
    return path


def _is_below(path: str) -> bool:
    return not Path(path).is_absolute() and Path(path).parts[:1] != ("..",)


def check_run_folder(project: str | Path, folder: str) -> None:
    """Check that a run's folder is a folder of the project, and that nothing in it leads elsewhere.

    Parameters
    ----------
    project : str or Path
    folder : str
        What the project says is the run's folder, relative to it.

    Raises
    ------
    ProjectError
        If it is not ``Runs/NAME``, or a link is in the way. Images in ``extra`` may be links: they are only read, and
        what is written anew takes their places.
    """
    parts = Path(folder).parts
    if len(parts) != 2 or parts[0] != RUNS or ".." in parts or "\0" in folder:
        raise ProjectError(f"A run's folder is {RUNS}/NAME in the project; this project says {folder!r}.")
    check_plain_folder(folder)
    here = Path(project, folder)
    for link in (here.parent, here):
        _refuse_link(link)
    for root, folders, files in os.walk(here):
        extra = Path(root).relative_to(here).parts[:1] == ("extra",)
        for name in [*folders, *(f for f in files if not (extra and f.endswith(LINKABLE)))]:
            _refuse_link(Path(root, name))


def check_plain_folder(folder: str) -> None:
    """Check that a run's folder has a plain name, as the engine gives it: it becomes part of commands for a queue.

    Raises
    ------
    ProjectError
        If it has not.
    """
    if not _PLAIN.fullmatch(folder):
        raise ProjectError(
            f"The name of a run's folder is letters, digits and _ . - alone; this project says {folder!r}."
        )


def check_project_folder(project: str | Path) -> None:
    """Check that nothing that a project keeps for itself is a link to elsewhere.

    Raises
    ------
    ProjectError
        If it is.
    """
    for name in _OWN:
        _refuse_link(Path(project, name))
    for name in ("Logs", "Picking"):
        folder = Path(project, name)
        for entry in os.scandir(folder) if folder.is_dir() else ():
            _refuse_link(Path(entry.path))


def check_writable(project: str | Path) -> None:
    """Check that a project can be written to.

    Raises
    ------
    ProjectError
        If it is on a disk, or in a folder, that this user may only read.
    """
    if not os.access(project, os.W_OK):
        raise ProjectError(f"{project} may only be read here: copy the project to where you may write.")


def is_own_file(path: str | Path) -> bool:
    """Return whether a plain file is there: a link in a project that somebody sent may lead to any file."""
    return Path(path).is_file() and not Path(path).is_symlink()


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise ProjectError(f"{path} is a link to {os.path.realpath(path)}: emtomo does not write through links.")
