"""A classification's state and metrics as named arrays, which a caller may keep, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

import numpy as np

from emtomo.compute.checkpoint import RECORD, read_record
from emtomo.compute.classification.state import Metrics, State
from emtomo.errors import EmtomoError


def pack_state(state: State, metrics: list[Metrics], stamp: str) -> dict[str, np.ndarray]:
    """Return all that the next iteration needs, as arrays without objects.

    Parameters
    ----------
    state : State
    metrics : list of Metrics
        Of all iterations so far.
    stamp : str
        What the state depends on: inputs and parameters.
    """
    record = {"stamp": stamp, "metrics": [asdict(m) for m in metrics]}
    return {name: np.asarray(value) for name, value in vars(state).items()} | {RECORD: np.array(json.dumps(record))}


def unpack_state(arrays: Mapping[str, np.ndarray]) -> tuple[State, list[Metrics]]:
    """Return the state and metrics that :func:`pack_state` packed.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    record = read_record(arrays, ("metrics",))
    try:
        values = {f.name: arrays[f.name] for f in fields(State)}
        plain = {name: value.item() for name, value in values.items() if value.ndim == 0}
        return State(**values | plain), [Metrics(**m) for m in record["metrics"]]
    except (KeyError, TypeError) as error:
        raise EmtomoError(f"Not an iteration of this version: {error}.") from error
