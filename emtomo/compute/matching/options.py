"""How templates are matched."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """What is searched."""

    angular_step: Annotated[
        float,
        Param(
            "Angular step",
            "Of the exhaustive search: no orientation is much farther from one that is tried. The "
            "coarse-to-fine search takes at most this step and refines what it finds.",
            unit="°",
            ge=1,
            le=60,
        ),
    ] = 15.0
    symmetry: Annotated[
        str, Param("Point-group symmetry", "Of the reference: Cn, Dn, T, O, I, I1 or I2; its axes as in RELION.")
    ] = "C1"
    exhaustive: Annotated[
        bool,
        Param(
            "Exhaustive search",
            "Every orientation at every voxel at full sampling. Otherwise the scan is coarse "
            "and only its best places are looked at in full: as good, and many times faster.",
        ),
    ] = False
    lowpass: Annotated[
        float, Param("Low-pass filter", "What is finer does not count. 0: all that the voxels hold.", unit="Å", ge=0)
    ] = 0.0
    highpass: Annotated[
        float, Param("High-pass filter", "What is coarser does not count. 0: none.", unit="Å", ge=0)
    ] = 0.0
    whiten: Annotated[
        bool,
        Param(
            "Whiten the spectrum",
            "Weight every frequency by its information: the tomogram's own power is taken as the noise.",
        ),
    ] = True
    local_contrast: Annotated[
        bool,
        Param(
            "Normalise locally",
            "Divide scores by the deviation of the tomogram under the mask, so that dense "
            "places (gold, ice) do not score high by contrast alone.",
        ),
    ] = True
    other_objects: Annotated[
        bool,
        Param(
            "Weigh against other objects",
            "Score a position by how much better the reference explains it than an unknown object of its size and "
            "mass: other molecules, ice and dirt score less.",
        ),
    ] = True
    random_phases: Annotated[
        bool,
        Param(
            "Correct the background",
            "Match a copy of the reference with random phases too, and subtract its local mean score. Takes twice "
            "the time.",
            expert=True,
        ),
    ] = False
    border: Annotated[
        float | None,
        Param(
            "Border",
            "Centres nearer to a face of the tomogram than this are not searched. Empty: half the radius of the mask.",
            unit="Å",
            ge=0,
        ),
    ] = None
    gold: Annotated[
        float,
        Param(
            "Avoid gold",
            "Particles that touch voxels beyond this many standard deviations are left out. 0: keep all.",
            unit="standard deviations",
            ge=0,
        ),
    ] = 10.0


@dataclass(frozen=True, kw_only=True)
class PeakOptions:
    """Which places are taken for particles."""

    number_of_particles: Annotated[
        int, Param("Number of particles", "The best of each tomogram at most; 0 takes all above the threshold.", ge=0)
    ] = 0
    false_alarms: Annotated[
        float,
        Param(
            "False alarms",
            "Candidates that pure noise would give in each tomogram: sets the threshold. 0: no threshold, the number "
            "of particles decides alone.",
            ge=0,
        ),
    ] = 1.0
    min_distance: Annotated[
        float | None, Param("Minimum distance", "Between particles. Empty: the radius of the mask.", unit="Å", gt=0)
    ] = None
