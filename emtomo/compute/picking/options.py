"""How micrographs are searched and which peaks are particles."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param

SHRINK = Param(
    "Shrink factor",
    "Size at which micrographs are searched. 0: so that the low-pass filter is their Nyquist frequency; up to 1: this "
    "fraction of their size; above 1: this many pixels along the longer side.",
    ge=0,
    expert=True,
)


@dataclass(frozen=True, kw_only=True)
class BlobOptions:
    """What blobs are searched for on micrographs."""

    max_resolution: Annotated[
        float,
        Param("Maximum resolution", "What is finer does not count; sets the size of the search.", unit="Å", gt=0),
    ] = 20.0
    shapes: Annotated[
        str,
        Param(
            "Shapes",
            "Discs of the diameters, ellipses of both, rings (hollow shells), or all of them.",
            choices=("disc", "disc and ellipse", "ring", "all"),
        ),
    ] = "all"
    shrink: Annotated[float, SHRINK] = 0.0


@dataclass(frozen=True, kw_only=True)
class TemplateOptions:
    """How references are compared with micrographs."""

    lowpass: Annotated[
        float,
        Param(
            "Low-pass filter of references",
            "Keep it well below the resolution that is aimed at: noise that looks like the reference is picked too.",
            unit="Å",
            gt=0,
        ),
    ] = 20.0
    highpass: Annotated[
        float | None,
        Param("High-pass filter", "Takes out gradients, e.g. 200 to 400. Empty: none.", unit="Å", gt=0),
    ] = None
    mask_diameter: Annotated[
        float | None,
        Param(
            "Mask diameter",
            "Of the circle within which references are compared. Empty: that of the classification.",
            unit="Å",
            gt=0,
        ),
    ] = None
    angular_step: Annotated[
        float, Param("Angular sampling", "In-plane rotation of the references.", unit="°", ge=1, le=90)
    ] = 5.0
    symmetry: Annotated[
        str, Param("Symmetry", "Of a 3D reference: Cn, Dn, T, O, I, I1 or I2; its axes as in RELION.")
    ] = "C1"
    view_step: Annotated[
        float,
        Param("3D angular sampling", "Between views of a 3D reference: 30, 15 or 7.5.", unit="°", ge=2, le=90),
    ] = 30.0
    inverted: Annotated[
        bool,
        Param(
            "References have inverted contrast?",
            "With respect to the micrographs: references of white particles, and micrographs with dark ones.",
        ),
    ] = True
    ctf_corrected: Annotated[
        bool,
        Param("Are references CTF corrected?", "They are multiplied by the CTF of each micrograph."),
    ] = True
    ignore_first_peak: Annotated[
        bool,
        Param("Ignore CTFs until first peak?", "The CTF counts as 1 up to its first extremum."),
    ] = False
    shrink: Annotated[float, SHRINK] = 0.0


@dataclass(frozen=True, kw_only=True)
class TemplateChoice:
    """Which peaks of template scores are particles; all of it can be changed without another search."""

    threshold: Annotated[
        float | None,
        Param(
            "Picking threshold",
            "Lowest score. Empty: where a peak is as likely a particle as noise, by two Gaussians fitted to the peaks "
            "of all micrographs.",
            unit="standard deviations",
        ),
    ] = None
    min_distance: Annotated[
        float | None,
        Param("Minimum inter-particle distance", "Empty: 0.6 of the mask diameter.", unit="Å", gt=0),
    ] = None
    max_stddev_noise: Annotated[
        float | None,
        Param(
            "Maximum stddev noise",
            "Nothing is picked where the background around varies more (carbon edges, ice); the median of the "
            "micrograph is 1, usual are 1.0 to 1.2. Empty: no limit.",
            gt=0,
        ),
    ] = None
    min_average_noise: Annotated[
        float | None,
        Param(
            "Minimum average noise",
            "Nothing is picked where the background is darker on average (carbon); usual are -0.5 to 0, the normalised "
            "micrograph has 0. Empty: no limit.",
        ),
    ] = None
