"""create-species and create-population: what belongs together, which tilts take part, bad input."""

import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.formats import read
from emtomo.io.star import read_blocks
from emtomo.io.warp import read_xml
from emtomo.objects import SetOfParticleSeries, positions_of, rotations_of
from emtomo.objects.exchange import export_output
from emtomo.objects.particle_motions import motions_of
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
    bench.run("postprocess", "post", average="refine.average")
    changed = {"average": "post.average", "mask": "soft.mask", "diameter": 0}
    run = bench.run("create-species", "softly", **{**SPECIES, **changed})
    assert not any("halves" in remark for remark in run._summary())
    soft = mrc.read_volume(bench.project.find("soft").mask.file.get())
    assert_allclose(mrc.read_volume(run.species.mask_file.get()), soft, atol=1e-6)
    # six voxels to each side, the edge up to one half, and the centre
    assert run.species.diameter.get() == pytest.approx(10 * (2 * 8 + 1), abs=20)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subtomograms": "export.subtomograms"}, "are in no half set: take those that refine-poses gives"),
        ({"average": "first.average"}, "are made from subtomograms in no half set, drawn at random"),
        ({"diameter": 900}, "Diameter must be at most the average's box, 240 Å, got 900 Å"),
        ({"symmetry": "Q7"}, "Q7"),
        ({"name": "../x"}, "Name must be a plain name"),
        ({"name": " "}, "Name must not be empty"),
    ],
)
def test_bad_species_are_reported(bench, changed, message):
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


def test_bad_populations_are_reported(bench, tmp_path):
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


def test_a_damaged_list_is_reported(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("create-population", "damaged", tilt_series="simulate.tilt_series", species="species.species")
    path = Path(run.population.file.get())
    whole = json.loads(path.read_text())
    incomplete = [{**one, "mask_file": None} for one in whole["species"]]
    for wrong, said in (
        ({}, "no sources"),
        ({"sources": [], "species": whole["species"]}, "no sources"),
        ({"sources": 1, "species": whole["species"]}, "no sources"),
        ({**whole, "species": {}}, "no species"),
        ({**whole, "species": [1]}, "no name, file, .* for species 1"),
        ({**whole, "species": incomplete}, "no mask_file for species 1"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(EmtomoError, match=f"population.json: the list of a population must .* has {said}; run"):
            run.population.members()
    strange = {**whole, "species": [{**one, "colour": 1} for one in whole["species"]]}
    for text in ("[", "[" * 100_000, json.dumps(strange)):
        path.write_text(text)
        with pytest.raises(EmtomoError, match=r"population.json.* cannot be read .* run what made it again"):
            run.population.members()
    path.write_text("[]")
    with pytest.raises(EmtomoError, match=r"population.json: named values .* are needed"):
        run.population.members()
    assert run.population.parts() == []


def let_move(species):
    """Give the particles of a species poses at three doses."""
    series = species.particle_series()
    frame, values = series.frame(), {f.name: getattr(series, f.name).get() for f in series.FIELDS}
    frame["motion"] = [f"[[0,0,0,0,0,0],[1,2,-1,{k},0,1],[4,0,2,-3,{2 * k},5]]" for k in range(len(frame))]
    SetOfParticleSeries.save(species.particles_file.get(), frame, **values)


def test_a_population_goes_to_m_and_comes_back(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    let_move(bench.project.find("species").species)
    run = bench.run("create-population", "for m", tilt_series="simulate.tilt_series", species="species.species",
                    first_tilts=7)  # fmt: skip
    export_output(run, "population", tmp_path / "a population")
    folder = tmp_path / "a population"
    root = ET.parse(folder / "a population.population").getroot()
    (species,), (source,) = root.findall("Species/Species"), root.findall("Sources/Source")
    path = folder / source.get("Path")
    listed = ET.parse(path).getroot()
    values = {p.get("Name"): p.get("Value") for p in listed.findall("Param")}
    assert (values["PixelSize"], values["FrameLimit"], values["GUID"]) == ("10", "7", source.get("GUID"))
    assert (values["DimensionsX"], values["DimensionsY"], values["DimensionsZ"]) == ("110", "100", "50")
    files = {f.get("Name"): f.get("Hash") for f in listed.findall("Files/File")}
    assert set(files) == {"sim_01.tomostar", "sim_02.tomostar"}
    for name, key in files.items():
        assert hashlib.sha1((path.parent / name).read_bytes()).hexdigest().upper() == key
    mine = folder / species.get("Path")
    table = read_blocks(mine.with_name("soluble_particles.star"))["particles"]
    assert set(table["wrpSourceHash"]) == set(files.values())
    series = read_xml(path.parent / "sim_01.xml")
    assert (series.column("excluded") == 0).sum() == 7
    images = bench.project.path + "/" + bench.project.find("simulate")._getExtraPath("series")
    bench.run("import-tilt-series", "back", files=path.parent, images_folder=images)
    back = bench.run("import-species", "species back", file=mine, tilt_series="back.tilt_series").species
    own = bench.project.find("species").species
    for name in ("symmetry", "pixel_size", "box_size", "diameter", "name", "particles"):
        assert getattr(back, name).get() == getattr(own, name).get()
    a, b = own.particle_series().frame(), back.particle_series().frame()
    assert_allclose(positions_of(a), positions_of(b), atol=1e-3)
    assert_allclose(rotations_of(a), rotations_of(b), atol=1e-5)
    for one, other in zip(vars(motions_of(a)).values(), vars(motions_of(b)).values(), strict=True):
        assert_allclose(one, other, atol=2e-3)
    assert list(a["half"]) == list(b["half"]) and list(a["tomogram_id"]) == list(b["tomogram_id"])
    for file in ("half1_file", "half2_file", "mask_file"):
        assert_allclose(*(mrc.read_volume(getattr(s, file).get()) for s in (own, back)))
    with pytest.raises(EmtomoError, match="is there already: a population is written into a new or empty folder"):
        export_output(run, "population", folder)


def test_the_particles_of_a_species_go_to_relion(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.project.find("species")
    export_output(run, "species", tmp_path / "p.star")
    found = read(tmp_path / "p.star")
    wanted = run.species.particle_series().frame()
    assert_allclose(found.centres * 10, positions_of(wanted) + 10 * np.array([55, 50, 25]), atol=1e-3)
    assert list(found.columns["half"]) == list(wanted["half"])
    export_output(run, "species", tmp_path / "map.mrc")
    assert mrc.read_header(tmp_path / "map.mrc").shape == (24, 24, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Diameter", "x Diameter"), "DiameterAngstrom must be a number above 0, got ''"),
        (("<Species>", "<Specie>"), "not XML"),
        (("soluble", "../x"), "Name must be a plain name"),
        (('"C1"', '"Z9"'), "Z9"),
        (None, "soluble_half1.mrc must lie beside it, and is not there"),
    ],
)
def test_damaged_species_of_m_are_reported(bench, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("create-population", f"m {tmp_path.name[-12:]}", tilt_series="simulate.tilt_series",
                    species="species.species")  # fmt: skip
    export_output(run, "population", tmp_path / "m")
    path = next((tmp_path / "m").glob("species/*/*.species"))
    if change is None:
        path.with_name("soluble_half1.mrc").unlink()
    else:
        path.write_text(path.read_text().replace(*change))
    assert message in _fail(bench, "import-species", file=path, tilt_series="simulate.tilt_series")
