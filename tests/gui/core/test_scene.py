"""The 3D view off-screen: what is drawn where, selection, removal. Skipped, with the reason, without OpenGL."""

import subprocess
import sys

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.gui.core.opengl import opengl as opengl_of_this_machine
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData
from emtomo.gui.core.volume import VolumeSource
from emtomo.io import mrc

SIZE = (640, 480)


@pytest.fixture(scope="module", autouse=True)
def opengl():
    try:
        opengl_of_this_machine()
    except EmtomoError as error:
        pytest.skip(str(error))


@pytest.fixture
def scene(tmp_path):
    volume = np.zeros((20, 40, 60), np.float32)
    volume[:, :, 30:] = 1.0  # bright where x is high
    mrc.write_volume(tmp_path / "v.mrc", volume, 5.0)
    source = VolumeSource(tmp_path / "v.mrc")
    data = SceneData(source, source.shape)
    data.points = np.array([[10.0, 20, 10], [50, 20, 10], [50, 35, 10]])
    data.normals = np.array([[0, 0, 1.0], [1, 0, 0], [np.nan] * 3])
    data.groups, data.scores = np.array([1, 2, 2]), np.array([0.1, 0.5, 0.9])
    data.tomograms = np.array(["a", "a", "b"], object)
    made = Scene(data)
    yield made
    made.close()


def test_looking_along_z_x_runs_right_y_up_and_the_slice_has_its_bright_side_there(scene):
    scene.view("z")
    at = scene.project(*SIZE)
    assert at[1, 0] > at[0, 0] and abs(at[1, 1] - at[0, 1]) < 2  # higher x is further right
    assert at[2, 1] < at[1, 1] and abs(at[2, 0] - at[1, 0]) < 2  # higher y is further up
    for part in ("points", "arrows"):
        scene.show(part, False)
    picture = scene.render(*SIZE).astype(float).mean(axis=2)
    middle = picture[200:280]
    assert middle[:, int(at[1, 0])].mean() > middle[:, int(at[0, 0])].mean() + 100


def test_points_are_drawn_where_they_are_projected(scene):
    scene.view("z")
    for part in ("slice", "arrows"):
        scene.show(part, False)
    picture = scene.render(*SIZE).astype(int)
    at = scene.project(*SIZE)
    colours = [(86, 180, 233), (230, 159, 0), (230, 159, 0)]  # groups 1, 2, 2
    for (x, y, _), colour in zip(at, colours, strict=True):
        patch = picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3)
        assert np.abs(patch - colour).sum(axis=1).min() < 60, (patch, colour)


def test_selecting_removing_and_undo(scene):
    scene.view("z")
    x, y, _ = scene.project(*SIZE)[1]
    assert scene.pick(x + 2, y - 1, *SIZE) == 1 and scene.selected.tolist() == [False, True, False]
    assert scene.remove_selected() == 1 and scene.kept.tolist() == [True, False, True]
    assert scene.pick(x, y, *SIZE) is None  # gone
    assert scene.pick_rectangle(0, 0, *SIZE, *SIZE) == 2
    assert scene.remove_selected() == 2 and not scene.kept.any()
    scene.render(*SIZE)  # an empty scene is drawn too
    assert scene.undo() and scene.undo() and not scene.undo()
    assert scene.kept.all()


def test_views_slices_and_colours(scene):
    for name, axis in (("x", 2), ("y", 1), ("z", 0)):
        scene.view(name)
        assert scene.axis == axis
        before = scene.place[axis]
        scene.step(1)
        assert scene.place[axis] == before + 1
        scene.step(10**6)
        assert scene.place[axis] == scene.data.shape[axis] - 1
    scene.reset()
    assert scene.place == [10, 20, 30]
    first = scene.render(*SIZE)
    for what in ("score", "tomogram", "group"):
        scene.set_colour_by(what)
    np.testing.assert_array_equal(scene.render(*SIZE), first)
    scene.rotate(40, 10)
    scene.zoom(1.3)
    scene.pan(20, 5, SIZE[1])
    assert np.abs(scene.render(*SIZE).astype(int) - first).mean() > 1
    for part in scene.PARTS:
        scene.show(part, not scene.shown[part])
    scene.render(*SIZE)


def test_panning_moves_the_picture_with_the_mouse(scene):
    scene.view("z")
    before = scene.project(*SIZE)
    scene.pan(30, 12, SIZE[1])
    moved = scene.project(*SIZE) - before
    # points nearer than the focus move a little more
    assert np.abs(moved[:, 0] - 30).max() < 3 and np.abs(moved[:, 1] - 12).max() < 3


def test_without_opengl_or_pyvista_it_is_reported_in_one_sentence():
    code = (
        "import sys; sys.modules['pyvista'] = None\n"
        "from emtomo.gui.core import opengl\n"
        "sys.executable = '/bin/false'\n"
        "try: opengl.opengl()\n"
        "except ValueError as error: print(error)\n"
    )
    reported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "3D view needs OpenGL" in reported and reported.count("\n") == 1


def test_a_second_map_of_another_pixel_size_lies_on_the_first(tmp_path):
    from emtomo.gui.core.scenedata import SecondMap

    z, y, x = np.indices((24, 24, 24)) - 12
    balls = {"a": np.exp(-((x - 4.0) ** 2 + y**2 + z**2) / 18), "b": np.exp(-((x - 2.0) ** 2 + y**2 + z**2) / 4.5)}
    for name, volume in balls.items():
        mrc.write_volume(tmp_path / f"{name}.mrc", volume.astype(np.float32), 4.0)
    first = VolumeSource(tmp_path / "a.mrc")
    scene = Scene(SceneData(first, first.shape, surface=True))
    scene.level = 0.5
    scene.show("surface", True)
    scene.compare(SecondMap(VolumeSource(tmp_path / "b.mrc"), 2.0, level=0.5))  # half as fine: the same ball
    bounds = [np.array(scene._actors[part][0].GetBounds()) for part in ("surface", "second")]
    assert np.allclose(bounds[0], bounds[1], atol=0.4) and np.allclose(
        bounds[0].reshape(3, 2).mean(axis=1), [16, 12, 12], atol=0.3
    )
    scene.compare(None)
    assert not scene._actors["second"]
    scene.close()
