"""create-species and create-population: what belongs together, which tilts take part, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import positions_of
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
SAMPLE = {
    "vesicles": 0, "soluble_proteins": 16, "size_x": 110, "size_y": 100, "size_z": 50, "pixel_size": 10,
    "tilt_step": 12, "number": 2, "position_error": 1, "snr": 2,
}  # fmt: skip
SPECIES = {"average": "refine.average", "subtomograms": "refine.subtomograms", "mask": "mask.mask", "diameter": 180}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("population") / "a project")
    made.run("simulate-tomograms", "simulate", **SAMPLE)
    made.run("export-particles", "export", tilt_series="simulate.tilt_series", coordinates="simulate.coordinates",
             box_size=24, diameter=180, missing_tilts=4, premultiply=True)  # fmt: skip
    made.run("reconstruct-average", "first", subtomograms="export.subtomograms")
    made.run("create-mask", "mask", volume="first.average", shape="sphere", diameter=160, soft_edge=0)
    made.run("refine-poses", "refine", subtomograms="export.subtomograms", reference="first.average", angular_step=1.8,
             max_iterations=1, initial_lowpass=50)  # fmt: skip
    made.run("create-species", "species", **SPECIES, name="soluble")
    return made


def test_a_species_is_its_maps_mask_and_poses(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    refined, species = bench.project.find("refine"), bench.project.find("species").species
    assert species.half1_file.get() == refined.average.half1_file.get()
    assert (species.name.get(), species.diameter.get(), species.symmetry.get()) == ("soluble", 180, "C1")
    wanted, found = refined.subtomograms.frame(), species.particle_series().frame()
    shifts = wanted[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
    assert np.abs(shifts).max() > 0.1
    assert_allclose(positions_of(found), positions_of(wanted) + shifts)
    assert not found[["shift_x", "shift_y", "shift_z"]].to_numpy(float).any()
    assert list(found["half"]) == list(wanted["half"]) and set(found["half"]) == {1, 2}
    assert species.particles.get() == len(wanted)


def test_a_binary_mask_is_softened_and_a_soft_one_stays(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    mask = mrc.read_volume(bench.project.find("species").species.mask_file.get())
    r = np.sqrt(((np.indices(mask.shape) - 12) ** 2).sum(axis=0))
    assert (mask[r <= 8 + 3 - 1] == 1).all() and not mask[r >= 8 + 3 + 6 + 1].any()
    assert ((mask > 0) & (mask < 1)).any()
    bench.run("create-mask", "soft", volume="first.average", shape="sphere", diameter=120, soft_edge=4)
    run = bench.run("create-species", "softly", **{**SPECIES, "mask": "soft.mask", "diameter": 0})
    soft = mrc.read_volume(bench.project.find("soft").mask.file.get())
    assert_allclose(mrc.read_volume(run.species.mask_file.get()), soft, atol=1e-6)
    # six voxels to each side, the edge up to one half, and the centre
    assert run.species.diameter.get() == pytest.approx(10 * (2 * 8 + 1), abs=20)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subtomograms": "export.subtomograms"}, "are in no half set: take those that refine-poses gives"),
        ({"diameter": 900}, "Diameter must be at most the average's box, 240 Å, got 900 Å"),
        ({"symmetry": "Q7"}, "Q7"),
        ({"name": "../x"}, "Name must be a plain name"),
        ({"name": " "}, "Name must not be empty"),
    ],
)
def test_bad_species_are_told(bench, changed, message):
    assert message in _fail(bench, "create-species", **{**SPECIES, **changed})


def _fail(bench, protocol, /, **values):
    try:
        return bench.fails(protocol, f"bad {len(bench.project.runs_now())}", **values)
    except EmtomoError as error:
        return str(error)


def test_a_population_knows_its_tilts_and_members(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("create-population", "population", tilt_series="simulate.tilt_series", species="species.species",
                    first_tilts=5)  # fmt: skip
    population = run.population
    assert (population.sources.get(), population.species.get(), population.tilt_series.get()) == (1, 1, 2)
    members = population.members()
    source, species = members.sources[0], members.species[0]
    assert species.name.get() == "soluble" and species.pixel_size.get() == 10
    assert population.particles.get() == len(species.particle_series()) == sum(n[0] for n in members.counts().values())
    geometry = members.geometry(source, "sim_01")
    taken = np.flatnonzero(~geometry.excluded)
    assert len(taken) == 5 and set(geometry.order[taken]) == {0, 1, 2, 3, 4}


def test_excluded_tilts_take_part_when_asked(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    bench.run("select-tilts", "select", tilt_series="simulate.tilt_series", max_angle=30)
    both = {"tilt_series": "select.tilt_series", "species": "species.species"}
    for label, include, wanted in (("without", "no", 5), ("with", "yes", 11)):
        members = bench.run("create-population", label, **both, include_excluded=include).population.members()
        assert (~members.geometry(members.sources[0], "sim_01").excluded).sum() == wanted


def test_bad_populations_are_told(bench, tmp_path):
    both = {"tilt_series": "simulate.tilt_series", "species": "species.species"}
    twice = _fail(bench, "create-population", **{**both, "species": "species.species,species.species"})
    assert "Two species are called soluble: each needs a name of its own." in twice
    twice = _fail(bench, "create-population", **{**both, "tilt_series": "simulate.tilt_series,simulate.tilt_series"})
    assert "Two tilt series are called sim_01" in twice
    (tmp_path / "other.tlt").write_text("-20\n0\n20\n")
    mrc.write_volume(tmp_path / "other.mrc", np.random.default_rng(1).normal(0, 1, (3, 64, 64)), 10.0, stack=True)
    bench.run("import-tilt-series", "other", files=tmp_path)
    away = _fail(bench, "create-population", **{**both, "tilt_series": "other.tilt_series"})
    assert "No particle of soluble lies in these tilt series" in away and "the series are other" in away


def test_a_damaged_list_is_told(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("create-population", "damaged", tilt_series="simulate.tilt_series", species="species.species")
    path = Path(run.population.file.get())
    for text in ("[", "{}", json.dumps({"sources": [], "species": [{"colour": 1}]})):
        path.write_text(text)
        with pytest.raises(EmtomoError, match=r"not the list of a population .* run create-population again"):
            run.population.members()
