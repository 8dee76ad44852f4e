"""Densities built from simple shapes: proteins of Gaussian balls, membranes of two leaflets."""

import numpy as np

# x, y, z, radius in Å, and weight; z points away from the membrane, whose middle is at z = 0.
# Three heads of unlike size make it possible to see a wrong hand or in-plane angle.
MEMBRANE_PROTEIN = np.array(
    [
        [0.0, 0.0, -10.0, 16.0, 1.0],
        [0.0, 0.0, 15.0, 16.0, 1.0],
        [0.0, 0.0, 45.0, 18.0, 1.0],
        [34.0, 0.0, 85.0, 24.0, 1.3],
        [-20.0, 30.0, 75.0, 20.0, 1.1],
        [-18.0, -30.0, 62.0, 16.0, 0.9],
    ]
)
SOLUBLE_PROTEIN = np.array(
    [
        [0.0, 0.0, 0.0, 45.0, 1.0],
        [40.0, 10.0, 45.0, 38.0, 1.0],
        [-45.0, 20.0, 20.0, 30.0, 1.1],
        [10.0, -50.0, -15.0, 28.0, 1.2],
        [-15.0, 35.0, -55.0, 24.0, 1.2],
    ]
)
LEAFLET_DISTANCE = 20.0  # Å from the middle of the membrane to the head groups
LEAFLET_SIGMA = 8.0  # Å
LEAFLET_DENSITY = 0.8
BILAYER = 2 * LEAFLET_DENSITY * LEAFLET_SIGMA * float(np.sqrt(2 * np.pi))  # Å: density through a membrane


def protein_density(balls: np.ndarray, size: int, pixel_size: float) -> np.ndarray:
    """Return the density of Gaussian balls in a `(size, size, size)` box centred on voxel ``size // 2``.

    Parameters
    ----------
    balls : (n, 5) array
        x, y, z and radius (two standard deviations) in Å, and weight.
    size : int
    pixel_size : float
        Å.
    """
    axis = (np.arange(size) - size // 2) * pixel_size
    density = np.zeros((size, size, size), np.float32)
    for x, y, z, radius, weight in balls:
        sigma2 = (radius / 2) ** 2
        parts = [np.exp(-((axis - c) ** 2) / (2 * sigma2)) for c in (z, y, x)]
        density += (weight * np.einsum("i,j,k->ijk", *parts)).astype(np.float32)
    return density


def membrane_profile(distance: np.ndarray) -> np.ndarray:
    """Return the density of a bilayer at `distance` Å from its middle."""
    peaks = [np.exp(-((distance - c) ** 2) / (2 * LEAFLET_SIGMA**2)) for c in (-LEAFLET_DISTANCE, LEAFLET_DISTANCE)]
    return (LEAFLET_DENSITY * (peaks[0] + peaks[1])).astype(np.float32)


def add_vesicle(volume: np.ndarray, centre: np.ndarray, radius: float, pixel_size: float) -> None:
    """Add a spherical bilayer to `volume`, in place.

    Parameters
    ----------
    volume : (z, y, x) array
    centre : (3,) array
        z, y, x in voxels.
    radius : float
        To the middle of the membrane, in Å.
    pixel_size : float
    """
    reach = radius / pixel_size + 6 * LEAFLET_SIGMA / pixel_size + LEAFLET_DISTANCE / pixel_size
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, volume.shape)
    z, y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True))
    distance = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2) * pixel_size
    part = volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    part += membrane_profile(distance - radius)


def place(volume: np.ndarray, template: np.ndarray, centre: np.ndarray, rotation: np.ndarray) -> None:
    """Add `template`, turned by `rotation`, to `volume` with its centre voxel at `centre`, in place.

    volume(c + R r) += template(r): what sticks out of the volume is cut off.
    """
    from emtomo.compute.averaging import rotate_boxes

    size = template.shape[0]
    nearest = np.rint(centre).astype(int)
    # out(r) = template(Rᵀ (r - rest)), so the box is turned back and shifted by -Rᵀ rest
    rest = (centre - nearest)[::-1]
    turned = rotate_boxes(template[None], rotation.T[None], (-rotation.T @ rest)[None], cubic=False)[0]
    start = nearest - size // 2
    low, high = np.maximum(start, 0), np.minimum(start + size, volume.shape)
    if (high <= low).any():
        return
    a, b = low - start, high - start
    volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]] += turned[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
