"""export-particles in a project: tilt series and coordinates to an average that is the molecule, bad input."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtomo.compute.fourier.filters import fit_to_box
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.io import mrc, star
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


def test_series_of_images_are_those_that_are_cut_on_the_fly(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    molecule = mrc.read_volume(bench.project.find("simulate")._getExtraPath("soluble.mrc"))
    truth = bench.project.find("simulate").truth.frame()
    tilts = len(bench.project.find("simulate").tilt_series.images("sim_01"))
    bench.run("select-tilts", "fewer", tilt_series="simulate.tilt_series", max_angle=50, suggest=False)
    options = OPTIONS | {"tilt_series": "fewer.tilt_series", "dimensionality": "2d"}
    options |= {"box_size": 32, "diameter": 300, "missing_tilts": 0}
    run = bench.run("export-particles", "flat", **options, premultiply=True)
    plain = bench.run("export-particles", "flat plain", **options, premultiply=False, first_tilts=3)
    said = [any("Premultiply with the CTF" in remark for remark in r._remarks()) for r in (run, plain)]
    assert said == [False, True]
    frame, used = run.particle_series.frame(), ~run.input_tilt_series.get().geometry("sim_01").excluded
    assert 10 < len(frame) < len(truth)
    left_out = pd.read_csv(run._getExtraPath("sim_01_left_out.csv"))
    assert len(left_out) == len(truth) - len(frame) and left_out["missing_tilts"].min() > 0
    for row in frame.itertuples():
        assert len(row.visible) == tilts and not any(np.array(list(row.visible))[~used] == "1")
        assert mrc.open_volume(row.file).shape == (row.visible.count("1"), 32, 32)
    average = bench.run("reconstruct-average", "flat average", subtomograms="flat.particle_series",
                        tilt_series="fewer.tilt_series")  # fmt: skip
    fly = bench.run("reconstruct-average", "fly average", subtomograms="simulate.truth",
                    tilt_series="fewer.tilt_series", box_size=32, diameter=300, missing_tilts=0)  # fmt: skip
    volumes = [mrc.read_volume(r.average.file.get()) for r in (average, fly)]
    assert np.corrcoef(*(v.ravel() for v in volumes))[0, 1] > 0.9999
    assert (
        _agreement(volumes[0], molecule) > 0.5
    )  # few particles of nearly one defocus: little is measured at its zeros
    blocks = star.read_blocks(run._getExtraPath("relion5", "particles.star"))
    particles, tomograms = blocks["particles"], star.read_blocks(run._getExtraPath("relion5", "tomograms.star"))
    assert int(blocks["optics"]["rlnImageDimensionality"].iloc[0]) == 2
    assert [str(t).count("1") for t in particles["rlnTomoVisibleFrames"]] == [t.count("1") for t in frame["visible"]]
    table = star.read_blocks(run._getExtraPath("relion5", "sim_01.star"))
    rows = len(next(iter(table.values())))
    assert all(len(str(t).strip("[]").split(",")) == rows == used.sum() for t in particles["rlnTomoVisibleFrames"])
    assert list(tomograms["global"]["rlnTomoName"]) == ["sim_01"]
    # the middle of the tomogram is at half its size there, and voxel n // 2 here: both sizes are even
    there = particles[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy(float)
    assert np.abs(there - frame[["x", "y", "z"]].to_numpy(float)).max() < 0.01


@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
@pytest.mark.parametrize("premultiply", [False, True])
def test_relion_reconstructs_the_same_map(bench, monkeypatch, premultiply):
    """RELION 3.1 divides boxes times CTF, or boxes that were multiplied with it, by the squared CTFs, as we do."""
    monkeypatch.chdir(bench.project.path)
    name = f"for relion {int(premultiply)}"
    bench.run("export-particles", name, **OPTIONS, box_size=32, premultiply=premultiply)
    ours = bench.run("reconstruct-average", f"map of {name}", subtomograms=f"{name}.subtomograms", symmetry="C1")
    exported = bench.run("export-particles-star", f"star of {name}", subtomograms=f"{name}.subtomograms")
    command = ["relion_reconstruct", "--i", exported._getExtraPath("particles.star"), "--o", "relion.mrc", "--3d_rot"]
    done = subprocess.run([*command, "--ctf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    maps = [mrc.read_volume(ours.average.file.get()), mrc.read_volume("relion.mrc")]
    z, y, x = np.indices((32,) * 3) - 16
    inside = np.clip(12.5 - np.sqrt(z * z + y * y + x * x), 0, 1)
    curve = fourier_shell_correlation(*(m * inside for m in maps))
    # where all particles have nearly the same CTF, RELION's iterated weights let more noise through than ours
    assert curve[1 : 9 if premultiply else 10].min() > 0.99
    molecule = mrc.read_volume(bench.project.find("simulate")._getExtraPath("soluble.mrc"))
    molecule = fit_to_box(molecule, 10.0, 32, 10.0)
    true, theirs = (fourier_shell_correlation(m * inside, molecule * inside)[1:11] for m in maps)
    assert (true > theirs - 0.002).all()
    if premultiply:
        assert true[8] > 0.92 and true[9] > 0.72  # 0.90 and 0.63 of RELION; 0.82 and 0.47 without neighbours
    assert premultiply or np.corrcoef(*((m * inside).ravel() for m in maps))[0, 1] > 0.99


def test_what_cannot_be_exported_is_said(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    cases = [
        ({"pixel_size": 2}, "at least half that of the images"),
        ({"diameter": 700}, "Particle diameter must be at most the box"),
    ]
    for k, (values, sentence) in enumerate(cases):
        assert sentence in bench.fails("export-particles", f"bad {k}", **({**OPTIONS, "box_size": 64} | values))
