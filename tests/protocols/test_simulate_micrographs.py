"""Simulated micrographs: the truth that is registered is what the images show."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.fourier.projections import Projector
from emtomo.io import mrc
from emtomo.synthetic.micrographs import MicrographOptions, MicrographSimulator
from tests.engine.helpers import Bench

SMALL = {"size_x": 200, "size_y": 180, "pixel_size": 6, "per_micrograph": 5, "number": 2, "snr": 2, "seed": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("spa") / "p")
    return bench.run("simulate-micrographs", "sim", **SMALL)


def test_outputs_agree(made):
    micrographs, truth, particles = made.micrographs, made.truth, made.particles
    assert micrographs.summary() == "2 micrographs 200×180 at 6 Å/px, with CTF"
    assert truth.summary().startswith("10 particles in 2 micrographs") and len(particles) == 10
    frame = particles.frame()
    centres = frame[["x", "y"]].to_numpy() + frame[["shift_x", "shift_y"]].to_numpy()
    assert_allclose(truth.positions(), centres)
    assert (np.abs(frame[["shift_x", "shift_y"]].to_numpy()) <= 3.0 + 1e-6).all()
    assert frame["particle_id"].tolist() == list(range(1, 11))
    assert_allclose(frame["x"] / 6, np.rint(frame["x"] / 6), atol=1e-6)


def test_images_show_the_map_in_the_registered_pose(made):
    """The image correlates with the map's projection in its pose, moved by its shift and seen through its CTF."""
    particles, frame = made.particles, made.particles.frame()
    density = mrc.read_volume(made.volume.file.get())
    n, size = particles.box_size.get(), particles.pixel_size.get()
    rotations = frame[[f"r{i}{j}" for i in "123" for j in "123"]].to_numpy().reshape(-1, 3, 3)
    shifts = frame[["shift_x", "shift_y"]].to_numpy() / size
    projected = Projector(density).images(rotations, shifts)
    wide = projected.shape[-1] // 2 + n  # room for what the CTF spreads
    room = wide // 2 - projected.shape[-1] // 2
    padded = np.pad(projected, ((0, 0), *[(room, wide - projected.shape[-1] - room)] * 2))
    filtered = np.fft.irfft2(np.fft.rfft2(padded) * particles.ctf().image((wide, wide), size), (wide, wide))
    cut = wide // 2 - n // 2
    filtered = filtered[:, cut : cut + n, cut : cut + n]
    images = np.stack([mrc.open_volume(f)[k] for f, k in zip(frame["file"], frame["index"], strict=True)])
    scores = np.array([[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in filtered] for a in images])
    assert (scores.argmax(axis=1) == np.arange(len(frame))).all()
    assert np.diag(scores).min() > 0.5


def test_the_same_seed_gives_the_same_micrograph():
    options = MicrographOptions(size_x=128, size_y=96, per_micrograph=2, junk=1, ice=1, carbon=True, gradient=2, seed=9)
    first, again = MicrographSimulator(options).make(3), MicrographSimulator(options).make(3)
    assert_allclose(first.image, again.image)
    assert np.isfinite(first.image).all() and first.image.shape == (96, 128)
    assert not np.allclose(first.image, MicrographSimulator(options).make(4).image)


def test_the_ratio_of_signal_and_noise_is_as_asked():
    common = {"size_x": 400, "size_y": 400, "pixel_size": 5, "per_micrograph": 12, "structural_noise": 0.0, "seed": 2}
    noisy = MicrographSimulator(MicrographOptions(snr=0.5, **common))
    clean = MicrographSimulator(MicrographOptions(snr=1e12, **common))
    seen, truth = noisy.make(0), clean.make(0)
    y, x = np.indices(truth.image.shape) * 5.0
    signal = (truth.image - 10) * clean.noise  # noise vanishes beside it
    inside = [
        signal[np.hypot(y - py, x - px) <= noisy.diameter / 2].var() / noisy.noise**2 for px, py in truth.positions
    ]
    assert np.mean(inside) == pytest.approx(0.5, rel=0.25)
    assert (seen.image - signal / noisy.noise).std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"min_defocus": 30000}, "Smallest defocus must not exceed the largest"),
        ({"size_x": 64, "size_y": 64, "pixel_size": 2}, "does not fit into micrographs of 128 Å"),
        ({"molecule": "/nowhere/x.pdb"}, "nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, given, sentence):
    bench = Bench(tmp_path / "p")
    i = bench.add("simulate-micrographs", "bad", **given)
    assert sentence in " ".join(bench.project.getProtocol(i).validate())
