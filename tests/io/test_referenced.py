"""What is said of files that a received file names: where they lie, and nothing of what stands in them."""

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.io import formats, mrc
from emtomo.io.particles_star import read_subtomograms
from emtomo.io.relion_tilts import read_tomograms
from emtomo.io.volumes import read_volumes

SECRET = "root:x:0:0:hunter2 password"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "private" / "pass wd"
    path.parent.mkdir()
    path.write_text(f"{SECRET}\n{SECRET}\n")
    return path


@pytest.fixture
def received(tmp_path):
    folder = tmp_path / "received"
    folder.mkdir()
    return folder


def star(path, columns, *rows):
    path.write_text("data_\n\nloop_\n" + "\n".join(columns.split()) + "\n" + "\n".join(rows) + "\n")
    return path


READERS = {
    "list of coordinate files": ("_rlnTomoName _rlnTomoImportParticleFile", "a '{}'", formats.read),
    "optimisation set": ("_rlnTomoParticlesFile _rlnTomoTomogramsFile", "'{}' '{}'", formats.read),
    "sizes of an optimisation set": ("_rlnTomoParticlesFile _rlnTomoTomogramsFile", "'{}' '{}'", read_volumes),
    "tilt series": ("_rlnTomoName _rlnTomoTiltSeriesStarFile", "a '{}'", read_tomograms),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("ending", ["", ".star", ".txt", ".csv", ".json", ".tbl"])
def test_a_line_of_a_file_that_another_names_is_not_quoted(kind, ending, secret, received):
    columns, row, read = READERS[kind]
    named = secret.with_name(secret.name + ending)
    named.write_text(secret.read_text())
    path = star(received / "a.star", columns, row.format(named, named))
    with pytest.raises(EmtomoError) as raised:
        read(path)
    assert "hunter2" not in str(raised.value) and "x:0:0" not in str(raised.value)
    assert "that it names cannot be read" in str(raised.value) and "pass wd" in str(raised.value)
    assert str(path) in str(raised.value)


def test_files_outside_of_the_folder_are_said(tmp_path, received):
    table = "tomogram_id,x,y,z\na,1,2,3\n"
    (received / "in.csv").write_text(table)
    (tmp_path / "out.csv").write_text(table)
    columns = "_rlnTomoName _rlnTomoImportParticleFile"
    inside = formats.read(star(received / "in.star", columns, "a in.csv"))
    assert not any("outside" in note for note in inside.notes)
    for name in (tmp_path / "out.csv", "../out.csv"):
        found = formats.read(star(received / "out.star", columns, "a in.csv", f"b {name}"))
        assert any("files outside of its folder" in note and "out.csv" in note for note in found.notes)
        assert len(found) == 2


def test_boxes_outside_of_the_folder_are_said(tmp_path, received):
    for folder in (received, tmp_path):
        mrc.write_volume(folder / "box.mrc", np.ones((4, 4, 4), np.float32), 4.0)
    columns = "_rlnImageName _rlnAngleRot _rlnAngleTilt _rlnAnglePsi _rlnCoordinateX _rlnCoordinateY _rlnCoordinateZ"
    for name, outside in (("box.mrc", False), (tmp_path / "box.mrc", True)):
        path = star(received / "p.star", columns, f"{name} 0 0 0 1 2 3")
        assert any("outside" in note for note in read_subtomograms(path).particles.notes) is outside
