"""Which particles of a series are held out, and what the fit without them has come to."""

from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.compute.multiparticle.least_squares import Fit
from emtomo.compute.multiparticle.state import SeriesState

HELD_OUT_PARTICLES = 10  # the fewest that are held out
LARGEST_SHARE = 0.25  # of the particles held out at once; where ten are more, they are held out in turn
FEWEST = 5  # particles of a series whose images' parameters are fitted


@dataclass
class Fold:
    """What the fit without some particles has come to.

    Attributes
    ----------
    held : (p,) bool array
        Particles that take no part in what the images share; their own poses follow.
    start, state : SeriesState
        From which values count, and where they are now.
    pose_values : (p, 6) array
    values : (s,) array
        Of the blocks that were kept.
    """

    held: np.ndarray
    start: SeriesState
    state: SeriesState
    pose_values: np.ndarray
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def take(self, train: Fit, after: Fit) -> None:
        """Go on from a fit without the held-out particles, and from their own poses in its geometry."""
        self.values = train.values
        self.pose_values = np.where(self.held[:, None], after.pose_values, train.pose_values)
        chosen = self.held[:, None, None, None]
        self.state = replace(
            train.state,
            rotations=np.where(chosen, after.state.rotations, train.state.rotations),
            positions=np.where(chosen[..., 0], after.state.positions, train.state.positions),
        )


def hold_out(half: np.ndarray, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Return which particles are held out, one (p,) bool array a fit: a share of them, as many of each half as can be.

    At least ten are, of 40 or more. Of fewer particles there are more fits, without others each, until ten (or all)
    were held out. Nothing is held out of fewer than five particles.
    """
    count = len(half)
    if count < FEWEST:
        return []
    # halves in turn, so that every part has its share of both
    order = np.concatenate([rng.permutation(np.flatnonzero(half == h)) for h in (1, 2)])
    order = order[
        np.argsort(np.concatenate([np.linspace(0, 1, int((half == h).sum())) for h in (1, 2)]), kind="stable")
    ]
    each = max(1, round(share * count))
    if LARGEST_SHARE * count >= HELD_OUT_PARTICLES:
        each = max(each, HELD_OUT_PARTICLES)
    fits = min(-(-HELD_OUT_PARTICLES // each), count // each)
    out = np.zeros((fits, count), bool)
    for k in range(fits):
        out[k, order[k * each : (k + 1) * each]] = True
    return list(out)
