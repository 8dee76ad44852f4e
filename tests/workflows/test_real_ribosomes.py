"""Real particles: 40 ribosomes of M. pneumoniae (EMPIAR-10499), CTF-premultiplied tilt images with poses, by WarpTools.

Their tilt images are taken as they are, or put together to premultiplied subtomograms with squared weights; what RELION
made of them is the map beside them.
"""

import ast

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.reconstruction import Sums, empty_sums, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles, ImageParticles, ImageViews
from emtomo.compute.optics.ctf import wavelength
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.remarks import reference_remarks
from emtomo.compute.rotations import angle_between
from emtomo.io import mrc
from emtomo.io.star import read_blocks
from tests.compute.refinement.data import turned_by
from tests.conftest import shared

N, PIXEL = 32, 12.0
NAME = "warptools_test_4-tomos_10-ptcls_box-32_angpix-12"
# with the matrices and angles as they are, the average is the mirror image of RELION's, which fits the atomic
# model of a ribosome (4v4r, FSC 0.5 beyond Nyquist) and so has the true hand; mirroring the tomogram's z settles it
MIRROR = np.diag([1.0, 1.0, -1.0])


def plane(whole=False):
    """Return the frequencies of a tilt image, each once, and which of ``rfft2`` they are; or the `whole` of these."""
    ky, kx = np.meshgrid(np.fft.fftfreq(N) * N, np.arange(N // 2 + 1), indexing="ij")
    k = np.stack([kx.ravel(), ky.ravel(), np.zeros(kx.size)], axis=1).astype(np.float32)
    if whole:
        return k, np.ones(len(k), bool)
    keep = (k[:, 0] ** 2 + k[:, 1] ** 2 < (N / 2) ** 2) & ~((k[:, 0] == 0) & (k[:, 1] < 0))
    return k[keep], keep


def squared_ctf(k, row):
    """Return the CTF times dose and tilt weight, squared (RELION's convention, 300 kV, Cs 2.7 mm, Q0 0.07)."""
    s2 = (k[:, 0].astype(float) ** 2 + k[:, 1].astype(float) ** 2) / (N * PIXEL) ** 2
    length = wavelength(300.0)
    u, v = row["rlnDefocusU"], row["rlnDefocusV"]
    angle = np.arctan2(k[:, 1], k[:, 0]) - np.deg2rad(row["rlnDefocusAngle"])
    defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * angle)
    phase = (
        np.pi * length * defocus * s2 - np.pi / 2 * 2.7e7 * length**3 * s2**2 + np.arctan(0.07 / np.sqrt(1 - 0.07**2))
    )
    critical = 0.245 * np.maximum(np.sqrt(s2), 1e-6) ** -1.665 + 2.81
    return (np.sin(phase) * np.exp(-0.5 * row["rlnMicrographPreExposure"] / critical) * row["rlnCtfScalefactor"]) ** 2


def subtomogram(images, matrices, weights, k, keep):
    """Return the box and the weights that the tilt images of one particle measure."""
    sums = empty_sums(N / 2)
    centre = np.exp(2j * np.pi * k.sum(axis=1) * (N // 2) / N)
    for image, matrix, weight in zip(images, matrices, weights, strict=True):
        data = (np.fft.rfft2(image).ravel()[keep] * centre).astype(np.complex64)
        rotation = matrix.astype(np.float32)
        fourier_cpu.insert(k, np.float32(PAD), data, weight.astype(np.float32), rotation, np.float32(1), sums)
    whole = Sums.of(N, N / 2, [sums]).complete()
    one = np.ones_like(whole.weights)
    kernel = solve(Sums(N, N / 2, whole.weights.astype(complex), one))
    half = np.fft.rfftn(np.fft.ifftshift(kernel)).real.clip(0).astype(np.float32)
    return solve(Sums(N, N / 2, whole.data, one)), half


@pytest.fixture(scope="module")
def ribosomes():
    folder = shared("real_ribosome_2d_stacks", f"{NAME}.star").parent
    table = read_blocks(folder / f"{NAME}.star")["particles"]
    series = read_blocks(folder / f"{NAME}_tomograms.star")
    k, keep = plane()
    boxes, weights, rotations, views = [], [], [], []
    every, _ = plane(whole=True)
    for _, row in table.iterrows():
        tilts = series[row["rlnTomoName"]]
        shown = np.flatnonzero(ast.literal_eval(row["rlnTomoVisibleFrames"]))
        columns = [[ast.literal_eval(v)[:3] for v in tilts[f"rlnTomoProj{a}"]] for a in "XYZ"]
        matrices = MIRROR @ np.stack(columns, axis=1)[shown] @ MIRROR
        images = np.asarray(mrc.open_volume(folder / row["rlnImageName"]), np.float32)[shown]
        ctfs = [squared_ctf(k, tilts.iloc[i]) for i in shown]
        box, weight = subtomogram(images, matrices, ctfs, k, keep)
        squares = np.array([squared_ctf(every, tilts.iloc[i]) for i in shown]).reshape(-1, N, N // 2 + 1)
        views.append(ImageViews(images, matrices, squares, np.zeros((len(shown), 2)), shown))
        boxes.append(box)
        weights.append(weight)
        angles = [row["rlnAngleRot"], row["rlnAngleTilt"], row["rlnAnglePsi"]]
        rotations.append(MIRROR @ Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix() @ MIRROR)
    source = BoxParticles(N, PIXEL, lambda i: boxes[i], list(range(40)), lambda i: weights[i], "ctf_squared", True)
    counts = [len(one.images) for one in views]
    images = ImageParticles(N, PIXEL, counts, lambda i: views[i], "ctf_squared", True, noise_groups=37)
    poses = Poses(np.array(rotations), np.zeros((40, 3)), assign_halves(40, 1))
    return source, images, poses, mrc.read_volume(folder / "warptools_test_box-32_angpix-12_reconstruct.mrc")


def test_the_average_is_relions_in_the_true_hand(ribosomes):
    source, images, poses, theirs = ribosomes
    inside = ball(N, 10, 3)
    ours, theirs_inside = reconstruct(source, poses).average, theirs * inside
    curve = fourier_shell_correlation(ours * inside, theirs_inside)
    from_images = fourier_shell_correlation(reconstruct(images, poses).average * inside, theirs_inside)
    assert np.all(from_images[1:13] > curve[1:13] - 0.01)
    assert np.all(curve[2:13] >= np.linspace(0.83, 0.47, 11))
    mirrored = np.roll(theirs[::-1], 1, axis=0)
    other = fourier_shell_correlation(ours * inside, mirrored * inside)
    assert curve[3:10].mean() > 3 * other[3:10].mean()


def refine_from_ten_degrees(source, poses, theirs):
    """Return a refinement against RELION's map after its first iteration: its state and metrics."""
    start = Poses(turned_by(poses.rotations, 10, 3), poses.shifts, poses.half)
    options = RefineOptions(initial_lowpass=24.0, angular_step=1.8, mask_diameter=300.0, offset_range=3)
    refinement = Refinement(source, start, theirs, options)
    state, metrics, *_ = refinement.step(refinement.begin())
    return refinement, state, metrics


@pytest.fixture(scope="module")
def from_boxes(ribosomes):
    source, _, poses, theirs = ribosomes
    return refine_from_ten_degrees(source, poses, theirs)


def test_local_refinement_brings_perturbed_poses_back(ribosomes, from_boxes):
    """Ten degrees off: one iteration against RELION's map, then one against the own halves of 20 particles each.

    The deposited poses come from many more particles and finer pixels; 40 particles at 12 Å know theirs to about
    2.7 degrees about every axis, 4.7 in all.
    """
    poses = ribosomes[2]
    refinement, state, begun = from_boxes
    assert np.median(angle_between(state.poses.rotations, poses.rotations)) < 4.5
    state, metrics, *_ = refinement.step(state)
    assert "agreement proves nothing" in reference_remarks(begun.angle_spread, begun.angle_spread, 1, "RELION's map")[0]
    assert (
        "too few to replace that reference"
        in reference_remarks(begun.angle_spread, metrics.angle_spread, 2, "RELION's map")[0]
    )
    assert np.median(angle_between(state.poses.rotations, poses.rotations)) < 6.0
    assert np.median(state.poses.angle_spread) * np.sqrt(3) == pytest.approx(4.7, abs=1.0)
    assert metrics.resolution < 36


def test_images_bring_perturbed_poses_back_as_well_as_boxes(ribosomes, from_boxes):
    """One iteration against RELION's map, from ten degrees off."""
    _, images, poses, theirs = ribosomes
    states = from_boxes[1], refine_from_ten_degrees(images, poses, theirs)[1]
    boxes, own = (np.median(angle_between(state.poses.rotations, poses.rotations)) for state in states)
    assert own < 3.05 and own < boxes - 0.5
