"""How particles move while they are exposed: poses at a few doses, linear between."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.warps import linear_basis


def dose_weights(dose: np.ndarray, knots: int) -> np.ndarray:
    """Return (t, k): how much each of `knots` doses, spread evenly from the first to the last, counts in every tilt."""
    dose = np.asarray(dose, float)
    if not len(dose):
        return np.zeros((0, knots))
    return linear_basis((dose - dose.min()) / max(float(np.ptp(dose)), 1e-9), knots)[0]


@dataclass(frozen=True)
class ParticleMotions:
    """Movements of particles from the pose that they have at the first dose.

    Attributes
    ----------
    rotations : (p, k, 3) array
        Rotation vectors in radians about the particle's axes, at k doses spread evenly over those of the tilts that
        take part.
    shifts : (p, k, 3) array
        Å along the tomogram's axes.
    """

    rotations: np.ndarray
    shifts: np.ndarray

    def __len__(self) -> int:
        return len(self.shifts)

    @property
    def knots(self) -> int:
        """Number of doses."""
        return int(self.shifts.shape[1])

    @classmethod
    def between(cls, rotations: np.ndarray, positions: np.ndarray) -> "ParticleMotions | None":
        """Return what (p, k, 3, 3) rotations and (p, k, 3) positions are from the first on; None of no movement."""
        from scipy.spatial.transform import Rotation

        turns = np.swapaxes(rotations[:, :1], 2, 3) @ rotations
        vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(positions.shape)
        shifts = positions - positions[:, :1]
        return cls(vectors, shifts) if np.abs(shifts).max(initial=0) + np.abs(vectors).max(initial=0) > 1e-9 else None

    def take(self, particles: np.ndarray) -> "ParticleMotions":
        """Return the movements of some of the particles."""
        return ParticleMotions(self.rotations[particles], self.shifts[particles])

    def resample(self, knots: int) -> "ParticleMotions":
        """Return the movements at another number of doses."""
        weights = linear_basis(np.linspace(0, 1, knots) if knots > 1 else np.zeros(1), self.knots)[0]
        return ParticleMotions(*(np.einsum("nk,pkc->pnc", weights, a) for a in (self.rotations, self.shifts)))

    def poses(self, rotations: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (p, k, 3, 3) rotations and (p, k, 3) positions of particles whose first poses are given."""
        from scipy.spatial.transform import Rotation

        turns = Rotation.from_rotvec(self.rotations.reshape(-1, 3)).as_matrix()
        turns = turns.reshape(len(self), self.knots, 3, 3)
        return np.asarray(rotations)[:, None] @ turns, np.asarray(positions)[:, None] + self.shifts

    def in_images(
        self, particle: int, rotation: np.ndarray, point: np.ndarray, geometry: TiltGeometry
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how far a particle has moved and turned in images.

        Parameters
        ----------
        particle : int
        rotation : (3, 3) array
            Its first orientation: tomogram = R @ reference.
        point : (3,) array
            Its first position in Å from the volume's centre.
        geometry : TiltGeometry
            Of the tilts that take part.

        Returns
        -------
        (t, 2) array
            Å along the images' axes.
        (t, 3, 3) array
            Rotations in the tomogram, after the particle's orientation.
        """
        from scipy.spatial.transform import Rotation

        weights = dose_weights(geometry.dose, self.knots)
        turns = Rotation.from_rotvec(weights @ self.rotations[particle]).as_matrix()
        points = np.concatenate([np.asarray(point, float)[None], point + weights @ self.shifts[particle]])
        seen, tilts = geometry.project(points)[..., :2], np.arange(len(geometry))
        return seen[tilts, 1 + tilts] - seen[:, 0], rotation @ turns @ rotation.T
