import mrcfile
import numpy as np
import pandas as pd
import pytest

from emtomo.compute.tracking import track_membrane
from emtomo.errors import ModelError
from tests.conftest import shared


@pytest.fixture(scope="module")
def phantom():
    with mrcfile.open(shared("phantom_tomogram", "tomo_001_rec_snr0.5.mrc.gz")) as file:
        tomogram = file.data
    truth = pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv")).iloc[0]
    return tomogram, np.array([truth.z_A, truth.y_A, truth.x_A]) / 10, truth.r_A / 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("start", "step"), [(0, 1), (0, -1), (8, 1), (-10, -1)])
def test_three_picked_slices_lead_to_the_next_ten(phantom, seed, start, step):
    """The issue's law: within 1.5 voxels of the truth on the peer-made phantom."""
    tomogram, centre, radius = phantom
    rng = np.random.default_rng(seed)
    first = int(round(centre[0])) + start
    picked = []
    for k in (first, first - 2 * step, first - 4 * step):
        angle = np.arange(12) * np.pi / 6 + rng.uniform(-0.2, 0.2, 12)
        r = np.sqrt(radius**2 - (k - centre[0]) ** 2) + rng.normal(0, 0.6, 12)
        picked.append(np.stack([np.full(12, k), centre[1] + r * np.sin(angle), centre[2] + r * np.cos(angle)], 1))
    found = track_membrane(tomogram, np.concatenate(picked), [first + step * i for i in range(1, 11)])
    assert set(found[:, 0]) == {first + step * i for i in range(1, 11)}
    away = np.abs(np.linalg.norm(found - centre, axis=1) - radius)
    assert away.max() < 1.5 and np.median(away) < 0.5, (np.median(away), away.max())


def test_an_arc_is_followed_only_where_it_was_picked(phantom):
    tomogram, centre, radius = phantom
    k0 = int(centre[0])
    angle = np.linspace(-0.9, 0.9, 9)
    picked = [
        np.stack([np.full(9, k), centre[1] + r * np.sin(angle), centre[2] + r * np.cos(angle)], 1)
        for k in (k0, k0 - 2)
        for r in [np.sqrt(radius**2 - (k - centre[0]) ** 2)]
    ]
    found = track_membrane(tomogram, np.concatenate(picked), [k0 + 1, k0 + 2])
    assert (found[:, 2] > centre[2] - 5).all()


def test_what_is_needed_is_reported():
    volume = np.zeros((10, 20, 20), np.float32)
    with pytest.raises(ModelError, match="at least 2 slices"):
        track_membrane(volume, np.column_stack([np.full(8, 3), np.random.default_rng(0).uniform(0, 20, (8, 2))]), [4])
    few = np.array([[3, 5, 5], [3, 5, 9], [4, 5, 5], [4, 6, 9.0]])
    with pytest.raises(ModelError, match="at least 5 points on a slice"):
        track_membrane(volume, few, [5])
