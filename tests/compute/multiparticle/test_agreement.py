"""Up to which shell images agree with a reference: neighbours in a lattice turn single shells, other molecules many."""

from types import SimpleNamespace

import numpy as np
import pytest

from emtomo.compute.multiparticle.calibration import agreement_shell

SHELLS = 24


def _agreement(ratios):
    """Return the shell for given ratios of correlation to its deviation."""
    power = np.full(SHELLS, 8.0)
    products = np.zeros((1, 1, SHELLS, 3))
    products[0, 0, :, 0], products[0, 0, :, 1] = np.asarray(ratios) * np.sqrt(power / 2), power
    model = SimpleNamespace(weights=np.ones((1, SHELLS)), inverse_noise=np.ones((1, SHELLS)))
    return agreement_shell(None, model, products)


def test_a_single_shell_of_the_other_sign_does_not_end_the_agreement():
    ratios = np.linspace(100, 10, SHELLS)
    assert _agreement(ratios) == SHELLS - 1
    ratios[9] = -12
    assert _agreement(ratios) == SHELLS - 1


@pytest.mark.parametrize("first", [7, 11])
def test_shells_that_all_disagree_end_it(first):
    ratios = np.where(np.arange(SHELLS) < first, 60.0, -60.0)
    assert abs(_agreement(ratios) - (first - 1)) <= 1


def test_noise_ends_it():
    ratios = np.where(np.arange(SHELLS) < 9, 60.0, 0.5)
    assert 8 <= _agreement(ratios) <= 10
