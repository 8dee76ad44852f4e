"""multi-particle-refinement: export parity for every kind of parameter, chains of runs, zero iterations, resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emtomo.compute.fourier.shell_correlation import first_shell_below, fourier_shell_correlation
from emtomo.compute.multiparticle.options import MultiParticleOptions
from emtomo.compute.multiparticle.species_particles import CutViews
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_rotations
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects.array_store import ArrayStore
from emtomo.objects.particle_input import ParticleInputOptions, series_particles
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.population import Members
from emtomo.objects.population_arrays import make_refined_cell, motion_rows, read_population
from emtomo.objects.tilt_series import SetOfTiltSeries, image_columns
from emtomo.objects.trial_poses import TRIAL_POSES, read_trial_poses, write_trial_poses
from emtomo.viewers.pictures import picture_of_output
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
SAMPLE = {
    "vesicles": 0, "soluble_proteins": 14, "size_x": 100, "size_y": 100, "size_z": 40, "pixel_size": 10,
    "tilt_step": 12, "number": 2, "position_error": 3, "rotation_error": 1, "shift_error": 8, "snr": 1,
    "stage_error": 0.1,
}  # fmt: skip
OWN = {"preset": "custom", "iterations": 1, "image_warp": "2 x 2"}
MOST = {
    "volume_warp": "1 x 1 x 1 x 3", "magnification": True, "defocus": True, "exhaustive_defocus": True, "phase": True,
    "astigmatism": True, "cs": True, "weights": "per tilt", "optics_resolution": 100, "pose_doses": 2, "sweeps": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("multi") / "a project")
    made.run("simulate-tomograms", "simulate", **SAMPLE)
    made.run("export-particles", "export", tilt_series="simulate.tilt_series", coordinates="simulate.coordinates",
             box_size=24, diameter=180, missing_tilts=4, premultiply=True)  # fmt: skip
    made.run("reconstruct-average", "first", subtomograms="export.subtomograms")
    made.run("create-mask", "mask", volume="first.average", shape="sphere", diameter=160, soft_edge=3)
    made.run("refine-poses", "refine", subtomograms="export.subtomograms", reference="first.average", angular_step=1.8,
             max_iterations=1, initial_lowpass=50)  # fmt: skip
    made.run("create-species", "species", average="refine.average", subtomograms="refine.subtomograms",
             mask="mask.mask", diameter=180, name="soluble")  # fmt: skip
    made.run("create-population", "population", tilt_series="simulate.tilt_series", species="species.species")
    made.run("multi-particle-refinement", "spatial", population="population.population", **OWN)
    return made


def shifts_wrong(bench, found):
    """Return how far, in Å rms, the mean of what a set says is from where the simulated images show points."""
    true, total = bench.project.find("simulate").true_tilt_series, []
    points = np.random.default_rng(0).uniform(-250, 250, (30, 3)) * [1, 1, 0.3]
    for name in found.tomogram_ids():
        off = found.geometry(name).project(points)[..., :2] - true.geometry(name).project(points)[..., :2]
        total.append(off - off.mean(axis=(0, 1)))  # all together is the particles' own
    return float(np.sqrt((np.array(total) ** 2).sum(axis=-1).mean()))


def test_images_are_seen_better(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.project.find("spatial")
    given = bench.project.find("simulate").tilt_series
    assert shifts_wrong(bench, run.tilt_series) < 0.7 * shifts_wrong(bench, given)
    assert run.average.resolution.get() > 0
    trials = pd.read_csv(run._getExtraPath("trials.csv"))
    assert {"particle poses", "image warp"} <= set(trials["name"])
    assert any("resolution" in sentence for sentence in run._remarks())
    assert len(run.particle_series) == len(bench.project.find("species").species.particle_series())


@pytest.mark.parametrize(("label", "more"), [("spatial", None), ("most", MOST), ("zero", {"iterations": 0})])
def test_reconstruct_average_gives_the_same_map(bench, monkeypatch, tmp_path, label, more):
    monkeypatch.chdir(bench.project.path)
    if more is not None:  # the refined population goes on
        bench.run("multi-particle-refinement", label, population="spatial.population", **{**OWN, **more})
    run = bench.project.find(label)
    again = bench.run("reconstruct-average", f"again {label}", subtomograms=f"{label}.particle_series",
                      tilt_series=f"{label}.tilt_series", diameter=180)  # fmt: skip
    for h in (1, 2):
        own, other = (
            mrc.read_volume(getattr(average, f"half{h}_file").get()) for average in (run.average, again.average)
        )
        assert first_shell_below(fourier_shell_correlation(own, other), 0.99) >= own.shape[0] // 2 - 1
    if label == "zero":
        check_trial_poses(bench.project.find("spatial"), run, tmp_path)


def check_trial_poses(first, second, folder):
    """Poses that images held out of trials had no part in go on from run to run; not where others are held out."""
    options, members = MultiParticleOptions(**OWN), second.population.members()
    series = read_population(members).series
    own = read_trial_poses(Path(second._getExtraPath(TRIAL_POSES)), options, series)
    store = Path(first._getExtraPath("series"))
    for one in own:
        saved = np.load(store / f"it_001_{one.name}.npz")
        for name, found in zip(("rotations", "positions"), one.particles[0].trial_poses, strict=True):
            assert_array_equal(found, saved[f"trial_0_{name}"])
        assert np.abs(one.particles[0].trial_poses[1] - one.particles[0].positions).max() > 0.01
    path = folder / TRIAL_POSES
    write_trial_poses(path, options, own)
    assert read_trial_poses(path, options, series)[0].particles[0].trial_poses is not None
    for others in (replace(options, seed=2), replace(options, held_out=20)):
        assert read_trial_poses(path, others, series)[0].particles[0].trial_poses is None
    fewer = [replace(one, particles=(one.particles[0].take(np.arange(3)),)) for one in series]
    with pytest.raises(EmtomoError, match="poses.npz cannot be read .poses of .* and the series has 3"):
        read_trial_poses(path, options, fewer)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(EmtomoError, match="run what made it again"):
        read_trial_poses(path, options, series)
    assert read_trial_poses(folder / "none.npz", options, series)[0].particles[0].trial_poses is None


def test_particles_that_move(bench, monkeypatch, tmp_path):
    """A table says that they move: refine-poses and multi-particle refinement cut the same images, where they are."""
    monkeypatch.chdir(bench.project.path)
    species = bench.project.find("species").species
    given = species.particle_series()
    frame, rng = given.frame(), np.random.default_rng(0)
    moves = rng.normal(0, 15, (len(frame), 3))
    frame["motion"] = [f"[[0,0,0,0,0,0],[3,0,-3,{x},{y},{z}]]" for x, y, z in moves]
    path = tmp_path / "moving.sqlite"
    moving = SetOfParticleSeries.create(path)
    moving.copy_fields(given)
    moving.extend(frame)
    moving.write()
    series = bench.project.find("simulate").tilt_series
    options = ParticleInputOptions(pixel_size=10, box_size=24, diameter=180, missing_tilts=4)
    read = series_particles(moving, moving.frame(), series, options)
    population = read_population(Members([series], [replace_particles(species, path)]))
    rows = read.frame.index.to_numpy()
    names = [one.name for one in population.series]
    for i in (0, len(rows) // 2, len(rows) - 1):
        one = population.series[names.index(read.frame["tomogram_id"].iloc[i])]
        place = int(np.flatnonzero(population.rows[names.index(one.name)][0] == rows[i])[0])
        image_options = ParticleImageOptions(pixel_size=10, box_size=24, diameter=180, premultiply=True)
        prepared = prepare_series(one.images, one.geometry, image_options)
        own = CutViews(prepared, one.particles[0])(place)
        other = read.source.views(i)
        assert_allclose(own.images, other.images, atol=1e-4 * np.abs(own.images).max())
        assert_allclose(own.rotations, other.rotations, atol=1e-6)
        still = CutViews(
            prepare_series(one.images, one.geometry, image_options), replace(one.particles[0], motion=None)
        )
        assert np.abs(still(place).images - own.images).max() > 0.05 * np.abs(own.images).max()
    rows = motion_rows(["soluble"], population.series)
    assert rows[0]["shift"] == 0 and rows[1]["shift"] > 10 and 3 < rows[1]["rotation"] < 6


def replace_particles(species, path):
    """Return a species with other particles."""
    values = {field.name: getattr(species, field.name).get() for field in species.FIELDS}
    return type(species)(**{**values, "particles_file": str(path)})


def test_zero_iterations_change_no_table(bench, monkeypatch):
    """Of two species in two sources."""
    monkeypatch.chdir(bench.project.path)
    simulated, given = bench.project.find("simulate"), bench.project.find("simulate").tilt_series
    folder = Path(simulated._getExtraPath("series")).absolute()
    for k in (1, 2):
        bench.run("import-tilt-series", f"source {k}", files=folder, pattern=f"sim_0{k}.xml")
    bench.run("create-species", "other", average="refine.average", subtomograms="refine.subtomograms",
              mask="mask.mask", diameter=180, name="other")  # fmt: skip
    bench.run("create-population", "both", tilt_series="source 1.tilt_series,source 2.tilt_series",
              species="species.species,other.species")  # fmt: skip
    bench.run("multi-particle-refinement", "nothing", population="both.population", **{**OWN, "iterations": 0})
    run = bench.project.find("nothing")
    for name, found in (("sim_01", run.tilt_series), ("sim_02", run.tilt_series_2)):
        assert found.tomogram_ids() == [name]
        points = np.random.default_rng(0).uniform(-250, 250, (9, 3))
        assert_allclose(found.geometry(name).project(points), given.geometry(name).project(points), atol=1e-3)
    before = bench.project.find("species").species.particle_series().frame()
    for after in (run.particle_series.frame(), run.particle_series_2.frame()):
        for column in ("x", "y", "z", "r11", "r23", "half"):
            assert_allclose(after[column].to_numpy(float), before[column].to_numpy(float))


def test_pictures_are_drawn(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    for kind in ("refinement", "movements", "curves"):
        png = tmp_path / f"{kind}.png"
        picture_of_output(bench.project.find("spatial"), "population", png, kind)
        assert png.stat().st_size > 20000


def test_what_a_refined_geometry_says_comes_back_from_its_table(tmp_path):
    rng, n = np.random.default_rng(0), 5
    ctf = Ctf(
        rng.normal(3e4, 500, n), rng.normal(2.9e4, 500, n), angle=rng.uniform(-90, 90, n), phase_shift=np.full(n, 9.0),
        cs=np.full(n, 2.6), amplitude_contrast=0.1,
    )  # fmt: skip
    rotations = tilt_rotations(np.linspace(-40, 40, n), rng.normal(5, 1, n), rng.normal(0, 1, n))
    geometry = TiltGeometry(
        rotations, rng.normal(0, 9, (n, 2)), ctf, 2.0 * np.arange(n), np.arange(n), np.zeros(n, bool),
        rng.uniform(0.5, 1, n), rng.uniform(5, 90, n), 5.0, (1000.0, 900.0), (1000.0, 900.0, 300.0),
        image_warp=ImageWarp(*rng.normal(0, 3, (2, n, 2, 3)), (1000.0, 900.0)),
        volume_warp=VolumeWarp(rng.normal(0, 3, (3, 1, 2, 2, 3)), (1000.0, 900.0, 300.0), (0.0, 8.0)),
        magnification=np.array([[1.01, 0.002], [-0.001, 0.99]]),
    )  # fmt: skip
    found = SetOfTiltSeries.create(tmp_path / "x.sqlite", pixel_size=5.0, voltage=300.0, cs=2.7, amplitude_contrast=0.1)
    row = {
        "tomogram_id": "a", "size_x": 200, "size_y": 180, "hand": 1, "volume_x": 1000.0, "volume_y": 900.0,
        "volume_z": 300.0, "warps": make_refined_cell(None, geometry, 2.7),
    }  # fmt: skip
    found.extend(pd.DataFrame([row]), images=image_columns(geometry).assign(tomogram_id="a"))
    found.write()
    again, points = found.geometry("a"), rng.uniform(-200, 200, (8, 3))
    assert_allclose(again.project(points), geometry.project(points), atol=1e-6)
    assert_allclose(again.sections, geometry.sections, atol=1e-9)
    k = np.linspace(0, 0.1, 20)
    assert_allclose(again.weights(k), geometry.weights(k), atol=1e-6)
    assert_allclose(again.ctf.values(k, k, dtype=float), geometry.ctf.values(k, k, dtype=float), atol=1e-6)


def test_a_store_forgets_what_depends_on_something_else(tmp_path):
    store = ArrayStore(str(tmp_path / "kept"), "these inputs")
    store.save(1, "a series", {"x": np.arange(3)})
    assert_allclose(store.load(1, "a series")["x"], [0, 1, 2])
    assert store.load(2, "a series") is None
    assert ArrayStore(store.folder, "others").load(1, "a series") is None
    assert [path.name for path in Path(store.folder).iterdir()] == ["it_001_a series.npz"]
