"""estimate-ctf of micrographs: the simulated defocus, micrographs without rings, and which input is taken."""

import numpy as np
import pandas as pd
import pytest

from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
SMALL = {
    "size_x": 512,
    "size_y": 500,
    "pixel_size": 3.2,
    "per_micrograph": 12,
    "number": 4,
    "astigmatism": 600,
    "seed": 7,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("ctf") / "p")
    made.run("simulate-micrographs", "sim", **SMALL)
    return made


def test_simulated_micrographs(bench):
    """The median error of the defocus is at most 150 Å (structural noise a tenth of all noise)."""
    run = bench.run("estimate-ctf", "ctf", micrographs="sim.micrographs", high_resolution=8)
    truth, found = bench.project.find("sim").micrographs.frame(), run.micrographs.frame()
    error = np.abs((found["defocus_u"] + found["defocus_v"] - truth["defocus_u"] - truth["defocus_v"]) / 2)
    assert error.median() <= 150 and error.max() <= 400, error.tolist()
    turn = np.deg2rad(2 * (found["defocus_angle"] - truth["defocus_angle"]))
    assert ((found["defocus_u"] - found["defocus_v"]) * np.cos(turn)).median() == pytest.approx(600, abs=250)
    assert found["ctf_score"].min() > 0.5 and found["max_resolution"].max() < 12
    assert found["micrograph_id"].tolist() == truth["micrograph_id"].tolist()
    assert run.micrographs.summary().endswith("with CTF")


def test_a_micrograph_without_rings_has_no_ctf_and_is_named(bench, tmp_path):
    frame = bench.project.find("sim").micrographs.frame()
    for name, file in zip(frame["micrograph_id"][:2], frame["file"], strict=False):
        mrc.write_volume(tmp_path / f"{name}.mrc", mrc.read_volume(file), 3.2)
    noise = np.random.default_rng(1).normal(size=(1, 512, 500))
    mrc.write_volume(tmp_path / "no rings.mrc", noise, 3.2)
    mrc.write_volume(tmp_path / "flat.mrc", np.ones((1, 512, 500)), 3.2)
    bench.run("import-micrographs", "mixed", files=tmp_path)
    run = bench.run("estimate-ctf", "mixed ctf", micrographs="mixed.micrographs", high_resolution=8)
    found = run.micrographs.frame()
    assert np.isnan(found["defocus_u"]).tolist() == [name in ("flat", "no rings") for name in found["micrograph_id"]]
    said = " ".join(run._remarks())
    assert "The CTF of 2 micrographs was not found (flat, no rings)" in said and "2 micrographs: defocus" in said
    assert isinstance(pd.read_csv(run._getExtraPath("flat_ctf.csv"))["problem"].iloc[0], str)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Choose either tilt series or micrographs."),
        ({"micrographs": "sim.micrographs", "max_defocus": 1000}, "Maximum defocus must be larger"),
        ({"micrographs": "sim.micrographs", "high_resolution": 13}, "Highest resolution must be at most 12 Å"),
        ({"micrographs": "sim.micrographs", "low_resolution": 7}, "mic_001, mic_002, mic_003, mic_004: Between 7 Å"),
    ],
)
def test_one_input_is_needed(bench, given, sentence):
    i = bench.add("estimate-ctf", f"bad {sentence[:3]} {len(given)}", **given)
    (error,) = bench.project.getProtocol(i).validate()
    assert error.startswith(sentence)


def test_subsets_of_micrographs(bench):
    names = bench.project.find("sim").micrographs.group_ids()
    some = bench.run("select-subset", "two", items="sim.micrographs", first=2).subset
    assert type(some).__name__ == "SetOfMicrographs" and some.group_ids() == names[:2]
    some = bench.run("select-subset", "named", items="sim.truth", names=f"{names[3]}, {names[1]}").subset
    assert some.group_ids() == [names[1], names[3]]
    drawn = bench.run("select-subset", "drawn", items="sim.micrographs", number=2, seed=3).subset
    assert len(drawn) == 2 and drawn.pixel_size.get() == pytest.approx(3.2)
