"""Arguments that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from emtomo.engine.parameters import ONE_VALUE, SEVERAL
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
