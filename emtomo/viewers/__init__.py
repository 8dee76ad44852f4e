"""Viewers that the engine finds by their class: each shows outputs in a window and draws them as a picture.

Nothing here computes science or edits a set.
"""

from emtomo.viewers.browsing import (
    ViewCoordinates,
    ViewMeshes,
    ViewParticles,
    ViewParticlesInSpace,
    ViewPicks,
    ViewScores,
    ViewSubtomograms,
    ViewTable,
)
from emtomo.viewers.windows import (
    ViewAlignment,
    ViewClasses,
    ViewClasses3D,
    ViewConvergence,
    ViewCtfCharts,
    ViewCtfFit,
    ViewDirections,
    ViewFields,
    ViewFsc,
    ViewMicrographs,
    ViewMontage,
    ViewMovements,
    ViewOutside,
    ViewRefinement,
    ViewSpace,
    ViewTilts,
    ViewTomograms,
    ViewVolume,
)

__all__ = [
    "ViewAlignment", "ViewClasses", "ViewClasses3D", "ViewConvergence", "ViewCoordinates", "ViewCtfCharts",
    "ViewCtfFit", "ViewDirections", "ViewFields", "ViewFsc", "ViewMeshes", "ViewMicrographs", "ViewMontage",
    "ViewMovements", "ViewOutside", "ViewParticles", "ViewParticlesInSpace", "ViewPicks", "ViewRefinement",
    "ViewScores", "ViewSpace", "ViewSubtomograms", "ViewTable", "ViewTilts", "ViewTomograms", "ViewVolume",
]  # fmt: skip
