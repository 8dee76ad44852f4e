"""A refinement's state and metrics as named arrays, which a caller may keep, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from emtomo.compute.checkpoint import RECORD, read_record
from emtomo.compute.likelihood.plan import HalfSet
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.refinement.refine import RefinementMetrics, RefinementState
from emtomo.compute.refinement.schedule import Progress
from emtomo.errors import EmtomoError


def pack_state(state: RefinementState, metrics: list[RefinementMetrics], stamp: str) -> dict[str, np.ndarray]:
    """Return all that the next iteration needs, as arrays without objects.

    Parameters
    ----------
    state : RefinementState
    metrics : list of RefinementMetrics
        Of all iterations so far.
    stamp : str
        What the state depends on: inputs and parameters.
    """
    arrays = {f"poses_{name}": value for name, value in vars(state.poses).items()}
    for h, half in state.halves.items():
        arrays |= {f"reference_{h}": half.reference, f"noise_{h}": half.noise}
        if half.scale is not None:
            arrays[f"scale_{h}"] = half.scale
    record = {"stamp": stamp, "progress": asdict(state.progress), "metrics": [asdict(m) for m in metrics]}
    return arrays | {"local": state.local, RECORD: np.array(json.dumps(record))}


def unpack_state(arrays: Mapping[str, np.ndarray]) -> tuple[RefinementState, list[RefinementMetrics]]:
    """Return the state and metrics that :func:`pack_state` packed.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    record = read_record(arrays, ("progress", "metrics"))
    try:
        names = [name.removeprefix("poses_") for name in arrays if name.startswith("poses_")]
        poses = Poses(**{name: arrays[f"poses_{name}"] for name in names})
        halves = {}
        for h in (1, 2):
            scale = arrays.get(f"scale_{h}")
            halves[h] = HalfSet(arrays[f"reference_{h}"], arrays[f"noise_{h}"], scale)
        state = RefinementState(poses, halves, Progress(**record["progress"]), arrays["local"])
        return state, [RefinementMetrics(**m) for m in record["metrics"]]
    except (KeyError, TypeError) as error:
        raise EmtomoError(f"Not an iteration of this version: {error}.") from error
