"""Is it the reference, or another object of its size and mass?"""

import numpy as np

from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.transforms import rfftn
from emtomo.compute.matching.peaks import Candidates, cut_box
from emtomo.compute.matching.template import MatchingTemplate
from emtomo.compute.matching.weighting import frequencies

FINEST_SHELL = 8  # shells of the template's box: beyond them an unknown object is lost in the noise
LOG_PRIOR = -4.0  # log of how often such an object is met where one looks


def rescore_against_unknown_object(
    volume: np.ndarray, template: MatchingTemplate, places: Candidates, radius: float, cut: float, noise: float
) -> np.ndarray:
    """Return scores that count only as far as the reference explains more than an unknown object would.

    The unknown object has the reference's mean power in every shell, in amplitude and phase otherwise anything: the
    log likelihood ratio of the two takes the place of that of reference and noise. Scores are never raised.

    Parameters
    ----------
    volume : (z, y, x) array
        Multiplied by its matched filter.
    template : MatchingTemplate
        At the volume's sampling.
    places : Candidates
    radius : float
        Of the particle, in voxels.
    cut : float
        Scores above it tell how strong a particle is.
    noise : float
        Deviation of the noise over what the filter takes for it; scores are in units of the former.

    Notes
    -----
    With Gaussian amplitudes of variance t in noise of variance 1, the log likelihood ratio of a shell of n independent
    values with mean power E is n / 2 (E t / (1 + t) - log(1 + t)).
    """
    n = template.size
    sphere = ball(n, radius, 1.0)
    mass = float((sphere**2).sum())
    kx, ky, kz = frequencies((n,) * 3)
    shell = np.rint(np.sqrt(kx**2 + ky**2 + kz**2) * n).astype(int)
    weight = template.weighting.template(kx, ky, kz) ** 2
    inside = (shell > 0) & (shell <= FINEST_SHELL) & (weight > 0)
    index = shell[inside]
    twice = np.broadcast_to(np.where(np.arange(n // 2 + 1) == 0, 1.0, 2.0), shape=shell.shape)[inside]

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values * twice, FINEST_SHELL + 1)[1:]

    there = np.maximum(sums(weight[inside]), 1e-30)
    spectrum = np.abs(rfftn(template.box)[inside]) ** 2
    own = sums(spectrum * weight[inside] ** 2) / there / mass
    norm = float(template.norms(np.eye(3)[None])[0])
    strong = places.scores[places.scores > cut]
    amplitude = float(np.median(strong) if len(strong) else cut) / max(norm, 1e-30)
    t = amplitude**2 * own
    independent = sums(np.ones(len(index))) * mass / n**3
    out = np.empty(len(places))
    for i, (position, score) in enumerate(zip(places.positions, places.scores, strict=True)):
        part = rfftn(cut_box(volume, np.rint(position).astype(int), n) * sphere)[inside]
        power = sums(part.real**2 + part.imag**2) / there / mass / noise**2
        ratio = 0.5 * float((independent * (power * t / (1 + t) - np.log1p(t))).sum())
        out[i] = np.sqrt(max(0.0, score**2 - 2 * np.logaddexp(0, LOG_PRIOR + ratio)))
    return out
