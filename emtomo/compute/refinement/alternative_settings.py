"""Bring two half maps into the same of several equally valid settings of their symmetry.

A point group leaves a choice where its normaliser is larger: D7 stands as well after a turn by 360/14
degrees about z. A reference of low resolution may not tell the settings apart; each half then takes
one by chance, and two good maps seem not to agree.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.reconstruction import Sums, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.symmetry import parse_symmetry

BETTER = 0.02  # of the mean FSC, by which another setting must win


def other_settings(symmetry: str) -> np.ndarray:
    """Return one rotation for every setting of the axes but the standard one; they map the group onto itself."""
    from scipy.spatial.transform import Rotation

    def about(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
        """Return the rotation matrix about an axis."""
        unit = np.asarray(axis) / np.linalg.norm(axis)
        return Rotation.from_rotvec(unit * np.deg2rad(degrees)).as_matrix()

    group = parse_symmetry(symmetry)
    if group == "D2":
        quarter = [about(axis, 90) for axis in ((0, 0, 1), (0, 1, 0), (1, 0, 0))]
        return np.array([*quarter, about((1, 1, 1), 120), about((1, 1, 1), 240)])
    if group == "T":
        return about((0, np.sqrt(2), 1), 90)[None]
    if group[0] == "D" and group != "D1":
        return about((0, 0, 1), 180 / int(group[1:]))[None]
    return np.empty((0, 3, 3))


def rotate_sums(sums: Sums, rotation: np.ndarray) -> Sums:
    """Return completed sums of the volume V(rotation x)."""
    from emtomo.compute.kernels import fourier_cpu

    out = Sums(sums.size, sums.radius, np.zeros_like(sums.data), np.zeros_like(sums.weights))
    slices = np.array_split(np.arange(sums.data.shape[0]), max(1, threads()) * 4)
    turn = np.ascontiguousarray(rotation)[None]
    with ThreadPoolExecutor(threads()) as pool:
        list(
            pool.map(lambda z: fourier_cpu.symmetrise(sums.data, sums.weights, turn, z, out.data, out.weights), slices)
        )
    return out


def find_common_setting(sums: dict[int, Sums], mask: np.ndarray, symmetry: str) -> np.ndarray | None:
    """Return the rotation g for which the second half's map V(g x) agrees better with the first half's; None for none.

    Parameters
    ----------
    sums : dict
        Completed sums of both halves.
    mask : (n, n, n) array
    symmetry : str
    """
    candidates = other_settings(symmetry)
    if not len(candidates):
        return None
    first = solve(sums[1]) * mask
    last = int(sums[1].radius)

    def agreement(second: Sums) -> float:
        """Return the mean FSC of a half set's map with that of the first."""
        return float(fourier_shell_correlation(first, solve(second) * mask)[1 : last + 1].mean())

    best, gain = None, agreement(sums[2]) + BETTER
    for g in candidates:
        found = agreement(rotate_sums(sums[2], g))
        if found > gain:
            best, gain = g, found
    return best
