"""The refinement protocols, run as a user runs them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.symmetry import symmetric_angle
from emtomo.engine.parameters import set_parameters
from emtomo.engine.project import error_of
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.particles_star import read_subtomograms, write_particles
from emtomo.objects import rotations_of
from emtomo.objects.particle_source import particles_of
from tests.compute.refinement.data import PIXEL, blobs, particles, turned_by, wedge
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
N, COUNT = 24, 24


class OtherParticles(list):
    """What a refinement has as source, of another size and number."""

    size = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A STAR file of C3 particles 12 degrees off, their CTF volume, reference and truth."""
    folder = tmp_path_factory.mktemp("some data")
    volume = blobs(N, "C3", count=6)
    _, truth, boxes = particles(volume, COUNT, 2.0)
    stack = folder / "boxes.mrc"
    with mrc.StackWriter(stack, boxes.shape, PIXEL, COUNT) as writer:
        writer.batch(COUNT)[:] = boxes
    mrc.write_volume(folder / "ctf.mrc", np.fft.fftshift(full_wedge()).astype(np.float32), PIXEL)
    mrc.write_volume(folder / "reference.mrc", volume, PIXEL)
    frame = pd.DataFrame(
        {
            "tomogram_id": "TS_1",
            "file": str(stack),
            "index": np.arange(COUNT),
            "ctf_file": str(folder / "ctf.mrc"),
            **{f"coordinate_{a}": 50.0 for a in "xyz"},
            **{f"shift_{a}": np.zeros(COUNT) for a in "xyz"},
        }
    )
    write_particles(folder / "particles.star", frame, turned_by(truth.rotations, 12, 2), PIXEL, N)
    return folder, truth, volume


def full_wedge():
    half = wedge(N)
    full = np.zeros((N, N, N))
    full[:, :, : N // 2 + 1] = half
    back = np.arange(N // 2 + 1, N)
    index = (-np.arange(N)) % N
    full[:, :, back] = half[np.ix_(index, index, (-back) % N)]
    return full


@pytest.fixture(scope="module")
def bench(data, tmp_path_factory):
    folder, _, _ = data
    bench = Bench(tmp_path_factory.mktemp("p") / "project")
    bench.run("import-subtomograms", "boxes", files=folder / "particles.star")
    bench.run("import-volume", "reference", file=folder / "reference.mrc")
    return bench


REFINE = {"symmetry": "C3", "initial_lowpass": 60, "angular_step": 1.8, "mask_diameter": 200}


@pytest.fixture(scope="module")
def refined(bench):
    return bench.run(
        "refine-poses", "refine", subtomograms="boxes.subtomograms", reference="reference.volume", **REFINE
    )


def test_the_whole_path_from_boxes_to_a_sharpened_map(bench, refined, data):
    _, truth, volume = data
    first = bench.run("reconstruct-average", "average", subtomograms="boxes.subtomograms", symmetry="C3")
    assert first.average.particles.get() == COUNT
    assert first.fsc.resolution.get() > refined.fsc.resolution.get()
    frame = refined.subtomograms.frame()
    assert np.median(symmetric_angle(rotations_of(frame), truth.rotations, "C3")) < 4
    assert sorted(frame["half"].unique()) == [1, 2]
    assert (frame["certainty"] > 0.5).mean() > 0.9
    assert frame["angle_spread"].between(0.1, 10).all()
    assert np.corrcoef(mrc.read_volume(refined.average.file.get()).ravel(), volume.ravel())[0, 1] > 0.9
    metrics = pd.read_csv(refined._getExtraPath("metrics.csv"))
    assert metrics["iteration"].tolist() == list(range(1, len(metrics) + 1))
    mask = bench.run("create-mask", "mask", volume="refine.average", lowpass=40, extend=2, soft_edge=3)
    assert 0 < mrc.read_volume(mask.mask.file.get()).mean() < 0.6
    post = bench.run(
        "postprocess", "post", average="refine.average", mask="mask.mask", bfactor=-100, local_resolution="yes"
    )
    assert post.fsc.resolution.get() < 60
    assert mrc.read_volume(post.resolution_map.file.get()).max() > 20
    header = Path(post.fsc.file.get()).read_text().splitlines()[0]
    assert header == "frequency,corrected,unmasked,masked,randomised"
    aligned = bench.run(
        "align-symmetry", "align", volume="refine.average", symmetry="C3", subtomograms="refine.subtomograms"
    )
    again = bench.run("reconstruct-average", "again", subtomograms="align.subtomograms", symmetry="C3")
    turned = mrc.read_volume(aligned.volume.file.get())
    assert np.corrcoef(mrc.read_volume(again.average.file.get()).ravel(), turned.ravel())[0, 1] > 0.9
    bench.run("symmetrize", "symmetrize", volume="align.volume", symmetry="C3")
    written = bench.run("export-particles-star", "export", subtomograms="refine.subtomograms")
    table = read_subtomograms(written._getExtraPath("particles.star"))
    assert np.allclose(table.particles.rotations, rotations_of(frame), atol=1e-5)
    assert np.allclose(table.particles.shifts, frame[["shift_x", "shift_y", "shift_z"]], atol=1e-5)
    assert (table.particles.tags.weights, table.particles.tags.white) == ("ctf", True)


@pytest.mark.parametrize("weights", ["ctf", "ctf_squared"])
def test_what_the_boxes_weights_are_survives_export_and_import(bench, data, weights, tmp_path):
    folder, _, _ = data
    given = {"files": folder / "particles.star", "weights": weights, "white": "no"}
    before = bench.run("import-subtomograms", f"as {weights}", **given).subtomograms
    target = tmp_path / "again.star"
    bench.run("export-particles-star", f"out {weights}", subtomograms=f"as {weights}.subtomograms", file=target)
    back = bench.run("import-subtomograms", f"again {weights}", files=target).subtomograms
    assert (back.weights.get(), bool(back.white.get())) == ("ctf", False)
    power = 1 if weights == "ctf" else 2  # squared ones go out as their roots, which RELION squares
    ours, theirs = (mrc.read_volume(s.frame()["ctf_file"][0]) for s in (before, back))
    assert np.allclose(theirs**power, ours, atol=1e-5)


def test_a_set_of_boxes_is_read_as_it_is(bench, data):
    folder, _, _ = data
    boxes = bench.project.find("boxes").subtomograms
    frame = boxes.frame()
    source = particles_of(boxes, frame)
    stored = mrc.read_volume(folder / "boxes.mrc").reshape(COUNT, N, N, N)
    assert np.array_equal(source.box(5), stored[5])
    assert np.allclose(source.weight(source.keys[0]), wedge(N), atol=1e-6)


def test_a_reference_of_another_size_is_fitted_and_said(bench, data, tmp_path):
    _, _, volume = data
    large = np.zeros((60, 60, 60), np.float32)
    large[6:54, 6:54, 6:54] = np.kron(volume, np.ones((2, 2, 2)))
    mrc.write_volume(tmp_path / "large.mrc", large, PIXEL / 2)
    bench.run("import-volume", "large", file=tmp_path / "large.mrc")
    run = bench.run(
        "refine-poses",
        "with large",
        subtomograms="boxes.subtomograms",
        reference="large.volume",
        max_iterations=1,
        **REFINE,
    )
    reported = " ".join(run._remarks())
    assert "The reference was resampled from 60 voxels of 5 Å to 24 voxels of 10 Å." in reported
    other = bench.run(
        "refine-poses",
        "other symmetry",
        subtomograms="boxes.subtomograms",
        reference="reference.volume",
        max_iterations=1,
        **REFINE | {"symmetry": "D4"},
    )
    assert "hardly has the symmetry D4" in " ".join(other._remarks())


def test_a_killed_refinement_goes_on_to_the_same_result(bench, refined, data, monkeypatch):
    project = bench.project
    i = bench.add("refine-poses", "killed", subtomograms="boxes.subtomograms", reference="reference.volume", **REFINE)
    code = (
        "import sys; from emtomo.engine.project import EmtomoProject; from emtomo.engine.runner import run_all; "
        f"p = EmtomoProject.open({project.path!r}); run_all(p, [{i}])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    run = project.find("killed")
    kept = Path(project.path) / run._getExtraPath("iterations") / "it_002.npz"
    for _ in range(2400):  # a busy machine starts programs slowly
        if kept.exists() or child.poll() is not None:
            break
        time.sleep(0.05)
    assert kept.exists()
    pid = json.loads((Path(project.path) / run._getLogsPath("progress.json")).read_text())["pid"]
    for one in (child.pid, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    child.wait()
    stamp = kept.stat().st_mtime_ns
    states = bench.go(i)
    assert states[i] == "finished", error_of(project.find("killed"))
    assert kept.stat().st_mtime_ns == stamp  # the iterations before were not run again
    done = project.find("killed")
    a, b = (rotations_of(r.subtomograms.frame()) for r in (done, project.find("refine")))
    assert np.abs(a - b).max() < 1e-6
    first, second = (mrc.read_volume(r.average.file.get()) for r in (done, project.find("refine")))
    assert np.array_equal(first, second)
    # and back to an iteration of one's choice, with other parameters
    set_parameters(project, done, {"continue_from": "1", "max_iterations": "3"}, Path("/"))
    project.amend(done)
    before = pd.read_csv(Path(project.path) / done._getExtraPath("metrics.csv"))
    assert bench.go(i)[i] == "finished", error_of(project.find("killed"))
    after = pd.read_csv(Path(project.path) / done._getExtraPath("metrics.csv"))
    assert after["iteration"].tolist() == [1, 2, 3]
    assert after.iloc[0].equals(before.iloc[0])
    done = project.find("killed")
    monkeypatch.chdir(project.path)
    with pytest.raises(EmtomoError, match="cannot be continued as 3 in boxes of 12 voxels"):
        done._last_state(SimpleNamespace(source=OtherParticles([1, 2, 3])))


def test_bad_input_is_reported_in_a_sentence(bench, data, tmp_path):
    folder, _, _ = data
    chain = {"subtomograms": "boxes.subtomograms", "reference": "reference.volume"}

    def wrong(name, **values):
        with pytest.raises(Exception) as caught:
            i = bench.add(name, f"bad {np.random.default_rng().integers(1e9)}", **values)
            run = bench.project.getProtocol(i)
            errors = run.validate()
            raise ValueError(" ".join(errors) or "nothing")
        return str(caught.value)

    assert "Symmetry must be" in wrong("refine-poses", **chain, symmetry="X")
    assert "Initial low-pass filter must be > 0 Å" in wrong("refine-poses", **chain, initial_lowpass=-3)
    assert "Iteration 9 of this run is not there" in wrong("refine-poses", **chain, continue_from=9)
    assert "Symmetry must be" in wrong("reconstruct-average", subtomograms="boxes.subtomograms", symmetry="0")
    assert "C1 has no axes" in wrong("align-symmetry", volume="reference.volume", symmetry="C1")
    assert "Symmetry must be" in wrong("symmetrize", volume="reference.volume", symmetry="Q")
    bench.run("import-volume", "whole", file=folder / "reference.mrc", kind="average")
    assert "no half maps" in wrong("postprocess", average="whole.average")
    assert "Give both half maps or none" in wrong(
        "import-volume", file=folder / "reference.mrc", kind="average", half1=folder / "reference.mrc"
    )
    mrc.write_volume(tmp_path / "flat.mrc", np.zeros((4, 8, 8), np.float32), 2.0)
    assert "maps and masks must be cubes" in wrong("import-volume", file=tmp_path / "flat.mrc")
    assert "a mask has values from 0 to 1" in bench.fails(
        "import-volume", "no mask", file=folder / "reference.mrc", kind="mask"
    )
    nowhere = tmp_path / "nowhere" / "a.star"
    assert "There is no folder" in wrong("export-particles-star", subtomograms="boxes.subtomograms", file=nowhere)
    assert "There is no file" in wrong("import-subtomograms", files=tmp_path / "none.star")
    lost = (folder / "particles.star").read_text().replace("boxes.mrc", "gone.mrc")
    (tmp_path / "lost.star").write_text(lost)
    assert "gone.mrc is missing" in bench.fails("import-subtomograms", "lost", files=tmp_path / "lost.star")


def test_reconstruction_from_the_set_equals_that_from_arrays(bench, data):
    _, truth, volume = data
    boxes = bench.project.find("boxes").subtomograms
    result = reconstruct(particles_of(boxes, boxes.frame()), truth, "C3")
    assert np.corrcoef(result.average.ravel(), volume.ravel())[0, 1] > 0.9


def test_the_template_that_starts_from_boxes(bench, data, tmp_path):
    """The runs of refine_imported_subtomograms up to the mask; the refinement itself is tested above."""
    from emtomo.engine.templates import add_workflow, read_template

    values = {"subtomograms": str(data[0] / "particles.star"), "diameter": "60"}
    made = add_workflow(bench.project, read_template("refine_imported_subtomograms"), values, tmp_path)
    states = bench.go(*[run.getObjId() for run in made[:3]])
    assert set(states.values()) == {"finished"}
    mask = bench.project.find(made[2].strId()).mask
    assert mask.pixel_size.get() == PIXEL and mask.box_size.get() == N
