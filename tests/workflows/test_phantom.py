"""The peer-made phantom tomogram (polnet), end to end, and the shipped template through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.engine.project import EmtomoProject
from emtomo.io import mrc
from emtomo.viewers.pictures import picture_of_output
from tests.conftest import shared, unpack_phantom
from tests.engine.test_project import wait_for

pytestmark = [pytest.mark.workflow]
SIZE = 10.0


@pytest.fixture(scope="module")
def tomogram(tmp_path_factory):
    return unpack_phantom(tmp_path_factory.mktemp("phantom"))


def cropped(volume, size):
    """The central box about voxel n // 2."""
    start = [n // 2 - size // 2 for n in volume.shape]
    return volume[tuple(slice(s, s + size) for s in start)]


def test_average_of_the_ribosomes_at_their_true_poses_is_the_ribosome(tomogram, tmp_path):
    """FSC to the molecule above 0.5 at 40 Å, with the right hand and not with the wrong one."""
    truth = pd.read_csv(shared("phantom_tomogram", "truth_particles.csv"))
    truth = truth[truth["code"] == "pdb_4v4r"]
    lines = ["data_particles", "", "loop_"]
    names = ["CoordinateX", "CoordinateY", "CoordinateZ", "AngleRot", "AngleTilt", "AnglePsi"]
    lines += [f"_rln{n} #{k}" for k, n in enumerate(names, 1)]
    for row in truth.itertuples():
        place = f"{row.x / SIZE} {row.y / SIZE} {row.z / SIZE}"
        lines.append(f"{place} {row.rlnAngleRot} {row.rlnAngleTilt} {row.rlnAnglePsi}")
    star = tmp_path / "ribosomes.star"
    star.write_text("\n".join(lines) + "\n")
    values = {"tomograms": tomogram, "pixel_size": SIZE, "coordinates": star, "box_size": 56, "border": "pad"}
    settings = [word for k, v in values.items() for word in ("--set", f"{k}={v}")]
    done = emtomo("workflow", "average_particles", "--project", tmp_path / "p", *settings)
    assert done.returncode == 0, done.stderr
    project = EmtomoProject.open(tmp_path / "p")
    assert len(project.find("import coordinates").coordinates) == len(truth)
    run = project.find("average")
    assert run.average.particles.get() == len(truth)
    picture_of_output(run, "average", tmp_path / "average.png")
    average = mrc.read_volume(run.average.file.get())
    molecule = mrc.read_volume(shared("maps", "4v4r.mrc"))
    # polnet turns about (n - 1) / 2, we about n // 2: half a voxel for this even box (data README)
    molecule = rotate_boxes(molecule[None], np.eye(3)[None], np.full((1, 3), -0.5))[0]
    molecule = cropped(molecule, 56)
    grid = np.indices(molecule.shape) - 28
    soft = 1 / (1 + np.exp((np.sqrt((grid**2).sum(axis=0)) - 22) / 1.5))
    curve = fourier_shell_correlation(average * soft, molecule * soft)
    wrong = fourier_shell_correlation(average[:, :, ::-1] * soft, molecule * soft)
    shell = int(round(56 * SIZE / 40.0))
    assert curve[shell] > 0.5, curve.round(2)
    assert (curve[3 : shell + 1] > 0.5).all(), curve.round(2)
    assert wrong[6 : shell + 1].mean() < curve[6 : shell + 1].mean() - 0.2


def vesicle_points(path):
    """Thirty clicks on each of the two spherical vesicles, and one inside, in 0-based voxels."""
    spheres = pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv"))
    rng = np.random.default_rng(0)
    rows = []
    for group, s in enumerate(spheres.itertuples(), 1):
        n = 0
        while n < 30:
            u = rng.normal(size=3)
            u /= np.linalg.norm(u)
            p = (np.array([s.x_A, s.y_A, s.z_A]) + s.r_A * u) / SIZE + rng.normal(0, 1 / np.sqrt(3), 3)
            if abs(u[2]) < 0.7 and (p >= 1).all() and (p <= [254, 254, 118]).all():
                rows.append((group, "point", *p))
                n += 1
        rows.append((group, "inside", s.x_A / SIZE, s.y_A / SIZE, s.z_A / SIZE))
    pd.DataFrame(rows, columns=["group", "role", "x", "y", "z"]).to_csv(path, index=False)


def emtomo(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "emtomo", *map(str, arguments)], capture_output=True, text=True, **more
    )


def test_template_killed_in_the_middle_resumes_to_identical_coordinates(tomogram, tmp_path):
    points = tmp_path / "points.csv"
    vesicle_points(points)
    values = {"tomograms": tomogram, "pixel_size": SIZE, "points": points, "unit": "voxel", "bin": 1, "iterations": 16,
              "cropping": 6}  # fmt: skip
    settings = [word for k, v in values.items() for word in ("--set", f"{k}={v}")]
    whole = emtomo("workflow", "directional_picking", "--project", tmp_path / "whole", *settings)
    assert whole.returncode == 0, whole.stderr

    killed = tmp_path / "killed"
    watcher = subprocess.Popen(
        [sys.executable, "-m", "emtomo", "workflow", "directional_picking", "--project", str(killed), *settings],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_for(lambda: bool(list(killed.glob("Runs/*Denoise*/logs/progress.json"))), 90)
    watcher.kill()
    watcher.wait()
    record = next(killed.glob("Runs/*Denoise*/logs/process.json"))
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    time.sleep(0.5)
    reported = json.loads(emtomo("status", killed, "--json").stdout)
    assert {row["label"]: row["status"] for row in reported}["denoise"] == "failed"
    resumed = emtomo("resume", killed)
    assert resumed.returncode == 0, resumed.stderr

    frames, spheres = [], pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv"))
    for folder in (whole, killed):
        path = tmp_path / "whole" if folder is whole else killed
        run = EmtomoProject.open(path).find("model workflow")
        frames.append(run.coordinates.frame())
    pd.testing.assert_frame_equal(frames[0], frames[1])
    centre = np.array([256, 256, 120]) // 2
    for group, s in enumerate(spheres.itertuples(), 1):
        mine = frames[0][frames[0]["group"] == group][["x", "y", "z"]].to_numpy() / SIZE + centre
        away = np.linalg.norm(mine - np.array([s.x_A, s.y_A, s.z_A]) / SIZE, axis=1) * SIZE / s.r_A
        assert np.median(away) == pytest.approx(1, abs=0.01)
    assert Path(killed / "Runs").exists()
