"""Viewers that the engine finds by their class: each shows outputs in a window and draws them as a picture.

Nothing here computes science or edits a set.
"""

from emtomo.viewers.windows import (
    ViewConvergence,
    ViewCoordinates,
    ViewDirections,
    ViewFsc,
    ViewMeshes,
    ViewMontage,
    ViewOutside,
    ViewScores,
    ViewSpace,
    ViewSubtomograms,
    ViewTable,
    ViewTilts,
    ViewTomograms,
    ViewVolume,
)

__all__ = [
    "ViewConvergence", "ViewCoordinates", "ViewDirections", "ViewFsc", "ViewMeshes", "ViewMontage", "ViewOutside",
    "ViewScores", "ViewSpace", "ViewSubtomograms", "ViewTable", "ViewTilts", "ViewTomograms", "ViewVolume",
]  # fmt: skip
