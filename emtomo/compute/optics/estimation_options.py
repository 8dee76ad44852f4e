"""Options of the estimation of the CTF."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param

ASTIGMATISM = ("shared", "per_tilt", "none")
HAND = ("estimate", "keep")
PLANE = ("estimate", "flat")


@dataclass(frozen=True, kw_only=True)
class CtfEstimationOptions:
    """What is fitted to the rings of the power spectra, and where."""

    min_defocus: Annotated[
        float, Param("Minimum defocus", "Where the search begins; underfocus is positive.", unit="Å", ge=500)
    ] = 3000.0
    max_defocus: Annotated[float, Param("Maximum defocus", "Where the search ends.", unit="Å", gt=500, le=200000)] = (
        80000.0
    )
    low_resolution: Annotated[
        float, Param("Lowest resolution", "Rings at larger spacings are not fitted.", unit="Å", gt=0, le=200)
    ] = 30.0
    high_resolution: Annotated[
        float,
        Param(
            "Highest resolution",
            "Rings at smaller spacings are not fitted; at most 0.95 of the Nyquist frequency.",
            unit="Å",
            gt=0,
            le=100,
        ),
    ] = 6.0
    astigmatism: Annotated[
        str,
        Param(
            "Astigmatism",
            "shared: one for all tilts of a series; per_tilt: one for each; none: the defocus alone is fitted.",
            choices=ASTIGMATISM,
        ),
    ] = "shared"
    max_astigmatism: Annotated[
        float,
        Param(
            "Maximum astigmatism",
            "Largest difference of defocus between the two axes.",
            unit="Å",
            ge=0,
            le=20000,
            expert=True,
        ),
    ] = 3000.0
    estimate_phase_shift: Annotated[
        bool, Param("Estimate the phase shift", "Of a phase plate, one for all tilts of a series.")
    ] = False
    phase_shift: Annotated[
        float,
        Param(
            "Phase shift",
            "Of a phase plate, where it is not estimated.",
            unit="°",
            ge=0,
            lt=180,
            expert=True,
        ),
    ] = 0.0
    hand: Annotated[
        str,
        Param(
            "Hand",
            "Whether defocus grows or falls with the height: estimate compares both and takes the certain one; keep "
            "leaves the one of the series.",
            choices=HAND,
        ),
    ] = "estimate"
    specimen_plane: Annotated[
        str,
        Param(
            "Plane of the specimen",
            "estimate: how the specimen is inclined in the tomogram, about x and about y, is fitted to the defocus "
            "across all images, and taken where it is certain; flat: it lies in the tomogram's xy plane.",
            choices=PLANE,
        ),
    ] = "estimate"
    max_inclination: Annotated[
        float,
        Param(
            "Maximum inclination",
            "Of the specimen, about either axis.",
            unit="°",
            gt=0,
            le=60,
            expert=True,
        ),
    ] = 20.0
    tile_size: Annotated[
        int,
        Param(
            "Tile size",
            "Side of the square tiles whose spectra are taken; high defocus at fine pixels needs larger ones.",
            unit="pixel",
            ge=64,
            le=1024,
            expert=True,
        ),
    ] = 256
    defocus_change: Annotated[
        float,
        Param(
            "Change of defocus",
            "Typical difference of defocus between tilts next to each other; it decides only where rings are weak.",
            unit="Å",
            gt=0,
            le=20000,
            expert=True,
        ),
    ] = 1000.0
