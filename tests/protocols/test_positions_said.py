"""Picks and models say where positions lie outside, and where a file forgot its groups."""

import numpy as np
import pytest

from emtomo.io import mrc
from emtomo.objects.points_file import points_of_file
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PIXEL, SHAPE = 10.0, (60, 80, 90)  # z, y, x
CENTRES = [(20, 20, 30), (65, 18, 25), (22, 60, 35), (66, 62, 30)]  # voxels x, y, z; radius 10


def sphere(centre, radius=10.0, n=24):
    k = np.arange(n) + 0.5
    z = 1 - 2 * k / n
    angle = np.pi * (3 - 5**0.5) * k
    ring = np.sqrt(1 - z**2)
    return np.asarray(centre) + radius * np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def write(path, rows, head="tomogram_id,x,y,z"):
    path.write_text(head + "\n" + "\n".join(",".join(str(v) for v in row) for row in rows) + "\n", encoding="utf8")
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("said")
    mrc.write_volume(folder / "a.mrc", np.random.default_rng(1).standard_normal(SHAPE, np.float32), PIXEL)
    made = Bench(folder / "project")
    made.run("import-tomograms", "import", files=folder / "a.mrc", pixel_size=PIXEL)
    made.folder = folder
    return made


def pick(bench, label, path, **options):
    return bench.run("pick-vectorial", label, tomograms="import.tomograms", points=path, unit="voxel", **options)


def test_forgotten_groups_are_said(bench):
    rows = [("a", *p) for centre in CENTRES for p in sphere(centre)]
    run = pick(bench, "forgotten", write(bench.folder / "four vesicles.csv", rows))
    said = " ".join(run._summary())
    assert "no column group: all points of a tomogram are one ellipsoidal_vesicle" in said
    assert "clusters apart in a (4)" in said
    one = pick(bench, "one", write(bench.folder / "one.csv", rows[:24]))
    assert "no column group" in " ".join(one._summary()) and "clusters" not in " ".join(one._summary())
    grouped = [(*row, 1 + k // 24) for k, row in enumerate(rows)]
    path = write(bench.folder / "grouped.csv", grouped, "tomogram_id,x,y,z,group")
    assert "group" not in " ".join(pick(bench, "grouped", path)._summary())
    built = bench.run("model-workflow", "built", meshes="grouped.meshes", cropping=4)
    assert built.coordinates.frame()["group"].nunique() == 4
    assert "outside" not in " ".join(built._summary())


def test_a_model_that_the_border_cuts_says_how_much_lies_outside(bench):
    centre = np.array([45, 40, 3])
    points = sphere(centre, n=60)
    points = points[points[:, 2] > 0]
    path = write(bench.folder / "cut.csv", [("a", *p, 1) for p in points], "tomogram_id,x,y,z,group")
    pick(bench, "cut", path, model="vesicle")
    run = bench.run("model-workflow", "half", meshes="cut.meshes", cropping=3)
    z = run.coordinates.positions()[:, 2] / PIXEL + SHAPE[0] // 2
    expected = int((z < -0.5).sum())
    assert expected > 0.2 * len(z)  # a sphere of radius 10 about z = 3: a share (10 - 3.5) / 20 lies below
    assert abs(expected / len(z) - 6.5 / 20) < 0.05
    assert f"{expected} of {len(z)} positions lie outside their tomogram" in " ".join(run._summary())


def test_corrected_picks_of_a_network_are_checked_too(bench):
    rows = [("a", 0, 0, 0), ("a", 10, 10, 10), ("a", 0, 0, 400)]
    path = write(bench.folder / "corrected.csv", rows)
    run = bench.run("pick-convnet", "corrected", tomograms="import.tomograms", picks=path)
    assert "1 of 3 positions lies outside" in " ".join(run._summary())


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_points_that_are_no_place_are_refused(bench, value):
    path = write(bench.folder / f"{value}.csv", [("a", 1, 2, value)])
    for name in ("pick-vectorial", "pick-manually"):
        run = bench.project.find(str(bench.add(name, f"{name} {value}", tomograms="import.tomograms", points=path)))
        assert run.validate()


@pytest.mark.parametrize("unit", ["angstrom", "voxel"])
def test_a_points_file_that_has_its_pixel_size_counts_in_voxels_of_it(bench, unit):
    """Whatever the form's unit is; as emtomo writes points itself: from the first voxel of unbinned tomograms."""
    rows = [("a", *(2 * p), PIXEL / 2) for p in sphere(CENTRES[0])]
    path = write(bench.folder / "fine.csv", rows, "tomogram_id,x,y,z,pixel_size")
    places, points = points_of_file(path, bench.project.find("import").tomograms, unit)
    centre = np.array(SHAPE[::-1]) // 2 * PIXEL
    assert np.allclose(places[["x", "y", "z"]], sphere(CENTRES[0]) * PIXEL - centre, atol=1e-6)
    assert points.notes == ["Positions count in voxels of 5 Å, as the file's column pixel_size says."]


@pytest.mark.parametrize(("voxel", "likely"), [(10.0, True), (5.0, True), (2.5, False)])
def test_voxels_taken_for_angstroms_are_said_also_of_unbinned_tomograms(bench, voxel, likely):
    rows = [("a", *np.round(p * PIXEL / voxel)) for p in sphere((44, 39, 29), radius=5)]
    path = write(bench.folder / "voxels.csv", rows)
    _, points = points_of_file(path, bench.project.find("import").tomograms, "angstrom")
    assert any(f"would fit as voxels of {voxel:g} Å" in note for note in points.notes) == likely
