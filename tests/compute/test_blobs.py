"""Laplacian-of-Gaussian picking against balls of known place and size, RELION's picks, and the phantom's ribosomes."""

import gzip
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree

from emtomo.compute.blobs import LogOptions, diameters_tested, pick_blobs
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.poses import from_relion
from emtomo.io.star import read_blocks
from tests.conftest import shared

PIXEL = 10.0


def balls(shape, places, diameter, noise=0.0, seed=0):
    """White balls (discs) with an edge of one voxel on noise."""
    rng = np.random.default_rng(seed)
    out = rng.normal(0, noise, shape) if noise else np.zeros(shape)
    grid = np.indices(shape)
    for place in places:
        r = np.sqrt(sum((g - p) ** 2 for g, p in zip(grid, place, strict=True)))
        out += np.clip(diameter / 2 - r + 0.5, 0, 1)
    return out.astype(np.float32)


PLACES = np.array([[20.3, 30.0, 25.5], [40.0, 60.25, 70.0], [22.0, 70.0, 30.75], [42.5, 25.0, 72.0]])


@pytest.mark.parametrize("shape", [(64, 96, 100), (63, 95, 101)])
@pytest.mark.parametrize("white", [True, False])
def test_balls_are_found_where_they_are(shape, white):
    volume = balls(shape, PLACES, 16, noise=0.3) * (1 if white else -1)
    options = LogOptions(min_diameter=130, max_diameter=190, white=white, adjust_threshold=2)
    found = pick_blobs(volume, PIXEL, options)
    distance, index = cKDTree(found.places).query(PLACES)
    assert sorted(index) == [0, 1, 2, 3]
    assert distance.max() < 0.7
    assert (found.scores[:4] > 2).all() and (np.diff(found.scores) <= 0).all()
    wrong = pick_blobs(
        volume, PIXEL, LogOptions(min_diameter=130, max_diameter=190, white=not white, adjust_threshold=2)
    )
    assert len(wrong.places) == 0 or cKDTree(wrong.places).query(PLACES)[0].min() > 5


def test_the_middle_diameter_answers_most_to_a_ball_of_its_size():
    """Scale selection: of the tested diameters the one nearest to the ball's."""
    for diameter in (12, 16, 22):
        volume = balls((64, 64, 64), [(32, 32, 32)], diameter)
        low, high = (diameter - 4) * PIXEL, (diameter + 4) * PIXEL
        found = pick_blobs(
            volume, PIXEL, LogOptions(min_diameter=low, max_diameter=high, white=True, adjust_threshold=0)
        )
        assert found.diameters[0] == diameter * PIXEL
        assert_allclose(found.places[0], 32, atol=0.1)


@pytest.mark.parametrize("diameter", [5, 40])
def test_what_is_much_smaller_or_larger_is_no_particle(diameter):
    volume = balls((80, 96, 96), [(40, 48, 48)], diameter)
    found = pick_blobs(volume, PIXEL, LogOptions(min_diameter=140, max_diameter=180, white=True, adjust_threshold=1,
))  # fmt: skip
    assert len(found.places) == 0 or np.linalg.norm(found.places - [40, 48, 48], axis=1).min() > diameter / 4


def test_neighbours_border_number_and_upper_threshold():
    places = np.array([[30.0, 30, 30], [30, 30, 52], [30, 60, 3], [30, 60, 60]])
    volume = balls((60, 90, 90), places, 12, noise=0.2) + balls((60, 90, 90), places[3:], 12) / 2
    options = {"min_diameter": 110.0, "max_diameter": 130.0, "white": True, "adjust_threshold": 2.0}
    all_found = pick_blobs(volume, PIXEL, LogOptions(**options))
    near = cKDTree(all_found.places).query(places)[0]
    assert (near[[0, 1, 3]] < 1).all() and near[2] > 3  # half a diameter from the border is left out
    apart = pick_blobs(volume, PIXEL, LogOptions(**options, min_distance=260))
    assert (cKDTree(apart.places).query(places[:2])[0] < 1).sum() == 1
    bright = float(all_found.scores[0])
    less = pick_blobs(volume, PIXEL, LogOptions(**options, upper_threshold=bright - 0.01))
    assert 0 < len(less.places) < len(all_found.places) and less.scores.max() < bright


def test_outliers_do_not_matter():
    volume = balls((64, 96, 100), PLACES, 16, noise=0.3)
    options = LogOptions(min_diameter=130, max_diameter=190, white=True, adjust_threshold=2)
    before = pick_blobs(volume, PIXEL, options)
    volume[5, 5, 5] = 1e6
    after = pick_blobs(volume, PIXEL, options)
    assert_allclose(after.places[:4], before.places[:4], atol=0.05)


def test_tested_diameters():
    assert diameters_tested(100, 200) == [20, 25, 100 / 3, 50, 100, 150, 200, 400, 600, 800, 1000]
    assert diameters_tested(100, 100) == [20, 25, 100 / 3, 50, 100, 200, 300, 400, 500]


@pytest.mark.parametrize(
    ("volume", "options", "message"),
    [
        (np.ones((30, 30, 30)), {}, "no signal"),
        (np.full((30, 30, 30), np.nan), {}, "no signal"),
        (np.random.default_rng(0).normal(size=(9, 30, 30)), {}, "do not fit"),
        (np.random.default_rng(0).normal(size=(30, 30, 30)), {"min_diameter": 200.0}, "must not be above"),
    ],
)
def test_bad_input_is_reported(volume, options, message):
    with pytest.raises(EmtomoError, match=message):
        pick_blobs(volume, PIXEL, LogOptions(**options))


def test_noise_alone_gives_few_strong_picks():
    noise = np.random.default_rng(3).normal(size=(64, 96, 96)).astype(np.float32)
    found = pick_blobs(noise, PIXEL, LogOptions(adjust_threshold=6))
    assert len(found.places) == 0


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "rec.mrc"
    with gzip.open(shared("phantom_tomogram", "tomo_001_rec_snr0.5.mrc.gz")) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return mrc.read_volume(path)


def test_ribosomes_of_the_phantom(phantom):
    """F1 above 0.8; places are centres of mass: the same in every ribosome's own frame to a voxel."""
    truth = pd.read_csv(shared("phantom_tomogram", "truth_particles.csv"))
    truth = truth[truth["code"] == "pdb_4v4r"]
    centres = truth[["x", "y", "z"]].to_numpy() / PIXEL
    options = LogOptions(min_diameter=240, max_diameter=300, adjust_threshold=2)
    found = pick_blobs(phantom, PIXEL, options)
    picks = found.places[:, ::-1]
    distance, index = cKDTree(centres).query(picks)
    true = len(set(index[distance < 10]))
    assert 2 * true / (len(picks) + len(centres)) >= 0.9
    mine = distance < 10
    rotations = from_relion(truth[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy())[index[mine]]
    own = np.einsum("nji,nj->ni", rotations, picks[mine] - centres[index[mine]])
    assert (own.std(axis=0) < 1.2).all()


def test_discs_are_relions_picks(tmp_path):
    """relion_autopick --LoG on the KLH micrograph: nine of ten of our picks are among RELION's."""
    if shutil.which("relion_autopick") is None:
        pytest.skip("relion_autopick is not installed")
    image = tifffile.imread(shared("micrographs", "KLH.tif")).astype(np.float32)
    mrc.write_volume(tmp_path / "klh.mrc", image[None], 4.4)
    (tmp_path / "m.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n_rlnMicrographPixelSize\n_rlnVoltage\n"
        "_rlnSphericalAberration\n_rlnAmplitudeContrast\n1 og1 4.4 120 2.0 0.1\n\ndata_micrographs\n\nloop_\n"
        "_rlnMicrographName\n_rlnOpticsGroup\nklh.mrc 1\n"
    )
    command = (
        "relion_autopick --i m.star --odir out/ --pickname log --LoG --LoG_diam_min 250 --LoG_diam_max 420 "
        "--shrink 0 --lowpass 20 --LoG_adjust_threshold 0 --LoG_upper_threshold 5"
    )
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True, timeout=120, check=False)
    table = next(b for b in read_blocks(tmp_path / "out" / "klh_log.star").values() if "rlnCoordinateX" in b)
    theirs = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
    ours = pick_blobs(image, 4.4, LogOptions(min_diameter=250, max_diameter=420, upper_threshold=5)).places[:, ::-1]
    assert len(ours) > 50
    distance = cKDTree(theirs).query(ours)[0]
    assert (distance < 10).mean() >= 0.88 and np.median(distance) < 5
