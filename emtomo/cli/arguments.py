"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from emtomo.errors import EmtomoError

ProjectFolder = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def key_values(pairs: list[str]) -> dict[str, str]:
    """Return ``key=value`` arguments as a dictionary.

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
            raise EmtomoError(
                f"{key} is given twice, as {values[key]!r} and {value!r}; several inputs of one parameter are "
                f"separated by commas: {key}={values[key]},{value}."
            )
        values[key] = value
    return values
