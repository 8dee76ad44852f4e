"""Point groups: their rotations, and one representative of equivalent orientations."""

import re

import numpy as np

from emtomo.errors import EmtomoError

_NAME = re.compile(r"^(?:([CD])([1-9][0-9]{0,2})|(T)|(O)|(I[12]?))$")
MOST_FOLD = 100


def parse_symmetry(name: str) -> str:
    """Return the point group's name in capitals.

    Raises
    ------
    EmtomoError
        If it is not Cn, Dn (n up to 100), T, O, I, I1 or I2.
    """
    text = str(name).strip().upper()
    match = _NAME.match(text)
    if not match or (match.group(2) and int(match.group(2)) > MOST_FOLD):
        raise EmtomoError(f"Symmetry must be Cn, Dn (n up to {MOST_FOLD}), T, O, I, I1 or I2, got {name!r}.")
    return text


def _about(axis: tuple[float, float, float], fold: int) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    unit = np.asarray(axis) / np.linalg.norm(axis)
    return Rotation.from_rotvec(unit * 2 * np.pi / fold).as_matrix()


def generators(name: str) -> np.ndarray:
    """Return the few rotations whose products are the whole group; none for C1."""
    return np.array(_generators(parse_symmetry(name))).reshape(-1, 3, 3)


def _generators(group: str) -> list[np.ndarray]:
    if group[0] in "CD":
        fold = int(group[1:])
        turn = [_about((0, 0, 1), fold)] if fold > 1 else []
        return turn + ([_about((1, 0, 0), 2)] if group[0] == "D" else [])
    golden = (1 + np.sqrt(5)) / 2
    if group == "T":
        return [_about((0, 0, 1), 3), _about((0, np.sqrt(2), 1), 2)]
    if group == "O":
        return [_about((1, 1, 1), 3), _about((0, 0, 1), 4)]
    if group == "I2":
        return [_about((0, 0, 1), 2), _about((1, 0, golden), 5)]
    return [_about((1, 0, 0), 2), _about((golden, 0, -1), 5), _about((golden**2, 1, 0), 3)]


def symmetry_rotations(name: str) -> np.ndarray:
    """Return the rotations of a point group, the identity first.

    Axes as in RELION: Cn and Dn have their main axis along z, Dn a twofold along x;
    T a threefold along z; O fourfolds along the axes; I (= I1) twofolds along the axes with a
    fivefold in the xz plane at negative z, I2 with a fivefold in the xz plane at positive z.

    Parameters
    ----------
    name : str
        Cn, Dn, T, O, I, I1 or I2.

    Returns
    -------
    (m, 3, 3) array
        A particle at orientation R looks the same at R @ S for every S.
    """
    found = [np.eye(3)]
    k = 0
    while k < len(found):
        for generator in generators(name):
            product = generator @ found[k]
            if min(np.abs(product - old).max() for old in found) > 1e-6:
                found.append(product)
        k += 1
    return np.array(found)


def in_asymmetric_unit(rotations: np.ndarray, name: str) -> np.ndarray:
    """Return which orientations are the representative of their equivalents: that nearest to the identity."""
    group = symmetry_rotations(name)
    traces = np.einsum("nij,sji->ns", np.asarray(rotations, float), group)
    return traces[:, 0] >= traces.max(axis=1) - 1e-9


def symmetric_angle(a: np.ndarray, b: np.ndarray, name: str) -> np.ndarray:
    """Return the smallest angles in degrees between orientations, over all equivalents."""
    group = symmetry_rotations(name)
    relative = np.swapaxes(np.asarray(a, float), -1, -2) @ np.asarray(b, float)
    traces = np.einsum("nij,sji->ns", relative, group).max(axis=1)
    return np.rad2deg(np.arccos(np.clip((traces - 1) / 2, -1, 1)))


def drift_axes(name: str) -> np.ndarray:
    """Return, as 0 and 1, along which of x, y, z the frame is not fixed by the symmetry (rotation and shift alike)."""
    group = parse_symmetry(name)
    if group == "C1":
        return np.ones(3)
    return np.array([0.0, 0.0, 1.0]) if group[0] == "C" else np.zeros(3)
