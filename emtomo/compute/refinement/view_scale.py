"""How strongly the views of every noise group, the tilts of a series, show the particles."""

import numpy as np

SCALE_PRIOR = 10.0  # 1 / variance of a scale beforehand: it differs by about 0.3
MOST_SCALE = 5.0  # and its inverse: views beyond would count for all or for nothing


def update_scale(scale: np.ndarray | None, products: np.ndarray) -> np.ndarray | None:
    """Return how strongly the views of every noise group show the particles, 1 on the average.

    Least squares beside what was known, with a prior of about 0.3 around it: groups of few or weak views stay.

    Parameters
    ----------
    scale : (g,) array or None
        What the data were multiplied with; None: 1.
    products : (2, g) array
        Of the reference with the data and with itself, in units of the noise; without columns nothing is known.

    References
    ----------
    Scheres, RELION: implementation of a Bayesian approach, JSB 180 (2012): intensity scale of groups of images.
    """
    cross, power = products
    if not len(power) or not power.sum() > 0 or not cross.sum() > 0:
        return scale
    common = cross.sum() / power.sum()
    new = (1.0 if scale is None else scale) * (cross / common + SCALE_PRIOR) / (power + SCALE_PRIOR)
    middle = float((new * power).sum() / power.sum())
    return np.asarray(np.clip(new / middle, 1 / MOST_SCALE, MOST_SCALE))
