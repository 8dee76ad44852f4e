"""Images and subtomograms of particles: another program's numbers, and blobs whose images are known exactly."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.optics.ctf import Ctf, image_frequencies
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.particle_images import (
    ParticleImageOptions,
    choose_tilts,
    count_alias_free,
    prepare_series,
)
from emtomo.compute.tilt.subtomograms import reconstruct_subtomogram
from emtomo.compute.tilt.transfer_tables import tabulate_transfer
from emtomo.errors import EmtomoError
from emtomo.io import warp
from tests.conftest import shared

BLOBS = np.array([[0, 0, 0], [30, 0, 0], [0, 22, 0], [0, 0, 16], [-18, -18, 10.0]])
RAW = {"invert": False, "normalise": False}


def _geometry(pixel_size, angles=(-40, 0, 25.0), defocus=30000.0, **columns):
    n = len(angles)
    table = {"angle": np.array(angles), "tilt_axis_angle": np.full(n, 84.0), "dose": 3.0 * np.arange(n),
             "defocus_u": np.full(n, defocus + 400), "defocus_v": np.full(n, defocus), **columns}  # fmt: skip
    return tilt_geometry(table, pixel_size=pixel_size, volume_size=(2000, 2000, 400))


def _image(geometry, t, centre, shape, sigma=6.0, ctf=True):
    """The image of the blobs about a centre, in closed form: white where the CTF is that of white particles."""
    kx, ky = image_frequencies(shape, geometry.pixel_size)
    seen = geometry.project(centre + BLOBS)[t]
    total = sum(np.exp(-2j * np.pi * (kx * x + ky * y)) for x, y, _ in seen)
    total = total * np.exp(-2 * np.pi**2 * sigma**2 * (kx**2 + ky**2)) / geometry.pixel_size**2
    if ctf:
        height = geometry.project(centre[None])[t, 0, 2]
        total = total * geometry.local_ctf(np.full((len(geometry), 1), height))[t, 0].values(kx, ky)
        total = total * geometry.weights(np.hypot(kx, ky))[t]
    return np.roll(np.fft.irfft2(total, shape), [n // 2 for n in shape], (0, 1)).astype(np.float32)


def test_warps_images_subtomograms_and_ctf_volumes():
    given, made = (np.load(shared("warp_oracle", "subtomo", f"{name}put.npz")) for name in ("in", "out"))
    geometry = warp.read_xml(shared("warp_oracle", "subtomo", "series.xml")).geometry()
    geometry = replace(geometry, pixel_size=5.0, b_factor=4 * geometry.dose)
    options = ParticleImageOptions(box_size=48, diameter=150, premultiply=False, **RAW)
    series = prepare_series(lambda t: given["images"][t], geometry, options)
    points = given["coords_A"] - np.array([2560, 2560, 800]) / 2
    assert series.visible(points).all()
    views = {view.tilt: view for view in series.views(points[0], 96)}
    for k, t in enumerate((0, 10)):
        for mine, theirs in ((views[t].values, made["image0_tilts_0_10"][k]),
                             (views[t].ctf * views[t].dose, made["ctf2d_tilts_0_10"][k])):  # fmt: skip
            assert np.linalg.norm(mine - theirs) < 2e-3 * np.linalg.norm(theirs)
    k = np.fft.fftfreq(48) * 48
    within = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2 < 23.5**2
    window = np.sinc((np.arange(48) - 24) / 96) ** 2  # trilinear insertion, which is not corrected there
    window = window[:, None, None] * window[:, None] * window
    for p in range(2):
        subtomogram = reconstruct_subtomogram(series, points[p])
        ours, theirs = np.fft.fftn(subtomogram.box * window)[within], np.fft.fftn(made["subtomos"][p])[within]
        assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)
        assert fourier_shell_correlation(subtomogram.box, made["subtomos"][p])[1:23].min() > 0.99
        spread = np.fft.fftshift(np.fft.irfftn(subtomogram.weights, (48,) * 3)) * window
        ours, theirs = np.fft.rfftn(np.fft.ifftshift(spread)).real, made["ctf_volumes"][p]
        inside = within[:, :, :25]
        assert np.linalg.norm((ours - theirs)[inside]) < 0.02 * np.linalg.norm(theirs[inside])


@pytest.mark.parametrize(
    ("defocus", "pixel_size", "size"),
    [(3, 5, 52), (3, 3, 115), (3, 1.6, 327), (3, 1.35, 436), (5, 1.6, 496), (5, 1.35, 674), (2, 1.35, 317)],
)
def test_alias_free_size_is_warps(defocus, pixel_size, size):
    assert count_alias_free(Ctf.of_defocus(defocus * 1e4), pixel_size, 130) == size


@pytest.mark.parametrize(("size", "hand", "envelope"), [(64, 1, 0.0), (33, -1, 40.0)])
def test_tables_are_the_ctf_at_every_height(size, hand, envelope):
    geometry = _geometry(1.2)
    ctf = Ctf(
        np.array([30000.0, 29000, -9000]), np.array([28000.0, 29500, -9500]), angle=np.array([20.0, -70, 5]),
        phase_shift=np.array([0.0, 90, 3]), cs=2.6, voltage=np.array([300.0, 300, 200]), b_factor=envelope,
    )  # fmt: skip
    geometry = replace(geometry, ctf=ctf, hand=hand)
    tables, (kx, ky) = tabulate_transfer(geometry, size, 1.2), image_frequencies((size, size), 1.2)
    heights = np.array([0.0, 1500.0, -800.0])
    wanted = geometry.local_ctf(heights[:, None])
    for t in range(3):
        assert_allclose(tables.ctf(t, heights[t]), wanted[t, 0].values(kx, ky, dtype=float), atol=2e-4)
    assert_allclose(tables.dose, geometry.weights(np.hypot(kx, ky)), atol=1e-6)


def test_a_small_box_is_the_centre_of_a_large_one():
    geometry, centre = _geometry(1.6, angles=(-30, 10.0)), np.array([40.0, -55, 60])
    images = [_image(geometry, t, centre, (720, 700), sigma=1.5) for t in range(2)]
    cut = {}
    for n in (64, 512):
        options = ParticleImageOptions(box_size=n, diameter=60, premultiply=True, **RAW)
        cut[n] = prepare_series(images.__getitem__, geometry, options).cut(centre)
    middle = slice(256 - 32, 256 + 32)
    large, small = cut[512].images[:, middle, middle], cut[64].images
    assert np.linalg.norm(small - large) < 0.01 * np.linalg.norm(large)
    # multiplied in the small box itself they differ: that is the aliasing
    options = ParticleImageOptions(box_size=64, diameter=60, **RAW)
    series = prepare_series(images.__getitem__, geometry, options)
    aliased = np.stack([np.fft.fftshift(np.fft.irfft2(v.values * v.ctf * v.dose)) for v in series.views(centre, 64)])
    assert np.linalg.norm(aliased - large) > 0.1 * np.linalg.norm(large)


@pytest.mark.parametrize(("pixel_size", "shape"), [(3.0, (301, 256)), (4.37, (256, 301)), (2.1, (200, 260))])
def test_any_pixel_size_keeps_place_and_shape(pixel_size, shape):
    geometry, centre = _geometry(3.0), np.array([33.3, -71.7, 25.0])
    images = [_image(geometry, t, centre, shape, ctf=False) for t in range(3)]
    options = ParticleImageOptions(box_size=40, diameter=80, pixel_size=pixel_size, premultiply=False, **RAW)
    cut = prepare_series(images.__getitem__, geometry, options).cut(centre)
    y, x = (np.indices((40, 40)) - 20) * pixel_size
    for t, image in enumerate(cut.images):
        offset = geometry.project(centre + BLOBS)[t] - geometry.project(centre[None])[t]
        known = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 72) for a, b, _ in offset) / (2 * np.pi * 36)
        image = image - image[0, 0] + known[0, 0]  # the mean of the whole image was subtracted
        assert np.abs(image - known).max() < 0.01 * known.max()


def test_subtomograms_are_the_particle_times_the_weights():
    """What refinement takes them for, D = W V, of a particle off the axis and at another height: its hand and sign."""
    angles = np.linspace(-60, 60, 21)
    geometry, centre = _geometry(4.0, angles=angles, defocus=20000.0), np.array([70.0, 90, -80])
    images = [-_image(geometry, t, centre, (200, 200)) for t in range(21)]
    options = ParticleImageOptions(box_size=48, diameter=100, missing_tilts=0, normalise=False)
    z, y, x = (np.indices((48,) * 3) - 24) * 4.0
    density = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 72) for a, b, c in BLOBS)
    density /= (2 * np.pi * 36) ** 1.5 / 4.0
    sphere = x * x + y * y + z * z < 60**2
    for premultiply, tolerance in ((True, 0.02), (False, 0.03)):
        chosen = replace(options, premultiply=premultiply)
        made = reconstruct_subtomogram(prepare_series(images.__getitem__, geometry, chosen), centre)
        known = np.fft.irfftn(np.fft.rfftn(density) * made.weights, (48,) * 3)[sphere]
        box = made.box[sphere]
        assert np.linalg.norm((box - box.mean()) - (known - known.mean())) < tolerance * np.linalg.norm(known)
        assert made.tilts == 21 and (not premultiply or made.weights.min() >= 0)


def test_tilts_and_particles_that_are_left_out():
    geometry = _geometry(4.0, angles=(-20, -10, 0, 10, 20.0), dose=np.array([8.0, 4, 0, 2, 6]),
                         excluded=np.array([0, 0, 0, 1, 0]))  # fmt: skip
    assert choose_tilts(geometry).tolist() == [0, 1, 2, 4]
    assert choose_tilts(geometry, 2).tolist() == [1, 2]
    images = np.random.default_rng(0).normal(size=(5, 100, 120))
    options = ParticleImageOptions(box_size=16, diameter=60, missing_tilts=1)
    series = prepare_series(images.__getitem__, geometry, options)
    assert all(abs(one.values.std() - 1) < 1e-3 for one in series.images)
    points = np.array([[0, 0, 0], [0, 0, 500.0], [3000, 0, 0]])
    assert series.visible(points).sum(axis=0).tolist() == [4, 2, 0]
    assert series.select_particles(points).tolist() == [True, False, False]
    assert series.cut(points[0]).tilts.tolist() == [0, 1, 2, 4]
    with pytest.raises(EmtomoError, match="no tilt shows the particle"):
        reconstruct_subtomogram(series, points[2])


def test_bad_input_is_one_sentence():
    geometry, image, options = _geometry(4.0), np.ones((40, 40)), ParticleImageOptions(box_size=16)
    cases = [
        (replace(geometry, ctf=None), options, "has no defocus"),
        (replace(geometry, pixel_size=np.nan), options, "pixel size of the tilt images is not known"),
        (replace(geometry, excluded=np.ones(3, bool)), options, "all tilts are excluded"),
        (geometry, replace(options, pixel_size=1.0), "at least half that of the images"),
        (geometry, options, "tilt 1: all pixels of the image are equal"),
        (geometry, replace(options, box_size=2), "Box size"),
        (geometry, replace(options, diameter=65), "Particle diameter must be at most the box, 16 × 4 Å, got 65 Å"),
    ]
    for one, chosen, sentence in cases:
        with pytest.raises(EmtomoError, match=sentence):
            prepare_series(lambda t: image, one, chosen)
    with pytest.raises(EmtomoError, match="tilt 1: the image has pixels that are no finite numbers"):
        prepare_series(lambda t: image * np.nan, geometry, options)
