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
    shifts = frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float) / pixel_size
    check_finite(frame[["x", "y", "z"]].to_numpy(float), "The position of particle")
    check_finite(shifts, "The shift of particle")
    check_finite(rotations, "The rotation of particle")
    half = assign_halves(len(frame), seed, frame["half"].fillna(0).to_numpy(int), duplicates(frame))
    return Poses(rotations, shifts, half)


def duplicates(frame: pd.DataFrame) -> np.ndarray:
    """Return a label for every row, the same for rows of one tomogram whose centres are (nearly) one place."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    centres = frame[["x", "y", "z"]].to_numpy(float) + frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
    pairs = []
    for _, rows in frame.reset_index(drop=True).groupby("tomogram_id"):
        place = rows.index.to_numpy()
        if np.ptp(centres[place], axis=0).max(initial=0) > DUPLICATE:  # else no positions are known
            pairs.append(place[cKDTree(centres[place]).query_pairs(DUPLICATE, output_type="ndarray")])
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), int)
    links = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(len(frame), len(frame)))
    return connected_components(links, directed=False)[1]


def with_poses(frame: pd.DataFrame, poses: Poses, pixel_size: float) -> pd.DataFrame:
    """Return the rows with new poses, halves, scores and uncertainties."""
    out = frame.assign(**rotation_columns(poses.rotations, len(frame)))
    for k, axis in enumerate("xyz"):
        out[f"shift_{axis}"] = poses.shifts[:, k] * pixel_size
    out["half"], out["score"], out["certainty"] = poses.half, poses.score, poses.certainty
    out["angle_spread"], out["shift_spread"] = poses.angle_spread, poses.shift_spread * pixel_size
    return out
