"""Particles as refinement reads them: tilt series and poses, stacks of tilt images, images of micrographs."""

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyworkflow.object import Pointer

from emtomo.compute.fourier.filters import fit_to_box
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.engine.pixel_sizes import size_remarks
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import (
    SetOfParticles,
    SetOfParticleSeries,
    SetOfTiltSeries,
    SetOfTomograms,
    rotation_columns,
    rotations_of,
)
from emtomo.objects import series_images as module
from emtomo.objects.particle_input import ParticleInputOptions, input_problem, open_particles, particle_sizes
from tests.compute.refinement.data import blobs, project, turned_by
from tests.objects.series_data import subtomograms_of, write_series

N, PIXEL = 24, 8.0
VOLUME = blobs(N)
CUT = ParticleInputOptions(box_size=N)


class Given:
    """An input of a protocol that points at `value`."""

    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

    def getObjValue(self):
        return None

    def pointsNone(self):
        return self.value is None


def protocol(items, series=None):
    return SimpleNamespace(input_subtomograms=Given(items), input_tilt_series=Given(series))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("a series") / "", VOLUME, pixel=PIXEL, noise=0.1, defocus=9000.0)


@pytest.fixture(scope="module")
def stacks(data):
    """The same particles as stacks of their tilt images: without the first tilt, the second one is not visible."""
    particles = open_particles(protocol(data.truth, data.series), ParticleInputOptions())
    frame = particles.frame.drop(columns="half").reset_index(drop=True)
    tilts = len(data.series.images("TS_1"))
    path = data.folder / "stack of images.mrc"
    images = np.concatenate([particles.source.views(i).images[2:] for i in range(len(frame))])
    with mrc.StackWriter(path, images.shape, PIXEL, len(images)) as writer:
        writer.batch(len(images))[:] = images
    frame = frame.assign(file=str(path), index=np.arange(len(frame)) * (tilts - 2), visible="00" + "1" * (tilts - 2))
    out = SetOfParticleSeries.create(
        data.folder / "stacks.sqlite", pixel_size=PIXEL, box_size=N, white=True, premultiplied=True
    )
    out.extend(frame)
    out.write()
    return SetOfParticleSeries.open(data.folder / "stacks.sqlite")


def against(source, poses):
    return fourier_shell_correlation(reconstruct(source, poses).average, VOLUME)


def test_images_are_cut_where_the_particles_are(data):
    particles = open_particles(protocol(data.truth, data.series), ParticleInputOptions())
    assert particles.source.size == N and particles.source.pixel_size == PIXEL and particles.output == "particle_series"
    curve = against(particles.source, particles.poses(1))
    assert curve[1:7].min() > 0.95
    moved = subtomograms_of(data, rotations_of(data.truth.frame()), np.full((24, 3), 3.3 * PIXEL))
    wrong = open_particles(protocol(moved, data.series), CUT)
    assert against(wrong.source, wrong.poses(1))[3:8].max() < 0.5


def test_shifts_of_the_set_are_where_images_are_cut_and_come_back(data):
    """A shift is not lost: it stays the distance from the position."""
    shifts = np.random.default_rng(3).uniform(-30, 30, (24, 3))
    moved = subtomograms_of(data, rotations_of(data.truth.frame()), shifts)
    frame = moved.frame().assign(**{f"shift_{axis}": shifts[:, k] for k, axis in enumerate("xyz")}, group=7)
    frame = frame.sample(frac=1, random_state=1).reset_index(drop=True)  # tomograms among each other
    path = data.folder / "shifted.sqlite"
    type(moved).save(path, frame, pixel_size=PIXEL, box_size=N)
    particles = open_particles(protocol(type(moved).open(path), data.series), ParticleInputOptions())
    poses = particles.poses(1)
    assert np.abs(poses.shifts).max() == 0 and particles.output == "subtomograms"
    assert against(particles.source, poses)[1:7].min() > 0.95
    rows = particles.rows(poses)
    for name in ("tomogram_id", "x", "shift_x", "shift_z", "r12", "group"):
        assert (rows[name] == frame[name]).all()


def test_another_pixel_size_is_a_parameter(data):
    options = ParticleInputOptions(pixel_size=6.0)
    assert particle_sizes(protocol(data.truth, data.series), options) == (32, 6.0)
    fine = open_particles(protocol(data.truth, data.series), options)
    average = reconstruct(fine.source, fine.poses(1)).average
    curve = fourier_shell_correlation(average, fit_to_box(VOLUME, PIXEL, 32, 6.0))
    assert curve[1:7].min() > 0.95


def test_local_defocus_shows(tmp_path):
    """Particles 6,000 Å above and below each other: each image has the CTF of its height."""
    volume = blobs(N, count=40)
    data = write_series(tmp_path, volume, pixel=3.0, names=("TS",), count=16, depth=6000.0, defocus=20000.0,
                        width=400, noise=0.1, dose=0.1, angles=np.arange(-6, 7, 3.0))  # fmt: skip
    curves = []
    for level in (False, True):
        options = ParticleInputOptions(missing_tilts=9)
        particles = open_particles(protocol(data.truth, data.series), options)
        images = particles.source.views
        if level:  # every particle gets the CTF of height 0: its weights, and what its images are multiplied with
            for record in images.records:
                record.geometry = _Level(**vars(record.geometry))
        average = reconstruct(particles.source, particles.poses(1)).average
        curves.append(fourier_shell_correlation(average, volume))
    assert curves[0][6:10].mean() > curves[1][6:10].mean() + 0.1


class _Level(TiltGeometry):
    """A geometry that takes every particle to lie at height 0."""

    def project(self, points):
        seen = super().project(points)
        seen[..., 2] = 0
        return seen


def test_stacks_of_images_give_the_same_average(data, stacks):
    particles = open_particles(protocol(stacks, data.series), ParticleInputOptions())
    assert particles.output == "particle_series" and particles.source.count_views(0) == 9
    first = open_particles(protocol(data.truth, data.series), ParticleInputOptions()).source.views(0)
    one = particles.source.views(0)
    np.testing.assert_allclose(one.images, first.images[2:], rtol=1e-5)
    np.testing.assert_allclose(one.weights, first.weights[2:], atol=1e-5)
    np.testing.assert_allclose(one.rotations, first.rotations[2:])
    np.testing.assert_array_equal(one.noise_group, first.noise_group[2:])
    assert against(particles.source, particles.poses(1))[1:7].min() > 0.95


def test_poses_ten_degrees_off_come_back(data):
    truth = rotations_of(data.truth.frame())
    away = subtomograms_of(data, turned_by(truth, 10, 2), np.random.default_rng(1).uniform(-12, 12, (24, 3)))
    particles = open_particles(protocol(away, data.series), CUT)
    options = RefineOptions(initial_lowpass=50.0, angular_step=1.8, mask_diameter=160.0, max_iterations=3)
    result = Refinement(particles.source, particles.poses(1), VOLUME, options).run()
    rows = particles.rows(result.poses)
    assert np.median(angle_between(rotations_of(rows), truth)) < 2.0
    centres = rows[["x", "y", "z"]].to_numpy() + rows[["shift_x", "shift_y", "shift_z"]].to_numpy()
    assert np.median(np.abs(centres - data.truth.positions())) < 0.25 * PIXEL


def test_memory_is_bounded_and_processes_read_for_themselves(data, monkeypatch):
    particles = open_particles(protocol(data.truth, data.series), ParticleInputOptions())
    whole = particles.source.views(0)
    monkeypatch.setattr(module, "KEPT_BYTES", whole.images.nbytes * 2)
    monkeypatch.setattr(module, "SERIES_BYTES", 1)
    monkeypatch.setattr(module, "threads", lambda: 1)
    again = pickle.loads(pickle.dumps(particles.source))
    assert len(pickle.dumps(particles.source)) < 100_000
    for i in (0, 12, 1, 13):
        assert again.views(i).images.shape == (11, N, N)
    assert len(again.views._kept) == 1 and len(again.views._series) == 1
    np.testing.assert_array_equal(again.views(0).images, whole.images)


def test_what_cannot_be_read_is_reported_in_a_sentence(data, stacks, tmp_path):
    def problem(items, series, **values):
        given, options = protocol(items, series), ParticleInputOptions(**values)
        found = input_problem(given, options)
        if not found:
            with pytest.raises(EmtomoError) as error:
                open_particles(given, options)
            return str(error.value)
        return found

    def changed(name, images=None, **rows):
        out = type(data.series).create(tmp_path / f"{name}.sqlite", pixel_size=PIXEL)
        table = pd.concat([data.series.images(n).assign(tomogram_id=n) for n in ("TS_1", "TS_2")])
        out.extend(data.series.frame().assign(**rows), table.assign(**(images or {})))
        out.write()
        return type(data.series).open(tmp_path / f"{name}.sqlite")

    assert "not known; choose tilt series" in problem(data.truth, None)
    assert "has no defocus" in problem(data.truth, changed("ctf", {"defocus_u": np.nan, "defocus_v": np.nan}))
    assert "TS_1: all tilts are excluded" in problem(data.truth, changed("none", {"excluded": True}))
    other = changed("other", {"tomogram_id": "X"}, tomogram_id="X").frame()
    assert list(other["tomogram_id"]) == ["X", "X"]
    assert "No tilt series of the particles (TS_1, TS_2) is among X" in problem(data.truth, _renamed(data, tmp_path))
    assert "at least half that of the images" in problem(data.truth, data.series, pixel_size=2.0)
    assert "Box size must be at least 8" in problem(data.truth, data.series, box_size=4)
    assert "stacks of the particle series have 24 pixels of 8 Å" in problem(stacks, data.series, pixel_size=6.0)
    far = subtomograms_of(data, rotations_of(data.truth.frame()), np.full((24, 3), 5000.0))
    assert "No particle is shown whole" in problem(far, data.series, box_size=N)
    assert "have no box" in problem(far, None)


def _renamed(data, folder):
    out = type(data.series).create(folder / "renamed.sqlite", pixel_size=PIXEL)
    frame = data.series.frame().iloc[:1].assign(tomogram_id="X")
    out.extend(frame, data.series.images("TS_1").assign(tomogram_id="X"))
    out.write()
    return type(data.series).open(folder / "renamed.sqlite")


def test_particles_without_a_series_are_counted(data):
    frame = data.truth.frame()
    frame.loc[:2, "tomogram_id"] = "TS_9"
    frame.loc[3, "x"] = 4000.0
    path = data.folder / "some.sqlite"
    type(data.truth).save(path, frame, pixel_size=PIXEL, box_size=N)
    particles = open_particles(protocol(type(data.truth).open(path), data.series), ParticleInputOptions())
    assert len(particles) == 20 and len(particles.rows(particles.poses(1))) == 20
    assert "TS_9: 3 particles are left out" in particles.remarks[0]
    assert "do not show whole: 1 of TS_1" in particles.remarks[1]


def test_few_tilts_are_said(data, stacks):
    for number, said in ((1, ["each by 1 tilt, within 0°"]), (5, []), (3, ["each by 3 tilts, within 24°"])):
        particles = open_particles(protocol(data.truth, data.series), ParticleInputOptions(first_tilts=number))
        assert len(particles.remarks) == len(said)
        for remark, text in zip(particles.remarks, said, strict=True):
            assert remark.startswith("24 particles are shown by few tilts") and text in remark
    few = open_particles(protocol(stacks, data.series), ParticleInputOptions(first_tilts=1))
    assert "shown by few tilts" in few.remarks[-1]


def test_pixel_sizes_that_disagree_are_reported_once_a_set(data, tmp_path):
    def remarks(size_x, size_y, voxel, series=data.series):
        columns = {"tomogram_id": ["TS_1", "TS_2"], "file": "", "size_z": 30, "size_x": size_x, "size_y": size_y}
        path = tmp_path / f"{size_x} {size_y}.sqlite"
        SetOfTomograms.save(path, pd.DataFrame(columns), pixel_size=voxel)
        given = {"input_tomograms": SetOfTomograms.open(path), "input_tilt_series": series}
        return size_remarks([(name, Pointer(value)) for name, value in given.items()])

    wide = float(data.series.geometry("TS_1").volume_size[0])
    assert remarks(120, 120, wide / 120) == remarks(120, 121, 1.01 * wide / 120) == []
    assert remarks(110, 120, wide / 120) == []  # cut off along x
    said = (
        f"TS_1 is {1.05 * wide:.0f} × {1.05 * wide:.0f} Å in the tomograms and {wide:.0f} × {wide:.0f} Å in the tilt "
        "series: unless it was cropped, one pixel size is off by 5 %, and so are the positions. So is 1 other."
    )
    assert remarks(120, 120, 1.05 * wide / 120) == [said]
    other = SetOfTiltSeries.create(tmp_path / "other.sqlite", pixel_size=1.03 * PIXEL)
    images = pd.concat([data.series.images(name).assign(tomogram_id=name) for name in ("TS_1", "TS_2")])
    other.extend(data.series.frame(), images.reset_index(drop=True))
    other.write()
    other = SetOfTiltSeries.open(tmp_path / "other.sqlite")
    (found,) = remarks(120, 120, wide / 120, other)
    assert found.startswith("Headers of the tilt series say another pixel size than the set's 8.24 Å, which is taken: ")
    assert found.endswith("TS_1.mrc 8 Å, and 1 more; check which is right.")


def test_images_that_are_no_numbers_are_named(data, tmp_path):
    stack = np.array(mrc.open_volume(data.folder / "TS_1.mrc"))
    stack[4, 3, 2] = np.nan
    mrc.write_volume(tmp_path / "nan.mrc", stack, PIXEL)
    images = pd.concat([data.series.images(n).assign(tomogram_id=n) for n in ("TS_1", "TS_2")])
    images["file"] = str(tmp_path / "nan.mrc")
    out = type(data.series).create(tmp_path / "series.sqlite", pixel_size=PIXEL)
    out.extend(data.series.frame(), images)
    out.write()
    particles = open_particles(
        protocol(data.truth, type(data.series).open(tmp_path / "series.sqlite")), ParticleInputOptions()
    )
    with pytest.raises(EmtomoError, match="TS_1: tilt 5: the image has pixels that are no finite numbers"):
        reconstruct(particles.source, particles.poses(1))


# --- images of micrographs ---


def micrograph_particles(folder, volume, count, *, white=True, noise=0.3, seed=1, defocus=20000.0):
    """Return a set of images with CTF in known orientations, and these."""
    n, rng = volume.shape[0], np.random.default_rng(seed)
    rotations, shifts = random_rotations(count, seed), rng.uniform(-1.5, 1.5, (count, 2))
    values = rng.uniform(defocus, 1.5 * defocus, count)
    ctf = Ctf(values + 100, values - 100, angle=20.0)
    images = np.stack([
        project(volume, rotation, shift, ctf_i.image((n, n), PIXEL))
        for rotation, shift, ctf_i in zip(rotations, shifts, (ctf[i] for i in range(count)), strict=True)
    ])  # fmt: skip
    images += noise * images.std() * rng.normal(size=images.shape)
    path = folder / "particles.mrcs"
    with mrc.StackWriter(path, images.shape, PIXEL, count) as writer:
        writer.batch(count)[:] = (1 if white else -1) * images
    frame = pd.DataFrame({
        "particle_id": np.arange(count) + 1, "micrograph_id": "mic_1", "x": np.nan, "y": np.nan,
        "shift_x": shifts[:, 0] * PIXEL, "shift_y": shifts[:, 1] * PIXEL, "defocus_u": values + 100,
        "defocus_v": values - 100, "defocus_angle": 20.0, "file": str(path), "index": np.arange(count), "half": 0,
        **rotation_columns(rotations, count),
    })  # fmt: skip
    return frame, rotations


def particle_set(path, frame, **values):
    SetOfParticles.save(path, frame, **({"pixel_size": PIXEL, "box_size": N, "white": True} | values))
    return SetOfParticles.open(path)


@pytest.mark.parametrize("white", [True, False])
def test_images_of_micrographs_are_particles_of_one_view(tmp_path, white):
    frame, rotations = micrograph_particles(tmp_path, VOLUME, 120, white=white)
    items = particle_set(tmp_path / "p.sqlite", frame, white=white)
    particles = open_particles(protocol(items), ParticleInputOptions())
    assert particles.output == "particles" and particles.source.shift_axes == 2
    assert against(particles.source, particles.poses(1))[1:7].min() > 0.99
    away = frame.assign(shift_x=0.0, shift_y=0.0, **rotation_columns(turned_by(rotations, 8, 2), 120))
    particles = open_particles(
        protocol(particle_set(tmp_path / "away.sqlite", away, white=white)), ParticleInputOptions()
    )
    options = RefineOptions(initial_lowpass=50.0, angular_step=1.8, mask_diameter=160.0, max_iterations=4)
    result = Refinement(particles.source, particles.poses(1), VOLUME, options).run()
    rows = particles.rows(result.poses)
    assert np.median(angle_between(rotations_of(rows), rotations)) < 2.5
    assert np.median(np.abs(rows["shift_x"] - frame["shift_x"])) < 0.2 * PIXEL
    assert (rows["particle_id"] == frame["particle_id"]).all() and "shift_z" not in rows
    assert result.metrics[-1].shift_spread < 0.3


def test_particles_of_micrographs_that_cannot_be_read_are_reported(tmp_path):
    frame, _ = micrograph_particles(tmp_path, VOLUME, 4)
    lacking = particle_set(tmp_path / "a.sqlite", frame.assign(defocus_u=np.nan, defocus_v=np.nan))
    assert "mic_1" in input_problem(protocol(lacking), ParticleInputOptions())
    without = ParticleInputOptions(ctf_correction=False)
    assert input_problem(protocol(lacking), without) == ""
    assert open_particles(protocol(lacking), without).source.kind == "none"
    short = particle_set(tmp_path / "b.sqlite", frame.assign(index=np.arange(4) + 1))
    with pytest.raises(EmtomoError, match="image 5 is asked for, there are 4"):
        open_particles(protocol(short), ParticleInputOptions())
    wide = particle_set(tmp_path / "c.sqlite", frame, box_size=30)
    with pytest.raises(EmtomoError, match="must be 30 pixels wide and high, got 24 × 24"):
        open_particles(protocol(wide), ParticleInputOptions())
    nobody = particle_set(tmp_path / "d.sqlite", frame.iloc[:0])
    assert "There is no particle" in input_problem(protocol(nobody), ParticleInputOptions())
