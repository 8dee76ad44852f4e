"""classify-2d and select-classes in a project: objects, continuation, selection, bad input."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.io import mrc
from emtomo.objects import SetOfParticles
from emtomo.objects.selection import write_selection
from tests.compute.classification.data import DIAMETER, PIXEL, purity, simulate
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
MICROGRAPHS = ("a mic", "b 'mic'", "c")
OPTIONS = {"particles": "source.particles", "number_of_classes": 5, "iterations": 5, "mask_diameter": DIAMETER}
IMAGES = simulate(32, 150, 3, 0.4, junk=30, groups=3)


def particles_frame(folder, values, images):
    stack = folder / "extra" / "images.mrcs"
    mrc.write_volume(stack, values, PIXEL, stack=True)
    n = len(values)
    ctf = images.ctf
    return pd.DataFrame(
        {
            "particle_id": np.arange(1, n + 1),
            "micrograph_id": np.array(MICROGRAPHS, object)[images.group],
            "x": np.arange(n) * 10.0,
            "y": 5.0,
            "file": str(stack),
            "index": np.arange(n),
            "defocus_u": ctf.defocus_u,
            "defocus_v": ctf.defocus_v,
            "defocus_angle": ctf.angle,
        }
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with dark particles of three kinds and junk, and some sets that cannot be classified."""
    made = Bench(tmp_path_factory.mktemp("classify") / "a project")
    source = made.project.new_run(protocol_named("simulate-micrographs"), "source")
    made.project.saveProtocol(source)
    folder = Path(source.getWorkingDir())
    (folder / "extra").mkdir(parents=True)
    frame = particles_frame(folder, -IMAGES.values, IMAGES)
    optics = {"pixel_size": PIXEL, "box_size": 32, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
    good = SetOfParticles.create(folder / "particles.sqlite", white=False, **optics)
    good.extend(frame)
    source._register(None, particles=good)
    source.setStatus("finished")
    made.project._storeProtocol(source)
    for name, rows, values in (
        ("blind", frame.assign(defocus_u=np.nan), {}),
        ("multiplied", frame, {"premultiplied": True}),
        ("empty", frame[:0], {}),
    ):
        other = made.project.new_run(protocol_named("simulate-micrographs"), name)
        made.project.saveProtocol(other)
        (Path(other.getWorkingDir()) / "extra").mkdir(parents=True)
        given = SetOfParticles.create(Path(other.getWorkingDir()) / "particles.sqlite", white=False, **optics, **values)
        given.extend(rows)
        other._register(None, particles=given)
        other.setStatus("finished")
        made.project._storeProtocol(other)
    made.project.mapper.commit()
    made.run("classify-2d", "classes", **OPTIONS)
    return made


@pytest.fixture(autouse=True)
def in_project(bench):
    os.chdir(bench.project.path)


def said(bench, name, **parameters):
    """What validation says, without a run."""
    run = bench.project.new_run(protocol_named(name), "x")
    set_parameters(bench.project, run, {k: str(v) for k, v in parameters.items()}, Path("/"))
    return " ".join(run._validate())


def test_classes_and_particles_belong_together(bench):
    run = bench.project.find("classes")
    table, frame = run.classes.frame(), run.particles.frame()
    assert table["class_number"].tolist() == [1, 2, 3, 4, 5] and run.classes.particles.get() == 180
    counts = frame["class_number"].value_counts()
    assert table["members"].tolist() == [int(counts.get(k, 0)) for k in table["class_number"]]
    assert table["share"].sum() == pytest.approx(1) and table["members"].sum() == 180
    for row in table[table["members"] > 0].itertuples():
        assert frame["gain"][frame["class_number"] == row.class_number].mean() == pytest.approx(row.gain)
    real = IMAGES.label >= 0
    assert purity(IMAGES.label[real], frame["class_number"].to_numpy()[real]) > 0.9
    assert mrc.read_header(table["file"][0]).pixel_size == pytest.approx(PIXEL)
    assert np.array_equal(frame["particle_id"], np.arange(1, 181))
    assert any("optimistic" in line for line in run._summary())
    assert len(pd.read_csv(run._getExtraPath("metrics.csv"))) == 5


def test_members_averaged_by_their_psi_and_shift_look_like_their_class(bench):
    """The columns mean what the objects say: the average turned by psi and moved by the shift is the particle."""
    from emtomo.compute.classification.splitting import align_images

    run = bench.project.find("classes")
    table, frame = run.classes.frame(), run.particles.frame()
    largest = table.sort_values("members").iloc[-1]
    mine = (frame["class_number"] == largest["class_number"]).to_numpy()
    flipped = _phase_flipped(IMAGES.values[mine], run.particles.ctf(frame[mine]))
    shift = frame[["shift_x", "shift_y"]].to_numpy(float)[mine] / PIXEL
    mean = align_images(flipped, -frame["psi"].to_numpy(float)[mine], shift).mean(0)
    average = mrc.open_volume(largest["file"])[int(largest["index"])]
    disc = np.hypot(*(np.indices((32, 32)) - 16)) < 9
    assert np.corrcoef(mean[disc], average[disc])[0, 1] > 0.85


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_relion_adds_exported_members_up_to_their_class_average(bench, tmp_path):
    """RELION 3.1.3 takes in-plane angles, shifts and CTF as they are meant: of other signs it makes another image."""
    table = bench.project.find("classes").classes.frame()
    largest = table.sort_values("members").iloc[-1]
    chosen = {"classes": largest["class_number"], "names": "a mic, c"}  # a STAR file holds no quotes
    bench.run("select-subset", "members", items="classes.particles", **chosen)
    bench.run("export-particles-2d", "exported", particles="members.subset", file=tmp_path / "members.star")
    average = mrc.open_volume(largest["file"])[int(largest["index"])]
    disc = np.hypot(*(np.indices((32, 32)) - 16)) < 10
    whole = starfile.read(tmp_path / "members.star")
    alike = {}
    for changed in ("", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"):
        particles = whole["particles"].assign(**({changed: -whole["particles"][changed]} if changed else {}))
        starfile.write({**whole, "particles": particles}, tmp_path / "given.star", overwrite=True)
        command = ["relion_reconstruct", "--i", "given.star", "--o", "map.mrc", "--ctf", "--angpix", str(PIXEL)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        projection = mrc.read_volume(tmp_path / "map.mrc").sum(axis=0)
        alike[changed] = np.corrcoef(projection[disc], average[disc])[0, 1]
    assert alike[""] > 0.9 and alike[""] - 0.05 > max(alike[name] for name in alike if name), alike


def _phase_flipped(images, ctf):
    spectra = np.fft.rfft2(images)
    flips = np.stack([np.sign(ctf[i].image((32, 32), PIXEL)) for i in range(len(images))])
    return np.fft.irfft2(spectra * flips, (32, 32)).astype(np.float32)


def test_a_run_that_was_killed_goes_on_to_the_same_result(bench):
    project = bench.project
    options = {**OPTIONS, "iterations": 60}  # long enough to be killed in the middle
    whole = bench.run("classify-2d", "whole", **options)
    i = bench.add("classify-2d", "killed", **options)
    code = (
        "import sys; from emtomo.engine.project import EmtomoProject; from emtomo.engine.runner import run_all; "
        f"p = EmtomoProject.open({project.path!r}); run_all(p, [{i}])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    run = project.find("killed")
    folder = Path(project.path) / run._getExtraPath("iterations")
    for _ in range(4800):  # a busy machine starts programs slowly
        if (folder / "it_002.npz").exists() or child.poll() is not None:
            break
        time.sleep(0.02)
    pid = json.loads((Path(project.path) / run._getLogsPath("progress.json")).read_text())["pid"]
    for one in (child.pid, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    child.wait()
    done = sorted(folder.glob("it_*.npz"))
    assert 2 <= len(done) < 60
    stamps = [path.stat().st_mtime_ns for path in done]
    assert bench.go(i)[i] == "finished"
    assert [path.stat().st_mtime_ns for path in done] == stamps  # the iterations before were not run again
    resumed = project.find("killed")
    columns = ["class_number", "psi", "shift_x", "shift_y", "gain", "certainty"]
    assert resumed.particles.frame()[columns].equals(whole.particles.frame()[columns])
    averages = [mrc.read_volume(run._getExtraPath("averages.mrcs")) for run in (resumed, whole)]
    assert np.array_equal(*averages)


def test_a_run_goes_on_with_more_iterations_and_finer_sampling(bench):
    first = bench.run("classify-2d", "more", **{**OPTIONS, "iterations": 3})
    kept = Path(first._getExtraPath("iterations")) / "it_003.npz"
    before = kept.read_bytes()
    changed = {"iterations": "5", "psi_step": "4", "continue_from": "3"}
    set_parameters(bench.project, first, changed, Path("/"))
    bench.project.amend(first)
    bench.go(first.getObjId())
    run = bench.project.find("more")
    metrics = pd.read_csv(run._getExtraPath("metrics.csv"))
    assert metrics["iteration"].tolist() == [1, 2, 3, 4, 5] and kept.read_bytes() == before
    assert "Iteration 9 of this run is not there" in said(bench, "classify-2d", **OPTIONS, continue_from=9)


def test_selections(bench):
    classes = bench.project.find("classes").classes
    table = classes.frame()
    best = bench.run("select-classes", "best", classes="classes.classes", automatic=True)
    assert 1 <= len(best.class_averages) < 5
    kept, rejected = best.particles.frame(), best.rejected.frame()
    assert len(kept) + len(rejected) == 180
    junk = IMAGES.label[rejected["particle_id"].to_numpy() - 1] < 0
    assert junk.sum() >= 25 and (IMAGES.label[kept["particle_id"].to_numpy() - 1] >= 0).mean() > 0.95
    assert set(kept["class_number"]) <= set(best.class_averages.frame()["class_number"])
    path = Path("chosen by hand.txt")
    write_selection(path, classes, np.array([2, 3]))
    hand = bench.run("select-classes", "hand", classes="classes.classes", selection=path.absolute(), min_particles=0)
    assert hand.class_averages.frame()["class_number"].tolist() == [2, 3]
    number = bench.run("select-classes", "two", classes="classes.classes", regroup=True, groups=2)
    assert set(number.particles.frame()["group"]) == {1, 2}
    assert len(number.class_averages) == int((table["members"] > 0).sum())
    other = bench.run("classify-2d", "other", **{**OPTIONS, "iterations": 2, "seed": 3})
    assert "chosen in another set" in said(bench, "select-classes", classes="other.classes", selection=path.absolute())
    assert len(other.classes) == 5


def test_centring_moves_averages_and_members_alike(bench):
    plain = bench.run("select-classes", "plain", classes="classes.classes", recenter=False)
    moved = bench.run("select-classes", "moved", classes="classes.classes")
    before, after = plain.particles.frame(), moved.particles.frame()
    by = after[["shift_x", "shift_y"]].to_numpy() - before[["shift_x", "shift_y"]].to_numpy()
    for k in before["class_number"].unique():
        mine = (before["class_number"] == k).to_numpy()
        angle = np.deg2rad(before["psi"].to_numpy()[mine])
        x = np.cos(angle) * by[mine, 0] + np.sin(angle) * by[mine, 1]
        y = -np.sin(angle) * by[mine, 0] + np.cos(angle) * by[mine, 1]
        assert np.ptp(x) < 1e-6 and np.ptp(y) < 1e-6  # one vector in the class's own frame
    assert any("moved by up to" in line for line in moved._summary())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"number_of_classes": 181}, "180 particles cannot make 181 classes"),
        ({"mask_diameter": ""}, "Mask diameter must be given"),
        ({"particles": "blind.particles"}, "The CTF of 3 micrographs is not known ("),
        ({"particles": "multiplied.particles"}, "were multiplied with their CTF"),
        ({"particles": "empty.particles"}, "no particles to classify"),
        ({"iterations": 2, "continue_from": 0, "psi_step": 0}, "In-plane angular sampling must be > 0"),
    ],
)
def test_bad_input_is_said_before_the_run(bench, changed, sentence):
    assert sentence in said(bench, "classify-2d", **{**OPTIONS, **changed})


def test_without_ctf_and_with_broken_images(bench):
    bench.run("classify-2d", "no ctf", **{**OPTIONS, "particles": "blind.particles", "ctf_correction": False})
    source = bench.project.find("source")
    stack = Path(source.particles.frame()["file"][0])
    shutil.copy(stack, "whole.mrcs")
    images = mrc.read_volume(stack)
    images[7, 3, 3] = np.nan
    try:
        mrc.write_volume(stack, images, PIXEL, stack=True)
        message = bench.fails("classify-2d", "nan", **OPTIONS)
        assert "1 of 180 images hold values that are not numbers; the first is image 8" in message
        mrc.write_volume(stack, images[:100], PIXEL, stack=True)
        assert "image 180 is asked for, there are 100" in bench.fails("classify-2d", "short", **OPTIONS)
    finally:
        shutil.copy("whole.mrcs", stack)


def test_what_cannot_be_selected_is_said(bench):
    assert "There is no class 9; classes are 1, 2, 3" in said(
        bench, "select-classes", classes="classes.classes", numbers="9"
    )
    assert "None of 5 classes fulfils all criteria" in said(
        bench, "select-classes", classes="classes.classes", min_gain=1e9
    )
