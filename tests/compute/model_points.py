"""Points as somebody picks them on models, and what is measured between them."""

import numpy as np
from scipy.spatial import cKDTree


def on_sphere(n, rng):
    u = rng.normal(size=(n, 3))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


def points(n, kind="point"):
    return np.full(n, kind, object)


def nearest(p):
    return cKDTree(p).query(p, k=2)[0][:, 1]


def helix_axis(n=12):
    t = np.linspace(0, 1, n)
    return np.stack([100 * t, 20 * np.sin(2 * t), 5 * t], axis=1)
