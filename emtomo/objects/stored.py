"""Values that a project keeps as JSON: whoever sent the project may have written them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emtomo.errors import EmtomoError, one_line

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def reading_stored(what: object) -> Iterator[None]:
    """Turn what is wrong with stored values into one sentence.

    Parameters
    ----------
    what : object
        Which they are: a file, or a file and what in it.

    Raises
    ------
    EmtomoError
        Where the values are not of the shape that they were written in.
    """
    try:
        yield
    except EmtomoError:
        raise
    except _DAMAGE as error:
        why = one_line(error)[:200] or type(error).__name__
        why = f"it has no {why}" if isinstance(error, KeyError) else why
        raise EmtomoError(f"{one_line(what)} cannot be read ({why}); run what made it again.") from None


def read_stored(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file of a run holds.

    Raises
    ------
    EmtomoError
        If it is missing, no plain file, or holds no object.
    """
    if not path.is_file():
        raise EmtomoError(f"{path}: there is no such file; run what made it again.")
    with reading_stored(path):
        found = json.loads(path.read_text(encoding="utf8"))
    if not isinstance(found, dict):
        raise EmtomoError(f"{path}: named values ({{...}}) are needed in the file; run what made it again.")
    return found
