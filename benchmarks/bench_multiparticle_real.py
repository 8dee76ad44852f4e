"""Multi-particle refinement on real images: 40 ribosomes in 4 tilt series (EMPIAR-10499), stacks as Warp writes them.

Held-out scores of every series, and the FSC of the average with the deposited map before and after.

    bench_multiparticle_real.py [ITERATIONS] [SHIFT] [PRESET]    SHIFT: Å (rms, an axis) by which tilts are moved first
"""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import machine

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ImageParticles, ImageViews
from emtomo.compute.multiparticle.images import References, SpeciesImages
from emtomo.compute.multiparticle.options import SPATIAL, MultiParticleOptions
from emtomo.compute.multiparticle.series import SeriesRefinement
from emtomo.compute.multiparticle.species import Species, make_references, measure_maps
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.optics.ctf import Ctf, image_frequencies
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.io import mrc, star
from emtomo.io.poses import from_relion

DATA = Path(__file__).parents[2] / "shared" / "data" / "real_ribosome_2d_stacks"
NAME = "warptools_test_4-tomos_10-ptcls_box-32_angpix-12"
PIXEL, BOX, RAW = 12.0, 32, 1.667
LEAST_CTF = 0.05  # squared, below which an image is not divided by its CTF


def read_series(blocks: dict, name: str, size: np.ndarray) -> TiltGeometry:
    """Return the geometry of a series of tomograms.star."""
    table = blocks[name]
    columns = [f"rlnTomoProj{axis}" for axis in "XYZ"]
    rotations = np.array([[ast.literal_eval(str(table[c].iloc[t]))[:3] for c in columns] for t in range(len(table))])
    dose = table["rlnMicrographPreExposure"].to_numpy(float)
    u, v, angle = (table[f"rlnDefocus{c}"].to_numpy(float) for c in ("U", "V", "Angle"))
    order = np.argsort(np.argsort(dose, kind="stable"), kind="stable")
    volume = (float(size[0]), float(size[1]), float(size[2]))
    return TiltGeometry(
        rotations, np.zeros((len(table), 2)), Ctf(u, v, angle=angle, amplitude_contrast=0.07), dose, order,
        np.zeros(len(table), bool), table["rlnCtfScalefactor"].to_numpy(float), pixel_size=RAW, hand=-1,
        image_size=volume[:2], volume_size=volume,
    )  # fmt: skip


class Ribosomes:
    """All images with their geometry."""

    def __init__(self) -> None:
        particles = star.read_blocks(DATA / f"{NAME}.star")["particles"]
        blocks = star.read_blocks(DATA / f"{NAME}_tomograms.star")
        overall = blocks["global"].set_index("rlnTomoName")
        self.names = list(overall.index)
        self.states, self.stacks, self.used, self.half = [], [], [], []
        for name in self.names:
            mine = particles[particles["rlnTomoName"] == name]
            size = overall.loc[name, ["rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"]].to_numpy(float) * RAW
            geometry = read_series(blocks, name, size)
            positions = mine[[f"rlnCoordinate{a}" for a in "XYZ"]].to_numpy(float) * PIXEL - size / 2
            angles = mine[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float)
            self.states.append(SeriesState.of(geometry, from_relion(angles), positions))
            used = np.array([ast.literal_eval(text) for text in mine["rlnTomoVisibleFrames"]], bool)
            stack = np.zeros((*used.shape, BOX, BOX), np.float32)
            for i, file in enumerate(mine["rlnImageName"]):
                stack[i] = mrc.read_volume(DATA / file)
            self.stacks.append(stack)
            self.used.append(used & (geometry.scale > 0)[None])
            self.half.append(np.arange(len(mine)) % 2 + 1)
        self.start = list(self.states)

    def ctf(self, k: int, state: SeriesState) -> np.ndarray:
        """Return (p, t, n, n // 2 + 1) CTFs of a series."""
        heights = state.project()[..., 2]
        kx, ky = image_frequencies((BOX, BOX), PIXEL)
        return np.stack([
            state.geometry.ctf[t].with_defocus_added(state.geometry.hand * heights[:, t]).values(kx, ky)
            for t in range(len(state.geometry))
        ], axis=1)  # fmt: skip

    def images(self, k: int, references: References) -> SpeciesImages:
        """Return the images of a series, divided by the CTF that they were multiplied with."""
        coefficients = FourierCoefficients(BOX, references.radius, 2)
        ctf = coefficients.pick(self.ctf(k, self.start[k]))
        data = coefficients.transform(self.stacks[k]) * (ctf / np.maximum(ctf * ctf, LEAST_CTF))
        corners = self.start[k].project()[..., :2]
        return SpeciesImages(references, coefficients, data.astype(np.complex64), corners, self.used[k], self.half[k])

    def halves(self) -> dict[int, np.ndarray]:
        """Return the half maps of all series as they are now."""
        members = [(k, i) for k in range(len(self.names)) for i in range(len(self.half[k]))]
        kx, ky = image_frequencies((BOX, BOX), PIXEL)
        ctfs = [self.ctf(k, self.start[k]) for k in range(len(self.names))]
        seen = [
            (s.project()[..., :2] - b.project()[..., :2]) / PIXEL for s, b in zip(self.states, self.start, strict=True)
        ]

        def views(number: int) -> ImageViews:
            k, i = members[number]
            state, used = self.states[k], np.flatnonzero(self.used[k][i])
            dose = state.geometry.weights(np.hypot(kx, ky))[used]
            images = np.fft.irfft2(np.fft.rfft2(self.stacks[k][i, used]) * dose, s=(BOX, BOX)).astype(np.float32)
            square = (ctfs[k][i, used] * dose) ** 2
            return ImageViews(images, state.geometry.sections[used], square.astype(np.float32), seen[k][i, used])

        counts = [int(self.used[k][i].sum()) for k, i in members]
        source = ImageParticles(BOX, PIXEL, counts, views, "ctf_squared", True)
        rotations = np.array([self.states[k].rotations[i, 0] for k, i in members])
        half = np.array([self.half[k][i] for k, i in members])
        return reconstruct(source, Poses(rotations, np.zeros((len(members), 3)), half)).halves


def report(data: Ribosomes, species: Species, deposited: np.ndarray, label: str) -> None:
    """Print correlations with the deposited map (or its mirror: the hand is not known) and between the halves.

    The deposited map is compared within the particle's ball: beyond it half maps hold neighbours and noise.
    """
    halves, mask = data.halves(), species.soft_mask()
    whole = halves[1] + halves[2]
    curves = [fourier_shell_correlation(v * mask, deposited * mask) for v in (whole, np.roll(whole[::-1], 1, axis=0))]
    best = max(curves, key=lambda curve: float(curve[2:12].sum()))[2:13]
    gold, measured = fourier_shell_correlation(halves[1], halves[2]), measure_maps(species, halves)
    print(f"{label}: with the deposited map, shells 2 to 12: {np.round(best, 3)}, mean {best.mean():.4f}")
    moved = [
        now.project()[..., :2] - true.project()[..., :2] for now, true in zip(data.states, data.start, strict=True)
    ]
    away = np.concatenate([m - m.mean(axis=(0, 1)) for m in moved])
    print(f"    halves: {np.round(gold[2:13], 2)}, resolution {measured.resolution:.1f} Å; ", end="")
    print(f"{np.sqrt((away**2).sum(axis=-1).mean()):.1f} Å rms from the deposited geometry in the images", flush=True)


def main(iterations: int, shift: float, preset: str) -> None:
    """Refine and print."""
    data, rng = Ribosomes(), np.random.default_rng(1)
    deposited = np.asarray(mrc.read_volume(DATA / "warptools_test_box-32_angpix-12_reconstruct.mrc"), np.float32)
    species = Species("ribosome", {h: np.zeros((BOX,) * 3, np.float32) for h in (1, 2)}, PIXEL, 310.0)
    options = MultiParticleOptions(preset=preset).resolve_preset()
    report(data, species, deposited, "given")
    if shift:
        for k, state in enumerate(data.states):
            moved = state.geometry.shifts + rng.normal(0, shift, state.geometry.shifts.shape)
            data.states[k] = replace(state, geometry=replace(state.geometry, shifts=moved))
        report(data, species, deposited, "moved")
    trial_poses: list[SeriesState | None] = [None] * len(data.names)
    folds: list[list[TiltGeometry]] = [[] for _ in data.names]
    for iteration in range(1, iterations + 1):
        # the stacks are cut to the box already, whatever their CTF spreads
        references = make_references(species, measure_maps(species, data.halves()), Ctf.of_defocus([0.0]))
        assert references is not None and references.size == BOX
        for k, name in enumerate(data.names):
            found = SeriesRefinement(
                [data.images(k, references)], data.states[k], options, options.seed, iteration == 1,
                fold_geometries=folds[k], trial_poses=trial_poses[k],
            ).run()  # fmt: skip
            data.states[k], folds[k], trial_poses[k] = found.state, found.fold_geometries, found.trial_poses
            tried = [f"{t.name} {t.gain:+.1f}{' kept' if t.kept else ''} {t.remark}" for t in found.trials]
            print(f"  {name}: {'; '.join(tried)}")
        report(data, species, deposited, f"iteration {iteration}")


if __name__ == "__main__":
    print(machine())
    given = [*sys.argv[1:], *("2", "0", SPATIAL)[len(sys.argv) - 1 :]]
    main(int(given[0]), float(given[1]), given[2])
