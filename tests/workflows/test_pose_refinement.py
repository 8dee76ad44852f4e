"""The shipped pose_refinement template on a simulated lattice, as a user starts it: files in, a map of the ring out."""

from pathlib import Path

import numpy as np
import pytest

from emtomo.engine.parameters import protocol_named
from emtomo.engine.project import EmtomoProject
from emtomo.engine.templates import read_template
from emtomo.io import mrc
from tests.command import emtomo

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
LATTICE = {
    "arrangement": "hexagonal", "vesicles": 1, "vesicle_radius": 290, "soluble_proteins": 0, "size_x": 96,
    "size_y": 96, "size_z": 88, "pixel_size": 8, "tilt_step": 10, "snr": 2, "shift_error": 2, "rotation_error": 4,
    "position_error": 4,
}  # fmt: skip
SETTINGS = {
    "coarse_pixel_size": 16, "coarse_box": 16, "fine_pixel_size": 8, "fine_box": 32, "initial_lowpass": 45,
    "mask_extend": 1, "mask_soft_edge": 3, "mask_lowpass": 20, "unit_height": 120, "fine_lowpass": 30,
    "missing_tilts": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("lattice") / "it's a folder"
    made.mkdir()
    assert emtomo("new", made / "sample").returncode == 0
    done = emtomo("run", made / "sample", "simulate-tomograms", *(f"{k}={v}" for k, v in LATTICE.items()))
    assert done.returncode == 0, done.stderr
    return made


def _refine(folder, name, *more, template="pose_refinement"):
    extra = next((folder / "sample").glob("Runs/*_SimulateTomograms")) / "extra"
    values = {"tilt_series": extra / "series", "particles": extra / "particles.tbl"}
    values |= {"table_map": extra / "particles.doc", "particles_pixel_size": 8}
    words = [word for k, v in {**values, **SETTINGS}.items() for word in ("--set", f"{k}={v}")]
    done = emtomo("workflow", template, "--project", folder / name, *words, *more)
    assert done.returncode == 0, done.stderr
    return EmtomoProject.open(folder / name), mrc.read_volume(extra / "membrane.mrc")


@pytest.fixture(scope="module")
def refined(folder):
    """The project of pose_refinement, the simulated ring, and the report as it was then."""
    project, ring = _refine(folder, "refined")
    assert emtomo("report", project.path, "-o", folder / "report.html").returncode == 0
    return project, ring, (folder / "report.html").read_text(encoding="utf8")


def _parts(ring, volume):
    """Return ring and volume within a cylinder, and of both what a mirror turns around."""
    n, m = volume.shape[0], ring.shape[0]
    whole = np.zeros_like(volume)
    whole[(slice(n // 2 - m // 2, n // 2 - m // 2 + m),) * 3] = ring
    z, y, x = np.indices(volume.shape) - n // 2
    inside = (x * x + y * y < 5**2) & (np.abs(z) < 7)
    handed = [(one - np.roll(one[:, ::-1], 1, axis=1))[inside] for one in (whole, volume)]
    return whole[inside], volume[inside], *handed


def _against(ring, volume):
    """Return the correlation with the ring within a cylinder."""
    return np.corrcoef(*_parts(ring, volume)[:2])[0, 1]


def _hand(ring, volume):
    """Return the correlation of what changes its sign in a mirror: negative of the wrong hand."""
    return np.corrcoef(*_parts(ring, volume)[2:])[0, 1]


def test_one_command_gives_the_ring_and_its_hand(refined, monkeypatch):
    project, ring, text = refined
    monkeypatch.chdir(project.path)
    final = project.find("postprocess")
    assert final.isFinished() and 16 <= final.average.resolution.get() < 24
    coarse, fine = (mrc.read_volume(project.find(n).average.file.get()) for n in ("reconstruct fine", "refine fine"))
    good = _against(ring, fine)
    assert good > 0.85 and good > _against(ring, coarse) - 0.01 and _hand(ring, fine) > 0.3
    mask = mrc.read_volume(project.find("mask").mask.file.get())
    assert 0.02 < mask.mean() < 0.3
    poses = project.find("refine fine").particle_series
    assert (poses.pixel_size.get(), poses.box_size.get()) == (8, 32)
    assert len(poses) == project.find("refine coarse").particle_series.getSize() > 50
    assert "Resolution after every step" in text and text.count('<tr><td><a href="#run-') == 5


def test_the_template_of_multi_particle_refinement(folder, refined, monkeypatch):
    """It begins with the runs of pose_refinement: given a project of that, it goes on with what is finished there."""
    project = refined[0]
    monkeypatch.chdir(project.path)
    first = [run.getObjLabel() for run in project.runs_now()]
    steps = read_template("multi_particle_refinement").protocols
    assert len(first) == 8 and first == [step["object.label"] for step in steps[:8]]
    maps = {path: path.stat().st_mtime_ns for path in Path(project.path, "Runs").glob("*/extra/*.mrc")}
    for step in steps[8:]:  # a template goes on only if the project has all of its runs
        project.saveProtocol(project.new_run(protocol_named(step["object.className"]), step["object.label"]))
    project.closeMapper()
    project, ring = _refine(folder, "refined", "--set", "name=CA", template="multi_particle_refinement")
    assert len(maps) > 10 and {path: path.stat().st_mtime_ns for path in maps} == maps  # nothing was computed again
    runs = {label: project.find(label) for label in ("refine fine", "spatial", "most parameters")}
    assert all(run.isFinished() for run in runs.values())
    before, spatial, most = (run.average.resolution.get() for run in runs.values())
    assert most <= spatial + 0.5 <= before + 1.0  # never worse than the input
    population = runs["spatial"].population.members()
    assert [str(one.name.get()) for one in population.species] == ["CA"]
    assert len(population.sources) == 1 and population.sources[0].tomogram_ids() == ["sim_01"]
    found = mrc.read_volume(runs["most parameters"].average.file.get())  # not filtered
    assert _against(ring, found) > 0.5 and _hand(ring, found) > 0.3
    assert project.find("postprocess refined").isFinished()
    assert emtomo("report", project.path, "-o", folder / "together.html").returncode == 0
    text = (folder / "together.html").read_text(encoding="utf8")
    assert "ratio to the species before" in text and f"<td>{most / before:.2f}</td>" in text
    assert "3.1 Å when repeated (0.39)" in text
