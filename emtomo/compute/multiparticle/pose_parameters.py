"""Poses of the particles, which may move over the dose."""

from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.multiparticle.parameters import Slopes
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ROTATION


@dataclass(frozen=True)
class PoseParameters:
    """Rotations (about the reference's axes, radians) and positions (Å) of particles at every knot; their priors.

    Attributes
    ----------
    rotation, position : float
        Standard deviations from where they were.
    motion : float
        Å: standard deviation of a particle's position at a knot from that at the knot before.
    rigid : bool
        Whether all knots of a particle change together.
    """

    rotation: float
    position: float
    motion: float = 2.0
    rigid: bool = False

    def size(self, state: SeriesState) -> int:
        """Return the number of a particle's values."""
        return 6 if self.rigid else 6 * state.knots

    def slopes(self, at: Slopes, rotations: np.ndarray, knots: np.ndarray) -> np.ndarray:
        """Return (p, q, 6 or 6 k) derivatives of the images' parameters; of each knot its rotation, then its position.

        Parameters
        ----------
        at : Slopes
        rotations : (p, 3, 3) array
            From the reference to the image.
        knots : (k,) array
            How much each counts.
        """
        one = at.empty(6)
        at.move(one[:, :, 3:], at.projection.point[0])
        one[:, ROTATION, :3] = rotations
        return one if self.rigid else (one[:, :, None, :] * knots[:, None]).reshape(len(at), at.parameters, -1)

    def precision(self, knots: int) -> np.ndarray:
        """Return the prior's inverse covariance of a particle's values."""
        knots = 1 if self.rigid else knots
        widths = np.r_[np.full(3, self.rotation), np.full(3, self.position)]
        out = np.kron(np.eye(knots), np.diag(1 / widths**2)) / knots
        motion = np.diag(
            1 / np.r_[np.full(3, self.rotation * self.motion / self.position), np.full(3, self.motion)] ** 2
        )
        for k in range(knots - 1):
            difference = np.zeros((1, knots))
            difference[0, k : k + 2] = -1, 1
            out += np.kron(difference.T @ difference, motion)
        return out

    def apply(self, state: SeriesState, values: np.ndarray) -> SeriesState:
        """Return a state whose poses are changed by (p, 6 or 6 k) values."""

        from scipy.spatial.transform import Rotation

        change = values.reshape(len(state), -1, 6)
        if self.rigid:
            change = np.repeat(change, state.knots, axis=1)
        turns = Rotation.from_rotvec(change[..., :3].reshape(-1, 3)).as_matrix().reshape(state.rotations.shape)
        return replace(state, rotations=state.rotations @ turns, positions=state.positions + change[..., 3:])
