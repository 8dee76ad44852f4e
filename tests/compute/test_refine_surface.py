"""A surface moved onto the density of a simulated vesicle whose shape is known."""

import numpy as np
import pytest

from emtomo.compute.geometry.mesh import Mesh, sphere_mesh
from emtomo.compute.geometry.refine_surface import SurfaceOptions, refine_surface
from emtomo.errors import ModelError

CENTRE = 31.5


def radius(u):
    """Return the radius of a vesicle that is no ellipsoid, in voxels."""
    x, y, z = u.T
    return 20 * (1 + 0.06 * (3 * x * y * z + 0.7 * (x**2 - y**2)))


def vesicle(sign=-1.0):
    g = np.arange(64) - CENTRE
    z, y, x = np.meshgrid(g, g, g, indexing="ij")
    p = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    d = np.linalg.norm(p, axis=1)
    membrane = np.exp(-((d - radius(p / d[:, None])) ** 2) / 2 / 1.3**2).reshape(x.shape)
    return (sign * membrane + np.random.default_rng(1).normal(0, 0.8, x.shape)).astype(np.float32)


def off(mesh):
    p = mesh.vertices - CENTRE
    d = np.linalg.norm(p, axis=1)
    return d - radius(p / d[:, None])


@pytest.fixture(scope="module")
def start():
    ball = sphere_mesh(3.4 / 20, 20000)
    return Mesh(ball.vertices * 21 + CENTRE + np.array([1.2, -1.0, 0.8]), ball.faces)


@pytest.mark.parametrize("white", [False, True])
def test_a_sphere_becomes_the_vesicle(start, white):
    found = refine_surface(vesicle(1.0 if white else -1.0), start, 10.0, SurfaceOptions(white=white))
    assert np.sqrt(np.mean(off(start) ** 2)) > 1.2
    assert np.sqrt(np.mean(off(found.mesh) ** 2)) < 0.4
    assert np.abs(off(found.mesh)).max() < 1.2
    assert np.abs(found.moved).max() <= 5.0
    assert found.supported.mean() > 0.8


def test_it_moves_no_further_than_the_reach(start):
    found = refine_surface(vesicle(), start, 10.0, SurfaceOptions(reach=1.0))
    assert np.abs(found.moved).max() <= 1.0


def test_too_many_vertices_are_refused():
    with pytest.raises(ModelError, match="vertices"):
        refine_surface(vesicle(), sphere_mesh(0.02, 10**6), 10.0, SurfaceOptions())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_alone_moves_no_surface(start, seed):
    """It moved by 3 voxels, on the hundredth of it that seemed a membrane."""
    noise = np.random.default_rng(seed).normal(0, 1, (64, 64, 64)).astype(np.float32)
    with pytest.raises(ModelError, match="is a layer that stands out of the noise"):
        refine_surface(noise, start, 10.0, SurfaceOptions())
