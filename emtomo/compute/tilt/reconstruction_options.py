"""Options of the reconstruction of tomograms."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param

NO_CTF, PHASE_FLIP, FULL_CTF, DECONVOLVE = "none", "phase_flip", "full", "deconvolve"


@dataclass(frozen=True, kw_only=True)
class ReconstructTomogramOptions:
    """How a tomogram is made from a tilt series."""

    method: Annotated[
        str,
        Param(
            "Method",
            "Weighted back-projection, or SIRT: iterations that bring the tomogram's projections closer to the images.",
            choices={"wbp": "weighted back-projection", "sirt": "SIRT"},
        ),
    ] = "wbp"
    weighting: Annotated[
        str,
        Param(
            "Weighting",
            "Ramp: |k| times the angle that each tilt stands for. Exact: one over the number of tilts that measure a "
            "frequency, for uneven angles and thin slabs.",
            choices={"ramp": "ramp", "exact": "exact"},
            when=("method", "wbp"),
        ),
    ] = "ramp"
    window: Annotated[
        str,
        Param(
            "Window",
            "Lets the weights fall towards the Nyquist frequency, where noise outweighs the signal.",
            choices={"none": "none", "hann": "Hann", "hamming": "Hamming", "cosine": "cosine"},
        ),
    ] = "none"
    sirt_like: Annotated[
        int,
        Param(
            "SIRT-like filter",
            "Weights as this many iterations of SIRT would leave them; smoother than the ramp. 0: off.",
            ge=0,
            le=1000,
            when=("method", "wbp"),
        ),
    ] = 0
    iterations: Annotated[
        int,
        Param("Iterations", "Of SIRT.", ge=1, le=500, when=("method", "sirt")),
    ] = 15
    non_negative: Annotated[
        bool,
        Param("Non-negative", "Set negative voxels to zero after every iteration of SIRT.", when=("method", "sirt")),
    ] = False
    dose_weights: Annotated[bool, Param("Dose weights", "Damp what radiation has destroyed, tilt by tilt.")] = True
    ctf: Annotated[
        str,
        Param(
            "CTF correction",
            "None; phase flip; full: multiplied with the CTF and divided by its mean square over the tilts; "
            "deconvolution: as Warp's, for looking and picking. All in slabs of equal defocus, at the height of every "
            "voxel.",
            choices={
                NO_CTF: "none",
                PHASE_FLIP: "phase flip",
                FULL_CTF: "full",
                DECONVOLVE: "deconvolution (for looking)",
            },
        ),
    ] = NO_CTF
    deconvolution_strength: Annotated[
        float,
        Param(
            "Deconvolution strength",
            "Signal-to-noise ratio at low frequency: 1000 to this power. Larger restores more of what the CTF "
            "suppressed, and more noise.",
            ge=0,
            le=3,
            when=("ctf", DECONVOLVE),
        ),
    ] = 1.0
    deconvolution_falloff: Annotated[
        float,
        Param(
            "Fall-off of the signal",
            "How fast the signal-to-noise ratio falls with frequency; more is smoother.",
            gt=0,
            le=10,
            when=("ctf", DECONVOLVE),
        ),
    ] = 1.0
    deconvolution_highpass: Annotated[
        float,
        Param(
            "Largest spacing",
            "Of the deconvolution; larger ones, such as gradients of the ice, are damped.",
            unit="Å",
            gt=0,
            le=100000,
            expert=True,
            when=("ctf", DECONVOLVE),
        ),
    ] = 300.0
    slab_thickness: Annotated[
        float,
        Param(
            "Slab thickness",
            "Of slabs of equal defocus; 0: as thick as the tomogram's Nyquist frequency allows (0.5 rad).",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    normalise: Annotated[bool, Param("Normalise tilts", "Scale every image to standard deviation 1 first.")] = True
