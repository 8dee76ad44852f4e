"""Parameters of the network's training and use."""

from dataclasses import dataclass
from typing import Annotated

from emtomo.options import Param

FEWEST = 5  # references of either kind


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the network learns."""

    training_box: Annotated[
        int,
        Param(
            "Training box",
            "Pixels that a box is resampled to, whatever its size in voxels.",
            unit="pixel",
            ge=96,
            le=256,
            expert=True,
        ),
    ] = 96
    iterations: Annotated[
        int,
        Param("Iterations", "Rounds of training, each with new rotations and shifts of the references.", ge=1, le=1000),
    ] = 20
    copies: Annotated[
        int,
        Param("Copies", "Rotated and shifted copies of the references of each kind in an iteration.", ge=8, le=10000),
    ] = 160
    learning_rate: Annotated[float, Param("Learning rate", "Of the Adam optimiser.", gt=0, le=1, expert=True)] = 2e-3
    positive_weight: Annotated[
        float,
        Param(
            "Weight of positives",
            "Relative to that of negatives: a larger one finds more particles.",
            gt=0,
            le=100,
            expert=True,
        ),
    ] = 1.0
    target_size: Annotated[
        float,
        Param(
            "Target size", "Deviation of the spot that marks a particle, as part of the box.", gt=0, le=0.5, expert=True
        ),
    ] = 0.06
    seed: Annotated[int, Param("Random seed", "The same seed gives the same network.", ge=0)] = 1


@dataclass(frozen=True, kw_only=True)
class ApplyOptions:
    """What becomes of the network's answer."""

    threshold: Annotated[
        float,
        Param("Threshold", "On the network's output, from 0 to about 1: a lower one finds more particles.", ge=0, le=2),
    ] = 0.5
    min_distance: Annotated[
        float | None, Param("Minimum distance", "Between particles. Empty: half the box.", unit="Å", gt=0)
    ] = None
    number_of_particles: Annotated[
        int, Param("Number of particles", "The best of each tomogram at most; 0 takes all above the threshold.", ge=0)
    ] = 0
