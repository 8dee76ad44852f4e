"""A classification's state and metrics as named arrays, which a caller may keep, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

import numpy as np

from emtomo.compute.checkpoint import RECORD, read_record
from emtomo.compute.classification.state import ClassificationMetrics, ClassificationState
from emtomo.errors import EmtomoError


def pack_state(state: ClassificationState, metrics: list[ClassificationMetrics], stamp: str) -> dict[str, np.ndarray]:
    """Return all that the next iteration needs, as arrays without objects.

    Parameters
    ----------
    state : ClassificationState
    metrics : list of ClassificationMetrics
        Of all iterations so far.
    stamp : str
        What the state depends on: inputs and parameters.
    """
    record = {"stamp": stamp, "metrics": [asdict(m) for m in metrics]}
    return {name: np.asarray(value) for name, value in vars(state).items()} | {RECORD: np.array(json.dumps(record))}


def unpack_state(arrays: Mapping[str, np.ndarray]) -> tuple[ClassificationState, list[ClassificationMetrics]]:
    """Return the state and metrics that :func:`pack_state` packed.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    record = read_record(arrays, ("metrics",))
    try:
        values = {f.name: arrays[f.name] for f in fields(ClassificationState)}
        plain = {name: value.item() for name, value in values.items() if value.ndim == 0}
        return ClassificationState(**values | plain), [ClassificationMetrics(**m) for m in record["metrics"]]
    except (KeyError, TypeError) as error:
        raise EmtomoError(f"Not an iteration of this version: {error}.") from error
