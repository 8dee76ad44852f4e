"""Folders and sets of several tilt series: RELION's tomograms, Scipion's sets, files beside each other."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import imod_tilts, mrc, relion_tilts, scipion_tilts, warp
from emtomo.io.convert_tilts import convert_tilts, read_series, read_tilts
from emtomo.io.names import stem
from tests.conftest import shared
from tests.io.seeds import SIZES, tilts, write_seed
from tests.peers import run_with


def test_a_folder_of_series_becomes_relions_tomograms(tmp_path):
    folder, sizes = tmp_path / "warp", tmp_path / "tomograms"
    folder.mkdir()
    sizes.mkdir()
    for name in ("TS_01", "TS_02"):
        series = tilts()
        series.name = name
        warp.write_xml(folder / f"{name}.xml", series)
        mrc.write_volume(sizes / f"{name}_8.00Apx.mrc", np.zeros((40, 95, 100), np.float32), 8.0)
    done = convert_tilts(folder, tmp_path / "tomograms.star", tomograms=sizes)
    assert [p.name for p in done.files] == ["tomograms.star", "TS_01.star", "TS_02.star"]
    back = relion_tilts.read_tomograms(tmp_path / "tomograms.star")
    points = np.random.default_rng(1).uniform(-200, 200, (9, 3))
    for name in ("TS_01", "TS_02"):
        assert back[name].volume_size == (400, 380, 160) and back[name].pixel_size == 2.0 and back[name].hand == -1
        assert np.abs(back[name].project(points) - tilts().project(points)).max() < 1e-3
    done = convert_tilts(tmp_path / "tomograms.star", tmp_path / "stars", to="tomostar")
    assert sorted(p.name for p in done.files) == ["TS_01.tomostar", "TS_02.tomostar"]
    bare = tmp_path / "bare"
    bare.mkdir()
    series = tilts()
    series.volume_size = None
    warp.write_xml(bare / "TS_01.xml", series)
    with pytest.raises(EmtomoError, match="size of the tomogram"):
        convert_tilts(bare, bare / "t_tomograms.star")
    with pytest.raises(EmtomoError, match="no file with tilts"):
        convert_tilts(sizes, tmp_path / "t_tomograms.star")


def test_relion_4s_matrices_become_angles(tmp_path):
    source = shared("formats", "relion", "warp2_matching_tomograms.star")
    convert_tilts(source, tmp_path / "tomograms.star")
    before, after = relion_tilts.read_tomograms(source), relion_tilts.read_tomograms(tmp_path / "tomograms.star")
    points = np.random.default_rng(2).uniform(-1500, 1500, (30, 3))
    for name, series in before.items():
        other = after[stem(name)].project(points)
        assert np.abs(series.project(points) - other).max() < 0.01 * 0.7894


LOOK = """
import json, sys
from tomo.objects import *
s = SetOfTiltSeries(filename=sys.argv[1]); s.loadAllProperties()
t = SetOfTomograms(filename=sys.argv[3]); t.loadAllProperties()
out = {"rate": s.getSamplingRate(), "tilts": [], "ctf": [], "tomograms": []}
for series in s.iterItems():
    out["id"] = series.getTsId(); out["axis"] = series.getAcquisition().getTiltAxisAngle()
    for i in series.iterItems():
        matrix = i.getTransform().getMatrix().tolist()
        out["tilts"].append([i.getTiltAngle(), matrix, i.getAcquisition().getDoseInitial()])
c = SetOfCTFTomoSeries(filename=sys.argv[2]); c.loadAllProperties(); c.setSetOfTiltSeries(s)
for series in c.iterItems(iterate=False):
    for i in series.iterItems():
        out["ctf"].append([i.getDefocusU(), i.getDefocusV(), i.getDefocusAngle(), i.getPhaseShift()])
for i in t.iterItems():
    out["tomograms"].append([i.getTsId(), i.getFileName(), list(i.getShiftsFromOrigin())])
print("OUT" + json.dumps(out))
"""


def test_scipion_reads_our_tilt_series_ctfs_and_tomograms(tmp_path):
    given = tilts()
    scipion_tilts.write_tilt_series(tmp_path / "t.sqlite", [given])
    scipion_tilts.write_ctf(tmp_path / "c.sqlite", [given])
    scipion_tilts.write_tomograms(tmp_path / "v.sqlite", {"TS_01": ("TS_01.mrc", SIZES["TS_01"])})
    text = run_with("scipion", LOOK, *(tmp_path / f"{k}.sqlite" for k in "tcv"))
    out = json.loads(text[text.rindex("OUT") + 3 :])
    assert (out["rate"], out["id"], out["axis"]) == (2.0, "TS_01", 84.5)
    assert_allclose([row[0] for row in out["tilts"]], given.column("angle"))
    assert_allclose([row[2] for row in out["tilts"]], given.column("dose"))
    imod_tilts.write_xf(tmp_path / "a.xf", given, 2.0)
    rows = np.loadtxt(tmp_path / "a.xf")
    theirs = np.array([row[1] for row in out["tilts"]])
    assert_allclose(theirs[:, :2, :2].reshape(-1, 4), rows[:, :4], atol=1e-7)
    assert_allclose(theirs[:, :2, 2], rows[:, 4:], atol=1e-6)
    columns = ["defocus_u", "defocus_v", "defocus_angle", "phase_shift"]
    assert_allclose(out["ctf"], given.table[columns].to_numpy())
    assert out["tomograms"] == [["TS_01", "TS_01.mrc", [-2560.0, -2400.0, -1000.0]]]


def test_scipions_tilt_series_come_back(tmp_path):
    given = tilts()
    path = tmp_path / "given.star"
    relion_tilts.write_tilt_star(path, given)
    for to in ("scipion-tilts", "scipion-ctf"):
        done = convert_tilts(path, tmp_path / f"{to}.sqlite", to=to, pixel_size=2.0)
        (back,) = read_series(done.files[0])
        assert back.name == "TS_01"
        for column in set(back.table) & set(given.table) - {"name"}:
            assert_allclose(back.column(column), given.column(column), atol=1e-8, err_msg=column)
    assert {"angle", "rotation", "shift_x", "dose"} <= set(read_series(tmp_path / "scipion-tilts.sqlite")[0].table)
    with pytest.raises(FormatError, match="none of tilt series"):
        scipion_tilts.read_tilt_series(write_seed("scipion", tmp_path))


def test_files_of_series_that_stand_there_are_not_overwritten(tmp_path):
    relion_tilts.write_tomograms(tmp_path / "tomograms.star", [tilts()])
    before = (tmp_path / "TS_01.star").read_bytes()
    with pytest.raises(FormatError, match="exists already"):
        convert_tilts(tmp_path / "tomograms.star", tmp_path / "new_tomograms.star")
    assert (tmp_path / "TS_01.star").read_bytes() == before and not (tmp_path / "new_tomograms.star").exists()
    (tmp_path / "tilt.com").write_text("TILTFILE other.tlt\nOFFSET 5.0\n")
    with pytest.raises(FormatError, match="exists already"):
        imod_tilts.write_com(tmp_path, tilts())
    imod_tilts.write_tlt(tmp_path / "a.tlt", np.arange(5.0))
    found = read_tilts(tmp_path / "a.tlt")
    assert found.column("angle").tolist() == [0, 1, 2, 3, 4] and "belongs to other" in found.notes[0]
    (tmp_path / "tilt.com").write_text("TILTFILE a.tlt\nEXCLUDELIST 1\nEXCLUDELIST2 3-4\n")
    assert read_tilts(tmp_path / "a.tlt").column("excluded").tolist() == [1, 0, 1, 1, 0]
    for wrong, message in (("2-9", "between 1 and 5, got 2-9"), ("one", "views such as 1,4-6, got 'one'")):
        (tmp_path / "tilt.com").write_text(f"TILTFILE a.tlt\nEXCLUDELIST {wrong}\n")
        with pytest.raises(FormatError, match=message):
            read_tilts(tmp_path / "a.tlt")


def test_tilt_com_turns_and_moves_the_tomogram_as_imods_projections_do(tmp_path):
    """Equations of IMOD's tilt (tilt.f90, projectModel), whose slices have z down, then the transforms backwards."""
    rng = np.random.default_rng(3)
    angle, x_tilt, turn = rng.uniform(-60, 60, 5), rng.uniform(-3, 3, 5), np.radians(rng.uniform(-180, 180, 5))
    a = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], axis=1)
    d = rng.uniform(-9, 9, (5, 2))
    np.savetxt(tmp_path / "a.tlt", angle)
    np.savetxt(tmp_path / "a.xtilt", x_tilt)
    np.savetxt(tmp_path / "a.xf", np.concatenate([a, d], axis=1))
    com = "TILTFILE a.tlt\nXTILTFILE a.xtilt\nFULLIMAGE 100 80\nTHICKNESS 60\nOFFSET 1.5\n"
    (tmp_path / "tilt.com").write_text(com + "XAXISTILT 2.2\nSHIFT 3.0 -8.5\n")
    points = rng.uniform(-30, 30, (7, 3))
    found = imod_tilts.read_imod(tmp_path / "a.xf", 2.0).project(2.0 * points)[..., :2] / 2.0
    alpha, beta = np.radians(x_tilt - 2.2), np.radians(angle + 1.5)
    x, y, z = points.T[:, None] - np.array([3.0, 0, 0])[:, None, None]
    z = -z + 8.5
    alpha, beta = alpha[:, None], beta[:, None]
    seen_x = y * np.sin(alpha) * np.sin(beta) - z * np.cos(alpha) * np.sin(beta) + x * np.cos(beta)
    seen = np.stack([seen_x, y * np.cos(alpha) + z * np.sin(alpha)], axis=-1)
    raw = np.linalg.solve(a.reshape(-1, 1, 2, 2), (seen - d[:, None])[..., None])[..., 0]
    assert np.abs(found - raw).max() < 1e-6
    more = "LOCALFILE alocal.xf\nZFACTORFILE a.zfac\n"
    (tmp_path / "tilt.com").write_text(com.replace("1.5", "1.5 4.0") + "XAXISTILT 2.2\nSHIFT 3.0 -8.5\n" + more)
    (tmp_path / "a.xf").unlink()  # of angles alone
    read = imod_tilts.read_imod(tmp_path / "a.tlt")
    assert np.allclose(read.column("x_tilt"), x_tilt - 2.2)
    for said in ("SHIFT 3 -8.5, which is not taken without transforms", "LOCALFILE", "ZFACTORFILE", "axis by 4 pixels"):
        assert any(said in note for note in read.notes)
