"""Movements of particles over the dose as a table keeps them: a text for every particle."""

import json

import numpy as np
import pandas as pd

from emtomo.compute.tilt.particle_motion import ParticleMotions
from emtomo.errors import EmtomoError

COLUMN = "motion"
MOST_DOSES = 100


def motion_texts(motions: ParticleMotions | None, count: int) -> list[str | None]:
    """Return the column of `count` particles: for every dose rotation (degrees) and shift (Å), as JSON."""
    if motions is None:
        return [None] * count
    values = np.concatenate([np.rad2deg(motions.rotations), motions.shifts], axis=2)
    return [json.dumps(np.round(one, 5).tolist()) if one.any() else None for one in values]


def motions_of(frame: pd.DataFrame) -> ParticleMotions | None:
    """Return the movements of a table's particles; None where none of them moves.

    Particles that do not move stay where they are; of others with poses at another number of doses, they are
    interpolated to the largest.

    Raises
    ------
    EmtomoError
        If a movement is not six finite numbers at each of 2 to 100 doses.
    """
    texts = list(frame[COLUMN]) if COLUMN in frame else []
    rows = [i for i, text in enumerate(texts) if isinstance(text, str) and text]
    if not rows:
        return None
    found = {i: _read(texts[i], i) for i in rows}
    knots = max(one.knots for one in found.values())
    rotations, shifts = np.zeros((2, len(texts), knots, 3))
    for i, one in found.items():
        same = one.resample(knots)
        rotations[i], shifts[i] = same.rotations[0], same.shifts[0]
    return ParticleMotions(rotations, shifts)


def _read(text: str, row: int) -> ParticleMotions:
    try:
        values = np.asarray(json.loads(text), float)
    except (ValueError, TypeError, RecursionError):
        values = np.zeros(0)
    if values.ndim != 2 or values.shape[1] != 6 or not 2 <= len(values) <= MOST_DOSES or not np.isfinite(values).all():
        raise EmtomoError(
            f"The movement of particle {row + 1} must be 6 finite numbers (rotation in degrees, shift in Å) at each of "
            f"2 to {MOST_DOSES} doses, got {text[:40]!r}."
        )
    return ParticleMotions(np.deg2rad(values[None, :, :3]), values[None, :, 3:])
