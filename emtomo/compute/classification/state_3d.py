"""The state of a 3D classification between two iterations, and the same as named arrays, which a caller may keep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from emtomo.compute.checkpoint import RECORD, read_record
from emtomo.compute.likelihood.poses import Poses
from emtomo.errors import EmtomoError

ARRAYS = ("references", "shares", "noise", "probability", "resolutions")
NUMBERS = ("shell", "iteration", "likelihood", "changed")


@dataclass
class ClassState:
    """All that the next iteration needs.

    Attributes
    ----------
    references : (K, n, n, n) float32 array
    shares : (K,) array
        Of the particles; they add up to 1.
    noise : array
        See :class:`~emtomo.compute.likelihood.plan.HalfSet`.
    poses : Poses
        In the likeliest class.
    probability : (n, K) array
        With which particles belong to the classes.
    shell : float
        Shells that are compared.
    iteration : int
    likelihood : float
        Mean log likelihood of a particle over that of noise alone.
    resolutions : (K,) array
        Å: where the halves of a class, which share their reference, correlate 0.143; optimistic.
    changed : float
        Share of the particles that are in another class than before.
    """

    references: np.ndarray
    shares: np.ndarray
    noise: np.ndarray
    poses: Poses
    probability: np.ndarray
    shell: float
    iteration: int = 0
    likelihood: float = -np.inf
    resolutions: np.ndarray = field(default_factory=lambda: np.zeros(0))
    changed: float = 1.0

    @property
    def numbers(self) -> np.ndarray:
        """Return the class of every particle, from 0: the likeliest one."""
        return self.probability.argmax(axis=1)


def pack_classes(state: ClassState, stamp: str) -> dict[str, np.ndarray]:
    """Return all that the next iteration needs, as arrays without objects; `stamp` is what it depends on."""
    arrays = {name: getattr(state, name) for name in ARRAYS}
    arrays |= {f"poses_{name}": value for name, value in vars(state.poses).items()}
    record = {"stamp": stamp, **{name: getattr(state, name) for name in NUMBERS}}
    return arrays | {RECORD: np.array(json.dumps(record))}


def unpack_classes(arrays: Mapping[str, np.ndarray]) -> tuple[ClassState, str]:
    """Return the state that :func:`pack_classes` packed, and its stamp.

    Raises
    ------
    EmtomoError
        If the arrays are no packed state.
    """
    record = read_record(arrays, ("stamp", *NUMBERS))
    try:
        poses = {name.removeprefix("poses_"): arrays[name] for name in arrays if name.startswith("poses_")}
        values = {name: arrays[name] for name in ARRAYS} | {name: record[name] for name in NUMBERS}
        return ClassState(poses=Poses(**poses), **values), str(record["stamp"])
    except (KeyError, TypeError) as error:
        raise EmtomoError(f"Not an iteration of this version: {error}.") from error
