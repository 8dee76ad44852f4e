"""The single-particle walkthrough in one command, on a few simulated particles, against the truth."""

import numpy as np
import pytest

from emtomo.engine.project import EmtomoProject
from tests.command import emtomo

pytestmark = [pytest.mark.workflow, pytest.mark.slow]  # thirteen runs: a minute and more of processor time
TINY = {"number": 4, "per_micrograph": 14, "size_x": 448, "size_y": 448, "pixel_size": 4, "snr": 0.4, "junk": 1,
        "ctf_resolution": 9, "box_size": 64, "rescale": 32, "classes": 4, "iterations": 10, "filter_to": 40,
        "model_iterations": 3}  # fmt: skip
RUNS = 13


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single particles") / "p"
    sets = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    done = emtomo("workflow", "single_particle_initial_model", "--project", folder, *sets)
    assert done.returncode == 0, done.stderr[-3000:]
    return EmtomoProject.open(folder)


def test_every_run_finishes_and_names_what_it_made(project):
    runs = [run for run in project.runs_now() if run.isFinished()]
    assert len(runs) == RUNS
    model = project.find("initial model").average
    assert model.pixel_size.get() == pytest.approx(4 * 64 / 32)
    assert "correlated" in " ".join(project.find("symmetrize")._remarks())


def test_picks_are_the_particles(project):
    """Templates made of what blobs picked find the particles, near their centres."""
    truth, found = project.find("simulate").truth, project.find("pick with templates").coordinates
    hits, errors = 0, []
    for name in truth.group_ids():
        distance = np.linalg.norm(truth.positions(name)[:, None] - found.positions(name)[None], axis=2)
        nearest = distance.min(axis=1)
        hits += int((nearest < 60).sum())
        errors += nearest[nearest < 60].tolist()
    assert hits / len(truth) >= 0.85 and hits / len(found) >= 0.75
    assert np.median(errors) < 8


def test_particles_keep_their_ctf_and_numbers(project):
    frame = project.find("select").particles.frame()
    assert np.isfinite(frame["defocus_u"]).all() and frame["particle_id"].is_unique
    known = project.find("simulate").micrographs.frame().set_index("micrograph_id")["defocus_u"]
    assert (frame["defocus_u"] - frame["micrograph_id"].map(known)).abs().median() < 400
