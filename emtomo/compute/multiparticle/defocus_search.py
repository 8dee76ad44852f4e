"""Exhaustive search of every tilt's defocus, for a first estimate that may be far off."""

from dataclasses import replace

import numpy as np

from emtomo.compute.multiparticle.least_squares import PopulationImages
from emtomo.compute.multiparticle.options import MultiParticleOptions
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.optics.ctf import wavelength

MOST_STEPS = 20  # to either side
PHASE_STEP = 0.5  # radians of the CTF at the finest shell, from one defocus to the next


def search_defocus(
    images: PopulationImages, state: SeriesState, used: np.ndarray, options: MultiParticleOptions
) -> np.ndarray:
    """Return (t,) changes of defocus in Å at which each tilt's images agree best with their references.

    All within the options' range, in steps over which the CTF's phase changes little at the finest shell; the prior
    counts, so that tilts that show nothing stay where they are.
    """
    assert state.geometry.ctf is not None
    length = float(np.mean(wavelength(state.geometry.ctf.voltage)))
    finest = max(one.references.radius / (one.references.size * one.pixel_size) for one in images.species)
    steps = int(np.ceil(options.defocus_range * np.pi * length * finest**2 / PHASE_STEP))
    changes = np.linspace(-1, 1, 2 * min(max(steps, 2), MOST_STEPS) + 1) * options.defocus_range
    density = np.empty((len(changes), len(state.geometry)))
    for row, change in enumerate(changes):
        moved = replace(state, geometry=replace(state.geometry, ctf=state.geometry.ctf.with_defocus_added(change)))
        density[row] = images.sweep(moved, used, slopes=False).score.sum(axis=0)
        density[row] -= 0.5 * (change / options.defocus_prior) ** 2
    return changes[np.argmax(density, axis=0)]
