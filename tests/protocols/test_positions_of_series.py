"""Particles whose place is known by tilt series alone: lists come in and go out in the frame of the tomogram."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.rotations import angle_between
from emtomo.errors import EmtomoError
from emtomo.io.formats import read
from emtomo.io.star import read_blocks
from emtomo.objects import positions_of, rotations_of
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
SAMPLE = {
    "vesicles": 0, "soluble_proteins": 6, "size_x": 90, "size_y": 85, "size_z": 60, "pixel_size": 8, "tilt_step": 20,
    "number": 2, "position_error": 1, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("series only") / "a project")
    run = made.run("simulate-tomograms", "simulate", **SAMPLE)
    folder = made.project.path + "/" + run._getExtraPath()
    made.run("import-tilt-series", "import", files=folder + "/series")
    return made


def _extra(bench):
    return bench.project.path + "/" + bench.project.find("simulate")._getExtraPath()


def test_what_the_simulation_writes_is_what_it_registers(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    simulated, imported = (bench.project.find(n).tilt_series for n in ("simulate", "import"))
    for name in ("sim_01", "sim_02"):
        a, b = simulated.geometry(name), imported.geometry(name)
        assert_allclose(a.rotations, b.rotations, atol=1e-6)
        assert_allclose(a.dose, b.dose)
        assert_allclose(a.ctf.defocus_u, b.ctf.defocus_u)
        assert a.volume_size == b.volume_size and (a.order == b.order).all()
        assert simulated.shape(name) == imported.shape(name) == (60, 85, 90)
        assert imported.shape(name, 16.0) == (30, 42, 45)


def test_a_table_comes_in_by_tilt_series_as_by_tomograms(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    tables = {"files": _extra(bench) + "/particles.tbl", "table_map": _extra(bench) + "/particles.doc"}
    wanted = bench.project.find("simulate").coordinates.frame()
    for label, source in (("of series", "import.tilt_series"), ("of tomograms", "simulate.tomograms")):
        run = bench.run("import-coordinates", label, tomograms=source, **tables)
        frame = run.coordinates.frame()
        assert_allclose(positions_of(frame), positions_of(wanted), atol=1e-4)
        assert angle_between(rotations_of(frame), rotations_of(wanted)).max() < 0.01
        assert list(frame["tomogram_id"]) == list(wanted["tomogram_id"])


def test_positions_count_in_the_tomogram_of_their_own_pixel_size(bench, tmp_path, monkeypatch):
    """A table of a tomogram of 24 Å: 30 × 28 × 20 voxels, centre 15, 14, 10, though 85 / 3 is no whole number."""
    monkeypatch.chdir(bench.project.path)
    (tmp_path / "sim_02.txt").write_text("15 14 10\n18 14 10\n")
    run = bench.run("import-coordinates", "coarse", tomograms="import.tilt_series", files=tmp_path / "sim_02.txt",
                    pixel_size=24)  # fmt: skip
    assert_allclose(positions_of(run.coordinates.frame()), [[0, 0, 0], [72, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", ["relion3.1", "warp", "m", "dynamo"])
def test_lists_go_out_from_the_first_voxel(bench, kind, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    if "coordinates" not in [r.getObjLabel() for r in bench.project.runs_now()]:
        bench.run("import-coordinates", "coordinates", tomograms="import.tilt_series",
                  files=_extra(bench) + "/particles.tbl", table_map=_extra(bench) + "/particles.doc")  # fmt: skip
    run = bench.run("export-coordinates", f"export {kind[:4]}", particles="coordinates.coordinates", format=kind)
    path = next(p for p in (Path(bench.project.path) / run._getExtraPath()).glob("particles.*") if p.suffix != ".doc")
    found = read(path)
    scale = 1 if found.unit == "angstrom" else 8
    wanted = positions_of(bench.project.find("coordinates").coordinates.frame())
    assert_allclose(found.centres * scale, wanted + 8 * np.array([45, 42, 30]), atol=1e-2)


def test_particles_star_counts_from_the_first_voxel(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    bench.run("import-coordinates", "some", tomograms="import.tilt_series", files=_extra(bench) + "/particles.tbl",
              table_map=_extra(bench) + "/particles.doc")  # fmt: skip
    bench.run("export-particles", "export", tilt_series="import.tilt_series", coordinates="some.coordinates",
              pixel_size=16, box_size=16, diameter=150, missing_tilts=6)  # fmt: skip
    run = bench.run("export-particles-star", "star", subtomograms="export.subtomograms")
    table = read_blocks(Path(bench.project.path) / run._getExtraPath("particles.star"))["particles"]
    frame = bench.project.find("export").subtomograms.frame()
    found = table[[f"rlnCoordinate{a}" for a in "XYZ"]].to_numpy(float) * 16
    assert_allclose(found, positions_of(frame) + 8 * np.array([45, 42, 30]), atol=1e-2)


def test_a_series_without_volume_is_reported(bench, tmp_path):
    text = (Path(bench.project.path) / bench.project.find("simulate")._getExtraPath("series", "sim_01.xml")).read_text()
    start = text.index(' VolumeDimensionsAngstrom="')
    (tmp_path / "sim_01.xml").write_text(text[:start] + text[text.index('"', start + 28) + 1 :])
    (tmp_path / "sim_01.txt").write_text("10 10 10\n")
    files = {"files": tmp_path / "sim_01.xml", "images_folder": _extra(bench) + "/series"}
    bench.run("import-tilt-series", "no volume", **files)
    reported = bench.fails("import-coordinates", "nowhere", tomograms="no volume.tilt_series",
                       files=tmp_path / "sim_01.txt", pixel_size=8)  # fmt: skip
    assert "sim_01: the size of its tomogram is not known: give it where the tilt series are imported." in reported
    bench.run("import-tilt-series", "thick", **files, thickness=480)
    run = bench.run("import-coordinates", "here", tomograms="thick.tilt_series", files=tmp_path / "sim_01.txt",
                    pixel_size=8)  # fmt: skip
    assert_allclose(positions_of(run.coordinates.frame()), [[-280, -256, -160]], atol=1e-6)
    try:
        reported = bench.fails("import-tilt-series", "wide", **files, width=700)
    except EmtomoError as error:
        reported = str(error)
    assert "the metadata do not say how thick the tomogram is" in reported
