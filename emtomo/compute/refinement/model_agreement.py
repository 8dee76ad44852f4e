"""How well models that grew from different seeds agree, whatever their orientation and hand."""

import numpy as np

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.plan import HalfSet
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.refinement.iteration import run_iteration
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.schedule import GLOBAL


def mirror(volume: np.ndarray) -> np.ndarray:
    """Return the mirror image of a volume about the plane through its centre voxel along z."""
    flipped = volume[::-1]
    return np.roll(flipped, 1, axis=0) if len(volume) % 2 == 0 else flipped


def correlate_models(first: np.ndarray, second: np.ndarray, pixel_size: float, resolution: float) -> tuple[float, bool]:
    """Return the mean FSC of two models up to a resolution after the second was moved onto the first.

    Parameters
    ----------
    first, second : (n, n, n) arrays
    pixel_size, resolution : float
        Å.

    Returns
    -------
    mean : float
    mirrored : bool
        Whether the mirror image of the second fits better.
    """
    n = first.shape[0]
    volumes = [np.asarray(second, np.float32), np.ascontiguousarray(mirror(second), np.float32)]
    last = max(2, int(n * pixel_size / resolution))
    found = []
    for volume in volumes:
        both = np.stack([volume, volume])
        source = BoxParticles(n, pixel_size, both.__getitem__, [None] * 2, lambda key: np.ones(1))
        start = Poses(np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3)), np.array([1, 2]))
        options = RefineOptions(initial_lowpass=resolution, angular_step=12.0, offset_range=min(5.0, n / 6))
        refinement = Refinement(source, start, np.asarray(first, np.float32), options)
        state = refinement.begin()
        plan = refinement._plan(state.progress, state.local, refinement.coefficients(n / 2))
        assert plan.which[0] == GLOBAL
        noise = {1: HalfSet(np.asarray(first, np.float32), state.halves[1].noise)}
        pose, _ = run_iteration(source, noise, start, plan)
        turned = rotate_boxes(volume[None], pose.rotations[:1], pose.shifts[:1])[0]
        curve = fourier_shell_correlation(turned, np.asarray(first, np.float32))
        found.append(float(curve[1 : last + 1].mean()))
    return max(found), found[1] > found[0]
