"""Parameters of refinement and reconstruction."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param

SYMMETRY = Param("Symmetry group", "Point group: Cn, Dn, T, O, I1 or I2, with RELION's axes (main axis along z).")


@dataclass(frozen=True, kw_only=True)
class RefineOptions:
    """How poses are searched and when to stop."""

    symmetry: Annotated[str, SYMMETRY] = "C1"
    initial_lowpass: Annotated[
        float,
        Param(
            "Initial low-pass filter",
            "The reference is blurred to this resolution, so that no detail of it "
            "can come back as if the particles had it.",
            unit="Å",
            gt=0,
        ),
    ] = 60.0
    mask_diameter: Annotated[
        float,
        Param(
            "Mask diameter",
            "Of a sphere that holds the particle; what lies outside does not take part in the "
            "alignment. 0 takes the box.",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    angular_step: Annotated[
        float,
        Param(
            "Initial angular sampling",
            "Of the search over all orientations. If it is not above the step of "
            "local searches, only the neighbourhood of the given orientations is searched.",
            unit="°",
            gt=0,
            le=30,
        ),
    ] = 7.5
    local_from: Annotated[
        float,
        Param(
            "Local searches from",
            "Local searches reach eight of these steps to every side of the last orientation, later less.",
            unit="°",
            gt=0,
            le=30,
        ),
    ] = 1.8
    offset_range: Annotated[
        float,
        Param(
            "Offset range",
            "How far particles may lie from their last position along each axis.",
            unit="voxel",
            gt=0,
            le=100,
        ),
    ] = 5.0
    offset_step: Annotated[
        float,
        Param(
            "Offset step",
            "Coarsest step of the first search; finer where the resolution asks for it. Final "
            "offsets are not bound to steps.",
            unit="voxel",
            gt=0,
            le=20,
        ),
    ] = 2.0
    regularisation: Annotated[
        float,
        Param(
            "Regularisation T",
            "Weight of the data against the FSC-based prior: above 1 sharper, below 1 smoother.",
            gt=0,
            le=10,
            expert=True,
        ),
    ] = 1.0
    solvent_correct_fsc: Annotated[
        bool,
        Param(
            "Solvent-corrected FSC",
            "Measure the resolution within the mask, corrected for the correlation that the mask itself adds.",
        ),
    ] = True
    join_halves: Annotated[
        float,
        Param(
            "Join halves up to",
            "Shells below this resolution are shared by the halves, so that they do not drift apart. 0 for none.",
            unit="Å",
            ge=0,
            expert=True,
        ),
    ] = 40.0
    prior_width: Annotated[
        float,
        Param("Prior width", "Standard deviation of the given orientations, which then hold particles back. "
              "0: the given orientations only start the search.", unit="°", ge=0, le=90, expert=True),
    ] = 0.0  # fmt: skip
    max_iterations: Annotated[
        int, Param("Largest number of iterations", "It stops by itself before.", ge=1, le=100, expert=True)
    ] = 20
    seed: Annotated[int, Param("Random seed", "The same seed gives the same halves and the same result.", ge=0)] = 1

    @property
    def needs_orientations(self) -> bool:
        """Whether only the neighbourhood of given orientations is searched."""
        return self.angular_step <= self.local_from


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions:
    """How an average is reconstructed from known poses."""

    symmetry: Annotated[str, SYMMETRY] = "C1"
    number: Annotated[
        int,
        Param(
            "Particles",
            "This many, drawn at random, make a first reference of low resolution; 0 takes all.",
            ge=0,
        ),
    ] = 0
    max_resolution: Annotated[
        float, Param("Maximum resolution", "Finer shells are left out. 0: up to Nyquist.", unit="Å", ge=0)
    ] = 0.0
    seed: Annotated[
        int, Param("Random seed", "Of the draw, and of the halves where particles have none yet.", ge=0, expert=True)
    ] = 1
