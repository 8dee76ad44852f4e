"""Formats whose file holds one item, and table maps that several files share."""

import dataclasses

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.io import formats, relion_tilts
from emtomo.io.convert import convert_particles
from emtomo.io.convert_tilts import convert_tilts, write_series
from emtomo.io.dynamo import read_doc
from emtomo.io.formats import read
from tests.io.seeds import SIZES, particles, tilts, write_seed


@pytest.fixture
def two_series(tmp_path):
    path = tmp_path / "in" / "tomograms.star"
    path.parent.mkdir()
    relion_tilts.write_tomograms(path, [tilts(), dataclasses.replace(tilts(), name="TS_02")])
    return path


def test_no_folder_is_named_like_a_file_of_tilts(two_series, tmp_path):
    for name in ("ts.star", "ts.tlt", "ts.xf"):
        with pytest.raises(EmtomoError, match=f"There are 2 tilt series, .* folder instead of {name}"):
            convert_tilts(two_series, tmp_path / name)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EmtomoError, match="folder instead of file"):
        convert_tilts(two_series, tmp_path / "file", to="tlt")
    assert (tmp_path / "file").read_text() == "mine"
    done = convert_tilts(two_series, tmp_path / "set 1.5", to="tlt")
    assert [f.name for f in done.files] == ["TS_01.tlt", "TS_02.tlt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "in", "set 1.5"]


def test_command_files_of_several_series_get_a_folder_each(two_series, tmp_path):
    out = tmp_path / "imod"
    done = convert_tilts(two_series, out, to="com")
    names = [f"{name}/{file}" for name in ("TS_01", "TS_02") for file in ("tilt.com", "newst.com")]
    assert [str(f.relative_to(out)) for f in done.files] == names and all(f.is_file() for f in done.files)
    assert "TILTFILE TS_02.tlt" in done.files[2].read_text()
    (out / "TS_01" / "tilt.com").unlink()
    with pytest.raises(EmtomoError, match=r"TS_01.newst.com: exists already; write into another folder"):
        convert_tilts(two_series, out, to="com")
    assert sorted(str(f.relative_to(out)) for f in out.rglob("*.com")) == sorted(names[1:])
    with pytest.raises(EmtomoError, match="2 tilt series, .* folder instead of tilt.com"):
        convert_tilts(two_series, tmp_path / "tilt.com")


@pytest.mark.parametrize("made", [True, False])
def test_where_one_of_several_series_cannot_be_written_none_is(made, tmp_path):
    known, unknown = tilts(), dataclasses.replace(tilts(), name="TS_02", pixel_size=np.nan)
    out = tmp_path / "xf"
    if made:
        out.mkdir()
    with pytest.raises(EmtomoError, match="the pixel size of the images is needed"):
        write_series([known, unknown], out, "xf")
    assert out.exists() == made and not list(out.rglob("*"))


@pytest.mark.parametrize("name", ["p.mod", "p_info.json", "p.json"])
def test_no_folder_is_named_like_a_file_of_particles(name, tmp_path):
    kind = {"p.mod": "imod", "p_info.json": "eman"}.get(name, "copick")
    with pytest.raises(EmtomoError, match="of 2 tomograms, .*folder instead of"):
        formats.write(tmp_path / name, particles(), kind, sizes=SIZES)
    (tmp_path / name).mkdir()  # the user means it
    assert len(formats.write(tmp_path / name, particles(), kind, sizes=SIZES)) == 2


def test_files_of_one_name_share_their_table_map(tmp_path):
    first, second = particles(), particles()
    second.tomograms = np.array(["TS_03", "TS_02", "TS_01"] * 2, object)
    for name, given in (("p.tbl", first), ("p.em", second)):
        formats.write(tmp_path / name, given, formats.format_of(tmp_path / name, given))
    for name, given in (("p.tbl", first), ("p.em", second)):
        assert read(tmp_path / name, table_map=tmp_path / "p.doc").tomograms.tolist() == given.tomograms.tolist()
    assert read_doc(tmp_path / "p.doc") == {"1": "TS_01", "2": "TS_02", "3": "TS_03"}


def test_a_file_that_is_no_table_map_is_not_overwritten(tmp_path):
    source = write_seed("relion3.1", tmp_path)
    (tmp_path / "p.doc").write_text("Dear all,\n")
    with pytest.raises(EmtomoError, match="a table map has a whole number and a name"):
        convert_particles(source, tmp_path / "p.tbl")
    assert (tmp_path / "p.doc").read_text() == "Dear all,\n"
    assert not (tmp_path / "p.tbl").exists()
