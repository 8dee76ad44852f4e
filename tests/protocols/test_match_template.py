"""match-template and pick-again in a project."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.compute.fourier.resampling import resample
from emtomo.io import mrc
from tests.compute.matching.data import MOLECULE, angles, mask, spread, tomogram
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PIXEL = 12.0
SHAPES = {"a": (48, 84, 80), "b": (47, 75, 81)}
TRUTH = {name: spread(shape, 5, k + 1) for k, (name, shape) in enumerate(SHAPES.items())}
INPUTS = {"tomograms": "import.tomograms", "reference": "reference.volume", "mask": "mask.volume"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with two dark-particle tomograms, one without particles, a reference at half the pixel size, a mask."""
    folder = tmp_path_factory.mktemp("match")
    for k, (name, shape) in enumerate(SHAPES.items()):
        mrc.write_volume(folder / f"{name}.mrc", -tomogram(shape, *TRUTH[name], 0.2, k), PIXEL)
    empty = tomogram((40, 60, 60), np.zeros((0, 3)), np.zeros((0, 3, 3)), 1.0, 5)
    mrc.write_volume(folder / "c.mrc", -empty, PIXEL)
    fine = resample(MOLECULE, (50,) * 3, 0.5)
    mrc.write_volume(folder / "fine.map", fine, PIXEL / 2)
    mrc.write_volume(folder / "own.map", MOLECULE, PIXEL)
    mrc.write_volume(folder / "mask.map", mask(), PIXEL)
    mrc.write_volume(folder / "empty.map", np.zeros_like(mask()), PIXEL)
    made = Bench(folder / "it's a 'project'")
    made.run("import-tomograms", "import", files=folder, pattern="*.mrc", pixel_size=PIXEL)
    made.run("import-tomograms", "one", files=folder, pattern="a.mrc", pixel_size=PIXEL)
    mrc.write_volume(folder / "small.rec", empty[:10], PIXEL)
    made.run("import-tomograms", "small", files=folder, pattern="small.rec", pixel_size=PIXEL)
    made.run("import-volume", "fine", file=folder / "fine.map")
    made.run("import-volume", "reference", file=folder / "own.map")
    made.run("import-volume", "mask", file=folder / "mask.map")
    made.run("import-volume", "empty", file=folder / "empty.map")
    made.folder = folder
    return made


@pytest.fixture(scope="module")
def matched(bench):
    return bench.run("match-template", "match", **INPUTS, keep_scores=True, group=3, false_alarms=0.1)


def _hits(found, name):
    """Return distances in Å from each true place to the nearest pick, and that pick's rotation."""
    places, turns = TRUTH[name]
    truth = (places - [n // 2 for n in SHAPES[name]])[:, ::-1] * PIXEL
    distance, index = cKDTree(found.positions(name)).query(truth)
    return distance, angles(found.rotations(name)[index], turns)


def test_every_particle_is_found_with_its_orientation(matched):
    found = matched.coordinates
    assert found.pixel_size.get() == PIXEL and found.box_size.get() == 25
    for name in SHAPES:
        distance, angle = _hits(found, name)
        assert distance.max() < PIXEL and angle.max() < 8
    assert set(found.frame()["picker"]) == {"template"} and set(found.frame()["group"]) == {3}
    assert any("Threshold at" in line for line in matched._summary())
    assert any("Nothing was found in c" in line for line in matched._summary())


def test_scores_and_orientations_are_kept(matched):
    scores = mrc.read_volume(matched._getExtraPath("a_scores.mrc"))
    which = mrc.read_volume(matched._getExtraPath("a_orientations.mrc")).astype(int)
    rotations = np.load(matched._getExtraPath("a_rotations.npy"))
    place = np.unravel_index(scores.argmax(), scores.shape)
    factor = SHAPES["a"][0] / scores.shape[0]
    at = (np.array(place) - [n // 2 for n in scores.shape]) * factor + [n // 2 for n in SHAPES["a"]]
    distance, index = cKDTree(TRUTH["a"][0]).query(at)
    assert distance < 3
    assert angles(rotations[which[place]], TRUTH["a"][1][index]) < 30


def test_a_reference_of_another_pixel_size_is_rescaled_and_that_is_reported(bench, matched):
    run = bench.run(
        "match-template", "rescaled", tomograms="one.tomograms", reference="fine.volume", number_of_particles=5
    )
    assert any("resampled from 50 voxels" in line for line in run._summary())
    assert _hits(run.coordinates, "a")[0].max() < PIXEL


def test_choosing_again_needs_no_matching(bench, matched):
    few = bench.run("pick-again", "few", coordinates="match.coordinates", number_of_particles=2).coordinates
    assert few.frame()["tomogram_id"].value_counts()[["a", "b"]].tolist() == [2, 2]
    best = matched.coordinates.frame(["score", "tomogram_id"])
    assert few.frame()["score"].max() == pytest.approx(best["score"].max())
    assert set(few.frame()["group"]) == {3}
    many = bench.run(
        "pick-again", "many", coordinates="match.coordinates", false_alarms=0, number_of_particles=30, min_distance=20
    ).coordinates
    assert len(many) > len(matched.coordinates)


def test_choosing_again_among_other_picks_is_refused(bench):
    bench.run("pick-log", "log", tomograms="import.tomograms", min_diameter=150, max_diameter=200)
    run = bench.project.find(str(bench.add("pick-again", "wrong", coordinates="log.coordinates")))
    assert any("no candidates" in error for error in run.validate())


def test_a_surface_guides_the_search(bench, matched):
    given = {**INPUTS, "tomograms": "one.tomograms", "meshes": "match.coordinates", "surface_distance": 40,
             "false_alarms": 1}  # fmt: skip
    found = bench.run("match-template", "guided", **given, cone=20).coordinates
    assert _hits(found, "a")[0].max() < PIXEL
    near = cKDTree(matched.coordinates.positions("a")).query(found.positions("a"))[0]
    assert near.max() < 60  # one step of the ascent beyond the distance
    narrow = bench.run("match-template", "turned", **given, cone=0.5).coordinates
    assert len(narrow) < len(found)


def test_bad_input_is_reported(bench):
    def errors(label, **parameters):
        return " ".join(bench.project.find(str(bench.add("match-template", label, **parameters))).validate())

    assert "Symmetry must be" in errors("symmetry", **INPUTS, symmetry="C1x")
    assert "device must be" in errors("device", **INPUTS, device="gpu")
    assert "Tomograms must be tomograms, got volume" in errors("type", **{**INPUTS, "tomograms": "reference.volume"})
    assert "Surface must be meshes or 3D coordinates, got volume" in errors("mesh", **INPUTS, meshes="mask.volume")
    assert "number of particles must be given" in errors("nothing", **INPUTS, false_alarms=0)
    message = bench.fails("match-template", "empty mask", **{**INPUTS, "mask": "empty.volume"})
    assert "mask is empty" in message
    message = bench.fails("match-template", "too large", **{**INPUTS, "tomograms": "small.tomograms"})
    assert "does not fit" in message


def test_tilt_series_weigh_the_reference_tilt_by_tilt(bench):
    own = next(bench.folder.glob("own.map"))
    size = {"size_x": 110, "size_y": 110, "size_z": 60, "vesicles": 1, "vesicle_radius": 120, "membrane_proteins": 0}
    bench.run("simulate-tomograms", "sim", **size, soluble_molecule=own, soluble_proteins=6, snr=0.2, pixel_size=PIXEL)
    given = {"tomograms": "sim.tomograms", "reference": "reference.volume", "mask": "mask.volume"}
    run = bench.run("match-template", "tilts", **given, tilt_series="sim.tilt_series", ctf="not corrected")
    true = bench.project.find("sim").truth.frame()
    true = true[true["group"] == 2][["x", "y", "z"]].to_numpy()
    distance = cKDTree(run.coordinates.positions()).query(true)[0]
    assert len(true) > 3 and (distance < 2 * PIXEL).mean() >= 0.8
    assert len(run.coordinates) <= len(true) + 2
