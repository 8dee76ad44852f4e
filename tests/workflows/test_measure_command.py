"""Commands that measure maps and sets, and slices of tomograms."""

import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from emtomo.io import mrc
from tests.command import emtomo
from tests.engine.helpers import Bench

pytestmark = [pytest.mark.workflow]
N, PIXEL = 32, 2.0


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Two half maps that agree to shell 8 of 32 voxels and a third that is a multiple of the first."""
    folder = tmp_path_factory.mktemp("some maps")
    rng = np.random.default_rng(4)
    signal, first, second = (np.fft.rfftn(rng.normal(size=(N,) * 3)) for _ in range(3))
    k = np.fft.fftfreq(N) * N
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(N // 2 + 1)[None, None] ** 2)
    for name, noise in (("a", first), ("b", second)):
        data = np.fft.irfftn(np.where(radius < 8.5, signal, noise), s=(N,) * 3)
        mrc.write_volume(folder / f"{name}.mrc", data.astype(np.float32), PIXEL)
        mrc.write_volume(folder / f"{name} twice.mrc", 2 * data.astype(np.float32), 2 * PIXEL)
    ball = np.zeros((N,) * 3, np.float32)
    ball[8:24, 8:24, 8:24] = 1
    mrc.write_volume(folder / "mask.mrc", ball, PIXEL)
    mrc.write_volume(folder / "empty.mrc", 0 * ball, PIXEL)
    return folder


def test_maps_are_correlated(maps, tmp_path):
    done = emtomo("fsc", maps / "a.mrc", maps / "b.mrc", "--csv", tmp_path / "c.csv", "--png", tmp_path / "c.png")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "c.csv")
    assert np.allclose(table["correlation"][1:9], 1, atol=1e-4)
    assert (table["correlation"][9:].abs() < 0.3).all()
    assert np.allclose(table["frequency"], np.arange(N // 2 + 1) / (N * PIXEL), atol=1e-6)
    found = json.loads(emtomo("fsc", maps / "a.mrc", maps / "b.mrc", "--json").stdout)[0]["summary"]
    resolution = float(found.split(": ")[1].split(" Å")[0])
    assert N * PIXEL / 9 <= resolution <= N * PIXEL / 8
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0.05
    within = emtomo("fsc", maps / "a.mrc", maps / "b.mrc", "--mask", maps / "mask.mrc")
    assert [line.split(":")[0] for line in within.stdout.splitlines()[:3]] == ["unmasked", "masked", "corrected"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mrc", "a.mrc"], "are the same map"),
        (["a.mrc", "b twice.mrc"], "has a pixel size of 2 Å"),
        (["a.mrc"], "Give two maps"),
        (["a.mrc", "b.mrc", "--mask", "a.mrc"], "a mask has values from 0 to 1"),
        (["a.mrc", "b.mrc", "--pixel-size", "0"], "The pixel size must be above 0 Å, got 0 Å."),
        (["a.mrc", "b.mrc", "--mask", "empty.mrc"], "the mask is empty: there is no voxel above 0."),
    ],
)
def test_maps_that_cannot_be_compared(maps, arguments, message):
    done = emtomo("fsc", *arguments, cwd=maps)
    assert message in done.stdout + done.stderr
    assert " at 0.143" not in done.stdout


@pytest.fixture(scope="module")
def bench(maps, tmp_path_factory):
    """A project with an average, a mask, and two tomograms whose slices have the values of their numbers."""
    folder = tmp_path_factory.mktemp("measured")
    for k in (1, 2):
        volume = np.broadcast_to(np.arange(10.0)[:, None, None] * k, (10, 12, 14)).astype(np.float32)
        mrc.write_volume(folder / f"t{k}.mrc", volume, 10.0)
    (folder / "p.csv").write_text("tomogram_id,x,y,z\nt1,3,4,5\nt2,6,7,8\nt2,6,7,2\n")
    made = Bench(folder / "project")
    made.run("import-tomograms", "import", files=folder, pattern="*.mrc")
    made.run("import-coordinates", "points", tomograms="import.tomograms", files=folder / "p.csv")
    made.run("import-volume", "map", file=maps / "a.mrc", kind="average", half1=maps / "a.mrc", half2=maps / "b.mrc")
    made.run("import-volume", "mask", file=maps / "mask.mrc", kind="mask")
    made.run("import-volume", "wide mask", file=maps / "mask.mrc", kind="mask", pixel_size=2 * PIXEL)
    return made


def test_curves_of_runs_are_on_one_plot(bench, tmp_path):
    bench.run("postprocess", "post", average="map.average", mask="mask.mask")
    done = emtomo("fsc", bench.project.path, "post.fsc", "map.average", "--csv", tmp_path / "c.csv",
                  "--png", tmp_path / "c.png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["post.fsc", "map.average"]
    assert pd.read_csv(tmp_path / "c.csv")["curve"].unique().tolist() == ["post.fsc", "map.average"]
    resolution = bench.project.find("post").fsc.resolution.get()
    assert f"{resolution:.2f} Å at 0.143" in done.stdout.splitlines()[0]
    wrong = emtomo("fsc", bench.project.path, "mask.mask")
    assert wrong.returncode == 2 and "is neither a Fourier shell correlation nor an average" in wrong.stderr


def test_statistics_of_maps_and_sets(bench, maps, tmp_path):
    rows = json.loads(emtomo("statistics", bench.project.path, "import.tomograms", "--json").stdout)
    assert [(r["name"], r["minimum"], r["mean"], r["maximum"], r["count"]) for r in rows] == [
        ("t1", 0, 4.5, 9, 1680), ("t2", 0, 9, 18, 1680)]  # fmt: skip
    assert np.isclose(rows[1]["deviation"], 2 * np.arange(10).std())
    done = emtomo("statistics", bench.project.path, "points.coordinates", "--png", tmp_path / "s.png")
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("z\t3\t0\t-30\t") for line in done.stdout.splitlines())
    assert (tmp_path / "s.png").exists()
    assert emtomo("statistics", maps / "mask.mrc").stdout.splitlines()[1].split("\t")[8] == "0.125"
    lost = emtomo("statistics", bench.project.path, "points.nothing")
    assert lost.returncode == 2 and "no output 'nothing'" in lost.stderr


def test_a_slice_of_a_tomogram_is_shown(bench, tmp_path):
    project, png = bench.project.path, tmp_path / "v.png"
    for extra in (["--slice", "3"], ["--tomogram", "t2"], ["--tomogram", "t2", "--slice", "8"]):
        for output in ("import.tomograms", "points.coordinates"):
            done = emtomo("view", project, output, *extra, "--png", png)
            assert done.returncode == 0, done.stderr
            assert png.stat().st_size > 1000
            png.unlink()
    bad = emtomo("view", project, "import.tomograms", "--slice", "10", "--png", png)
    assert bad.returncode == 2 and "The slice of t1 must be from 0 to 9, got 10" in bad.stderr
    bad = emtomo("view", project, "import.tomograms", "--tomogram", "t3", "--png", png)
    assert bad.returncode == 2 and "no tomogram 't3'; its tomograms are t1, t2" in bad.stderr
    assert not png.exists()


def test_a_mask_is_applied_to_a_map(bench, maps):
    run = bench.run("apply-mask", "masked", volume="map.average", mask="mask.mask")
    found, whole = mrc.read_volume(run.volume.file.get()), mrc.read_volume(maps / "a.mrc")
    mask = mrc.read_volume(maps / "mask.mrc")
    assert np.allclose(found, whole * mask, atol=1e-6)
    assert run.volume.pixel_size.get() == PIXEL and run.volume.box_size.get() == N
    rest = bench.run("apply-mask", "rest", volume="map.average", mask="mask.mask", keep="outside")
    assert np.allclose(mrc.read_volume(rest.volume.file.get()) + found, whole, atol=1e-5)
    other = bench.run("apply-mask", "resampled", volume="map.average", mask="wide mask.mask")
    assert any("was resampled" in line for line in other._summary())
