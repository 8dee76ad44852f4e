"""Text files as editors, spreadsheets and other programs leave them: read rightly, or refused in a sentence."""

import re

import numpy as np
import pytest

from emtomo.compute.rotations import random_rotations
from emtomo.errors import FormatError
from emtomo.io import formats
from emtomo.io.formats import read
from emtomo.io.particles import ParticleList, VolumeGeometry

SIZES = {"TS_01": VolumeGeometry((53, 61, 45), 10.0)}
TEXTS = ("relion5", "relion4", "relion3.1", "relion3.0", "warp", "m", "stopgap", "dynamo", "text")
COMMA = re.compile(r"(?<=\d)\.(?=\d)")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of five particles in each format."""
    folder, rng = tmp_path_factory.mktemp("dialects"), np.random.default_rng(1)
    particles = ParticleList(
        np.full(5, "TS_01", object), rng.uniform(5, 40, (5, 3)), np.zeros((5, 3)), random_rotations(5, seed=1),
        pixel_size=np.full(5, 10.0),
    )  # fmt: skip
    made = {}
    for name in TEXTS:
        path = folder / f"{name}{formats.FORMATS[name].suffix}"
        formats.write(path, particles, name, pixel_size=None, sizes=SIZES, box_size=16)
        made[name] = path
    return made


def spoil(files, name, folder, change):
    """Return a copy of a file whose text was changed."""
    path = folder / files[name].name
    path.write_bytes(change(files[name].read_text(encoding="utf8")).encode())
    return path


def turn_columns(text):
    """Return a STAR file whose loops have their columns from the last to the first."""
    out: list[str] = []
    names: list[str] = []
    width = 0
    for line in text.split("\n"):
        if line.startswith("_"):
            names.append(line.split()[0])
            continue
        if names:
            out += names[::-1]
            width, names = len(names), []
        cells = line.split()
        out.append(" ".join(cells[::-1]) if len(cells) > 1 and len(cells) == width else line)
    return "\n".join(out)


SAME = {
    "line endings of Windows": lambda t: t.replace("\n", "\r\n"),
    "byte-order mark": lambda t: f"\ufeff{t}",
    "tabs": lambda t: re.sub(r" +", "\t", t),
    "no end of the last line": lambda t: t.rstrip("\n"),
    "a comment between rows": lambda t: "\n# so\n".join(t.rstrip("\n").rsplit("\n", 1)) + "\n",
    "no names of blocks": lambda t: re.sub(r"(?m)^data_.*$", "data_", t),
    "no blocks": lambda t: re.sub(r"(?m)^data_.*\n", "", t),
    "columns in another order": lambda t: turn_columns(t) if "loop_" in t else t,
}


@pytest.mark.parametrize("change", SAME)
def test_what_means_the_same_is_read_the_same(files, tmp_path, change):
    for name in TEXTS:
        right, found = read(files[name]), read(spoil(files, name, tmp_path, SAME[change]))
        assert found.format == right.format and found.notes == right.notes
        np.testing.assert_allclose(found.positions, right.positions)
        np.testing.assert_allclose(found.rotations, right.rotations, atol=1e-6)
        np.testing.assert_allclose(found.pixel_size, right.pixel_size)
        assert found.tomograms.tolist() == right.tomograms.tolist()


def test_commas_in_numbers_are_refused(files, tmp_path):
    for name in TEXTS[:-1]:
        with pytest.raises(
            FormatError, match=r"line \d+: .*(finite number, got|written with a point, got) '-?\d+,\d+'"
        ):
            read(spoil(files, name, tmp_path, lambda t: COMMA.sub(",", t)))
    path = tmp_path / "plain.txt"
    for row in ("10,5 20,3 30,1", "10,5;20,3;30,1", "10 20 30 0,98"):
        path.write_text(f"{row}\n{row}\n")
        with pytest.raises(FormatError, match="line 1: decimals are written with a point"):
            read(path)
    for row in ("10,20, 30", "10, 20,30", "10.0,20 , 30"):
        path.write_text(f"{row}\n")
        assert read(path).positions.tolist() == [[10, 20, 30]]


def test_other_capitals_are_said(files, tmp_path):
    for name in ("relion5", "relion3.0", "warp", "m"):
        with pytest.raises(FormatError, match="other capitals"):
            read(spoil(files, name, tmp_path, lambda t: re.sub(r"(?m)^_\w+", lambda m: m.group().upper(), t)))
    with pytest.raises(FormatError, match="RLNCOORDINATEX for rlnCoordinateX, RLNCOORDINATEY for"):
        read(spoil(files, "relion3.0", tmp_path, lambda t: re.sub(r"(?m)^_\w+", lambda m: m.group().upper(), t)))
    one = read(spoil(files, "relion5", tmp_path, lambda t: t.replace("_rlnAngleRot", "_rlnAnglerot")))
    assert "not read: rlnAnglerot for rlnAngleRot." in " ".join(one.notes)


def test_a_second_table_and_repeated_rows_are_said(files, tmp_path):
    for name in TEXTS[:-2]:
        found = read(spoil(files, name, tmp_path, lambda t: f"{t}\n{t}"))
        assert len(found) == 5
        assert "2 tables of particles: the first is read, 5 particles are left out." in found.notes[0]
    for name in TEXTS:
        found = read(spoil(files, name, tmp_path, lambda t: t.rstrip("\n") + "\n" + t.rstrip("\n").rsplit("\n", 1)[1]))
        assert len(found) == 6 and found.notes[-1].startswith("1 of 6 particles is in the file before")


def test_columns_that_look_like_poses_or_units_and_are_not_read_are_said(tmp_path):
    path = tmp_path / "a.csv"
    for head in ("unit", "shift_x", "dx,dy,dz", "rot,tilt", "phi,theta,psi", "voxel_size"):
        path.write_text(f"x,y,z,{head}\n1,2,3{',4' * (head.count(',') + 1)}\n")
        assert head.replace(",", ", ") in read(path).notes[0]
    for text, word in (("x,y,z,X\n1,2,3,4\n", "columns x and X"), ('<marker_set name="a">\n</marker_set>\n', "XML")):
        path.write_text(text)
        with pytest.raises(FormatError, match=word):
            read(path)
    m = "data_\n\nloop_\n_wrpCoordinateX1\n_wrpCoordinateY1\n_wrpCoordinateZ1\n_wrpAngleRot1\n1 2 3 4\n"
    names = "tomo_num orig_x orig_y orig_z y_shift z_shift"
    stopgap = "data_stopgap_motivelist\n\nloop_\n" + "".join(f"_{n}\n" for n in names.split()) + "1 2 3 4 5 6\n"
    for text, word in (
        (m, "wrpAngleTilt1, wrpAnglePsi1"),
        (stopgap, "x_shift"),
        (stopgap.replace("y_shift", "phi"), "shift"),
    ):
        path = tmp_path / "a.star"
        path.write_text(text)
        with pytest.raises(FormatError, match=word):
            read(path)
    row = " ".join(["1"] * 35)
    path = tmp_path / "a.tbl"
    path.write_text(f"{row} 5\n{row} 0\n")
    assert "apix (column 36) is 0 for 1 of 2 particles" in read(path).notes[0]
