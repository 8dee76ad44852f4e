"""check-alignment in a project: the simulated geometry fits, positions with x and y exchanged do not."""

from pathlib import Path

import numpy as np
import pytest

from emtomo.viewers.pictures import picture_of_output
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow


def test_right_and_wrong_geometries(tmp_path, monkeypatch):
    bench = Bench(tmp_path / "it's a project")
    sizes = {"size_x": 128, "size_y": 120, "size_z": 48, "pixel_size": 10}
    simulated = bench.run("simulate-tomograms", "simulate", **sizes, vesicles=0, soluble_proteins=40, snr=2, seed=3,
                          tilt_step=6)  # fmt: skip
    monkeypatch.chdir(bench.project.path)
    inputs = {"tilt_series": "simulate.tilt_series", "coordinates": "simulate.truth", "diameter": 200}
    run = bench.run("check-alignment", "check", **inputs)
    said = " ".join(run._remarks())
    assert "sim_01: the geometry fits the positions" in said
    images = run.tilt_series.images("sim_01")
    assert len(images) == len(simulated.tilt_series.images("sim_01"))
    picture = Path("check.png")
    picture_of_output(run, "tilt_series", picture, "alignment")
    assert picture.stat().st_size > 20000
    frame = simulated.truth.frame()
    points = tmp_path / "exchanged.csv"
    table = frame[["x", "y", "z"]].to_numpy(float)[:, [1, 0, 2]] / 10 + np.array([64, 60, 24])
    table = np.vstack([table, [[400, 60, 24], [64, 400, 24]]])  # and two outside
    points.write_text("tomogram_id,x,y,z\n" + "\n".join(f"sim_01,{x:.3f},{y:.3f},{z:.3f}" for x, y, z in table))
    bench.run("import-coordinates", "wrong", files=points, tomograms="simulate.tomograms", pixel_size=10)
    wrong = bench.run("check-alignment", "wrong check", **(inputs | {"coordinates": "wrong.coordinates"}))
    assert "x and y of the positions exchanged" in " ".join(wrong._remarks())
    assert f" of {len(table)} positions whole" in " ".join(wrong._remarks())  # with x and y exchanged, some lie aside
    assert "no image shows" not in said
