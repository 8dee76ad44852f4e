"""What a packed state of an iterative computation says of itself, beside its arrays."""

import json
from collections.abc import Mapping

import numpy as np

from emtomo.errors import EmtomoError

RECORD, OLDER_RECORD = "record", "told"  # the key of today, and of states that an older emtomo wrote


def read_record(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict:
    """Return entries of the record that a packed state holds as JSON.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    try:
        record = json.loads(str(arrays[RECORD if RECORD in arrays else OLDER_RECORD]))
        return {name: record[name] for name in names}
    except (KeyError, TypeError, ValueError) as error:
        raise EmtomoError(f"Not an iteration of this version: {error}.") from error


def stamp_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return what a packed state depends on.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    return str(read_record(arrays, ("stamp",))["stamp"])
