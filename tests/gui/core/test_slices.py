"""Slices: the right voxels, the right place, the right grey; clicks land where they were made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emtomo.compute.slices import contrast_limits, draw_slice, mesh_contour
from emtomo.errors import EmtomoError, FormatError
from emtomo.gui.core.camera import Camera
from emtomo.gui.core.hits import Hit, beside_message, half_slab, hits_within, nearest_hit
from emtomo.gui.core.slices import SliceState, marks_near, neighbour_distance
from emtomo.gui.core.volume import ACROSS, VolumeSource
from emtomo.io import mrc

SHAPES = [(7, 12, 9), (8, 11, 16), (1, 5, 6)]


@pytest.fixture(params=SHAPES, ids=str)
def source(request, tmp_path, rng):
    volume = rng.normal(size=request.param).astype(np.float32)
    mrc.write_volume(tmp_path / "a b 'c'.mrc", volume, 4.0)
    made = VolumeSource(tmp_path / "a b 'c'.mrc")
    made.truth = volume
    return made


def expected(volume, axis, low, high):
    """Mean of slices with the axes of the panel: rows y (or z), columns x (or z for the ZY plane)."""
    part = np.take(volume, range(low, high), axis=axis).mean(axis=axis)
    return part.T if axis == 2 else part


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_planes_are_means_of_slices_with_and_without_the_copy(source, axis, thickness):
    for built in (False, True):
        if built:
            source.build()
            assert source.cached == 1.0
        for k in {0, source.shape[axis] // 2, source.shape[axis] - 1}:
            low = max(0, k - (thickness - 1) // 2)
            voxels = np.clip(source.truth, *source._sample_range()) if built and axis else source.truth
            truth = expected(voxels, axis, low, min(low + thickness, source.shape[axis]))
            found = source.plane(axis, k, thickness)
            rows, columns = ACROSS[axis]
            assert found.shape == (source.shape[rows], source.shape[columns])
            # the copy holds 8 bits over three times the shown range
            step = 3 * (source.limits[1] - source.limits[0]) / 255 if built and axis else 0
            assert np.abs(found - truth).max() <= 0.51 * step + 1e-5
        source._cache.clear()


def test_only_what_was_read_is_at_hand(source):
    nz, ny, nx = source.shape
    for axis in (0, 1, 2):
        assert source.at_hand(axis, 0) is None and source.grey(0, 0, 0) is None
    one = source.plane(0, nz // 2)
    assert source.at_hand(0, nz // 2) is one
    assert source.grey(nz // 2, 1, 2) == source.truth[nz // 2, 1, 2]
    if nz > 1:
        assert source.at_hand(0, 0, 1) is None and source.at_hand(1, 0) is None
    source.build()
    for axis in (0, 1, 2):
        found = source.at_hand(axis, 0)
        assert found is not None and np.array_equal(found, source.plane(axis, 0))
    assert np.array_equal(source.slab(0, nz), source.truth)


def test_a_file_that_becomes_shorter_while_it_is_shown_is_reported(tmp_path, rng):
    path = tmp_path / "a.mrc"
    mrc.write_volume(path, rng.normal(size=(8, 16, 16)).astype(np.float32), 4.0)
    source = VolumeSource(path)
    path.write_bytes(path.read_bytes()[:4000])
    assert source.slab(0, 1).shape == (1, 16, 16)
    with pytest.raises(EmtomoError, match="the file ends before slice 8"):
        source.slab(5, 8)


def test_a_box_that_a_stack_does_not_have_is_reported(tmp_path, rng):
    mrc.write_volume(tmp_path / "s.mrc", rng.normal(size=(8, 4, 4)).astype(np.float32), 4.0)
    assert VolumeSource(tmp_path / "s.mrc", 4, 4).shape == (4, 4, 4)
    with pytest.raises(EmtomoError, match="it ends before slice 9"):
        VolumeSource(tmp_path / "s.mrc", 8, 4)


def test_files_that_are_no_volume_are_reported(tmp_path):
    (tmp_path / "x.mrc").write_text("hello")
    with pytest.raises(FormatError):
        VolumeSource(tmp_path / "x.mrc")
    with pytest.raises(EmtomoError):
        VolumeSource(tmp_path / "missing.mrc")


cameras = st.builds(
    Camera,
    st.integers(50, 1500),
    st.integers(50, 1200),
    st.floats(0.05, 30),
    st.floats(-50, 2000),
    st.floats(-50, 2000),
)


@settings(max_examples=200, deadline=None)
@given(cameras, st.integers(0, 1499), st.integers(0, 1199))
def test_a_click_and_its_mark_are_at_the_same_pixel(camera, x, y):
    there = camera.to_screen(*camera.to_voxel(x, y))
    assert np.abs(np.subtract(there, (x, y))).max() < 1e-6
    np.testing.assert_allclose(camera.to_screens(np.array([camera.to_voxel(x, y)]))[0], (x, y), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(cameras, st.floats(0.1, 9), st.floats(0, 500), st.floats(0, 500))
def test_zooming_keeps_what_is_under_the_pointer(camera, factor, x, y):
    before = camera.to_voxel(x, y)
    camera.zoom_at(factor, x, y)
    assert np.abs(np.subtract(camera.to_voxel(x, y), before)).max() < 1e-6


@pytest.mark.parametrize("zoom", [0.13, 0.5, 1.0, 1.7, 6.0, 23.0])
def test_a_bright_voxel_is_drawn_where_its_mark_would_be_within_half_a_pixel(zoom, rng):
    """The picture and the marks share one geometry: the brightest pixel of a drawn spot is the mark's pixel."""
    plane = np.zeros((401, 300), np.float32)
    spot = (212, 140)
    y, x = np.indices(plane.shape)
    plane += np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / (2 * (2 / min(zoom, 1)) ** 2)).astype(np.float32)
    camera = Camera(640, 480, zoom, spot[1] + rng.uniform(-3, 3) / zoom, spot[0] + rng.uniform(-3, 3) / zoom)
    picture = camera.draw(plane, (0.0, 1.0)).astype(float)
    assert picture.shape == (480, 640)
    weight = np.where(picture > 60, picture - 60, 0)
    rows, columns = np.indices(picture.shape)
    centre = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    assert np.abs(np.subtract(centre, camera.to_screen(spot[1], spot[0]))).max() <= 0.5


def test_slices_are_drawn_as_they_are_at_one_to_one(rng):
    plane = rng.normal(size=(20, 31)).astype(np.float32)
    low, high = -2.0, 2.0
    drawn = draw_slice(plane, 0, 0, 1.0, (low, high), plane.shape)
    grey = np.clip((plane - low) * 255 / (high - low), 0, 255)
    assert np.abs(drawn - grey).max() <= 1.0
    smaller = draw_slice(plane[:, :30], 0.5, 0.5, 2.0, (low, high), (10, 15))
    mean = plane[:, :30].reshape(10, 2, 15, 2).mean(axis=(1, 3))
    assert np.abs(smaller - np.clip((mean - low) * 255 / (high - low), 0, 255)).max() <= 1.0
    flat = draw_slice(np.full((3, 3), 7.0, np.float32), 0, 0, 1, (7.0, 7.0), (3, 3))
    assert (flat == flat[0, 0]).all()


def test_contrast_ignores_what_is_not_a_number():
    assert contrast_limits(np.array([np.nan, np.inf])) == (0.0, 1.0)
    low, high = contrast_limits(np.array([np.nan, *range(1001)], float))
    assert low == pytest.approx(5.0) and high == pytest.approx(995.0)


def test_a_mesh_is_cut_in_the_circle_that_the_sphere_has_there():
    from emtomo.compute.geometry.mesh import sphere_mesh

    mesh = sphere_mesh(0.08, 100_000)
    centre, radius = np.array([3.0, -2.0, 5.0]), 10.0
    vertices = mesh.vertices * radius + centre
    for axis in (0, 1, 2):
        for off in (-6.0, 0.0, 3.0):
            cut = mesh_contour(vertices, mesh.faces, axis, centre[axis] + off)
            assert np.allclose(cut[:, :, axis], centre[axis] + off, atol=1e-6)
            away = np.linalg.norm(cut - centre, axis=2)
            assert np.abs(away - radius).max() < 0.02 * radius
            length = np.linalg.norm(cut[:, 1] - cut[:, 0], axis=1).sum()
            assert length == pytest.approx(2 * np.pi * np.sqrt(radius**2 - off**2), rel=0.01)
    assert mesh_contour(vertices, mesh.faces, 0, 99.0).shape == (0, 2, 3)


def test_the_state_stays_within_the_volume_and_clicks_lie_on_the_slice(source):
    state = SliceState(source)
    heard = []
    state.listeners.append(lambda: heard.append(1))
    for axis in (0, 1, 2):
        state.go(axis, 10**6)
        assert state.place[axis] == source.shape[axis] - 1
        state.step(axis, -(10**6))
        assert state.place[axis] == 0
        z, y, x = state.to_voxel(axis, 1.25, 2.5)
        rows, columns = ACROSS[axis]
        assert (z, y, x)[axis] == 0 and ((z, y, x)[rows], (z, y, x)[columns]) == (2.5, 1.25)
    assert heard
    state.centre(0.4, 1e9, -3)
    assert state.place == [0, source.shape[1] - 1, 0]
    before = state.limits
    state.set_limits(3, 2)  # black above white: not taken
    assert state.limits == before


def test_marks_are_the_circles_in_which_spheres_are_cut(rng):
    points = rng.uniform(0, 50, (200, 3))
    marks = marks_near(points, 1, 20.0, 6.0)
    assert set(marks.index) == set(np.flatnonzero(np.abs(points[:, 1] - 20) <= 6))
    np.testing.assert_allclose(marks.places, points[marks.index][:, [2, 0]])
    np.testing.assert_allclose(marks.radii, np.sqrt(np.maximum(36 - (points[marks.index, 1] - 20) ** 2, 1)))
    assert len(marks_near(np.zeros((0, 3)), 0, 0, 5).index) == 0
    many = marks_near(rng.uniform(0, 2, (10_000, 3)), 0, 1.0, 5.0)
    assert len(many.index) == 4000
    assert neighbour_distance(np.zeros((1, 3))) == float("inf")
    grid = np.argwhere(np.ones((4, 4, 4))) * 7.0
    assert neighbour_distance(grid) == 7.0


def test_thumbnails_are_cut_about_the_point_and_edges_repeated(source):
    z, y, x = (n // 2 for n in source.shape)
    cut = source.thumbnail(z, y, x, 5)
    assert cut.shape == (5, 5)
    assert cut[2, 2] == pytest.approx(source.truth[z, y, x])
    assert source.thumbnail(0, 0, 0, 12).shape == (12, 12)


# --- what catches the mouse ---


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_what_lies_on_the_slice_shown_catches_the_mouse(axis):
    at = [20.0, 30.0, 40.0]
    near, beside, far = list(at), list(at), list(at)
    near[axis] += 0.4
    beside[axis] += 2
    far[(axis + 1) % 3] += 9
    points = np.array([beside, far, near])
    found = nearest_hit([(1, np.zeros((0, 3))), (7, points)], axis, tuple(at), 7, half_slab(1))
    assert found == Hit(7, 2, pytest.approx(0.4))
    assert nearest_hit([(7, points[:2])], axis, tuple(at), 7, half_slab(1)) is None
    # in a slab of five slices the one beside is on what is shown
    assert nearest_hit([(7, points[:2])], axis, tuple(at), 7, half_slab(5)).index == 0
    hidden = points.copy()
    hidden[2] = np.nan
    assert nearest_hit([(7, hidden)], axis, tuple(at), 7, half_slab(1)) is None
    assert "zyx"[axis] + f" {at[axis]:.0f} is shown" in beside_message(axis, tuple(at), 2.0)
    assert hits_within([(7, points)], axis, tuple(at), 1.0, 3.0) == [(7, 0), (7, 2)]
    assert hits_within([(7, hidden), (8, np.zeros((0, 3)))], axis, tuple(at), 1.0, 1.0) == []


@pytest.mark.parametrize("shape", [(9, 12, 10), (8, 11, 13), (1, 6, 7)])
def test_a_slice_of_any_angle_is_the_plane_through_its_centre(shape, tmp_path):
    from emtomo.gui.core.oblique import ObliqueView

    z, y, x = np.indices(shape, float)
    ramp = (3 * x - 2 * y + 5 * z).astype(np.float32)
    mrc.write_volume(tmp_path / "ramp.mrc", ramp, 1.0)
    source = VolumeSource(tmp_path / "ramp.mrc")
    low, high = float(ramp.min()), float(ramp.max()) + 1
    k = shape[0] // 2
    flat = ObliqueView(np.array([k, (shape[1] - 1) / 2, (shape[2] - 1) / 2]), 0.0, 0.0, 1.0, shape[2], shape[1])
    plain = np.clip((ramp[k][::-1] - low) * np.float32(255 / (high - low)), 0, 255).astype(np.uint8)
    assert np.abs(flat.draw(source, (low, high)).astype(int) - plain).max() <= 1
    view = ObliqueView(np.array([k, 5.0, 4.0]), 35.0, 50.0, 2.5, 40, 31)
    right, up, normal = view.axes
    assert np.allclose(view.axes @ view.axes.T, np.eye(3)) and np.isclose(np.linalg.det(view.axes[:, ::-1]), 1)
    tilt, turn = np.deg2rad(50), np.deg2rad(35)
    assert np.allclose(normal, [np.cos(tilt), np.sin(tilt) * np.sin(turn), np.sin(tilt) * np.cos(turn)])
    picture = view.draw(source, (low, high))
    seen = 0
    for px, py in ((19, 15), (5, 4), (33, 27), (20, 9)):
        place = np.array(view.to_voxel(px, py))
        at = view.to_screen(place)[0]
        assert np.allclose(at, (px, py, 0))
        if ((place >= 0) & (place <= np.array(shape) - 1)).all():
            value = (3 * place[2] - 2 * place[1] + 5 * place[0] - low) * 255 / (high - low)
            assert abs(int(picture[py, px]) - value) <= 1
            seen += 1
        elif ((place < -0.6) | (place > np.array(shape) - 0.4)).any():
            assert picture[py, px] == 24
    assert seen >= (1 if shape[0] > 1 else 0)
    view.step(2.0)
    assert np.allclose(view.centre, np.array([k, 5.0, 4.0]) + 2 * normal)
    source.build()  # the copy in 8 bits gives the same
    assert np.abs(flat.draw(source, (low, high)).astype(int) - plain).max() <= 2
