"""RELION 3.1 (Debian package relion) beside us: the same particles, maps and masks."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.masks import MaskOptions, create_mask
from emtomo.compute.postprocess import PostprocessOptions, postprocess
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.symmetrisation import symmetrise
from emtomo.io import mrc
from emtomo.io.formats import read, write
from emtomo.io.particles_star import write_particles
from emtomo.io.star import read_blocks
from tests.compute.refinement.data import PIXEL, blobs, particles
from tests.protocols.test_refinement import full_wedge

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed"),
]
N = 24


def relion(command, folder):
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Particles of a C3 volume as files that RELION reads, and the same as arrays."""
    folder = tmp_path_factory.mktemp("relion")
    source, poses, boxes = particles(blobs(N, "C3", count=6), 30, 1.0)
    around = ball(N, N / 2 - 1, 0.0) == 0
    names = []
    for i, box in enumerate(boxes):
        box -= box[around].mean()
        box /= box[around].std()
        names.append(f"part{i:02d}.mrc")
        mrc.write_volume(folder / names[-1], box, PIXEL)
    mrc.write_volume(folder / "ctf.mrc", np.fft.fftshift(full_wedge()).astype(np.float32), PIXEL)
    frame = pd.DataFrame(
        {
            "tomogram_id": "TS_1",
            "file": names,
            "index": 0,
            "ctf_file": "ctf.mrc",
            "half": poses.half,
            **{f"coordinate_{a}": 50.0 for a in "xyz"},
            **{f"shift_{a}": poses.shifts[:, k] * PIXEL for k, a in enumerate("xyz")},
        }
    )
    write_particles(folder / "particles.star", frame, poses.rotations, PIXEL, N)
    return folder, source, poses


@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_our_reconstruction_is_relions_from_our_own_star_file(exported, symmetry):
    folder, source, poses = exported
    relion(
        f"relion_reconstruct --i particles.star --o rec_{symmetry}.mrc --3d_rot --ctf --ctf3d_not_squared "
        f"--sym {symmetry}",
        folder,
    )
    theirs = mrc.read_volume(folder / f"rec_{symmetry}.mrc")
    ours = reconstruct(source, poses, symmetry).average
    inside = ball(N, N / 2 - 4, 3)
    curve = fourier_shell_correlation(ours * inside, theirs * inside)
    assert curve[1:9].min() > 0.995
    assert curve[1:9].mean() > 0.999
    # also after a turn and a shift of all poses
    turned = Poses(poses.rotations, poses.shifts + [2.0, -4.0, 1.0], poses.half)
    assert fourier_shell_correlation(reconstruct(source, turned).average, theirs)[3] < 0.9


@pytest.mark.parametrize(("kind", "symmetry"), [("relion3.1", "C1"), ("relion3.1", "C3"), ("relion3.0", "C1")])
def test_relion_opens_converted_files_also_turned_and_shifted(exported, kind, symmetry):
    """Converted by emtomo.io.formats; all particles turned and moved in their own frame, as align-symmetry does."""
    folder, source, poses = exported
    found = read(folder / "particles.star")
    frame = Rotation.from_euler("zxz", [20, 35, -50], degrees=True).as_matrix() if symmetry == "C1" else np.eye(3)
    move = np.array([1.5, -2.0, 1.0]) if symmetry == "C1" else np.array([0, 0, 2.0])
    rotations = poses.rotations @ frame
    shifts = poses.shifts + np.einsum("nij,j->ni", rotations, move)
    assert found.shift_unit == "angstrom"
    found.rotations, found.shifts = rotations, shifts * PIXEL
    name = f"converted_{kind}_{symmetry}"
    write(folder / f"{name}.star", found, kind)
    relion(
        f"relion_reconstruct --i {name}.star --o {name}.mrc --3d_rot --ctf --ctf3d_not_squared --sym {symmetry}", folder
    )
    theirs = mrc.read_volume(folder / f"{name}.mrc")
    ours = reconstruct(source, Poses(rotations, shifts, poses.half), symmetry).average
    inside = ball(N, N / 2 - 5, 3)
    assert np.corrcoef((ours * inside).ravel(), (theirs * inside).ravel())[0, 1] > 0.99
    # the same volume as before, turned: not the same as unturned
    before = reconstruct(source, poses, symmetry).average
    assert np.corrcoef((before * inside).ravel(), (theirs * inside).ravel())[0, 1] < 0.95


def test_our_halves_are_relions_subsets(exported):
    folder, source, poses = exported
    halves = reconstruct(source, poses, "C3").halves
    inside = ball(N, N / 2 - 4, 3)
    for h in (1, 2):
        relion(
            f"relion_reconstruct --i particles.star --o half{h}.mrc --3d_rot --ctf --ctf3d_not_squared --sym C3 "
            f"--subset {h}",
            folder,
        )
        theirs = mrc.read_volume(folder / f"half{h}.mrc")
        assert fourier_shell_correlation(halves[h] * inside, theirs * inside)[1:8].mean() > 0.998


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O", "I1"])
def test_our_symmetrised_volume_is_relions(tmp_path, symmetry):
    volume = blobs(32, "C1", seed=5) * ball(32, 11, 4)
    mrc.write_volume(tmp_path / "in.mrc", volume, 5.0)
    relion(f"relion_image_handler --i in.mrc --o out.mrc --sym {symmetry}", tmp_path)
    theirs = mrc.read_volume(tmp_path / "out.mrc")
    assert np.corrcoef(symmetrise(volume, symmetry).ravel(), theirs.ravel())[0, 1] > 0.99


def test_our_mask_is_relions(tmp_path):
    volume = blobs(40, seed=2)
    mrc.write_volume(tmp_path / "in.mrc", volume, 5.0)
    # RELION measures the edge from the voxels of the grown set, we measure both from the first set: the same where
    # nothing is grown, some tenths of a voxel apart elsewhere
    for extend, edge, apart in ((0, 4, 1e-6), (3, 5, 0.04)):
        relion(
            f"relion_mask_create --i in.mrc --o mask.mrc --ini_threshold 0.5 --extend_inimask {extend} "
            f"--width_soft_edge {edge} --angpix 5",
            tmp_path,
        )
        theirs = mrc.read_volume(tmp_path / "mask.mrc")
        ours = create_mask(volume, 5.0, MaskOptions(threshold=0.5, extend=extend, soft_edge=edge))
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.985, (extend, edge)
        assert np.abs(ours - theirs).mean() < apart


def test_our_resolution_is_that_of_relions_postprocess(tmp_path, rng):
    n = 48
    volume = blobs(n, count=30)
    halves = [volume + rng.normal(0, 2.0, volume.shape).astype(np.float32) for _ in range(2)]
    mask = ball(n, 15, 5)
    for name, data in (("half1_class001_unfil", halves[0]), ("half2_class001_unfil", halves[1]), ("mask", mask)):
        mrc.write_volume(tmp_path / f"run_{name}.mrc", data, 4.0)
    (tmp_path / "Post").mkdir()
    reported = relion(
        "relion_postprocess --i run_half1_class001_unfil.mrc --mask run_mask.mrc --o Post/post "
        "--angpix 4 --adhoc_bfac 0",
        tmp_path,
    )
    theirs = read_blocks(tmp_path / "Post" / "post.star")["fsc"]
    done = postprocess(*halves, mask, 4.0, PostprocessOptions(bfactor=0.0))
    for column, ours in (
        ("rlnFourierShellCorrelationUnmaskedMaps", done.curves.unmasked),
        ("rlnFourierShellCorrelationMaskedMaps", done.curves.masked),
    ):
        assert np.abs(theirs[column].to_numpy(float)[1:24] - ours[1:24]).max() < 0.02
    corrected = theirs["rlnFourierShellCorrelationCorrected"].to_numpy(float)
    start = done.curves.randomised_from
    assert np.abs(corrected[1:start] - done.curves.corrected[1:start]).max() < 0.02
    final = float(re.findall(r"FINAL RESOLUTION:\s*([0-9.]+)", reported)[0])
    assert abs(done.resolution / final - 1) < 0.15


def test_relion_refines_the_particles_that_we_write(exported):
    """RELION's own reader takes our STAR file, boxes and weights: an iteration of its refinement."""
    folder, source, poses = exported
    mrc.write_volume(folder / "ref.mrc", blobs(N, "C3", count=6), PIXEL)
    (folder / "Refine").mkdir(exist_ok=True)
    relion(
        "relion_refine --o Refine/run --i particles.star --ref ref.mrc --ini_high 60 --iter 1 --ctf --sym C3 "
        "--particle_diameter 200 --zero_mask --skip_align --tau2_fudge 1 --K 1 --dont_combine_weights_via_disc "
        "--pool 3 --norm --scale --j 1 --random_seed 1",
        folder,
    )
    theirs = mrc.read_volume(folder / "Refine" / "run_it001_class001.mrc")
    ours = reconstruct(source, poses, "C3").average
    inside = ball(N, 8, 3)
    assert fourier_shell_correlation(ours * inside, theirs * inside)[1:6].min() > 0.9


def test_particles_without_ctf_are_taken_as_measured_everywhere(exported):
    folder, source, poses = exported
    whole = BoxParticles(N, PIXEL, source.box, source.keys, source.weight, "none")
    relion("relion_reconstruct --i particles.star --o plain.mrc --3d_rot", folder)
    theirs = mrc.read_volume(folder / "plain.mrc")
    inside = ball(N, N / 2 - 4, 3)
    curve = fourier_shell_correlation(reconstruct(whole, poses).average * inside, theirs * inside)
    assert curve[1:9].mean() > 0.998
