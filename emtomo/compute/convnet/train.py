"""Train the network on a few references."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.convnet.network import build, torch_module
from emtomo.compute.convnet.options import FEWEST, TrainOptions
from emtomo.compute.convnet.slabs import OUTPUT, Slabs
from emtomo.compute.device import threads
from emtomo.errors import EmtomoError

BATCH = 32
FURTHER = 0.1  # of the learning rate where a trained network goes on
STEEPEST = 1.0  # length of a gradient
SHIFT = 0.12  # of the box: how far copies are moved within the plane
DEPTH = 0.25  # of the box: how far along z, where the answer fades
REGION = 0.4  # of the box about the reference, in which the answer counts: beyond it others may lie


@dataclass(frozen=True)
class TrainingReferences:
    """Examples.

    Attributes
    ----------
    patches : list of (Slabs, (3,) array)
        Tomogram and z, y, x in voxels.
    positive : (n,) bool array
    """

    places: list[tuple[Slabs, np.ndarray]]
    positive: np.ndarray

    def check(self) -> None:
        """Raise :class:`EmtomoError` if there are too few of either kind."""
        good, bad = int(self.positive.sum()), int((~self.positive).sum())
        if good < FEWEST or bad < FEWEST:
            raise EmtomoError(
                f"Training needs at least {FEWEST} positive and {FEWEST} negative references, it has {good} and {bad}."
            )


def train(
    references: TrainingReferences,
    options: TrainOptions,
    on_progress: Callable[[int, float], None] = lambda iteration, loss: None,
    network: Any = None,
) -> Any:
    """Return a network that answers 1 at positive references and 0 at negative ones.

    Parameters
    ----------
    references : TrainingReferences
    options : TrainOptions
    on_progress : callable
        Called after each iteration with its number, from 1, and the mean loss.
    network : optional
        To go on from.

    Notes
    -----
    Every iteration shows copies of the references, turned and mirrored at random in the plane and moved a little; the
    wanted answer is a Gaussian spot at the particle's centre, lower the farther the slab is from it along z. The loss
    is the weighted mean square within a circle about the reference.

    References
    ----------
    Chen et al., Nature Methods 14 (2017), for slabs and few references (EMAN2); Kingma & Ba, Adam (2015).
    """
    references.check()
    torch = torch_module()
    torch.set_num_threads(threads())
    torch.use_deterministic_algorithms(True)
    rate = options.learning_rate * (1.0 if network is None else FURTHER)
    network = build(options.seed) if network is None else network
    rng = np.random.default_rng(options.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    rounds = options.iterations * -(-2 * options.copies // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=rounds)
    kinds = [np.flatnonzero(references.positive), np.flatnonzero(~references.positive)]
    for iteration in range(1, options.iterations + 1):
        chosen = np.concatenate([rng.choice(kind, options.copies) for kind in kinds])
        rng.shuffle(chosen)
        losses = []
        for first in range(0, len(chosen), BATCH):
            some = chosen[first : first + BATCH]
            images, targets, weights = batch(references, some, options, rng)
            optimiser.zero_grad()
            loss = (weights * (network(images) - targets) ** 2).sum() / weights.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        on_progress(iteration, float(np.mean(losses)))
    _calibrate(network, references, options, rng)
    return network


def _calibrate(network: Any, references: TrainingReferences, options: TrainOptions, rng: np.random.Generator) -> None:
    """Scale the answers so that the positive references' median is 1: a mean square loss leaves them too low."""
    torch = torch_module()
    good = np.resize(np.flatnonzero(references.positive), max(options.copies, 32))
    images, targets, _ = batch(references, good, options, rng)
    with torch.no_grad():
        found = (network(images) * (targets > 0.6)).flatten(1).max(dim=1).values
        clear = targets.flatten(1).max(dim=1).values > 0.9  # slabs through the middle
        height = float(found[clear].median()) if bool(clear.any()) else float(found.median())
        if height > 0.05:
            for parameter in network[-1].parameters():
                parameter /= height


def batch(
    references: TrainingReferences, some: np.ndarray, options: TrainOptions, rng: np.random.Generator
) -> tuple[Any, Any, Any]:
    """Return turned copies `(n, CHANNELS, b, b)`, wanted answers and their weights `(n, 1, b / 4, b / 4)`."""
    torch = torch_module()
    b, out = options.training_box, options.training_box // OUTPUT
    slabs = references.places[int(some[0])][0]
    half = int(np.ceil(0.75 * slabs.box)) + 2
    depth = rng.uniform(-DEPTH, DEPTH, len(some)) * (rng.random(len(some)) < 0.7)
    patches = []
    for i, d in zip(some, depth, strict=True):
        source, place = references.places[int(i)]
        z, y, x = (int(c) for c in np.rint(place + [d * slabs.box, 0, 0]))
        patches.append(source.patch(z, y, x, half))
    angle = rng.uniform(0, 2 * np.pi, len(some))
    mirror = rng.choice([-1.0, 1.0], len(some))
    shift = rng.uniform(-SHIFT, SHIFT, (len(some), 2))
    cos, sin, scale = np.cos(angle), np.sin(angle), slabs.box / (2 * half + 1)
    theta = np.empty((len(some), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = scale * cos * mirror, -scale * sin
    theta[:, 1, 0], theta[:, 1, 1] = scale * sin * mirror, scale * cos
    # the copy shows what lies at theta (p - shift): its centre moves by the shift
    theta[:, :, 2] = -np.einsum("nij,nj->ni", theta[:, :, :2], 2 * shift)
    images = torch.from_numpy(np.stack(patches))
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta.astype(np.float32)), (len(some), 1, b, b), False)
    images = torch.nn.functional.grid_sample(images, grid, "bilinear", "zeros", False)
    axis = (np.arange(out) + 0.5) / out - 0.5
    dx, dy = axis[None, None, :] - shift[:, 0, None, None], axis[None, :, None] - shift[:, 1, None, None]
    away = (dx**2 + dy**2) / (2 * options.target_size**2) + (depth**2 / (2 * (1.5 * options.target_size) ** 2))[
        :, None, None
    ]
    positive = references.positive[some]
    target = np.where(positive[:, None, None], np.exp(-away), 0.0)
    weight = (dx**2 + dy**2 <= REGION**2) * np.where(positive, options.positive_weight, 1.0)[:, None, None]
    weight = weight * (1 + 4 * target)
    as_tensor = [torch.from_numpy(a[:, None].astype(np.float32)) for a in (target, weight)]
    return images, as_tensor[0], as_tensor[1]
