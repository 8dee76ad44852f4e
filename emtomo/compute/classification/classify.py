"""2D classification by expectation-maximisation: the state between iterations, one iteration, and the end."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from emtomo.compute.classification.averages import (
    average_classes,
    centres_of_mass,
    move_images,
    move_sums,
    offsets_in_images,
)
from emtomo.compute.classification.expectation import BlockSums, Expectation, Grids, assign_images
from emtomo.compute.classification.grey_scales import GreySums, new_contrast, new_noise
from emtomo.compute.classification.images import ImagePreparation, ImageStack, MaskedImages
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.classification.references import Rotations
from emtomo.compute.classification.schedule import (
    count_iterations,
    draw_subset,
    learning_rate,
    may_split,
)
from emtomo.compute.classification.search import CHUNK, coarse_radius, shift_grids
from emtomo.compute.classification.splitting import align_images, principal_component, split_empty_classes
from emtomo.compute.classification.state import ClassificationMetrics, ClassificationResult, ClassificationState
from emtomo.compute.device import check_device
from emtomo.compute.linear_algebra import one_blas_thread
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.optics.ctf import Ctf
from emtomo.errors import EmtomoError
from emtomo.options import check_options
from emtomo.wording import count_text, share_text

FIRST_RADIUS = 6.0  # shells that are compared at first
AHEAD = 4.0  # shells beyond what the best class resolves that are compared
LEAST_VARIANCE, MORE_VARIANCE = 0.5, 1.0  # of shifts, square pixels: the least, and what is added to the estimate
FEW = 20  # particles a class, of which a remark warns


class Classification:
    """Everything that stays the same from the first to the last iteration.

    Parameters
    ----------
    images : (p, n, n) array or ImageStack
        Particles white.
    pixel_size : float
        Å.
    options : ClassificationOptions
    ctf : Ctf, optional
        Of all images.
    group : (p,) int array, optional
        From 0: images of one group (a micrograph) share a noise spectrum and a contrast. By default all do.
    map_reduce : MapReduce
        Where blocks of images are compared with the averages. Elsewhere they are prepared anew in every iteration, from
        what `images` are: an ImageStack reads them there, an array is sent.
    device : {"cpu", "cuda", "cuda:N"}

    Raises
    ------
    EmtomoError
        If an option, image or device is unusable, there are more classes than particles, or the CTF is missing.

    References
    ----------
    Scheres et al., J. Mol. Biol. 348 (2005); Scheres, J. Struct. Biol. 180 (2012), for the prior of the averages and
    the search in two passes. Splitting classes along a principal component, moving members with their class, and fewer
    independent frequencies in masked images are not from there.
    """

    def __init__(
        self,
        images: np.ndarray | ImageStack,
        pixel_size: float,
        options: ClassificationOptions,
        ctf: Ctf | None = None,
        group: np.ndarray | None = None,
        map_reduce: MapReduce = in_threads,
        device: str = "cpu",
    ) -> None:
        check_options(options)
        self.device = check_device(device)
        if options.mask_diameter is None:
            raise EmtomoError("Mask diameter must be given: that of a circle which holds the particle.")
        if options.ctf_correction and ctf is None:
            raise EmtomoError("CTF correction needs the CTF of every image; none is known: switch it off.")
        count = len(images)
        if options.number_of_classes > count > 0:
            raise EmtomoError(
                f"{count_text(count, 'particle')} cannot make {count_text(options.number_of_classes, 'class')}."
            )
        self.options, self.pixel_size, self.map_reduce = options, pixel_size, map_reduce
        self.group = np.zeros(count, np.int32) if group is None else np.asarray(group, np.int32)
        self.images = MaskedImages(
            ImagePreparation(
                images,
                options.mask_diameter / 2 / pixel_size,
                ctf if options.ctf_correction else None,
                pixel_size,
                self.group,
                options.zero_mask,
                options.ignore_first_peak,
                options.seed,
            )
        )
        self.plane, self.mask = self.images.plane, self.images.mask
        n = self.plane.size
        limit = n * pixel_size / options.max_resolution if options.max_resolution > 0 else n / 2
        self.furthest = float(np.clip(limit, 2.0, n / 2 - 1))
        self.grids = Grids(
            Rotations(self.plane, options.psi_step),
            *shift_grids(options.offset_range, options.offset_step),
            coarse_radius(n, options.offset_step, options.psi_step, options.mask_diameter / pixel_size),
        )
        self.remarks: list[str] = []
        each = count / options.number_of_classes
        if each < FEW:
            self.remarks.append(
                f"{count_text(count, 'particle')} in {count_text(options.number_of_classes, 'class')}: {each:.0f} "
                f"a class; classes of fewer than {FEW} show mostly noise."
            )

    def __len__(self) -> int:
        return len(self.images)

    def begin(self) -> ClassificationState:
        """Return the state before the first iteration: averages of random shares, all power taken for noise."""
        count, classes = len(self), self.options.number_of_classes
        rng = np.random.default_rng((self.options.seed, 0))
        start = rng.permutation(np.arange(count) % classes)
        references = np.stack([self.images.images[start == k].mean(0) * self.mask for k in range(classes)])
        self.images.centre(np.arange(count), np.zeros((count, 2)))
        sums = GreySums(int(self.group.max()) + 1, self.plane.shell_counts)
        for first in range(0, count, CHUNK):
            part = slice(first, first + CHUNK)
            sums.add(self.group[part], self.plane.shell_means(np.abs(self.images.spectra[part]) ** 2))
        none = np.zeros(0)
        return ClassificationState(
            0, references, np.full(classes, 1 / classes), np.full(classes, FIRST_RADIUS),
            min(FIRST_RADIUS, self.furthest), self.options.offset_range, new_noise(sums, None),
            np.ones(len(sums.count)), np.full(count, -1), np.zeros(count), np.zeros((count, 2)),
            np.zeros(count), np.zeros(count), none, none, none,
        )  # fmt: skip

    def step(
        self, state: ClassificationState, on_progress: Callable[[int], None] = lambda done: None
    ) -> tuple[ClassificationState, ClassificationMetrics]:
        """Run one iteration."""
        began, iteration, n = time.monotonic(), state.iteration + 1, self.plane.size
        members = draw_subset(self.options, iteration, len(self))
        new, sums, expected = self._assign(state, members, on_progress)
        data, weights, mass = self._blend(state, sums)
        new.references, new.resolved = average_classes(data, weights, expected, self.mask, state.radius)
        new.share = mass / mass.sum()
        offset = centres_of_mass(new.references)
        new.references = move_images(self.plane, new.references, -offset) * self.mask
        known = new.class_index >= 0
        new.centre[known] += offsets_in_images(offset[new.class_index[known]], new.psi[known])
        new.centre = np.clip(new.centre, -n / 4, n / 4)
        new.sigma = float(np.sqrt(max(sums.square_shift / (2 * len(members)), LEAST_VARIANCE) + MORE_VARIANCE))
        new.noise = new_noise(sums.grey, state.noise)
        if self.options.correct_contrast:
            new.contrast = new_contrast(sums.grey, state.contrast)
        changed = self._split(state, new)
        if self.options.mini_batches:
            new.data, new.weights, new.mass = move_sums(data, -offset, n), weights, mass
            new.data[changed] = 0
            new.weights[changed] = 0
        new.radius = float(np.clip(new.resolved.max() + AHEAD, min(FIRST_RADIUS, self.furthest), self.furthest))
        new.iteration = iteration
        size, occupied = n * self.pixel_size, len(np.unique(new.class_index[known]))
        metrics = ClassificationMetrics(
            iteration, len(members), size / new.resolved.max(), size / state.radius, occupied,
            float(np.mean(new.class_index[members] != state.class_index[members])), float(new.gain[members].mean()),
            float(new.certainty[members].mean()), new.sigma, time.monotonic() - began,
        )  # fmt: skip
        return new, metrics

    def has_ended(self, state: ClassificationState) -> bool:
        """Return whether only :meth:`finish` is left."""
        return state.iteration >= count_iterations(self.options)

    def finish(self, state: ClassificationState, metrics: list[ClassificationMetrics]) -> ClassificationResult:
        """Assign the particles that were not in the last iteration, and count every class's members."""
        last = draw_subset(self.options, state.iteration, len(self))
        if len(last) < len(self):
            state, *_ = self._assign(state, np.arange(len(self)), lambda done: None)
        classes = self.options.number_of_classes
        members = np.bincount(state.class_index, minlength=classes)
        total, excess = (np.bincount(state.class_index, one, classes) for one in (state.gain, self._excess(state)))
        explained = np.clip(total / np.where(excess > 0, excess, np.inf), 0, 1)
        explained[excess <= 0] = 1.0
        with np.errstate(invalid="ignore"):
            gain = total / members
        resolution = self.plane.size * self.pixel_size / state.resolved
        empty = int(np.count_nonzero(members == 0))
        remarks = [*self.remarks]
        if empty:
            remarks.append(f"{share_text(empty, classes, 'class', 'has')} no members.")
        return ClassificationResult(
            state.references, state.class_index, -state.psi % 360, state.centre, state.certainty, state.gain, members,
            gain, explained, resolution, metrics, remarks,
        )  # fmt: skip

    def run(
        self, on_iteration: Callable[[ClassificationState, ClassificationMetrics], None] = lambda state, metrics: None
    ) -> ClassificationResult:
        """Go through all iterations."""
        state, metrics = self.begin(), []
        while not self.has_ended(state):
            state, one = self.step(state)
            metrics.append(one)
            on_iteration(state, one)
        return self.finish(state, metrics)

    def _excess(self, state: ClassificationState) -> np.ndarray:
        """Return the gain that images could have at most: their power over the noise, less 1, at all frequencies."""
        counts = np.bincount(self.plane.shell[: self.plane.count(state.radius)], minlength=state.noise.shape[1])
        self.images.centre(np.arange(len(self)), state.centre, state.noise)
        out = np.empty(len(self))
        for first in range(0, len(self), CHUNK):
            part = slice(first, first + CHUNK)
            spectra = self.images.spectra[part]
            power = self.plane.shell_means(spectra.real**2 + spectra.imag**2)
            out[part] = (power / state.noise[self.group[part]] - 1) @ counts
        return out * self.images.fill

    # --- parts of an iteration ---

    def _assign(
        self, state: ClassificationState, members: np.ndarray, on_progress: Callable[[int], None]
    ) -> tuple[ClassificationState, BlockSums, np.ndarray]:
        """Return the state with new assignments of `members`, their sums, and the power expected of averages."""
        shared, done = Expectation(self.images, state, self.grids, self.device), [0]

        def count(more: int) -> None:
            done[0] += more
            on_progress(done[0])

        sums = assign_images(shared, members, self.map_reduce, count)
        of_particles = ("class_index", "psi", "centre", "certainty", "gain")
        new = replace(state, **{name: getattr(state, name).copy() for name in of_particles})
        part, found = sums.members, sums.found
        new.class_index[part], new.psi[part] = found.class_index, found.psi
        new.centre[part] += found.shift
        new.certainty[part], new.gain[part] = found.certainty, found.gain
        power = self.plane.shell_means(shared.tables.search.sections.power.mean(1))
        return new, sums, self.options.regularisation * power

    def _blend(self, state: ClassificationState, sums: BlockSums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sums to which earlier mini-batches add their part, as if all particles had been in them."""
        rate = learning_rate(self.options, state.iteration + 1)
        if not self.options.mini_batches or rate == 1.0 or not len(state.data):
            return sums.data, sums.weights, sums.mass
        more = rate * len(self) / len(sums.members)
        pairs = (state.data, sums.data), (state.weights, sums.weights), (state.mass, sums.mass)
        new = tuple((1 - rate) * old + more * now for old, now in pairs)
        return new[0], new[1], new[2]

    def _split(self, state: ClassificationState, new: ClassificationState) -> list[int]:
        """Give empty classes a half of the largest one; `state` is the one before the iteration."""
        iteration = state.iteration + 1
        if not may_split(self.options, iteration):
            return []
        radius = max(3.0, new.resolved.max() + 1)

        def component(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.images.centre(members, state.centre[members], state.noise)
            flipped = self.images.phase_flipped(members)
            left = new.centre[members] - self.images.place[members]
            return principal_component(align_images(flipped, new.psi[members], left), self.plane, self.mask, radius)

        rng = np.random.default_rng((self.options.seed, 2, iteration))
        with one_blas_thread():  # products by several threads are rounded by how many there are
            return split_empty_classes(new.references, new.share, new.class_index, component, rng)
