"""estimate-ctf in a project: the CTF of imported series, what is said of it, exclusions, bad input."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtomo.io import mrc
from emtomo.viewers.pictures import picture_of_output
from emtomo.viewers.report import write_report
from tests.compute.optics.tilted_ice import AMPLITUDE_CONTRAST, PIXEL, simulate_tilts
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
ANGLES = np.arange(-56.0, 57.0, 14.0)
DEFOCUS = 25000 + np.random.default_rng(1).normal(0, 400, len(ANGLES))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    for name, empty in (("a 'series'", (1,)), ("b", ())):
        images, _ = simulate_tilts(ANGLES, DEFOCUS, (430, 441), hand=-1, empty=empty, x_tilt=0.0, shift=0.0)
        mrc.write_volume(folder / f"{name}.mrc", images, PIXEL, stack=True)
        (folder / f"{name}.rawtlt").write_text("\n".join(f"{a:g}" for a in ANGLES))
    made = Bench(tmp_path_factory.mktemp("project") / "it's a 'project'")
    made.run(
        "import-tilt-series",
        "import",
        files=folder,
        pixel_size=PIXEL,
        tilt_axis_angle=-84.5,
        amplitude_contrast=AMPLITUDE_CONTRAST,
    )
    return made


def test_the_ctf_of_imported_series_and_what_is_said(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("estimate-ctf", "ctf", tilt_series="import.tilt_series", max_defocus=60000)
    found = run.tilt_series
    names = sorted(found.tomogram_ids())
    assert len(names) == 2
    for name in names:
        geometry = found.geometry(name)
        error = np.abs(geometry.ctf.defocus - DEFOCUS)
        assert np.median(error) <= 150 and np.delete(error, 1).max() <= 400
        assert geometry.hand == -1
        table = pd.read_csv(run._getExtraPath(f"{name}_ctf.csv"))
        assert len(table) == len(ANGLES) and table["correlation"][2:].min() > 0.5
        curves = pd.read_csv(run._getExtraPath(f"{name}_rings.csv"))
        assert set(curves["tilt"]) == set(range(1, len(ANGLES) + 1))
        images = found.images(name)
        assert images["ctf_score"][2:].min() > 0.5 and np.nanmax(images["max_resolution"][2:]) < 30
        pictures = mrc.read_volume(run._getExtraPath(f"{name}_fit.mrc"))
        assert len(pictures) == len(ANGLES)
        for t in (3, 4, 5):  # measured on the left, the fit on the right; both have a centre of symmetry
            middle = pictures.shape[2] // 2
            measured, fit = pictures[t][:, :middle], pictures[t][::-1, :middle:-1]
            assert np.corrcoef(measured[fit != 0], fit[fit != 0])[0, 1] > 0.3
    picture = Path("fit.png")
    picture_of_output(run, "tilt_series", picture, "ctf-fit")
    assert picture.stat().st_size > 20000
    write_report(bench.project, Path("report.html"))
    assert "<figcaption>tilt_series_ctf-fit</figcaption>" in Path("report.html").read_text()
    said = " ".join(run._summary())
    assert f"{names[0]}: no rings in tilts 2 (-42.0°)" in said and f"{names[1]}: no rings" not in said
    assert "defocus falls with the height (hand -1)" in said
    bench.run("select-tilts", "fewer", tilt_series="import.tilt_series", max_angle=30, suggest=False)
    fewer = bench.run("estimate-ctf", "fewer ctf", tilt_series="fewer.tilt_series", max_defocus=60000).tilt_series
    kept = np.abs(ANGLES) <= 30
    moved = fewer.geometry(names[1]).ctf.defocus - found.geometry(names[1]).ctf.defocus
    assert np.abs(moved[kept]).max() < 50 and fewer.geometry(names[1]).excluded.sum() == (~kept).sum()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_defocus": 20000, "max_defocus": 10000}, "Maximum defocus must be larger than the minimum (20000 Å)"),
        ({"low_resolution": 7}, "rings of tiles of 256 pixels of 2.5 Å, at least 16 are needed"),
        ({"tile_size": 32}, "Tile size must be >= 64 pixel, got 32 pixel"),
        ({"min_defocus": 100000, "max_defocus": 150000}, "no image shows rings of the CTF"),
    ],
)
def test_what_cannot_be_estimated_is_a_sentence(bench, options, sentence):
    message = bench.fails("estimate-ctf", sentence[:20], tilt_series="import.tilt_series", **options)
    assert sentence in message


def test_a_series_without_any_signal_names_the_tilt(bench, tmp_path):
    images = np.random.default_rng(0).normal(0, 1, (3, 300, 300)).astype(np.float32)
    images[1] = 4
    mrc.write_volume(tmp_path / "flat.mrc", images, PIXEL, stack=True)
    Path(tmp_path / "flat.rawtlt").write_text("-10\n0\n10\n")
    bench.run("import-tilt-series", "flat", files=tmp_path, pixel_size=PIXEL, tilt_axis_angle=-84.5)
    message = bench.fails("estimate-ctf", "flat ctf", tilt_series="flat.tilt_series")
    assert "flat: tilt 2: all pixels of the image are equal; exclude this tilt." in message
