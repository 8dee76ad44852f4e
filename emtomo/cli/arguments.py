"""Arguments that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from emtomo.engine.parameters import ONE_VALUE, SEVERAL
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError

ProjectFolder = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def key_values(pairs: list[str], takes: Callable[[str], str] | None = None) -> dict[str, str]:
    """Return ``key=value`` arguments as a dictionary.

    Parameters
    ----------
    pairs : list of str
    takes : callable, optional
        Key → how several values of it are given, for the sentence where a key comes twice.

    Raises
    ------
    EmtomoError
        If one is not written so, or a key is given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise EmtomoError(f"Parameters are written key=value, got {pair!r}.")
        if key in values:
            how = takes(key) if takes is not None else ONE_VALUE
            advice = f"{how}: {key}={values[key]},{value}" if how == SEVERAL else how
            raise EmtomoError(f"{key} is given twice, as {values[key]!r} and {value!r}; {advice}.")
        values[key] = value
    return values


def check_pixel_size(pixel_size: float | None) -> None:
    """Raise EmtomoError if a pixel size that was given cannot be one."""
    from emtomo import checks  # numpy is not needed for help

    if pixel_size is not None:
        checks.check_pixel_size(pixel_size)


def is_project(folder: object) -> bool:
    """Return whether this names the folder of a project."""
    return (Path(str(folder)) / EmtomoProject.getDbName()).is_file()


class ProjectAnywhere(TyperCommand):
    """A command whose project may stand behind the run, protocol or output that it is about."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what is left over; where the first argument is no project and one other is, they change places."""
        rest = super().parse_args(ctx, args)
        names = [str(one.name) for one in self.params if isinstance(one, TyperArgument)]
        if not names or names[0] not in ("project", "what") or not isinstance(ctx.params[names[0]], Path):
            return rest
        first = ctx.params[names[0]]
        others = [(name, value) for name in names[1:] for value in _texts(ctx.params[name]) if is_project(value)]
        if is_project(first) or first.is_file() or len(others) != 1:
            return rest
        name, value = others[0]
        ctx.params[names[0]] = Path(value)
        if isinstance(ctx.params[name], list):
            ctx.params[name] = [str(first) if one == value else one for one in ctx.params[name]]
        else:
            ctx.params[name] = type(ctx.params[name])(str(first))
        return rest


def _texts(value: object) -> list[str]:
    """Return the value of an argument as texts."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []
