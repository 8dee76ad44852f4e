"""export-particles in a project: tilt series and coordinates to an average that is the molecule, bad input."""

from pathlib import Path

import numpy as np
import pytest

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.io import mrc
from emtomo.io.weights import read_weights
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
OPTIONS = {"tilt_series": "simulate.tilt_series", "coordinates": "simulate.truth", "diameter": 180}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("particles") / "a project")
    made.run("simulate-tomograms", "simulate", size_x=128, size_y=120, size_z=48, pixel_size=10, vesicles=0,
             soluble_proteins=40, snr=2, seed=3, tilt_step=6)  # fmt: skip
    return made


def _centre(volume, n):
    start = [(m - n) // 2 if (m - n) % 2 == 0 else m // 2 - n // 2 for m in volume.shape]
    return volume[tuple(slice(s, s + n) for s in start)]


def _agreement(volume, molecule):
    n = min(volume.shape[0], molecule.shape[0])
    a, b = (_centre(v, n) for v in (volume, molecule))
    z, y, x = np.indices((n,) * 3) - n // 2
    sphere = z * z + y * y + x * x < (n // 2 - 1) ** 2
    return np.corrcoef(a[sphere], b[sphere])[0, 1]


def test_average_is_the_molecule_and_of_its_hand(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    molecule = mrc.read_volume(bench.project.find("simulate")._getExtraPath("soluble.mrc"))
    for label, premultiply, least in (("sums", True, 0.85), ("warp", False, 0.95)):
        run = bench.run("export-particles", label, **OPTIONS, box_size=32, premultiply=premultiply)
        out = run.subtomograms
        frame = out.frame()
        assert (out.weights.get(), out.premultiplied.get()) == (
            ("ctf_squared", True) if premultiply else ("ctf", False)
        )
        assert out.pixel_size.get() == 10 and out.white.get()
        assert len(frame) > 20 and (frame["index"] == np.arange(len(frame))).all()
        weights = read_weights(frame["ctf_file"].iloc[0], 32)
        assert weights.shape == (32, 32, 17) and weights.max() > 0.1
        average = bench.run("reconstruct-average", f"average {label}", subtomograms=f"{label}.subtomograms")
        volume = mrc.read_volume(average.average.file.get())
        assert _agreement(volume, molecule) > least
        mirrored = volume[1:, 1:, 1:][:, :, ::-1]  # about the centre voxel
        assert _agreement(volume, molecule) > _agreement(np.pad(mirrored, (1, 0)), molecule) + 0.1


def test_another_pixel_size_shows_the_same_particle(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    fine = bench.run("export-particles", "fine", **OPTIONS, box_size=24, premultiply=True)
    coarse = bench.run("export-particles", "coarse", **OPTIONS, box_size=16, pixel_size=15, first_tilts=11,
                       invert=False)  # fmt: skip
    assert coarse.subtomograms.pixel_size.get() == 15 and not coarse.subtomograms.white.get()
    strict = bench.run("export-particles", "strict", **(OPTIONS | {"diameter": 280}), box_size=28, missing_tilts=0)
    left_out = len(bench.project.find("simulate").truth) - len(strict.subtomograms)
    assert left_out > 0 and f"whole: {left_out} of sim_01." in " ".join(strict._remarks())
    boxes = mrc.open_volume(coarse.subtomograms.frame()["file"].iloc[0])
    assert boxes.shape == (16 * len(coarse.subtomograms), 16, 16)
    again = bench.run("export-particles", "again", tilt_series="simulate.tilt_series", coordinates="fine.subtomograms",
                      box_size=24, diameter=180, premultiply=True)  # fmt: skip
    pair = [mrc.read_volume(run.subtomograms.frame()["file"].iloc[0]) for run in (fine, again)]
    assert np.array_equal(*pair)
    star = bench.run("export-particles-star", "star", subtomograms="fine.subtomograms")
    text = Path(star._getExtraPath("particles.star")).read_text()
    assert "rlnCtfImage" in text and "rlnCtfDataAreCtfPremultiplied" in text
    curve = fourier_shell_correlation(*(p.reshape(-1, 24, 24, 24)[0] for p in pair))
    assert np.allclose(curve[1:12], 1)


def test_what_cannot_be_exported_is_said(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    cases = [
        ({"pixel_size": 2}, "at least half that of the images"),
        ({"diameter": 700}, "Particle diameter must be at most the box"),
    ]
    for k, (values, sentence) in enumerate(cases):
        assert sentence in bench.fails("export-particles", f"bad {k}", **({**OPTIONS, "box_size": 64} | values))
