"""What a series' refinement changes: the geometry, and poses of the particles that may move over the dose."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emtomo.compute.tilt.geometry import ProjectionDerivatives, TiltGeometry
from emtomo.compute.tilt.particle_motion import dose_weights


@dataclass(frozen=True)
class SeriesState:
    """Geometry of the tilts that take part, and poses of the particles of all species.

    Attributes
    ----------
    geometry : TiltGeometry
    rotations : (p, k, 3, 3) array
        tomogram = R @ reference, at k doses spread evenly from the first image's to the last's; linear between.
    positions : (p, k, 3) array
        Å from the volume's centre.
    """

    geometry: TiltGeometry
    rotations: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, geometry: TiltGeometry, rotations: np.ndarray, positions: np.ndarray, knots: int = 1) -> "SeriesState":
        """Return particles that do not move: (p, 3, 3) rotations, (p, 3) positions, the same at all knots."""
        return cls(
            geometry,
            np.repeat(np.asarray(rotations, float)[:, None], knots, axis=1),
            np.repeat(np.asarray(positions, float)[:, None], knots, axis=1),
        )

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def knots(self) -> int:
        """Number of doses at which poses are known."""
        return int(self.rotations.shape[1])

    def knot_weights(self) -> np.ndarray:
        """Return (t, k): how much every knot counts in every tilt."""
        return dose_weights(self.geometry.dose, self.knots)

    def take(self, particles: np.ndarray) -> "SeriesState":
        """Return the state of some of the particles."""
        return replace(self, rotations=self.rotations[particles], positions=self.positions[particles])

    def image_rotations(self) -> np.ndarray:
        """Return (p, t, 3, 3) rotations from the reference to the image, without magnification."""

        from scipy.spatial.transform import Rotation

        orientations = self.geometry.orientations
        if self.knots == 1:
            return np.einsum("tij,pjk->ptik", orientations, self.rotations[:, 0])
        first, weights = self.rotations[:, 0], self.knot_weights()
        moves = np.swapaxes(first, 1, 2)[:, None] @ self.rotations
        vectors = Rotation.from_matrix(moves.reshape(-1, 3, 3)).as_rotvec().reshape(*moves.shape[:2], 3)
        at_tilts = np.einsum("tk,pkc->ptc", weights, vectors)
        turns = Rotation.from_rotvec(at_tilts.reshape(-1, 3)).as_matrix().reshape(*at_tilts.shape, 3)
        return np.einsum("tij,pjk,ptkl->ptil", orientations, first, turns, optimize=True)

    def project(self) -> np.ndarray:
        """Return (p, t, 3): x, y in Å from the images' centres, and heights."""
        if self.knots == 1:
            return self.geometry.project(self.positions[:, 0]).transpose(1, 0, 2)
        points = np.einsum("tk,pkc->tpc", self.knot_weights(), self.positions)
        tilts = range(len(self.geometry))
        return np.stack([self.geometry.take(np.array([t])).project(points[t])[0] for t in tilts], axis=1)

    def derivatives(self) -> "StateDerivatives":
        """Return where particles are seen with all derivatives, tilt by tilt."""
        return StateDerivatives(self, self.geometry.derivatives(self.positions[:, 0]) if self.knots == 1 else None)


@dataclass(frozen=True)
class StateDerivatives:
    """Derivatives of the projections of a state's particles.

    Attributes
    ----------
    state : SeriesState
    whole : ProjectionDerivatives or None
        Of all tilts at once, where particles do not move.
    """

    state: SeriesState
    whole: ProjectionDerivatives | None

    def take(self, tilt: int, members: np.ndarray) -> ProjectionDerivatives:
        """Return those of some particles in one tilt; arrays have one tilt."""
        if self.whole is None:
            points = np.einsum("k,pkc->pc", self.state.knot_weights()[tilt], self.state.positions[members])
            return self.state.geometry.take(np.array([tilt])).derivatives(points)
        here = slice(tilt, tilt + 1)
        per_tilt = {"image_tilts", "volume_tilts"}
        return ProjectionDerivatives(*(
            values[members] if name == "volume_nodes" else values[here] if name in per_tilt else values[here, members]
            for name, values in self.whole._asdict().items()
        ))  # fmt: skip


class ImagePlaces(NamedTuple):
    """How particles are seen: (p, t, 3, 3) rotations, (p, t, 2) places in Å, (p, t) heights in Å."""

    rotations: np.ndarray
    places: np.ndarray
    heights: np.ndarray


def image_places(state: SeriesState) -> ImagePlaces:
    """Return how the particles of a state are seen in the images."""
    seen = state.project()
    return ImagePlaces(state.image_rotations(), seen[..., :2], seen[..., 2])
