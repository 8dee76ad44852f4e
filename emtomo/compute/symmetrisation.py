"""Find the symmetry axes of a volume, bring them to the standard place, impose the symmetry."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.orientations import orientation_grid
from emtomo.compute.rotations import from_directions
from emtomo.compute.symmetry import generators, parse_symmetry, symmetry_rotations
from emtomo.errors import EmtomoError
from emtomo.wording import count_text

STEP = 6.0  # degrees of the first search
MANY = 2**19  # values from which on several threads pay
SCAN_STEP = 4.0  # degrees between axes that are scanned for all groups
PLAUSIBLE = 0.75  # of the best group's coarse correlation, below which a group is out
BEST = 4  # starts that are polished
COARSE_SHELLS = 8  # a particle's rim moves a quarter of such a wave within a step
MOST_SHOWN = 13  # operators in a sentence
MOST_SHELLS = 20
_PAD = np.float32(PAD)


@dataclass(frozen=True)
class Axes:
    """Where the symmetry of a volume stands.

    Attributes
    ----------
    rotation : (3, 3) array
        volume = rotation @ standard: the standard axes turned into the volume's.
    centre : (3,) array
        x, y, z of the point on all axes, in voxels from the centre voxel.
    score : float
        Mean correlation of the volume with its turned copies in shells, up to 1.
    """

    rotation: np.ndarray
    centre: np.ndarray
    score: float


class _Spectrum:
    """A volume's transform as symmetry searches need it."""

    def __init__(self, volume: np.ndarray, shells: float) -> None:
        from emtomo.compute.kernels.newton_cpu import rotate

        n = volume.shape[0]
        self.size, self.coefficients = n, FourierCoefficients(n, shells)
        self.transform = transform_padded(volume, shells)
        # in an oblique frame nothing lies on voxels, so that no orientation is interpolated better than another
        self.oblique = rotate(np.eye(3), np.array([0.41, 0.32, 0.23]))
        self.plain = self.section(self.oblique[None])[0]
        self.power = float((np.abs(self.plain) ** 2).sum())

    def section(self, rotations: np.ndarray) -> np.ndarray:
        """Return the sections (r, n) of the map's transform at rotations (r, 3, 3)."""
        from emtomo.compute.kernels import fourier_cpu

        out = np.empty((len(rotations), 2 * len(self.coefficients)), np.float32)
        many = out.size > MANY
        fill = fourier_cpu.sections_parallel if many else fourier_cpu.sections
        fill(self.transform, _PAD, self.coefficients.k, rotations.astype(np.float32), out)
        return out.view(np.complex64)

    def rotate_sections(self, elements: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
        """Return the volume's transform turned by each element about a centre."""
        sections = self.section(self.oblique @ elements)
        if centre is None or not centre.any():
            return sections
        # turning about c moves the content by c - S c
        moves = (centre - elements @ centre) @ self.oblique.T
        angles = np.asarray(moves * (-2 * np.pi / self.size), np.float32) @ self.coefficients.k.T
        phases = np.empty(angles.shape, np.complex64)
        phases.real, phases.imag = np.cos(angles), np.sin(angles)
        return sections * phases

    def correlation(self, elements: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
        """Return the correlation of the volume with itself turned by each element about a centre."""
        copies = self.rotate_sections(elements, centre)
        cross = (copies * self.plain.conj()).real.sum(axis=1)
        norm = (np.abs(copies) ** 2).sum(axis=1)
        return cross / np.sqrt(np.maximum(norm * self.power, 1e-30))

    def score(self, elements: np.ndarray, centre: np.ndarray | None = None) -> float:
        """Return the mean over elements and shells of the shells' correlation: all resolutions count alike.

        NaN where no shell has power, or powers are no finite numbers.
        """
        copies, shell = self.rotate_sections(elements, centre), self.coefficients.shell
        own = np.bincount(shell, np.abs(self.plain) ** 2)
        cross = np.array([np.bincount(shell, (copy * self.plain.conj()).real) for copy in copies])
        norm = np.array([np.bincount(shell, np.abs(copy) ** 2) for copy in copies])
        present = np.flatnonzero(own > 1e-3 * own.max())
        if not len(present) or not np.isfinite(own).all():
            return float("nan")
        ratio = cross[:, present] / np.sqrt(np.maximum(norm[:, present] * own[present], 1e-30))
        return float(ratio.mean())


class _AxisScan:
    """How a volume correlates with itself turned about axes in all directions, for some angles.

    Turning by an element about any frame is a rotation by its angle about its axis in that frame: what few angles and
    directions give serves all orientations of all groups.
    """

    def __init__(self, spectrum: _Spectrum, centre: np.ndarray) -> None:
        self.spectrum, self.centre = spectrum, centre
        self.frames = _axis_grid(SCAN_STEP)
        self.found: dict[float, np.ndarray] = {}
        self._tree: Any = None

    def correlation(self, element: np.ndarray, grid: np.ndarray) -> np.ndarray:
        """Return, for frames (m, 3, 3), the correlation with the copy turned by `element` in each, about."""
        from scipy.spatial import cKDTree
        from scipy.spatial.transform import Rotation

        vector = Rotation.from_matrix(element).as_rotvec()
        angle = float(np.linalg.norm(vector))
        key = round(angle, 6)
        if key not in self.found:
            turn = Rotation.from_rotvec([0, 0, angle]).as_matrix()
            copies = self.frames @ turn @ self.frames.transpose(0, 2, 1)
            self.found[key] = self.spectrum.correlation(copies, self.centre)
        if self._tree is None:
            self._tree = cKDTree(np.concatenate([self.frames[:, :, 2], -self.frames[:, :, 2]]))
        place = self._tree.query(grid @ (vector / angle))[1] % len(self.frames)
        return self.found[key][place]


def centre_of_mass(volume: np.ndarray) -> np.ndarray:
    """Return x, y, z of the centre of the density above its mean plus one deviation, from the centre voxel."""
    weight = np.clip(volume - volume.mean() - volume.std(), 0, None).astype(float)
    total = weight.sum()
    if total <= 0:
        return np.zeros(3)
    centres = []
    for axis in (2, 1, 0):
        n = volume.shape[axis]
        along = weight.sum(axis=tuple(a for a in range(3) if a != axis))
        centres.append(float((along * (np.arange(n) - n // 2)).sum() / total))
    return np.array(centres)


def find_axes(volume: np.ndarray, symmetry: str, *, recentre: bool = True, shells: float | None = None) -> Axes:
    """Return where the axes of a point group stand in a cubic volume.

    Axes alone are searched: for Cn directions over half a sphere, for the others orientations of
    the asymmetric unit; the best are polished together with the centre.

    Parameters
    ----------
    volume : (n, n, n) array
    symmetry : str
    recentre : bool
        Search the centre too, from the centre of mass; else the axes go through the centre voxel.
    shells : float, optional
        Frequencies compared; at most 20 by default, which tells axes apart.

    Raises
    ------
    EmtomoError
        If the volume is not cubic or empty, or the group is C1.
    """
    name = parse_symmetry(symmetry)
    if name == "C1":
        raise EmtomoError("C1 has no axes to find.")
    search = _Search(volume, recentre, shells)
    return search.refine(name, search.locate(name))


class _Search:
    """The search for the axes of groups in one volume."""

    def __init__(self, volume: np.ndarray, recentre: bool, shells: float | None = None) -> None:
        if len(set(volume.shape)) != 1:
            raise EmtomoError(f"The volume must be cubic, got shape {volume.shape}.")
        volume = np.asarray(volume, np.float32)
        if not np.ptp(volume) > 0:
            raise EmtomoError("The volume is empty: all its voxels are equal.")
        most = min(shells or MOST_SHELLS, volume.shape[0] / 2 - 1)
        self.coarse, self.fine = _Spectrum(volume, min(COARSE_SHELLS, most)), _Spectrum(volume, most)
        self.centre = centre_of_mass(volume) if recentre else np.zeros(3)
        self.recentre, self.scan = recentre, _AxisScan(self.coarse, self.centre)

    def locate(self, name: str) -> Axes:
        """Return where the axes of a group stand, about; the score is the mean correlation at coarse resolution."""
        group, elements = symmetry_rotations(name), generators(name)
        grid = _axis_grid(STEP) if name[0] == "C" else orientation_grid(STEP, name)
        scores = np.mean([self.scan.correlation(s, grid) for s in elements], axis=0)
        found: list[Axes] = []
        for i in np.argsort(-scores, kind="stable"):
            if len(found) == BEST:
                break
            if all(_apart(grid[i], other.rotation, group) for other in found):
                found.append(_polished(self.coarse, grid[i], self.centre, elements, self.recentre))
        return max(found, key=lambda axes: axes.score)

    def refine(self, name: str, axes: Axes) -> Axes:
        """Return the axes near others at full resolution, with the score of all rotations."""
        return self.score(name, _polished(self.fine, axes.rotation, axes.centre, generators(name), self.recentre, 0.5))

    def score(self, name: str, axes: Axes) -> Axes:
        """Return axes as they are with the score of all rotations at full resolution."""
        turned = axes.rotation @ symmetry_rotations(name)[1:] @ axes.rotation.T
        return Axes(axes.rotation, axes.centre, self.fine.score(turned, axes.centre))


def _axis_grid(step: float) -> np.ndarray:
    """Return rotations that bring z to directions about `step` degrees apart on half a sphere."""
    count = int(round(2 * np.pi / np.deg2rad(step) ** 2))
    z = (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    r = np.sqrt(1 - z * z)
    return from_directions(np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1))


def _apart(a: np.ndarray, b: np.ndarray, group: np.ndarray) -> bool:
    """Return whether two orientations are more than a step and a half apart, equivalents included."""
    near = 1 + 2 * np.cos(np.deg2rad(1.5 * STEP))
    return bool(np.einsum("ij,sij->s", a.T @ b, group).max() < near)


def _polished(
    spectrum: _Spectrum,
    rotation: np.ndarray,
    centre: np.ndarray,
    elements: np.ndarray,
    recentre: bool,
    start: float = 1.0,
) -> Axes:
    """Return the axes near a start that Nelder and Mead's simplex finds; `start` scales its first steps."""

    from scipy.optimize import minimize

    from emtomo.compute.kernels.newton_cpu import rotate

    def place(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rotation and centre of parameters: degrees, then voxels."""
        return rotate(rotation, np.deg2rad(p[:3])), centre + (p[3:] if recentre else 0)

    def loss(p: np.ndarray) -> float:
        """Return minus the mean correlation with the copies."""
        turn, middle = place(p)
        return -float(spectrum.correlation(turn @ elements @ turn.T, middle).mean())

    count = 6 if recentre else 3
    steps = start * np.diag([3.0] * 3 + [1.0] * (count - 3))
    simplex = np.vstack([np.zeros(count), steps])
    result = minimize(
        loss,
        np.zeros(count),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-6, "maxfev": 200},
    )
    turn, middle = place(result.x)
    return Axes(turn, middle, -float(result.fun))


def align_symmetry(volume: np.ndarray, symmetry: str, *, recentre: bool = True) -> tuple[np.ndarray, Axes]:
    """Return a volume turned and moved so that its symmetry axes stand in the standard place, and where they stood."""
    axes = find_axes(volume, symmetry, recentre=recentre)
    turned = rotate_boxes(np.asarray(volume, np.float32)[None], axes.rotation[None], axes.centre[None])[0]
    return turned, axes


def symmetrise(volume: np.ndarray, symmetry: str) -> np.ndarray:
    """Return the mean of a cubic volume over the rotations of a point group, by cubic interpolation.

    Raises
    ------
    EmtomoError
        If the volume is not cubic, or there is no such point group.
    """
    if len(set(volume.shape)) != 1:
        raise EmtomoError(f"The volume must be cubic, got shape {volume.shape}.")
    group = symmetry_rotations(symmetry)
    volume = np.asarray(volume, np.float32)
    total = volume.astype(float)
    for element in group[1:]:
        total += rotate_boxes(volume[None], element[None], np.zeros((1, 3)))[0]
    return (total / len(group)).astype(np.float32)


def symmetry_score(volume: np.ndarray, symmetry: str, shells: float = MOST_SHELLS) -> float:
    """Return the mean shell correlation of a cubic volume with its copies turned about the standard axes; 1 for C1."""
    group = symmetry_rotations(symmetry)
    if len(group) == 1:
        return 1.0
    spectrum = _Spectrum(np.asarray(volume, np.float32), min(shells, volume.shape[0] / 2 - 1))
    return spectrum.score(group[1:])


def operator_scores(volume: np.ndarray, symmetry: str, shells: float = MOST_SHELLS) -> list[tuple[float, np.ndarray]]:
    """Return, for every rotation of a group but the identity, the mean shell correlation with the copy it makes.

    Returns
    -------
    list of (score, (3, 3) rotation)
    """
    group = symmetry_rotations(symmetry)[1:]
    spectrum = _Spectrum(np.asarray(volume, np.float32), min(shells, volume.shape[0] / 2 - 1))
    return [(spectrum.score(one[None]), one) for one in group]


def describe_operators(volume: np.ndarray, symmetry: str) -> str:
    """Return in words how a volume correlates with its copy under each operator: angle and axis of its rotation.

    Of groups of many operators, those with the lowest correlation.
    """
    from scipy.spatial.transform import Rotation

    words = []
    found = operator_scores(volume, symmetry)
    shown = found if len(found) <= MOST_SHOWN else sorted(found, key=lambda one: one[0])[:MOST_SHOWN]
    for score, rotation in shown:
        vector = Rotation.from_matrix(rotation).as_rotvec()
        angle = float(np.linalg.norm(vector))
        x, y, z = vector / max(angle, 1e-12)
        words.append(f"{np.rad2deg(angle):.0f}° about ({x:.2f}, {y:.2f}, {z:.2f}) {score:.2f}")
    rest = f"; {count_text(len(found) - len(shown), 'other')} higher" if len(found) > len(shown) else ""
    return "; ".join(words) + rest


def detect_symmetry(
    volume: np.ndarray, groups: tuple[str, ...] = ("C2", "C3", "C4", "C5", "C6", "C7", "C8", "D2", "D3", "D4", "D5",
                                                   "D6", "D7", "D8", "T", "O", "I1"), *, recentre: bool = True
) -> dict[str, Axes]:  # fmt: skip
    """Return the axes of every point group with their score, the best score of the highest order first.

    A subgroup scores at least as well as the group itself: groups whose score comes within a tenth of
    the best are sorted by their number of rotations. Groups that fall far behind at coarse resolution already are not
    refined: their scores are those of the axes found there.
    """
    search = _Search(volume, recentre)
    coarse = {name: search.locate(name) for name in groups}
    least = PLAUSIBLE * max(axes.score for axes in coarse.values())
    found = {
        name: search.refine(name, axes) if axes.score >= least else search.score(name, axes)
        for name, axes in coarse.items()
    }
    best = max(axes.score for axes in found.values())
    order = sorted(
        found,
        key=lambda g: (
            found[g].score < 0.9 * best,
            -len(symmetry_rotations(g)) if found[g].score >= 0.9 * best else -found[g].score,
        ),
    )
    return {name: found[name] for name in order}
