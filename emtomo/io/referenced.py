"""Files that other files name: where they are, what is said of them, and what is not quoted of them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emtomo.errors import EmtomoError, FormatError, one_line
from emtomo.io.names import is_file

UP = 4  # folders above a file in which what it names is looked for
_SHOWN = 80


def find_referenced_file(path: Path, name: str, up: int = UP) -> Path:
    """Return the file `name` named in `path`: relative to it, to a folder above it, or to here.

    Raises
    ------
    FormatError
        If it is nowhere.
    """
    folder = path.resolve().parent
    for base in (folder, *list(folder.parents)[:up], Path.cwd()):
        for candidate in (base / name, base / f"{path.name.split('optimisation_set')[0]}{name}"):
            if is_file(candidate):
                return candidate
    raise FormatError(path, f"the file {name[:_SHOWN]} that it names is missing.")


@contextmanager
def reading_named_file(path: Path, file: Path) -> Iterator[None]:
    """Turn what is wrong with a file that `path` names into a sentence that quotes nothing of it.

    Whoever sent `path` may have named any file of this machine, whose lines are not theirs to see.

    Raises
    ------
    FormatError
        In place of any error about the file that is named.
    """
    try:
        yield
    except EmtomoError as error:
        line = getattr(error, "line", None)
        place = f" (line {line})" if line is not None else ""
        raise FormatError(
            path, f"the file {one_line(file)[-2 * _SHOWN :]} that it names cannot be read as what it should be{place}."
        ) from None


def note_files_outside(path: Path, files: Iterable[object], also: Path | None = None) -> list[str]:
    """Return a sentence where `path` names files that lie outside of its folder.

    Parameters
    ----------
    path : Path
    files : iterable
        As they were found.
    also : Path, optional
        A folder that the user named, inside of which files may lie too.
    """
    folders = [place.resolve() for place in (path.parent, also) if place is not None]
    named = {str(file): Path(str(file)).resolve() for file in files}
    outside = [name for name, file in named.items() if not any(file.is_relative_to(folder) for folder in folders)]
    if not outside:
        return []
    more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
    return [f"It names files outside of its folder: {one_line(outside[0])[: 2 * _SHOWN]}{more}."]
