"""What points can tell of a surface: whether they determine it, and how certain it is."""

from dataclasses import dataclass

import numpy as np

from emtomo.errors import ModelError

LARGEST = 10.0  # radius over the extent of the points: a cap of less than 6 degrees tells no radius
UNDETERMINED, DOUBTFUL = 0.5, 0.1  # standard deviation of the surface over the radius
LINE, PLANE = 0.05, 1e-3  # extent across a line, and out of a plane, over the largest extent
NEARLY = 0.2  # of the largest extent


@dataclass(frozen=True)
class Certainty:
    """Standard deviations of a fitted surface or curve, from the scatter of its points.

    Attributes
    ----------
    surface, worst : float
        Along the normal (of a curve: across it): root mean square over it, and the largest.
    normals : float
        Degrees, median over the surface; of a curve that of its direction.
    noise : float
        Of the points about it.
    """

    surface: float
    worst: float
    normals: float
    noise: float


def enough(points: np.ndarray, least: int, what: str) -> np.ndarray:
    """Return the different points of `points`.

    Raises
    ------
    ModelError
        If there are fewer than `least`, or they lie on a line or in one plane.
    """
    points = np.unique(np.asarray(points, float).reshape(-1, 3), axis=0)
    if len(points) < least:
        raise ModelError(f"{what} needs at least {least} different points, got {len(points)}.")
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < LINE * spread[0]:
        raise ModelError(f"{what} needs points all around; these points lie on a line: a filament?")
    if spread[2] < PLANE * spread[0]:
        raise ModelError(f"{what} needs points that do not lie in one plane; pick on several slices.")
    return points


def judge(
    radii: np.ndarray,
    spread: np.ndarray,
    tilts: np.ndarray,
    noise: float,
    points: np.ndarray,
    largest: float,
    what: str,
) -> tuple[Certainty, str]:
    """Return how certain a closed surface is, and a warning where it should not be believed as it is.

    Parameters
    ----------
    radii : (3,) array
    spread, tilts : arrays
        Standard deviations of the surface along its normal, and of the normals in degrees, all around.
    noise : float
        Of the points.
    points : (n, 3) array
    largest : float
        Radius that is believed at most.
    what : str

    Raises
    ------
    ModelError
        If it is larger than `largest` or than the points can tell, or as uncertain as it is large.
    """
    extent = float(np.linalg.norm(np.ptp(points, axis=0)))
    most = min(largest, LARGEST * extent)
    hint = _shape_of(points)
    if not radii.max() <= most:
        limit = "the tomogram allows" if most == largest else f"{LARGEST:g} times the extent of the points"
        raise ModelError(
            f"These points do not determine the {what}: its radius would be {radii.max():.3g}, more than {limit} "
            f"({most:.3g}). {hint}"
        )
    if spread.max() > UNDETERMINED * radii.mean():
        raise ModelError(
            f"These points do not determine the {what}: where it is farthest from them it is uncertain by more than "
            f"half its radius ({radii.mean():.3g}). {hint}"
        )
    warning = ""
    if spread.max() > DOUBTFUL * radii.mean():
        warning = (
            f"far from the points the surface is uncertain by {spread.max():.3g} (mean radius "
            f"{radii.mean():.3g}): pick points on all sides of it"
        )
    return Certainty(float(np.sqrt(np.mean(spread**2))), float(spread.max()), float(np.median(tilts)), noise), warning


def warn_of_open(certainty: Certainty | None, extent: float, hint: str) -> str:
    """Return a warning where an open sheet or curve is uncertain by a tenth of its `extent`, empty where it is not."""
    if certainty is None or certainty.worst <= DOUBTFUL * extent:
        return ""
    return f"it is uncertain by {certainty.worst:.3g} where it is farthest from its points: {hint}"


def _shape_of(points: np.ndarray) -> str:
    """Return what to do about points that do not determine a closed surface."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < NEARLY * spread[0]:
        return "These points lie on a line: a filament?"
    if spread[2] < NEARLY * spread[0]:
        return "These points lie nearly in one plane: a sheet? Else pick on more slices."
    return "Pick more of its surface, on several slices."
