"""Parameters of 2D classification."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions:
    """How images are sorted into classes."""

    ctf_correction: Annotated[
        bool, Param("Do CTF-correction?", "Averages are those of particles, not of their images by the microscope.")
    ] = True
    ignore_first_peak: Annotated[
        bool,
        Param(
            "Ignore CTFs until first peak?",
            "With CTF correction: take the CTF as 1 up to its first extremum; for classes that come out as featureless "
            "blobs.",
        ),
    ] = False
    number_of_classes: Annotated[
        int,
        Param(
            "Number of classes K",
            "At least 100 particles a class are usual in cryo-EM, 20 to 50 in negative stain.",
            ge=1,
            le=2000,
        ),
    ] = 50
    regularisation: Annotated[
        float,
        Param("Regularisation parameter T", "Larger: more detail, and more noise. 2 to 3 are usual.", gt=0, le=100),
    ] = 2.0
    iterations: Annotated[int, Param("Number of iterations", "Over all particles.", ge=1, le=1000)] = 25
    fast_subsets: Annotated[
        bool,
        Param(
            "Use fast subsets?",
            "Iterations 1 to 5 take 100 particles a class, 6 to 10 take 300, 11 to 15 take 30 % of all; the others, "
            "and the last assignment, all.",
        ),
    ] = False
    mini_batches: Annotated[
        int,
        Param(
            "VDAM mini-batches",
            "This many random batches of growing size, each of which adds to the averages, instead of iterations over "
            "all particles; the last takes all. 200 are usual for very many particles. 0: off.",
            ge=0,
            le=2000,
        ),
    ] = 0
    mask_diameter: Annotated[
        float | None,
        Param(
            "Mask diameter",
            "Of a circle with a soft edge that holds the particle in every view. Must be given.",
            unit="Å",
            gt=0,
        ),
    ] = None
    zero_mask: Annotated[
        bool,
        Param(
            "Mask individual particles with zeros?",
            "Otherwise noise of the present noise spectrum, the same in every run, fills what lies outside the circle.",
        ),
    ] = True
    max_resolution: Annotated[
        float,
        Param("Limit resolution E-step to", "Finer detail is not compared. -1: no limit.", unit="Å", ge=-1),
    ] = -1.0
    psi_step: Annotated[
        float,
        Param(
            "In-plane angular sampling",
            "A first pass over all angles takes twice this step; a second one, about the best, is finer than it.",
            unit="°",
            gt=0,
            le=30,
        ),
    ] = 6.0
    offset_range: Annotated[
        float, Param("Offset range", "How far particles may lie from their last position.", unit="pixel", gt=0, le=100)
    ] = 5.0
    offset_step: Annotated[
        float,
        Param(
            "Offset step",
            "The first pass takes twice this step; a second one is finer than it.",
            unit="pixel",
            gt=0,
            le=20,
        ),
    ] = 1.0
    correct_contrast: Annotated[
        bool,
        Param(
            "Correct contrast",
            "Estimate how strongly each micrograph shows its particles.",
            expert=True,
        ),
    ] = True
    seed: Annotated[int, Param("Random seed", "The same seed gives the same classes.", ge=0)] = 1
