"""The protocol refine-surface on a simulated tomogram."""

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.geometry.ellipsoid import fit_sphere
from tests.command import emtomo

pytestmark = [pytest.mark.workflow]


def test_surfaces_of_a_simulated_tomogram_are_refined(tmp_path):
    folder = tmp_path / "p"
    small = ["size_x=96", "size_y=96", "size_z=64", "vesicles=1", "vesicle_radius=200"]
    assert emtomo("new", folder).returncode == 0
    assert emtomo("run", folder, "simulate-tomograms", *small, "--label", "sim").returncode == 0
    done = emtomo("run", folder, "refine-surface", "meshes=sim.meshes", "tomograms=sim.tomograms", "--label", "fine")
    assert done.returncode == 0, done.stderr
    assert "Å in the median" in done.stderr
    assert "the membrane was seen on" in done.stderr
    assert emtomo("export", folder, "fine.coordinates", tmp_path / "c.csv").returncode == 0
    again = emtomo("run", folder, "model-workflow", "meshes=fine.meshes", "--label", "model")
    assert again.returncode == 0, again.stderr
    assert emtomo("export", folder, "model.coordinates", tmp_path / "m.csv").returncode == 0
    same = pd.read_csv(tmp_path / "m.csv", comment="#")  # the triangles are kept, not fitted again
    first = pd.read_csv(tmp_path / "c.csv", comment="#")
    assert_allclose(same[["x", "y", "z"]], first[["x", "y", "z"]], atol=1e-3)
    table = pd.read_csv(tmp_path / "c.csv", comment="#")
    found = fit_sphere(table[["x", "y", "z"]].to_numpy(float))
    assert found.certainty.surface < 0.1 * found.radii[0]
