"""White tomograms stay white through every protocol that follows, and their particles are found as dark ones are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.convnet.slabs import slabs_of
from emtomo.io import mrc
from tests.compute.matching.data import MOLECULE, mask, spread, tomogram
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PIXEL, SHAPE, PLACE = 10.0, (30, 40, 44), np.array([12.0, 22.0, 25.0])  # z, y, x
KINDS = {"dark": -1, "white": 1}


def ball():
    distance = np.sqrt(((np.indices(SHAPE).T - PLACE) ** 2).sum(axis=-1)).T
    return np.clip(6.5 - distance, 0, 1) + np.random.default_rng(2).normal(0, 0.05, SHAPE)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrast")
    made = Bench(folder / "project")
    x, y, z = (PLACE[::-1] - [n // 2 for n in SHAPE[::-1]]) * PIXEL
    (folder / "pick.csv").write_text(f"tomogram_id,x,y,z\na,{x},{y},{z}\n")
    for kind, sign in KINDS.items():
        (folder / kind).mkdir()
        mrc.write_volume(folder / kind / "a.mrc", sign * ball(), PIXEL)
        made.run("import-tomograms", kind, files=folder / kind / "a.mrc", white="yes" if sign > 0 else "no")
    made.folder = folder
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_sets_that_follow_keep_the_contrast(bench, kind):
    white = kind == "white"
    done = bench.run("denoise-tomograms", f"denoised {kind}", tomograms=f"{kind}.tomograms", iterations=1)
    assert bool(done.tomograms.white.get()) is white
    binned = bench.run("bin-tomograms", f"binned {kind}", tomograms=f"denoised {kind}.tomograms", factor=2)
    assert bool(binned.tomograms.white.get()) is white
    bench.run("pick-manually", f"picked {kind}", tomograms=f"{kind}.tomograms", points=bench.folder / "pick.csv")
    for invert in (True, False):
        run = bench.run(
            "extract-subtomograms", f"boxes {kind} {invert}", tomograms=f"{kind}.tomograms",
            coordinates=f"picked {kind}.coordinates", box_size=18, invert=invert,
        )  # fmt: skip
        boxes = run.subtomograms
        assert bool(boxes.white.get()) is (white or invert)
        middle = mrc.read_volume(boxes.frame()["file"].iloc[0])[9, 9, 9]
        assert (middle > 0) == bool(boxes.white.get())


def test_round_particles_are_found_in_either_contrast(bench):
    places = {}
    for kind in KINDS:
        run = bench.run(
            "pick-log", f"log {kind}", tomograms=f"{kind}.tomograms", min_diameter=100, max_diameter=160,
            number_of_particles=1,
        )  # fmt: skip
        places[kind] = run.coordinates.positions()[0] / PIXEL + [n // 2 for n in SHAPE[::-1]]
        assert np.linalg.norm(places[kind] - PLACE[::-1]) < 1
    assert_allclose(places["white"], places["dark"], atol=0.05)


def test_the_network_sees_particles_bright(bench):
    seen = {}
    for kind in KINDS:
        i = bench.add("pick-convnet", f"net {kind}", tomograms=f"{kind}.tomograms")
        slabs, shape, size = bench.project.find(str(i))._slabs("a", 160.0)
        assert shape == SHAPE and size == PIXEL
        seen[kind] = slabs.volume
    assert_allclose(seen["white"], seen["dark"], atol=1e-4)
    z, y, x = PLACE.astype(int)
    assert seen["white"][z, y, x] > 1
    noise = np.random.default_rng(1).normal(size=(12, 30, 30)).astype(np.float32)
    assert_allclose(slabs_of(noise, True, 10).volume, slabs_of(-noise, False, 10).volume, atol=1e-5)


@pytest.mark.slow
def test_a_reference_is_found_in_white_tomograms(bench):
    shape = (34, 52, 50)
    places, turns = spread(shape, 1, 4)
    folder = bench.folder / "match"
    folder.mkdir()
    mrc.write_volume(folder / "m.rec", tomogram(shape, places, turns, 0.1, 1), 12.0)
    mrc.write_volume(folder / "reference.map", MOLECULE, 12.0)
    mrc.write_volume(folder / "mask.map", mask(), 12.0)
    bench.run("import-tomograms", "m", files=folder / "m.rec", white="yes")
    bench.run("import-volume", "reference", file=folder / "reference.map")
    bench.run("import-volume", "mask", file=folder / "mask.map", kind="mask")
    given = {"tomograms": "m.tomograms", "reference": "reference.volume", "mask": "mask.mask", "false_alarms": 0.1}
    run = bench.run("match-template", "match", **given, angular_step=25)
    found = run.coordinates.positions()[0] / 12.0 + [n // 2 for n in shape[::-1]]
    assert np.linalg.norm(found - places[0][::-1]) < 1.5
    assert "inverted contrast" not in " ".join(run._summary())
