"""Poses of a set's rows as refinement takes them, and back."""

import numpy as np
import pandas as pd

from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.positions import check_finite
from emtomo.objects.rotation import rotation_columns, rotations_of

DUPLICATE = 10.0  # Å within which two particles of a tomogram are one, and belong into one half


def poses_of(frame: pd.DataFrame, pixel_size: float, seed: int) -> Poses:
    """Return the rows' poses; given halves are kept, others assigned, unknown orientations are the identity.

    Raises
    ------
    EmtomoError
        If a position, shift or rotation is infinite, or a position or shift is no number.
    """
    rotations = rotations_of(frame)
    rotations = np.where(np.isnan(rotations).any(axis=(1, 2))[:, None, None], np.eye(3), rotations)
    shifts = shifts_of(frame) / pixel_size
    if "z" in frame:  # particles of micrographs need not know where they were
        check_finite(frame[["x", "y", "z"]].to_numpy(float), "The position of particle")
    check_finite(shifts, "The shift of particle")
    check_finite(rotations, "The rotation of particle")
    half = assign_halves(len(frame), seed, frame["half"].fillna(0).to_numpy(int), duplicates(frame))
    return Poses(rotations, shifts, half)


def shifts_of(frame: pd.DataFrame) -> np.ndarray:
    """Return `(n, 3)` shifts in Å; along axes that the rows do not know (z of images) they are 0."""
    names = [f"shift_{axis}" for axis in "xyz"]
    columns = [frame[name].to_numpy(float) if name in frame else np.zeros(len(frame)) for name in names]
    return np.stack(columns, axis=1)


def centres_of(frame: pd.DataFrame) -> np.ndarray:
    """Return `(n, 2)` or `(n, 3)` positions with their shifts, Å."""
    axes = [axis for axis in "xyz" if axis in frame]
    return frame[axes].to_numpy(float) + shifts_of(frame)[:, : len(axes)]


def duplicates(frame: pd.DataFrame) -> np.ndarray:
    """Return a label for every row, the same for rows of one tomogram or micrograph whose centres are one place."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    centres = centres_of(frame)
    known = np.isfinite(centres).all(axis=1)
    pairs = []
    for _, rows in frame.reset_index(drop=True).groupby("tomogram_id" if "tomogram_id" in frame else "micrograph_id"):
        place = rows.index.to_numpy()
        place = place[known[place]]
        if len(place) and np.ptp(centres[place], axis=0).max(initial=0) > DUPLICATE:  # else no positions are known
            pairs.append(place[cKDTree(centres[place]).query_pairs(DUPLICATE, output_type="ndarray")])
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), int)
    links = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(len(frame), len(frame)))
    return connected_components(links, directed=False)[1]


def count_in_both_halves(frame: pd.DataFrame) -> int:
    """Return how many rows lie at one place with a row of the other half set: what they show is in both half maps."""
    label, half = duplicates(frame), frame["half"].to_numpy(int)
    both = np.intersect1d(label[half == 1], label[half == 2])
    return int(np.isin(label, both).sum())


def with_poses(frame: pd.DataFrame, poses: Poses, pixel_size: float, origin: np.ndarray | None = None) -> pd.DataFrame:
    """Return the rows with new poses, halves, scores and uncertainties.

    `origin` (n, 3), in Å, is where the poses' shifts begin; by default at the rows' positions.
    """
    out = frame.assign(**rotation_columns(poses.rotations, len(frame)))
    shifts = poses.shifts * pixel_size + (0.0 if origin is None else origin)
    for k, axis in enumerate("xyz"):
        if f"shift_{axis}" in frame:
            out[f"shift_{axis}"] = shifts[:, k]
    out["half"], out["score"], out["certainty"] = poses.half, poses.score, poses.certainty
    out["angle_spread"], out["shift_spread"] = poses.angle_spread, poses.shift_spread * pixel_size
    return out
