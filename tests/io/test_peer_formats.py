"""Our files in other programs' readers, theirs in ours: dynamo2m, eulerangles, imodmodel, mdocfile, copick, Scipion."""

import json

import numpy as np
import pandas as pd
import pytest
import starfile
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.io import convert, formats, mdoc, poses, scipion, star
from emtomo.io.formats import read
from emtomo.io.particles import convert_frame
from tests.conftest import shared
from tests.io.seeds import SIZES, particles
from tests.peers import command_of, run_with


def test_dynamo2warp_row_by_row(tmp_path):
    """dynamo2m 0.2.2 on the same table and table map: names, positions, angles of all 8742 rows."""
    table, doc = shared("formats", "dynamo", "t_complex.tbl"), shared("formats", "dynamo", "tmap_complex.doc")
    command_of("readers", "dynamo2warp", "-i", table, "-tm", doc, "-o", tmp_path / "theirs.star")
    done = convert.dynamo_to_warp(table, doc, tmp_path / "ours.star")
    theirs, ours = starfile.read(tmp_path / "theirs.star"), starfile.read(tmp_path / "ours.star")
    assert list(ours) == list(theirs) and len(ours) == len(theirs) == 8742
    assert ours["rlnMicrographName"].tolist() == theirs["rlnMicrographName"].tolist()
    for axis in "XYZ":
        assert_allclose(ours[f"rlnCoordinate{axis}"], theirs[f"rlnCoordinate{axis}"], atol=1e-6)
    angles = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    apart = np.abs(ours[angles].to_numpy() - theirs[angles].to_numpy()).max(axis=1) > 2e-6
    # eulerangles 1.0.2 takes rot for 0 where narot is within 0.1° of 0 or 180°: turned by 90° in plane, four rows
    assert np.flatnonzero(apart).tolist() == [2198, 3154, 3746, 8648]
    rows = np.array([line.split()[6:9] for line in table.read_text().strip().split("\n")], float)
    tdrot, tilt, narot = rows.T
    expected = poses.from_relion(np.stack([narot - 90, tilt, tdrot + 90], axis=1))
    assert_allclose(poses.from_relion(ours[angles].to_numpy()), expected, atol=1e-9)
    assert "48 tomograms" in done.lines[-1]


def test_star_downgrade_row_by_row(tmp_path):
    """dynamo2m's relion_star_downgrade on a file of RELION 3.1."""
    text = shared("formats", "relion", "relion_3.1_optics.star").read_text()
    for name in ("theirs", "ours"):
        (tmp_path / f"{name}.star").write_text(text)
    command_of("readers", "relion_star_downgrade", "-s", tmp_path / "theirs.star")
    convert.downgrade(tmp_path / "ours.star")
    theirs = starfile.read(tmp_path / "theirs_rln3.0.star")
    ours = starfile.read(tmp_path / "ours_rln3.0.star")
    assert list(ours) == list(theirs)
    assert ours["rlnMicrographName"].tolist() == theirs["rlnMicrographName"].tolist()
    numbers = [c for c in theirs if c != "rlnMicrographName"]
    assert_allclose(ours[numbers], theirs[numbers], atol=2e-6)


def test_eulerangles_converts_to_the_same_angles():
    angles = np.random.default_rng(6).uniform(0, 170, (200, 3))
    code = (
        "import json, sys, numpy as np\nfrom eulerangles import convert_eulers\n"
        "a = np.array(json.loads(sys.argv[1]))\n"
        "print(json.dumps([convert_eulers(a, source_meta=s, target_meta=t).tolist()"
        " for s, t in (('dynamo', 'relion'), ('dynamo', 'warp'), ('relion', 'dynamo'))]))"
    )
    relion, warp, dynamo = json.loads(run_with("readers", code, json.dumps(angles.tolist())))
    assert_allclose(poses.from_relion(relion), poses.from_dynamo(angles), atol=1e-9)
    assert_allclose(poses.from_relion(warp), poses.from_dynamo(angles), atol=1e-9)
    assert_allclose(poses.from_dynamo(dynamo), poses.from_relion(angles), atol=1e-9)


def test_dynamotable_reads_ours_and_we_read_its(tmp_path):
    given = particles(7)
    formats.write(tmp_path / "a.tbl", given, "dynamo")
    code = (
        "import sys, dynamotable\nt = dynamotable.read(sys.argv[1], sys.argv[2])\n"
        "t.to_csv(sys.argv[3], index=False)\ndynamotable.write(t, sys.argv[4])"
    )
    run_with("readers", code, tmp_path / "a.tbl", tmp_path / "a.doc", tmp_path / "t.csv", tmp_path / "b.tbl")
    theirs = pd.read_csv(tmp_path / "t.csv")
    assert_allclose(theirs[["x", "y", "z"]], given.positions, atol=1e-6)
    assert_allclose(theirs[["dx", "dy", "dz"]], given.shifts, atol=1e-6)
    assert theirs["tag"].tolist() == given.columns["id"].tolist()
    assert theirs["tomo_file"].tolist() == given.tomograms.tolist()
    assert_allclose(read(tmp_path / "b.tbl").rotations, given.rotations, atol=1e-5)


@pytest.mark.parametrize("oriented", [True, False])
def test_imodmodel_reads_our_models(oriented, tmp_path):
    given = particles(6, tomograms=1)
    if not oriented:
        given.rotations = None
    formats.write(tmp_path / "a.mod", given, "imod", sizes=SIZES)
    code = "import sys, imodmodel\nimodmodel.read(sys.argv[1]).to_csv(sys.argv[2], index=False)"
    run_with("readers", code, tmp_path / "a.mod", tmp_path / "m.csv")
    theirs = pd.read_csv(tmp_path / "m.csv")
    order = np.argsort(given.columns["group"], kind="stable")
    places = theirs[["x", "y", "z"]].to_numpy()
    centres = places[::2] if oriented else places
    assert_allclose(centres - [0.5, 0.5, 0], given.centres[order], atol=1e-4)
    if oriented:
        assert_allclose(places[1::2] - places[::2], 10 * given.rotations[order][:, :, 2], atol=1e-3)


@pytest.mark.parametrize("name", ["tilt_series", "frame_set_multiple", "montage_section"])
def test_mdocfile_reads_the_same_angles(name, tmp_path):
    path = shared("formats", "mdoc", "mdocfile_tests", "test_data", f"{name}.mdoc")
    code = "import sys, mdocfile\nmdocfile.read(sys.argv[1]).to_csv(sys.argv[2], index=False)"
    run_with("readers", code, path, tmp_path / "m.csv")
    theirs = pd.read_csv(tmp_path / "m.csv")
    if name == "montage_section":
        theirs = theirs.iloc[:-1]  # the montage as a whole is a row of its own
    ours = mdoc.read_mdoc(path)
    assert len(ours) == len(theirs)
    assert_allclose(ours.column("angle"), theirs["TiltAngle"])
    if "PixelSpacing" in theirs:
        assert_allclose(ours.pixel_size, theirs["PixelSpacing"].iloc[0])


def test_copick_reads_our_picks(tmp_path):
    given = particles(5, tomograms=1)
    formats.write(tmp_path / "p.json", given, "copick")
    code = (
        "import json, sys\nfrom copick.models import CopickPicksFile\n"
        "f = CopickPicksFile(**json.load(open(sys.argv[1])))\n"
        "print(json.dumps([f.run_name, f.unit, f.voxel_spacing, [[p.location.x, p.location.y, p.location.z]"
        " for p in f.points], [p.transformation_ for p in f.points]]))"
    )
    run, unit, spacing, places, matrices = json.loads(run_with("readers", code, tmp_path / "p.json"))
    assert (run, unit, spacing) == ("TS_01", "angstrom", 10.0)
    assert_allclose(places, given.positions * 10, atol=1e-5)
    assert_allclose(np.array(matrices)[:, :3, :3], given.rotations, atol=1e-9)
    assert_allclose(np.array(matrices)[:, :3, 3], given.shifts * 10, atol=1e-6)


# --- Scipion: scipion-em-tomo 3.12.4 itself ---

MAKE = """
import sys
import mrcfile, numpy as np
from pwem.objects import Transform
from scipy.spatial.transform import Rotation as R
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import *
folder = sys.argv[1]
with mrcfile.new(folder + '/TS_01.mrc', np.zeros((200, 480, 512), np.int8), overwrite=True) as m:
    m.voxel_size = 10.0
toms = SetOfTomograms(filename=folder + '/tomograms.sqlite')
toms.setSamplingRate(10.0)
t = Tomogram()
t.setFileName(folder + '/TS_01.mrc'); t.setTsId('TS_01'); t.setSamplingRate(10.0); t.setOrigin(None)
toms.append(t); toms.write()
for name, kind in (('coordinates', SetOfCoordinates3D), ('meshes', SetOfMeshes)):
    s = kind(filename=folder + f'/{name}.sqlite')
    s.setSamplingRate(10.0); s.setBoxSize(32); s.setPrecedents(toms)
    for k in range(4):
        c = Coordinate3D() if name == 'coordinates' else MeshPoint()
        c.setVolume(t)
        c.setPosition(100.5 + k, 80.25, 60, BOTTOM_LEFT_CORNER)
        M = np.eye(4); M[:3, :3] = R.from_euler('ZYZ', [10, 20, 30 + k], degrees=True).as_matrix(); M[:3, 3] = [1, 2, 3]
        c.setMatrix(M); c.setGroupId(k + 1); c.setScore(0.5 * k); c.setTomoId('TS_01')
        s.append(c)
    s.write()
s = SetOfSubTomograms(filename=folder + '/subtomograms.sqlite')
s.setSamplingRate(10.0)
for k in range(3):
    b = SubTomogram()
    b.setLocation(k + 1, 'boxes.mrcs'); b.setSamplingRate(10.0); b.setTransform(Transform(M)); b.setVolName('TS_01')
    c = Coordinate3D(); c.setVolume(t); c.setPosition(100.5 + k, 80.25, 60, BOTTOM_LEFT_CORNER); c.setTomoId('TS_01')
    b.setCoordinate3D(c); b.setClassId(2); s.append(b)
s.write()
"""
LOOK = """
import json, sys
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import *
toms = SetOfTomograms(filename=sys.argv[2]); toms.loadAllProperties()
t = toms.getFirstItem().clone()
kind = SetOfSubTomograms if len(sys.argv) > 3 else SetOfCoordinates3D
s = kind(filename=sys.argv[1]); s.loadAllProperties()
out = []
for i in s.iterItems():
    c = i.getCoordinate3D() if len(sys.argv) > 3 else i
    c.setVolume(t)
    M = (i.getTransform() if len(sys.argv) > 3 else c).getMatrix()
    out.append([list(c.getPosition(BOTTOM_LEFT_CORNER)), M.tolist(), c.getTomoId(), c.getGroupId(), c.getScore(),
                list(i.getLocation()) if len(sys.argv) > 3 else None])
print('OUT' + json.dumps([s.getSize(), s.getSamplingRate(), out]))
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Return a folder with sets that scipion-em-tomo wrote."""
    folder = tmp_path_factory.mktemp("scipion")
    run_with("scipion", MAKE, folder)
    return folder


def looked_at(path, tomograms, *more):
    out = run_with("scipion", LOOK, path, tomograms, *more)
    return json.loads(out[out.rindex("OUT") + 3 :])


@pytest.mark.parametrize("name", ["coordinates", "meshes", "subtomograms"])
def test_scipions_sets_are_read(name, theirs):
    found = read(theirs / f"{name}.sqlite")
    n = 3 if name == "subtomograms" else 4
    assert (found.format, len(found), set(found.tomograms)) == ("scipion", n, {"TS_01"})
    here = convert_frame(found, "voxel", "corner", volumes=SIZES)
    assert_allclose(here.positions, [[100.5 + k, 80.25, 60] for k in range(n)], atol=1e-9)
    turned = [33] * 3 if name == "subtomograms" else range(30, 34)
    matrices = [Rotation.from_euler("ZYZ", [10, 20, a], degrees=True).as_matrix() for a in turned]
    assert_allclose(found.rotations, np.swapaxes(matrices, 1, 2), atol=1e-9)
    assert_allclose(found.shifts, [-m.T @ [1, 2, 3] for m in matrices], atol=1e-9)
    if name == "subtomograms":
        assert found.columns["image"].tolist() == [f"{k:06d}@boxes.mrcs" for k in (1, 2, 3)]
        assert found.columns["class_number"].tolist() == [2, 2, 2]
    else:
        assert found.columns["group"].tolist() == [1, 2, 3, 4]
        assert_allclose(found.columns["score"], [0, 0.5, 1, 1.5])


def test_scipion_reads_our_meshes(theirs, tmp_path):
    given = particles(6, tomograms=1)
    given.columns["role"] = np.full(6, "point", object)
    formats.write(tmp_path / "ours.sqlite", given, "scipion", sizes=SIZES)
    assert scipion.read_set(tmp_path / "ours.sqlite").name == "SetOfMeshes"
    _, _, items = looked_at(tmp_path / "ours.sqlite", theirs / "tomograms.sqlite")
    assert_allclose([item[0] for item in items], given.positions, atol=1e-9)


@pytest.mark.parametrize("boxes", [False, True])
def test_scipion_reads_our_sets(boxes, theirs, tmp_path):
    given = particles(6, tomograms=1)
    if boxes:
        given.columns["image"] = np.array([f"{k:06d}@b.mrcs" for k in range(1, 7)], object)
    formats.write(tmp_path / "ours.sqlite", given, "scipion", sizes=SIZES, box_size=40)
    more = ("boxes",) if boxes else ()
    size, rate, items = looked_at(tmp_path / "ours.sqlite", theirs / "tomograms.sqlite", *more)
    assert (size, rate) == (6, 10.0)
    for k, (place, matrix, name, group, score, location) in enumerate(items):
        assert_allclose(place, given.positions[k], atol=1e-9)
        assert_allclose(matrix, poses.to_alignment(given.rotations, given.shifts)[k], atol=1e-12)
        assert (name, group) == ("TS_01", given.columns["group"][k])
        assert_allclose(score, given.columns["score"][k])
        assert location == ([k + 1, "b.mrcs"] if boxes else None)


def test_scipions_tomograms_say_their_sizes(theirs):
    from emtomo.io.volumes import read_volumes

    found = read_volumes(theirs / "tomograms.sqlite")
    assert found["TS_01"].size == (512, 480, 200) and found["TS_01"].pixel_size == 10.0
    assert scipion.read_set(theirs / "tomograms.sqlite").name == "SetOfTomograms"


@pytest.mark.parametrize("kind", ["relion3.0", "relion3.1", "relion4", "relion5", "warp", "m", "stopgap"])
def test_starfile_reads_every_star_file_as_we_do(kind, tmp_path):
    formats.write(tmp_path / "a.star", particles(9), kind, sizes=SIZES)
    theirs, ours = starfile.read(tmp_path / "a.star", always_dict=True), star.read_blocks(tmp_path / "a.star")
    assert list(theirs) == list(ours)
    for name, block in ours.items():
        other = theirs[name] if isinstance(theirs[name], pd.DataFrame) else pd.DataFrame([theirs[name]])
        assert list(other) == list(block)
        for column in block:
            if block[column].dtype.kind in "if":
                assert_allclose(block[column], other[column].astype(float))
            else:
                assert block[column].astype(str).tolist() == other[column].astype(str).tolist()
