"""Refinement to gold standard: two halves, each against its own average, until nothing changes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from emtomo.compute.device import check_device
from emtomo.compute.fourier.box_faces import CUT_AT_FACES, REACHES_FACES, reaches_faces
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import ball, radial_filter
from emtomo.compute.fourier.reconstruction import Sums, solve
from emtomo.compute.fourier.shell_correlation import (
    FscCurves,
    first_shell_below,
    fourier_shell_correlation,
    solvent_corrected_fsc,
)
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan
from emtomo.compute.likelihood.pose_estimator import EDGE
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.refinement.alternative_settings import find_common_setting, rotate_sums
from emtomo.compute.refinement.half_alignment import IDENTITY, align_half
from emtomo.compute.refinement.initial import (
    check_sizes,
    first_noise,
    flat_half,
    grey_scale,
    mask_radius,
    reference_mask,
    smooth_gaps,
)
from emtomo.compute.refinement.iteration import IterationSums, create_estimator, run_iteration
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.remarks import range_remarks, reference_remarks
from emtomo.compute.refinement.schedule import (
    GLOBAL,
    LOCAL,
    LOCAL_REACH,
    MAX_GLOBAL_ITERATIONS,
    Progress,
    advance,
    global_search,
    local_search,
    shells_to_share,
)
from emtomo.compute.refinement.view_scale import update_scale
from emtomo.compute.symmetrisation import symmetry_score
from emtomo.compute.symmetry import parse_symmetry, symmetric_angle, symmetry_rotations
from emtomo.errors import EmtomoError

FSC_THRESHOLD = 0.143
LOW_SYMMETRY = 0.5  # mean shell correlation of a reference with its symmetric copies
INVERTED = "The reference looks inverted against the particles"
FIRST_SHELL = 4  # shells before it may be empty
SETTING_ITERATIONS = 6  # iterations in which a half may still take another setting of the symmetry


@dataclass
class RefinementState:
    """All that the next iteration needs; saving it is saving the refinement."""

    poses: Poses
    halves: dict[int, HalfSet]
    progress: Progress
    local: np.ndarray


@dataclass(frozen=True)
class RefinementMetrics:
    """Per-iteration metrics; resolutions in Å, angles in degrees, shifts in voxels."""

    iteration: int
    resolution: float
    compared_to: float
    angular_step: float
    orientations: int
    shifts: int
    local_share: float
    angle_change: float
    shift_change: float
    angle_spread: float
    shift_spread: float
    certainty: float
    seconds: float
    beyond_range: int = 0  # particles without a pose within the offset range, which kept the one before


@dataclass(frozen=True)
class RefinementResult:
    """A finished refinement.

    Attributes
    ----------
    poses : Poses
    average : (n, n, n) array
        From all particles, filtered by the FSC.
    halves : dict
        Unfiltered half maps by half.
    curves : FscCurves
    resolution : float
        Å, of the corrected curve at 0.143; nan where there is nothing to compare.
    mask : (n, n, n) array
        In which the FSC was measured.
    metrics : list of RefinementMetrics
    remarks : list of str
    """

    poses: Poses
    average: np.ndarray
    halves: dict[int, np.ndarray]
    curves: FscCurves
    resolution: float
    mask: np.ndarray
    metrics: list[RefinementMetrics] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Refinement:
    """Everything that stays the same from the first to the last iteration.

    Parameters
    ----------
    source : ParticleSource
    start : Poses
        With halves assigned.
    reference : (n, n, n) array
        At the particles' pixel size; any grey scale.
    options : RefineOptions
    mask : (n, n, n) array, optional
        0 to 1; the reference is zero where it is 0. By default a ball of the mask diameter.
    device : {"cpu", "cuda", "cuda:N"}
    map_reduce : MapReduce
        Where poses are estimated: in the threads of this process, or on other machines.

    Raises
    ------
    EmtomoError
        If there is no such device, there are not two particles in two halves, or a volume has another size.
    """

    def __init__(
        self,
        source: ParticleSource,
        start: Poses,
        reference: np.ndarray,
        options: RefineOptions,
        mask: np.ndarray | None = None,
        device: str = "cpu",
        map_reduce: MapReduce = in_threads,
    ) -> None:
        n = source.size
        check_sizes(n, reference=reference, mask=mask)
        if not all((start.half == h).any() for h in (1, 2)):
            raise EmtomoError("Refinement needs at least two particles, one in each half set.")
        self.source, self.start, self.options, self.device = source, start, options, check_device(device)
        self.map_reduce = map_reduce
        self.symmetry = parse_symmetry(options.symmetry)
        self.group = symmetry_rotations(self.symmetry)
        self.mask_radius = mask_radius(n, source.pixel_size, options.mask_diameter)
        self.mask = reference_mask(n, self.mask_radius, mask)
        shells = n * source.pixel_size / max(options.initial_lowpass, 2 * source.pixel_size)
        self.first = remove_fine_detail(np.asarray(reference, np.float32) * self.mask, shells)
        self.searches_all = not options.needs_orientations
        self.remarks: list[str] = [REACHES_FACES] if mask is not None and reaches_faces(mask) else []
        score = symmetry_score(np.asarray(reference, np.float32), self.symmetry)
        if score < LOW_SYMMETRY:
            self.remarks.append(
                f"The reference hardly has the symmetry {self.symmetry}: shells correlate {score:.2f} with their "
                "copies. Are its axes aligned (align-symmetry)?"
            )
        self._coefficients: dict[float, FourierCoefficients] = {}

    def coefficients(self, radius: float) -> FourierCoefficients:
        """Return the frequencies within `radius` shells, worked out once."""
        key = min(float(np.ceil(radius)), self.source.size / 2)
        if key not in self._coefficients:
            self._coefficients = {key: self.source.coefficients(key)}
        return self._coefficients[key]

    def begin(self) -> RefinementState:
        """Return the state before the first iteration: noise measured, reference on the particles' grey scale."""
        p, options = self.source, self.options
        shells = p.size * p.pixel_size / options.initial_lowpass
        combine = min(shells, p.size * p.pixel_size / options.join_halves) if options.join_halves else 0.0
        radius = float(np.clip(shells + 1, 4.0, p.size / 2))
        progress = Progress(0, radius, LOCAL_REACH * options.local_from, options.offset_range, combine=combine)
        local = np.full(len(self.start), not self.searches_all)
        whole = self.coefficients(p.size / 2)
        halves = {}
        for h in (1, 2):
            half = flat_half(self.first, p)
            members = np.flatnonzero(self.start.half == h)
            plan = self._plan(progress, local, whole)
            half.noise = first_noise(create_estimator(p, half, plan), members, self.start)
            which = LOCAL if local.all() else GLOBAL
            scale, inverted = grey_scale(create_estimator(p, half, plan), members, self.start, which)
            if inverted and not any(INVERTED in remark for remark in self.remarks):
                self.remarks.append(
                    f"{INVERTED}: its best fit to nearly all of them has the opposite sign. Both must be white."
                )
            halves[h] = HalfSet(self.first * np.float32(scale), half.noise)
        return RefinementState(self.start.copy(), halves, progress, local)

    def _plan(
        self, progress: Progress, local: np.ndarray, coefficients: FourierCoefficients, frame: dict | None = None
    ) -> IterationPlan:
        options = self.options
        arguments = options, progress, self.source, coefficients, self.mask_radius
        near = local_search(*arguments)
        searches = (near if local.all() else global_search(*arguments), near)
        return IterationPlan(
            coefficients,
            progress.radius,
            searches,
            np.where(local, LOCAL, GLOBAL),
            self.start,
            options.prior_width,
            max(options.offset_range, 1.0),
            self.mask_radius,
            frame or {1: IDENTITY, 2: IDENTITY},
            self.group,
            self.device,
        )

    def _reach(self, progress: Progress) -> float:
        """Return how many shells are added to the volume: those compared, and some to see the resolution grow."""
        return min(self.source.size / 2, progress.radius + max(4.0, 0.1 * self.source.size))

    def step(
        self, state: RefinementState, progress: Callable[[int], None] = lambda done: None, *, last: bool = False
    ) -> tuple[RefinementState, RefinementMetrics, dict[int, Sums], FscCurves]:
        """Run one iteration; `last` adds all frequencies up to Nyquist to the volumes."""
        began = time.monotonic()
        p, n = self.source, self.source.size
        coefficients = self.coefficients(n / 2 if last else self._reach(state.progress))
        shells = n * p.pixel_size / self.options.initial_lowpass
        frame = {1: IDENTITY, 2: IDENTITY}
        if state.progress.iteration > 0:
            radius = min(max(shells, 4.0), n / 2 - 1)
            frame = {
                h: align_half(half.reference, self.first, radius, self.symmetry) for h, half in state.halves.items()
            }
        plan = self._plan(state.progress, state.local, coefficients, frame)
        poses, totals = run_iteration(p, state.halves, state.poses, plan, progress, self.map_reduce)
        sums = {h: total.sums.complete(self.symmetry) for h, total in totals.items()}
        if (
            state.progress.iteration < SETTING_ITERATIONS
            and (setting := find_common_setting(sums, self.mask, self.symmetry)) is not None
        ):
            sums[2] = rotate_sums(sums[2], setting)
            second = poses.half == 2
            poses.rotations[second] = poses.rotations[second] @ setting
        curves, used = self._correlation(sums)
        most = n * p.pixel_size / self.options.join_halves if self.options.join_halves else 0.0
        combine = shells_to_share(state.progress.combine, used, most)
        halves = self._new_halves(state.halves, sums, totals, used, combine)
        angle = symmetric_angle(state.poses.rotations, poses.rotations, self.symmetry)
        shift = np.linalg.norm(poses.shifts - state.poses.shifts, axis=1)
        changes = float(np.median(angle)), float(np.median(shift))
        spreads = float(np.median(poses.angle_spread)), float(np.median(poses.shift_spread))
        shell = self._agree_to(used)
        resolution = n * p.pixel_size / shell
        now = advance(state.progress, shell, n, changes, spreads, bool(state.local.all()), combine)
        near = (angle < self.options.angular_step) & (poses.certainty > 0.5)
        local = state.local | ((near | (now.iteration >= MAX_GLOBAL_ITERATIONS)) & (now.iteration >= 2))
        search = plan.searches[LOCAL if state.local.all() else GLOBAL]
        metrics = RefinementMetrics(
            now.iteration, resolution, n * p.pixel_size / state.progress.radius, search.grid.angle_step,
            len(search.grid.rotations), len(search.grid.shifts), float(state.local.mean()), *changes, *spreads,
            float(poses.certainty.mean()), time.monotonic() - began, sum(total.beyond for total in totals.values()),
        )  # fmt: skip
        return RefinementState(poses, halves, now, local), metrics, sums, curves

    def _first_shell(self) -> int:
        """Return the shell from which on the curve counts: high-passed images lack the coarsest ones."""
        n, size = self.source.size, self.source.pixel_size
        return int(np.clip(n * size / self.options.initial_lowpass / 2, 1, FIRST_SHELL))

    def _agree_to(self, curve: np.ndarray) -> float:
        """Return the shell to which the halves agree, at most Nyquist."""
        return min(first_shell_below(curve, FSC_THRESHOLD, self._first_shell()), self.source.size / 2)

    def _correlation(self, sums: dict[int, Sums]) -> tuple[FscCurves, np.ndarray]:
        """Return the half maps' FSC curves, and the one that counts, zero beyond what was added up."""
        n = self.source.size
        maps = {h: solve(s) for h, s in sums.items()}
        if self.options.solvent_correct_fsc:
            curves = solvent_corrected_fsc(maps[1], maps[2], self.mask, seed=self.options.seed)
        else:
            plain = fourier_shell_correlation(maps[1], maps[2])
            curves = FscCurves(plain, plain, np.zeros_like(plain), plain, n // 2 + 1)
        used = curves.corrected.copy()
        used[int(sums[1].radius) + 1 :] = 0.0
        return curves, used

    def _new_halves(
        self,
        old: dict[int, HalfSet],
        sums: dict[int, Sums],
        totals: dict[int, IterationSums],
        curve: np.ndarray,
        combine: float,
    ) -> dict[int, HalfSet]:
        """Return the halves' next references and noise; low shells of both are shared after the FSC was measured."""
        correlation = np.clip(curve, 1e-3, 0.999)
        ratio = self.options.regularisation * correlation / (1 - correlation)
        reached = self._agree_to(curve)
        inverse = {h: s.mean_weight() / ratio for h, s in sums.items()}
        if combine > 0:
            share_low_shells(sums, combine)
        halves = {}
        for h, total in totals.items():
            reference = remove_fine_detail(solve(sums[h], inverse[h]) * self.mask, reached)
            noise = total.residual / np.maximum(total.measured, 1e-30)
            noise = np.where((total.measured > 0) & (noise > 0), noise, old[h].noise)
            halves[h] = HalfSet(reference, smooth_gaps(noise, noise), update_scale(old[h].scale, total.products))
        return halves

    def has_ended(self, state: RefinementState) -> bool:
        """Return whether only :meth:`finish` is left, the last of at most `max_iterations` iterations."""
        return state.progress.converged or state.progress.iteration >= self.options.max_iterations - 1

    def finish(self, state: RefinementState, metrics: list[RefinementMetrics]) -> RefinementResult:
        """Run the last iteration with all frequencies and return half maps, average and resolution."""
        n = self.source.size
        state, last, sums, curves = self.step(state, last=True)
        edge = ball(n, n / 2 - EDGE, EDGE)
        # as they are: a cut at the sphere's edge would look like agreement of fine shells that no mask can take back
        maps = {h: solve(s) for h, s in sums.items()}
        # the correlation of the whole map with the truth that the halves' correlation F stands for
        # (Rosenthal & Henderson 2003, Eq. 7); never less than a third, so that a mask smears no stronger shell over it
        correlation = np.clip(curves.corrected, 0.05, 1.0)
        weight = np.append(np.sqrt(2 * correlation / (1 + correlation)), 0.0)
        whole = Sums(n, sums[1].radius, sums[1].data + sums[2].data, sums[1].weights + sums[2].weights)
        average = radial_filter(solve(whole) * edge, weight)
        resolution = curves.resolution(n, self.source.pixel_size, FSC_THRESHOLD, self._first_shell())
        why = curves.why_no_resolution(n, FSC_THRESHOLD, self._first_shell())
        said = [*([CUT_AT_FACES] if curves.cut else []), *([why] if why else [])]
        against = f"the given reference, filtered to {self.options.initial_lowpass:g} Å"
        first = (metrics or [last])[0]
        said += reference_remarks(first.angle_spread, last.angle_spread, len(metrics) + 1, against)
        said += range_remarks(last.beyond_range, len(state.poses), self.options.offset_range)
        return RefinementResult(
            state.poses, average, maps, curves, resolution, self.mask, [*metrics, last], [*self.remarks, *said]
        )

    def run(
        self, on_progress: Callable[[RefinementState, RefinementMetrics], None] = lambda state, metrics: None
    ) -> RefinementResult:
        """Iterate until nothing changes any more; the last of at most `max_iterations` takes all frequencies."""
        state, metrics = self.begin(), []
        while not self.has_ended(state):
            state, one, *_ = self.step(state)
            metrics.append(one)
            on_progress(state, one)
        return self.finish(state, metrics)


def remove_fine_detail(volume: np.ndarray, shells: float) -> np.ndarray:
    """Return a volume without what is finer than `shells`, falling off over the two shells before.

    Nothing passes beyond: a mask spreads what the halves share to finer shells, and particles aligned to that
    would make it look like resolution.
    """
    shell = np.arange(int(np.ceil(0.87 * volume.shape[0])) + 1)
    return radial_filter(volume, 0.5 + 0.5 * np.cos(np.pi * np.clip((shell - shells + 2) / 2, 0, 1)))


def share_low_shells(sums: dict[int, Sums], shell: float) -> None:
    """Replace the data and weights of both halves up to `shell` by their mean, in place."""
    near = sums[1].shells() <= shell
    for name in ("data", "weights"):
        a, b = getattr(sums[1], name), getattr(sums[2], name)
        a[near] = b[near] = (a[near] + b[near]) / 2
