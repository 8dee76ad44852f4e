"""Pictures of every viewer without a window, and the files that other programs open."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from emtomo.compute.positions import to_voxels
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError, FormatError
from emtomo.gui.core.shown import load, viewers_for
from emtomo.io import imod, mrc
from emtomo.objects import positions_of, rotations_of
from emtomo.viewers import external

pytestmark = pytest.mark.workflow


@pytest.fixture
def opened(project):
    return EmtomoProject.open(project)


def outputs_of(opened):
    return [(run.getObjLabel(), name, value) for run in opened.runs_now() for name, value in run.outputs().items()]


def test_every_viewer_draws_every_output_it_fits_or_says_why_not(opened, tmp_path):
    from emtomo.viewers.pictures import picture_of_output

    drawn, refused = 0, []
    for label, name, value in outputs_of(opened):
        for viewer in viewers_for(value):
            png = tmp_path / f"{label}_{name}_{viewer.KEY}.png"
            try:
                picture_of_output(opened.find(label), name, png, viewer.KEY)
            except EmtomoError as error:
                refused.append((viewer.KEY, str(error)))
                continue
            assert png.stat().st_size > 1000
            drawn += 1
        assert viewers_for(value)[0].KEY in ("slices", "tilts", "points", "coordinates", "gallery", "fsc")
    assert drawn > 30
    # no iterations, no scores, no orientations, no OpenGL, no fit of a CTF, no check of an alignment
    allowed = {"curves", "scores", "open-in", "directions", "3d", "ctf-fit", "ctf-charts", "alignment"}
    assert {key for key, _ in refused} <= allowed, refused
    assert all(reported.endswith(".") for _, reported in refused), refused


def test_imod_gets_a_model_with_the_particles_where_they_are(opened):
    shown = load(opened, "model.coordinates")
    opened_outside = external.imod(shown)
    assert opened_outside.command[0] == "3dmod" and opened_outside.command[1].endswith(".mrc")
    name = shown.value.tomogram_ids()[0]
    model = next(f for f in opened_outside.files if name in f.name)
    found = imod.read_model(model)
    frame = shown.value.frame(tomogram_id=name)
    truth = to_voxels(positions_of(frame), shown.tomograms.shape(name), float(shown.tomograms.pixel_size.get()))[
        :, ::-1
    ]
    assert len(found) == len(truth)
    distance = np.linalg.norm(found.positions[:, None] - truth[None], axis=2).min(axis=1)
    assert distance.max() < 1e-3  # the model holds float32; half a voxel off would be 0.5


def test_chimerax_gets_arrows_along_the_normals(opened):
    shown = load(opened, "model.coordinates")
    opened_outside = external.chimerax(shown)
    script, bild = opened_outside.files
    assert str(bild) in script.read_text() and opened_outside.line.startswith("chimerax ")
    arrows = [line.split()[1:] for line in bild.read_text().splitlines() if line.startswith(".arrow")]
    name = bild.stem
    frame = shown.value.frame(tomogram_id=name)
    assert len(arrows) == len(frame)
    ends = np.array(arrows, float)
    size, shape = float(shown.tomograms.pixel_size.get()), shown.tomograms.shape(name)
    np.testing.assert_allclose(ends[:, :3], to_voxels(positions_of(frame), shape, size)[:, ::-1] * size, atol=0.02)
    along = ends[:, 3:6] - ends[:, :3]
    along /= np.linalg.norm(along, axis=1)[:, None]
    np.testing.assert_allclose(along, rotations_of(frame)[:, :, 2], atol=2e-3)


def test_napari_and_relion_get_files(opened):
    shown = load(opened, "model.coordinates")
    opened_outside = external.napari(shown)
    compile(opened_outside.files[0].read_text(), "script", "exec")
    table = np.loadtxt(opened_outside.files[1], delimiter=",", skiprows=1)
    assert table.shape == (len(shown.value.frame(tomogram_id=shown.value.tomogram_ids()[0])), 4)
    with pytest.raises(FormatError, match="cannot hold names with quotes"):  # the project's own name
        external.relion(load(opened, "extract.subtomograms"))
    assert external.relion(load(opened, "average.average")).command[:2] == ["relion_display", "--i"]
    with pytest.raises(EmtomoError, match="no volume"):
        from dataclasses import replace

        external.imod(replace(shown, tomograms=None))


def test_relion_reads_the_star_file_of_boxes(made_project, tmp_path):
    shutil.copytree(made_project, tmp_path / "plain", symlinks=True)
    opened = EmtomoProject.open(tmp_path / "plain")
    opened_outside = external.relion(load(opened, "extract.subtomograms"))
    star, display = opened_outside.files[0], opened_outside.files[-2]
    boxes = opened.find("extract").subtomograms
    first = boxes.frame().iloc[0]
    box = mrc.open_volume(first["file"]).reshape(-1, 24, 24, 24)[int(first["index"])]
    images = mrc.open_volume(display.with_suffix(".mrcs"))
    assert images.shape == (len(boxes), 24, 24)
    np.testing.assert_allclose(images[0], box[11:14].mean(axis=0), atol=1e-5)
    assert "_rlnCoordinateX" in star.read_text()
    if shutil.which("relion_star_printtable") is None:
        pytest.skip("RELION is not installed")
    reported = subprocess.run(
        ["relion_star_printtable", str(star), "data_particles", "_rlnCoordinateX"], capture_output=True, text=True
    ).stdout.split()
    assert len(reported) == len(boxes)
    stack = str(display.with_suffix(".mrcs"))
    reported = subprocess.run(["relion_image_handler", "--i", stack, "--stats"], capture_output=True, text=True).stdout
    means = [float(m) for m in re.findall(r"avg= *([-\d.e]+)", reported)]
    np.testing.assert_allclose(means, images.mean(axis=(1, 2)), atol=1e-4)  # as RELION itself reads them
