"""How much a frequency's neighbours on the padded grid count beside what was measured of it."""

import numpy as np

LEAST = 1 / 9  # of the neighbours' weight beside the frequency's own: nothing is lost with a tenth
MOST = 20.0  # as many values as a smoothed one is made of
DEPENDENT = 0.25  # part of the noise that averaging takes away: interpolation put the rest into the neighbours too
LEAST_CHANGE = 0.1  # of a frequency's power from one to the next on the padded grid


def neighbour_share(moments: np.ndarray, mean_weight: np.ndarray) -> np.ndarray:
    """Return the weight of neighbours beside a frequency's own, for every shell.

    A frequency's data are d = w V + noise, the noise of variance N w, and V differs from its neighbours' mean b by a
    variance v. The best estimate of V is (d + (N / v) b) / (w + N / v): neighbours count as N / (v w), much where the
    frequency is noisy and they are alike. N and v are found from the data, as |d - w b|^2 is v w^2 + N w on average: in
    every shell (and half of those next to it) by least squares over frequencies of different weight. Frequencies of
    equal weight need no neighbours, nor do these change them.

    Parameters
    ----------
    moments : (shells, 6) array
        Sums over a shell's frequencies: number, w, w^2, |e|^2, |e|^2 / w, w^2 |b|^2, with e = d - w b.
    mean_weight : (shells,) array

    Returns
    -------
    (shells,) array
        From 1/9 to 20.
    """
    padded = np.pad(moments, ((1, 1), (0, 0)))
    number, first, second, square, reduced, power = (padded[:-2] + 2 * padded[1:-1] + padded[2:]).T
    tiny = 1e-300
    spread = np.maximum(second * number - first**2, 1e-12 * second * number) + tiny
    total = reduced / np.maximum(number, 1)
    noise = np.clip((reduced * second - square * first) / spread, 1e-6 * total, total)
    change = np.clip((square * number - reduced * first) / spread, 0, None)
    change = np.maximum(change, LEAST_CHANGE * power / (second + tiny))
    share = DEPENDENT * noise / np.maximum(change * mean_weight, tiny)
    return np.maximum(MOST * share / (MOST + share), LEAST)
