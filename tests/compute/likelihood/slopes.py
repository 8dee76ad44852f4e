"""The law of a log likelihood's derivatives: they are its slopes."""

import numpy as np
import pytest


def check_slopes(value, rel):
    """Compare the gradient by rotation and shift, ``value(p, gradient, information)``, with finite differences."""
    gradient, information = np.empty(6), np.empty((6, 6))
    value(np.zeros(6), gradient, information)
    step = 2e-3
    for a in range(6):
        p = np.zeros(6)
        p[a] = step
        slope = (value(p, np.empty(6), np.empty((6, 6))) - value(-p, np.empty(6), np.empty((6, 6)))) / (2 * step)
        assert gradient[a] == pytest.approx(slope, rel=rel, abs=rel * np.abs(gradient).max())
    assert np.all(np.linalg.eigvalsh(information) > -1e-6 * np.abs(information).max())
