"""Particles of one species in one tilt series, and their images."""

from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.compute.likelihood.views import ImageViews
from emtomo.compute.tilt.particle_images import PreparedSeries
from emtomo.compute.tilt.particle_motion import ParticleMotions

PACKED = ("rotations", "positions", "half", "score")
TRIAL = ("rotations", "positions")


@dataclass(frozen=True)
class SpeciesParticles:
    """Particles of one species in one series.

    Attributes
    ----------
    rotations : (p, 3, 3) array
        tomogram = R @ reference.
    positions : (p, 3) array
        Å from the volume's centre.
    half : (p,) array of 1 and 2
    score : (p,) array
        Log likelihood against noise alone; zeros before a refinement.
    motion : ParticleMotions or None
        From the poses, which are those at the first dose; None where particles do not move.
    trial_poses : tuple of (p, 3, 3) and (p, 3) arrays, or None
        Rotations and positions in which the images by which poses are tried never had a part; None before a refinement.
    """

    rotations: np.ndarray
    positions: np.ndarray
    half: np.ndarray
    score: np.ndarray = field(default_factory=lambda: np.zeros(0))
    motion: ParticleMotions | None = None
    trial_poses: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if len(self.score) != len(self.half):
            object.__setattr__(self, "score", np.zeros(len(self.half)))

    def __len__(self) -> int:
        return len(self.half)

    def take(self, members: np.ndarray) -> "SpeciesParticles":
        """Return some of the particles."""
        return SpeciesParticles(
            self.rotations[members], self.positions[members], self.half[members], self.score[members],
            None if self.motion is None else self.motion.take(members),
            None if self.trial_poses is None else (self.trial_poses[0][members], self.trial_poses[1][members]),
        )  # fmt: skip

    def with_trial_poses(self) -> "SpeciesParticles":
        """Return the particles in the poses in which images held out of trials had no part, where there are such."""
        return (
            self
            if self.trial_poses is None
            else replace(self, rotations=self.trial_poses[0], positions=self.trial_poses[1])
        )

    def poses(self, knots: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (p, k, 3, 3) rotations and (p, k, 3) positions at k doses, at least 1."""
        if self.motion is not None:
            return self.motion.resample(knots).poses(self.rotations, self.positions)
        return np.repeat(self.rotations[:, None], knots, axis=1), np.repeat(self.positions[:, None], knots, axis=1)


@dataclass(frozen=True)
class CutViews:
    """Called with the number of a particle it returns its images, cut from a prepared series."""

    prepared: PreparedSeries
    particles: SpeciesParticles

    def __call__(self, i: int) -> ImageViews:
        """Return the images of particle `i`."""
        point, motion = self.particles.positions[i], self.particles.motion
        moved, turns = None, np.eye(3)[None]
        if motion is not None:
            moved, turns = motion.in_images(i, self.particles.rotations[i], point, self.prepared.geometry)
        cut = self.prepared.cut(point, moved)
        if motion is not None:
            turns = turns[np.searchsorted(self.prepared.tilts, cut.tilts)]
        return ImageViews(cut.images, cut.rotations @ turns, cut.weights, np.zeros((len(cut.tilts), 2)))


def pack_particles(particles: SpeciesParticles, number: int) -> dict[str, np.ndarray]:
    """Return the particles of species `number` as arrays; see :func:`unpack_particles`."""
    out = {f"particles_{number}_{name}": getattr(particles, name) for name in PACKED}
    if particles.motion is not None:
        out |= {f"motion_{number}_{name}": values for name, values in vars(particles.motion).items()}
    if particles.trial_poses is not None:
        out |= {f"trial_{number}_{name}": values for name, values in zip(TRIAL, particles.trial_poses, strict=True)}
    return out


def unpack_particles(arrays: dict[str, np.ndarray], number: int) -> SpeciesParticles:
    """Return what :func:`pack_particles` packed."""
    rotations, positions, half, score = (arrays[f"particles_{number}_{name}"] for name in PACKED)
    motion = None
    if f"motion_{number}_shifts" in arrays:
        motion = ParticleMotions(arrays[f"motion_{number}_rotations"], arrays[f"motion_{number}_shifts"])
    trial_poses = None
    if f"trial_{number}_{TRIAL[0]}" in arrays:
        trial_poses = arrays[f"trial_{number}_{TRIAL[0]}"], arrays[f"trial_{number}_{TRIAL[1]}"]
    return SpeciesParticles(rotations, positions, half, score, motion, trial_poses)
