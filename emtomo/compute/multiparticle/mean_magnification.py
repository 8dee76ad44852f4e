"""The magnification that all series of a population share, which no image shows: the references are as large as it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emtomo.compute.multiparticle.population import Series
from emtomo.compute.multiparticle.species_particles import SpeciesParticles
from emtomo.compute.tilt.geometry import TiltGeometry


def log_magnification(geometry: TiltGeometry) -> float:
    """Return the natural logarithm of the mean magnification of x and y; 0 without one."""
    return 0.0 if geometry.magnification is None else float(np.log(abs(np.linalg.det(geometry.magnification))) / 2)


def keep_mean_magnification(given: Sequence[Series], refined: Sequence[Series]) -> list[Series]:
    """Return refined series whose mean magnification, over all particles, is that of the given ones.

    Maps are made of the refined series: were all magnifications larger, the next references would be so, too, and
    nothing holds them. Particles move by the same factor, so that they stay where they are in the images.
    """
    counts = np.array([sum(len(part) for part in one.particles) for one in refined], float)
    if not counts.any():
        return list(refined)
    changes = [
        log_magnification(b.geometry) - log_magnification(a.geometry) for a, b in zip(given, refined, strict=True)
    ]
    factor = float(np.exp(np.average(changes, weights=counts)))
    if abs(factor - 1) < 1e-9:
        return list(refined)
    return [_smaller(one, factor) if count else one for one, count in zip(refined, counts, strict=True)]


def _smaller(series: Series, factor: float) -> Series:
    """Return a series of a magnification smaller by a factor, and a volume larger by it."""
    return replace(
        series,
        geometry=_magnify_less(series.geometry, factor),
        particles=tuple(_further(part, factor) for part in series.particles),
        fold_geometries=tuple(_magnify_less(one, factor) for one in series.fold_geometries),
    )


def _magnify_less(geometry: TiltGeometry, factor: float) -> TiltGeometry:
    matrix = (np.eye(2) if geometry.magnification is None else geometry.magnification) / factor
    warp = geometry.volume_warp
    if warp is not None:
        warp = replace(warp, nodes=factor * warp.nodes)
    return replace(geometry, magnification=matrix, volume_warp=warp)


def _further(particles: SpeciesParticles, factor: float) -> SpeciesParticles:
    motion = particles.motion
    if motion is not None:
        motion = replace(motion, shifts=factor * motion.shifts)
    trial_poses = particles.trial_poses
    if trial_poses is not None:
        trial_poses = trial_poses[0], factor * trial_poses[1]
    return replace(particles, positions=factor * particles.positions, motion=motion, trial_poses=trial_poses)
