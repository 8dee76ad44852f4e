"""Tilt geometry: another program's numbers, and derivatives against finite differences."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.tilt.geometry import TiltGeometry, rotation_by_angles, tilt_geometry, tilt_rotations
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import warp
from emtomo.io.poses import from_relion
from tests.conftest import shared

CASES = ("1_plain", "2_angles_inverted", "3_image_warp_6x4", "4_volume_warp_3x4x2x5", "5_stage_angles", "6_everything")
VOLUME, IMAGE = np.array([1536.0, 1280.0, 600.0]), np.array([1152.0, 1440.0])
ROUNDING = np.array([1.0007, 0.9991])  # of the images' size after binning, which the file does not hold


@pytest.mark.parametrize("case", CASES)
def test_positions_defocus_and_weights_are_those_of_warp(case):
    series = warp.read_xml(shared("warp_oracle", "geometry", f"{case}.xml"))
    geometry = series.geometry()
    truth = pd.read_csv(shared("warp_oracle", "geometry", f"{case}.csv"))
    points = pd.read_csv(shared("warp_oracle", "geometry", "points.csv"))
    seen = geometry.project(points[["x_A", "y_A", "z_A"]].to_numpy() - VOLUME / 2)
    point, tilt = truth["point"].to_numpy(), truth["tilt"].to_numpy()
    ours = seen[tilt, point, :2] + IMAGE / 2
    ours = ours * ROUNDING if case.startswith("6") else ours
    bare = replace(geometry, image_warp=None).project(points[["x_A", "y_A", "z_A"]].to_numpy() - VOLUME / 2)
    # beyond the image the spline goes on there and its edge counts here
    inside = (np.abs(bare[tilt, point, :2]) <= IMAGE / 2).all(axis=1) | (geometry.image_warp is None)
    assert inside.sum() > 140
    assert np.abs(ours - truth[["x_A", "y_A"]].to_numpy())[inside].max() < 0.01
    ctf = geometry.local_ctf(seen[:, :, 2])
    assert np.abs(ctf.defocus[tilt, point] - 1e4 * truth["defocus_um"].to_numpy()).max() < 0.1
    assert_allclose((ctf.defocus_u - ctf.defocus_v)[tilt, point], 1e4 * truth["defocus_delta_um"], atol=0.1)
    assert_allclose(ctf.angle[tilt, 0], truth["defocus_angle_deg"], atol=1e-3)
    matrices = truth[[f"R{i}{j}" for i in range(3) for j in range(3)]].to_numpy().reshape(-1, 3, 3)
    assert np.abs(geometry.sections[tilt] - matrices).max() < 1e-5
    particles = from_relion(points[["rot_deg", "tilt_deg", "psi_deg"]].to_numpy())
    angles = from_relion(truth[["rot", "tilt_angle", "psi"]].to_numpy())
    assert np.abs(geometry.sections[tilt] @ particles[point] - angles).max() < 1e-4
    excluded = np.where(geometry.excluded, 1e-4, 1)
    assert_allclose((geometry.scale * excluded)[tilt], truth["ctf_scale"], atol=1e-5)
    b_factor = 4 * geometry.dose if geometry.b_factor is None else geometry.b_factor
    assert_allclose(-b_factor[tilt], truth["ctf_bfactor"], atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_for_warp_says_the_same(case, tmp_path):
    given = warp.read_xml(shared("warp_oracle", "geometry", f"{case}.xml"))
    warp.write_xml(tmp_path / "again.xml", given)
    mine, theirs = warp.read_xml(tmp_path / "again.xml").geometry(), given.geometry()
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 3)) * VOLUME
    assert_allclose(mine.project(points), theirs.project(points), atol=1e-4)
    assert_allclose(mine.sections, theirs.sections, atol=1e-7)
    assert_allclose(mine.weights(np.array([0.05, 0.2])), theirs.weights(np.array([0.05, 0.2])), rtol=1e-5)
    assert_allclose(mine.ctf.defocus, theirs.ctf.defocus, atol=1e-3)
    assert (mine.hand, mine.image_size, mine.volume_size) == (theirs.hand, tuple(IMAGE), tuple(VOLUME))
    assert mine.excluded.tolist() == theirs.excluded.tolist()


@pytest.mark.parametrize("case", [CASES[0], CASES[-1]])
def test_magnification_goes_to_warp_and_comes_back(case, tmp_path):
    given = warp.read_xml(shared("warp_oracle", "geometry", f"{case}.xml"))
    given.magnification, given.optics["cs"] = np.array([[1.012, 0.003], [-0.002, 0.994]]), 2.61
    warp.write_xml(tmp_path / "again.xml", given)
    again, wanted = warp.read_xml(tmp_path / "again.xml"), given.geometry()
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 3)) * VOLUME
    assert_allclose(again.geometry().project(points), wanted.project(points), atol=1e-4)
    assert_allclose(again.geometry().sections, wanted.sections, atol=1e-7)
    assert again.optics["cs"] == 2.61
    # Warp magnifies sections alone: for it the movement of the images says where positions are
    text = (tmp_path / "again.xml").read_text()
    assert 'MagnificationCorrection="1.012, 0.003, -0.002, 0.994"' in text
    (tmp_path / "bare.xml").write_text(text.replace("1.012, 0.003, -0.002, 0.994", "1, 0, 0, 1"))
    seen = warp.read_xml(tmp_path / "bare.xml").geometry().project(points)
    plain = replace(wanted, magnification=None).project(points)
    assert np.abs(seen - wanted.project(points)).max() < 1e-4 < 5 < np.abs(seen - plain).max()
    for name, values in (
        ("MagnificationCorrection", ("1, 0, 0", "9, 0, 0, 1", "1, 0, 0, nan", "1, 0, 0, -1")),
        ("ImageDimensionsAngstrom", ("nan, 100", "1000,5, 1000,5", "-1, 100")),  # decimal commas, too
        ("VolumeDimensionsAngstrom", ("1, 2, inf", "1, 2", "x, 2, 3")),
    ):
        bare = re.sub(f'{name}="[^"]*"', "", text)
        for bad in values:
            (tmp_path / "bad.xml").write_text(bare.replace("<TiltSeries ", f'<TiltSeries {name}="{bad}" ', 1))
            with pytest.raises(FormatError, match=f"{name} must"):
                warp.read_xml(tmp_path / "bad.xml")


def whole_geometry(n=5, seed=0):
    """Everything that a geometry can have, at random."""
    rng = np.random.default_rng(seed)
    table = {
        "angle": np.linspace(-50, 45, n),
        "tilt_axis_angle": rng.normal(84, 1, n),
        "x_tilt": rng.normal(0, 3, n),
        "shift_x": rng.normal(0, 30, n),
        "shift_y": rng.normal(0, 30, n),
        "dose": 3.0 * rng.permutation(n),
        "defocus_u": rng.normal(30000, 500, n),
        "defocus_v": rng.normal(29000, 500, n),
        "stage_x": rng.normal(0, 1, n),
    }
    image = ImageWarp(rng.normal(0, 15, (3, 4, 5)), rng.normal(0, 15, (3, 4, 5)), (3000.0, 2600.0))
    volume = VolumeWarp(rng.normal(0, 12, (4, 2, 3, 3, 3)), (2000.0, 1800.0, 600.0), (0.0, 3.0 * (n - 1)))
    magnification = np.array([[1.01, 0.004], [-0.003, 0.985]])
    return tilt_geometry(table, hand=-1, image_warp=image, volume_warp=volume, magnification=magnification)


def test_every_derivative_is_that_of_finite_differences():
    geometry, rng = whole_geometry(), np.random.default_rng(1)
    points = rng.uniform(-1, 1, (7, 3)) * [700, 600, 200]
    found, step = geometry.derivatives(points), 1e-4
    assert_allclose(found.positions, geometry.project(points), atol=1e-9)

    def slope(change):
        return (change(step).project(points) - change(-step).project(points)) / (2 * step)

    def by_point(axis):
        one = step * np.eye(3)[axis]
        return (geometry.project(points + one) - geometry.project(points - one)) / (2 * step)

    for axis in range(3):
        assert_allclose(found.point[..., axis], by_point(axis), atol=1e-5)

        def turned(h, axis=axis):
            turn = Rotation.from_rotvec(1e-3 * h * np.eye(3)[axis]).as_matrix()
            return replace(geometry, rotations=turn @ geometry.rotations)

        assert_allclose(1e-3 * found.rotation[..., axis], slope(turned), atol=1e-5)
    for axis in range(2):
        shifted = slope(lambda h, axis=axis: replace(geometry, shifts=geometry.shifts + h * np.eye(2)[axis]))
        assert_allclose(found.shift[..., axis], shifted, atol=1e-5)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        one = np.zeros((2, 2))
        one[row, column] = 1e-4
        magnified = slope(lambda h, one=one: replace(geometry, magnification=geometry.magnification + h * one))
        assert_allclose(1e-4 * found.magnification[..., number], magnified, atol=1e-5)
    _image_nodes(geometry, found, slope)
    _volume_nodes(geometry, found, slope)


def _image_nodes(geometry, found, slope):
    given = geometry.image_warp
    for node in [(0, 0, 0), (1, 2, 3), (2, 3, 4)]:
        one = np.zeros(given.x.shape)
        one[node] = 1
        moved = slope(lambda h, one=one: replace(geometry, image_warp=replace(given, x=given.x + h * one)))
        place = np.ravel_multi_index(node[1:], given.x.shape[1:])
        expected = -found.image_tilts[:, node[0], None] * found.image_nodes[:, :, place]
        assert_allclose(moved[..., 0], expected, atol=1e-6)
        assert_allclose(moved[..., 1:], 0, atol=1e-6)


def _volume_nodes(geometry, found, slope):
    given = geometry.volume_warp
    for node in [(0, 0, 0, 0, 0), (2, 1, 1, 1, 1), (3, 1, 2, 2, 2), (1, 0, 1, 1, 0)]:
        one = np.zeros(given.nodes.shape)
        one[node] = 1
        moved = slope(lambda h, one=one: replace(geometry, volume_warp=replace(given, nodes=given.nodes + h * one)))
        place = np.ravel_multi_index(node[1:4], given.nodes.shape[1:4])
        weight = found.volume_tilts[:, node[0], None] * found.volume_nodes[None, :, place]
        assert_allclose(moved, weight[..., None] * found.displacement[..., node[4]], atol=1e-5)


def test_a_degree_of_axis_tilt_and_x_tilt_is_a_rotation_about_the_images_axes():
    angles = np.array([[84.0, -50.0, 3.0], [-6.0, 20.0, 0.0], [10.0, 61.0, -8.0]])
    rotations = tilt_rotations(angles[:, 1], angles[:, 0], angles[:, 2])
    for k in range(3):
        more = angles + 1e-4 * np.eye(3)[k]
        turned = tilt_rotations(more[:, 1], more[:, 0], more[:, 2]) @ rotations.transpose(0, 2, 1)
        assert_allclose(
            rotation_by_angles(rotations)[:, :, k], Rotation.from_matrix(turned).as_rotvec() / 1e-4, atol=1e-6
        )


def test_some_of_the_tilts_project_as_they_did_among_all():
    geometry, points = whole_geometry(6), np.random.default_rng(2).uniform(-300, 300, (4, 3))
    for index in (np.array([4, 1, 2]), np.array([3]), np.arange(6) % 2 == 0):
        part = geometry.take(index)
        assert_allclose(part.project(points), geometry.project(points)[index], atol=1e-9)
        assert_allclose(part.sections, geometry.sections[index])
        assert_allclose(part.ctf.defocus, geometry.ctf.defocus[index])
        assert part.weights(np.array([0.0, 0.1])).shape == (len(part), 2)
    assert len(geometry.take(np.zeros(6, bool))) == 0


def test_local_defocus_follows_the_hand():
    flat = tilt_geometry({"angle": np.array([0.0, 60.0]), "defocus_u": np.array([20000.0, 20000.0])}, hand=-1)
    seen = flat.project(np.array([[0.0, 0.0, 100.0], [100.0, 0.0, 0.0]]))
    defocus = flat.local_ctf(seen[:, :, 2]).defocus
    assert_allclose(defocus, [[19900.0, 20000.0], [19950.0, 20000 + 100 * np.sin(np.deg2rad(60))]], atol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"dose": np.zeros(3)}, "no column angle"),
        ({"angle": np.array([0.0, np.nan])}, "angle of tilt 2"),
        ({"angle": np.zeros(2), "shift_x": np.array([np.inf, 0])}, "shifts of tilt 1"),
        ({"angle": np.zeros(2), "dose": np.array([0, np.nan])}, "dose of tilt 2"),
        ({"angle": np.zeros(2), "defocus_u": np.array([10000.0, np.nan])}, "tilt 2 has no defocus"),
    ],
)
def test_what_is_no_geometry_is_refused_in_a_sentence(table, message):
    with pytest.raises(EmtomoError, match=message):
        tilt_geometry(table)


def test_a_series_without_ctf_says_so():
    bare = tilt_geometry({"angle": np.zeros(2)})
    assert isinstance(bare, TiltGeometry) and bare.ctf is None
    with pytest.raises(EmtomoError, match="no defocus"):
        bare.local_ctf(np.zeros((2, 1)))
