"""Parameters of multi-particle refinement, in the words of its form, and the two usual choices of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from emtomo.errors import EmtomoError
from emtomo.options import Param

SPATIAL, MOST, OWN = "spatial", "most parameters", "custom"
PRESETS = (SPATIAL, MOST, OWN)
NO_WEIGHTS, SERIES_WEIGHTS, TILT_WEIGHTS = "none", "per series", "per tilt"
BELOW = ("preset", OWN)


def parse_grid(text: str, axes: int) -> tuple[int, ...] | None:
    """Return the nodes of a grid written as ``"4 x 3"``; None of an empty text or 0.

    Raises
    ------
    EmtomoError
        If it is not so many whole numbers from 1 to 64.
    """
    parts = [part.strip() for part in re.split(r"[x×,]", text.strip())]
    if parts in ([""], ["0"]):
        return None
    if len(parts) != axes or not all(part.isdecimal() and 1 <= int(part) <= 64 for part in parts):
        names = " x ".join("xyzt"[:axes]) if axes == 2 else "x x y x z x t"
        raise EmtomoError(f"A grid must be {axes} whole numbers from 1 to 64 ({names}), or empty, got {text!r}.")
    return tuple(int(part) for part in parts)


def _grid_problem(axes: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        """Return what is wrong with a grid, empty if nothing."""
        try:
            grid = parse_grid(text, axes)
        except EmtomoError as error:
            return str(error)
        if grid is not None and axes == 4 and grid[3] < 2:
            return "A volume warp needs at least 2 nodes in time: the first one stays where it is."
        return ""

    return check


@dataclass(frozen=True, kw_only=True)
class MultiParticleOptions:
    """What is refined, and how far it may go from where it was."""

    preset: Annotated[
        str,
        Param(
            "Parameters",
            "Spatial: four iterations with image warp, particle poses and stage angles. Most parameters: three, also "
            "with volume warp, magnification, optics and weights. Custom: as set below.",
            choices=PRESETS,
        ),
    ] = SPATIAL
    iterations: Annotated[
        int,
        Param(
            "Iterations", "Each refines all series and reconstructs anew. 0 reconstructs only.", ge=0, le=20, when=BELOW
        ),
    ] = 4
    image_warp: Annotated[
        str,
        Param(
            "Image warp x × y",
            "Nodes of a grid of movements in every tilt image, as 4 x 4; 1 x 1 is a shift, empty is none. At most a "
            "node for every ten particles of a series is used.",
            validate=_grid_problem(2),
            when=BELOW,
        ),
    ] = "4 x 4"
    volume_warp: Annotated[
        str,
        Param(
            "Volume warp x × y × z × t",
            "Nodes of a grid of displacements in the volume, that change with dose, as 2 x 2 x 2 x 10; empty is none.",
            validate=_grid_problem(4),
            when=BELOW,
        ),
    ] = ""
    poses: Annotated[bool, Param("Particle poses", "Orientations and positions of the particles.", when=BELOW)] = True
    pose_doses: Annotated[
        int,
        Param(
            "Poses over the dose",
            "Doses at which every particle has a pose, linear between; with 1 particles do not move while exposed.",
            ge=1,
            le=10,
            when=BELOW,
        ),
    ] = 1
    stage_angles: Annotated[bool, Param("Stage angles", "Three angles of every tilt.", when=BELOW)] = True
    magnification: Annotated[
        bool, Param("Magnification", "One 2 × 2 matrix for all images of a series.", when=BELOW)
    ] = False
    defocus: Annotated[bool, Param("Defocus", "Of every tilt.", when=BELOW)] = False
    exhaustive_defocus: Annotated[
        bool, Param("Exhaustive defocus search", "Over a range, in the first iteration.", when=BELOW)
    ] = False
    astigmatism: Annotated[bool, Param("Astigmatism", "Of every tilt.", when=BELOW)] = False
    phase: Annotated[bool, Param("Phase", "Phase shift of every tilt, for phase plates.", when=BELOW)] = False
    cs: Annotated[bool, Param("Cs", "Spherical aberration; stands for errors of the pixel size, too.", when=BELOW)] = (
        False
    )
    weights: Annotated[
        str,
        Param(
            "Weights",
            "Scale and B factor from how well images agree with the reference: of every tilt, or the same for all "
            "tilts of a series.",
            choices=(NO_WEIGHTS, SERIES_WEIGHTS, TILT_WEIGHTS),
            when=BELOW,
        ),
    ] = NO_WEIGHTS
    optics_resolution: Annotated[
        float,
        Param(
            "Optics from",
            "Magnification, defocus, astigmatism, phase and Cs are refined only if a species is at least so well "
            "resolved: at lower resolution they and the reference compensate each other.",
            unit="Å",
            gt=0,
            expert=True,
        ),
    ] = 10.0
    defocus_resolution: Annotated[
        float,
        Param(
            "Differences of defocus from",
            "Where a species is at least so well resolved, but optics are not refined yet, the defocus of tilts is "
            "refined and its mean over the tilts kept: all tilts have the same reference, which compensates for the "
            "mean alone.",
            unit="Å",
            gt=0,
            expert=True,
        ),
    ] = 30.0
    first_iteration: Annotated[
        float,
        Param(
            "Resolution of the first iteration",
            "Fraction of the resolution that is used in the first iteration; all of it from the last one on.",
            unit="%",
            gt=10,
            le=100,
            expert=True,
        ),
    ] = 100.0
    pose_angle: Annotated[
        float,
        Param(
            "Prior of orientations", "Standard deviation of a particle's rotation.", unit="°", gt=0, le=60, expert=True
        ),
    ] = 5.0
    pose_shift: Annotated[
        float, Param("Prior of positions", "Standard deviation of a particle's shift.", unit="Å", gt=0, expert=True)
    ] = 10.0
    motion_prior: Annotated[
        float,
        Param(
            "Prior of movements",
            "Standard deviation of a particle's position from that at the dose before, where it has several poses.",
            unit="Å",
            gt=0,
            expert=True,
        ),
    ] = 2.0
    shift_prior: Annotated[
        float, Param("Prior of image shifts", "Standard deviation of a tilt's mean shift.", unit="Å", gt=0, expert=True)
    ] = 10.0
    warp_prior: Annotated[
        float,
        Param("Prior of warps", "Standard deviation of a node from its tilt's mean.", unit="Å", gt=0, expert=True),
    ] = 5.0
    stage_prior: Annotated[
        float, Param("Prior of stage angles", "Standard deviation of each angle.", unit="°", gt=0, le=10, expert=True)
    ] = 0.3
    magnification_prior: Annotated[
        float, Param("Prior of magnification", "Standard deviation of each term.", unit="%", gt=0, le=20, expert=True)
    ] = 1.0
    defocus_prior: Annotated[
        float, Param("Prior of defocus", "Standard deviation; of astigmatism a fifth.", unit="Å", gt=0, expert=True)
    ] = 2000.0
    defocus_range: Annotated[
        float,
        Param("Range of the exhaustive search", "To either side.", unit="Å", gt=0, le=20000, expert=True),
    ] = 3000.0
    phase_prior: Annotated[
        float, Param("Prior of phase", "Standard deviation.", unit="°", gt=0, le=180, expert=True)
    ] = 10.0
    cs_prior: Annotated[float, Param("Prior of Cs", "Standard deviation.", unit="mm", gt=0, expert=True)] = 0.1
    held_out: Annotated[
        float,
        Param(
            "Held out",
            "Share of the particles of a series that takes no part in fitting what its images share; a group of "
            "parameters is kept only if they agree better with the references afterwards.",
            unit="%",
            ge=5,
            le=50,
            expert=True,
        ),
    ] = 10.0
    sweeps: Annotated[int, Param("Sweeps", "At most, over all images, for one fit.", ge=2, le=50, expert=True)] = 6
    seed: Annotated[int, Param("Random seed", "Which particles are held out.", ge=0, expert=True)] = 1

    def resolve_preset(self) -> "MultiParticleOptions":
        """Return these options with what the preset says."""
        if self.preset == OWN:
            return self
        none = {"volume_warp": "", "magnification": False, "phase": False, "weights": NO_WEIGHTS}
        optics = dict.fromkeys(("defocus", "exhaustive_defocus", "astigmatism", "cs"), False)
        spatial = {"iterations": 4, "image_warp": "4 x 4", "poses": True, "stage_angles": True, **none, **optics}
        if self.preset == SPATIAL:
            return replace(self, preset=OWN, **spatial)  # type: ignore[arg-type]
        more = {"iterations": 3, "volume_warp": "2 x 2 x 2 x 6", "magnification": True, "weights": TILT_WEIGHTS}
        return replace(self, preset=OWN, **{**spatial, **more, **dict.fromkeys(optics, True)})  # type: ignore[arg-type]
