"""Parameters of 3D classification."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.compute.refinement.options import SYMMETRY
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class Classification3DOptions:
    """How particles are sorted into 3D classes."""

    number_of_classes: Annotated[
        int, Param("Number of classes K", "This many maps compete for the particles.", ge=1, le=50)
    ] = 3
    iterations: Annotated[int, Param("Number of iterations", "Over all particles.", ge=1, le=200)] = 25
    regularisation: Annotated[
        float,
        Param("Regularisation parameter T", "Larger: more detail in the maps, and more noise. 2 to 4 are usual.", gt=0,
              le=100),
    ] = 4.0  # fmt: skip
    symmetry: Annotated[str, SYMMETRY] = "C1"
    align: Annotated[
        bool,
        Param(
            "Perform image alignment?",
            "No: particles keep their orientations and shifts, and are only sorted. This is fast, and finds small "
            "differences among particles that were refined together.",
        ),
    ] = False
    angular_step: Annotated[
        float,
        Param(
            "Angular sampling interval",
            "Of the search over all orientations; not above the step of local searches: the neighbourhood of the given "
            "orientations only.",
            unit="°",
            gt=0,
            le=30,
        ),
    ] = 1.8
    local_from: Annotated[
        float,
        Param("Local searches from", "They reach eight of these steps to every side.", unit="°", gt=0, le=30),
    ] = 1.8
    offset_range: Annotated[
        float,
        Param("Offset search range", "About the particles' shifts.", unit="voxel", gt=0, le=100),
    ] = 3.0
    initial_lowpass: Annotated[
        float,
        Param("Initial low-pass filter", "Of the reference, and the finest detail compared at first.", unit="Å", gt=0),
    ] = 40.0
    max_resolution: Annotated[
        float,
        Param("Limit resolution E-step to", "Finer detail does not count in sorting; 0: no limit.", unit="Å", ge=0),
    ] = 0.0
    mask_diameter: Annotated[
        float, Param("Mask diameter", "Of a sphere that holds the particle. 0 takes the box.", unit="Å", ge=0)
    ] = 0.0
    starts: Annotated[
        int,
        Param(
            "Random starts",
            "This many random sortings are tried for a few iterations, and the likeliest goes on.",
            ge=1,
            le=50,
            expert=True,
        ),
    ] = 3
    seed: Annotated[int, Param("Random seed", "The same seed gives the same classes.", ge=0)] = 1
