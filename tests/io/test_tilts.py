"""Alignments and CTFs of tilt series: projections as other programs make them, and one series in seven files."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.tilt.geometry import tilt_geometry, tilt_rotations
from emtomo.compute.tilt.projection import project
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import imod_tilts, mdoc, relion_tilts, star, warp
from emtomo.io.convert_tilts import convert_tilts, read_tilts
from emtomo.io.recognise import recognise
from emtomo.io.tilts import angles_of
from tests.conftest import shared
from tests.io.seeds import TEXT_TILTS, tilts, write_seed

IMAGES = "4803.84, 3412.728, 1"  # Å, of the camera (5760 × 4092 of 0.834 Å); the file leaves it out


def test_a_point_lies_where_the_projection_of_a_volume_shows_it():
    volume = np.zeros((40, 48, 56), np.float32)
    volume[27, 30, 21] = 1
    angles = np.array([-50.0, -10, 0, 25, 60])
    images = project(volume, angles)
    point = np.array([[21 - 28, 30 - 24, 27 - 20]], float)
    seen = tilt_geometry({"angle": angles}).project(point)[:, 0]
    y, x = np.indices(images.shape[1:])
    for image, (px, py, _) in zip(images, seen, strict=True):
        mass = image.sum()
        assert_allclose([(image * x).sum() / mass - 28, (image * y).sum() / mass - 24], [px, py], atol=0.06)


def test_angles_and_rotations_are_one():
    rng = np.random.default_rng(0)
    given = np.stack([rng.uniform(-180, 180, 30), rng.uniform(-70, 70, 30), rng.uniform(-10, 10, 30)], axis=1)
    assert_allclose(angles_of(tilt_rotations(given[:, 1], given[:, 0], given[:, 2])), given, atol=1e-9)


def test_warps_own_projections_of_27_points_in_41_tilts(tmp_path):
    """TS_1.star: points and where Warp sees them, with M's movement of the sample."""
    text = shared("formats", "warp", "TS_1.xml").read_text(encoding="utf-8-sig")
    path = tmp_path / "TS_1.xml"
    path.write_text(text.replace("<TiltSeries ", f'<TiltSeries ImageDimensionsAngstrom="{IMAGES}" ', 1))
    series = warp.read_xml(path)
    blocks = star.read_blocks(shared("formats", "warp", "TS_1.star"))
    points = blocks["points"].to_numpy(float)
    seen = series.project(points)
    mapped = blocks["mappings"].to_numpy(float)
    assert len(mapped) == 1107
    point, tilt = mapped[:, 0].astype(int) - 1, mapped[:, 1].astype(int) - 1
    error = np.abs(seen[tilt, point, :2] - mapped[:, 2:4])
    assert error.max() < 0.01 * 0.834
    # and without the movement by more than an ångström
    series.image_warp = None
    assert np.abs(series.project(points)[tilt, point, :2] - mapped[:, 2:4]).max() > 1


def test_warps_defocus_at_the_centre():
    series = warp.read_xml(shared("formats", "warp", "TS_1.xml"))
    mapped = star.read_blocks(shared("formats", "warp", "TS_1.star"))["mappings"]
    at_centre = mapped[mapped["pointID"] == 14].sort_values("tiltID")
    assert_allclose(series.column("defocus_u"), at_centre["defocusU"], atol=0.5)
    assert_allclose(series.column("defocus_v"), at_centre["defocusV"], atol=0.5)
    assert_allclose(series.column("defocus_angle"), at_centre["defocusAngle"], atol=1e-3)
    assert "size of the images" in series.notes[0]


def test_warps_matrices_for_relion_are_its_own_geometry():
    """The same series (EMPIAR-10491, TS_1) as RELION 4 matrices, before M refined levels and offsets."""
    series = relion_tilts.read_tomograms(shared("formats", "relion", "warp2_matching_tomograms.star"))["TS_1.tomostar"]
    assert (len(series), series.volume_size, series.hand) == (41, (4400, 6000, 1000), -1)
    axis, angle, across = angles_of(series.rotations).T
    assert_allclose(axis, -85.6, atol=0.01)
    assert_allclose(across, 0, atol=1e-4)
    assert_allclose(angle[0], -40, atol=0.05)
    points = np.random.default_rng(1).uniform(-1000, 1000, (20, 3))
    by_angles = tilt_geometry({"angle": angle, "tilt_axis_angle": axis, "x_tilt": across}).project(points)
    assert np.abs(by_angles - series.project(points)).max() < 0.01 * 0.7894
    assert_allclose(np.cos(np.radians(angle)), star.read_blocks(
        shared("formats", "relion", "warp2_matching_tomograms.star"))["TS_1.tomostar"]["rlnCtfScalefactor"],
        atol=1e-3)  # fmt: skip


def rotation(axis, degrees):
    """RELION's rotation3DMatrix: active, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {"X": [[1, 0, 0], [0, c, -s], [0, s, c]], "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}  # fmt: skip
    return np.array(rows[axis])


def test_relion_5_projects_as_its_source_says():
    """s2 s1 Rz(ZRot) Ry(YTilt) Rx(XTilt) s0 with 4 × 4 matrices in voxels, written out."""
    path = shared("formats", "relion", "relion5_TS_01_tilt.star")
    series = relion_tilts.read_tilt_star(path)
    table = star.read_blocks(path)["TS_01"]
    pixel, size, image = 1.35, np.array([4000, 4000, 2000]), np.array([3710, 3838])
    voxels = np.random.default_rng(2).uniform(0, 1, (25, 3)) * size
    seen = series.project((voxels - size / 2) * pixel)
    for k, row in table.iterrows():
        move = np.eye(4)
        move[:3, 3] = -size / 2
        turn = np.eye(4)
        turn[:3, :3] = (
            rotation("Z", row["rlnTomoZRot"]) @ rotation("Y", row["rlnTomoYTilt"]) @ rotation("X", row["rlnTomoXTilt"])
        )
        shift, centre = np.eye(4), np.eye(4)
        shift[:2, 3] = [row["rlnTomoXShiftAngst"] / pixel, row["rlnTomoYShiftAngst"] / pixel]
        centre[:2, 3] = image / 2
        matrix = centre @ shift @ turn @ move
        theirs = (matrix @ np.column_stack([voxels, np.ones(25)]).T).T[:, :2]
        assert np.abs(seen[k, :, :2] / pixel + image / 2 - theirs).max() < 0.01


def test_warp_imports_imods_transforms_to_what_we_read():
    """The pair of files that WarpTools' import of an IMOD alignment is tested with; its voxel is 10 Å."""
    ours = read_tilts(shared("formats", "warp", "xf_import", "00254.xf"), pixel_size=10.0)
    theirs = warp.read_xml(shared("formats", "warp", "xf_import", "00254.xml"))
    assert len(ours) == len(theirs) == 41
    for column in ("rotation", "shift_x", "shift_y"):
        assert_allclose(ours.column(column), theirs.column(column), atol=1e-3)
    # Warp turns the other way round than IMOD: without --dont_invert its tomogram is mirrored along z
    assert_allclose(ours.column("angle"), -theirs.column("angle"), atol=1e-6)


def test_one_series_in_seven_files():
    kinds = {"mdoc": "mdoc/017.mdoc", "tlt": "ctf/017.tlt", "com": "ctf/tilt.com", "xml": "warp/017.xml",
             "wedges": "stopgap/wedge_list_017.star", "gctf": "ctf/017_gctf.star",
             "ctffind": "ctf/017_ctffind4.txt"}  # fmt: skip
    found = {k: read_tilts(shared("formats", *name.split("/"))) for k, name in kinds.items()}
    assert {len(series) for series in found.values()} == {60}
    angle = found["mdoc"].column("angle")
    for kind in ("tlt", "com", "wedges"):
        assert_allclose(found[kind].column("angle"), angle, atol=0.006)
    assert_allclose(-found["xml"].column("angle"), angle, atol=0.03)
    assert found["mdoc"].pixel_size == found["xml"].pixel_size == pytest.approx(1.971)
    assert found["gctf"].pixel_size == pytest.approx(1.971, abs=1e-6)
    assert found["com"].volume_size == (4096, 4096, 1500)
    # Warp 1 adds up the exposures, an image's own included; SerialEM's PriorRecordDose is what the sample had received:
    # a focus image of 0.07 e/Å² as well, and before the last two tilts a recorded image that is not in the series
    exposure = found["xml"].column("dose") - found["mdoc"].column("dose")
    assert found["mdoc"].column("dose")[0] == 134.379
    assert_allclose(exposure[2:], 2.166, atol=0.001)
    assert_allclose(exposure[:2], 2.166 - 2.238, atol=0.002)
    assert found["mdoc"].column("rotation")[0] == 82.9
    mean = (found["gctf"].column("defocus_u") + found["gctf"].column("defocus_v")) / 2
    assert_allclose(found["wedges"].column("defocus_u"), mean, atol=0.01)
    assert np.median(np.abs(found["xml"].column("defocus_u") - found["gctf"].column("defocus_u"))) < 500
    for kind in ("gctf", "ctffind"):
        assert found[kind].optics == pytest.approx({"voltage": 300, "cs": 2.7, "amplitude_contrast": 0.07})


def test_transforms_of_imod_act_as_its_formula():
    """x' = A (x - c) + d + c takes the image to the aligned one, where the axis stands upright."""
    path = shared("formats", "imod", "etomo_TS_001", "TS_001.xf")
    series = read_tilts(path, pixel_size=1.0)
    rows = np.loadtxt(path)
    points = np.random.default_rng(3).uniform(-500, 500, (10, 3))
    seen = series.project(points)
    flat = tilt_rotations(series.column("angle"), np.zeros(40), series.column("x_tilt"))
    for k, row in enumerate(rows):
        aligned = (points @ flat[k].T)[:, :2]
        assert_allclose(seen[k, :, :2] @ row[:4].reshape(2, 2).T + row[4:], aligned, atol=0.01)
    assert_allclose(series.column("rotation"), 84.14, atol=0.2)


def test_aretomos_dark_frames_keep_their_place():
    series = imod_tilts.read_aln(shared("formats", "aretomo", "test.aln"), 2.0)
    assert series.column("excluded").tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    assert series.column("angle").tolist() == [-66, -64.5, -61.5, -60, -58.5, -57, 66, 67.5]
    assert series.image_size == (2032, 2032)
    kept = series.table[series.table["excluded"] == 0]
    assert_allclose(kept["angle"], [-61.5, -60, -58.5, -57])
    assert_allclose(kept["shift_x"].iloc[0], 2 * 24.786)
    assert "patches" in series.notes[0]


@pytest.mark.parametrize(
    ("to", "atol"),
    [("tomostar", 1e-6), ("warp-xml", 1e-5), ("tilts-relion", 1e-6), ("xf", 1e-5), ("defocus", 0.06), ("tlt", 1e-3)],
)
def test_tilts_come_back_from_every_format(to, atol, tmp_path):
    given = tilts()
    relion_tilts.write_tilt_star(tmp_path / "given.star", given)
    suffix = {"tilts-relion": "star", "warp-xml": "xml"}.get(to, to)
    done = convert_tilts(
        tmp_path / "given.star", tmp_path / f"out.{suffix}", kind="tilts-relion", to=to, pixel_size=2.0
    )
    assert "Recognised RELION tilt series TS_01: 5 images" in done.lines[0]
    back = read_tilts(done.files[0], pixel_size=2.0)
    shared_columns = [c for c in back.table if c in given.table and c != "name"]
    assert shared_columns
    for column in shared_columns:
        assert_allclose(back.column(column), given.column(column), atol=atol, err_msg=column)
    if to in ("tomostar", "warp-xml", "tilts-relion"):
        points = np.random.default_rng(5).uniform(-300, 300, (9, 3))
        if to == "tomostar":
            given.table["x_tilt"] = 0.0  # a tomostar has no tilt about x, and the conversion says so
            assert any("x_tilt" in line for line in done.lines)
        assert np.abs(back.project(points) - given.project(points)).max() < 1e-3


def test_what_a_format_cannot_hold_is_reported_and_what_it_needs_is_asked(tmp_path):
    path = write_seed("mdoc", tmp_path)
    done = convert_tilts(path, tmp_path / "a.tlt", kind="mdoc")
    assert any("Not held" in line and "dose" in line for line in done.lines)
    with pytest.raises(EmtomoError, match="says nothing of"):
        convert_tilts(path, tmp_path / "a.defocus", kind="mdoc")
    with pytest.raises(EmtomoError, match="ending says none"):
        convert_tilts(path, tmp_path / "a.png", kind="mdoc")
    aln = write_seed("aln", tmp_path)
    with pytest.raises(EmtomoError, match="pixel size of the images is needed"):
        convert_tilts(aln, tmp_path / "a.xml", kind="aln")
    assert convert_tilts(aln, tmp_path / "a.xf", kind="aln").files


def test_files_beside_each_other_that_do_not_fit_are_reported(tmp_path):
    imod_tilts.write_tlt(tmp_path / "a.tlt", np.arange(5.0))
    imod_tilts.write_xf(tmp_path / "a.xf", tilts(3), 1.0)
    assert "not taken" in read_tilts(tmp_path / "a.tlt").notes[0]
    found = read_tilts(tmp_path / "a.xf")
    assert len(found) == 3 and "a.tlt beside it" in found.notes[0]


def test_mdocs_order_is_that_of_time_and_the_dose_what_came_before(tmp_path):
    found = mdoc.read_mdoc(write_seed("mdoc", tmp_path))
    assert found.table["acquisition_order"].tolist() == [2, 1]
    assert found.table["dose"].tolist() == [2.5, 0.0]
    assert found.table["name"].tolist() == ["a.tif", "b.tif"]
    assert found.column("rotation").tolist() == [82.9, 82.9]


@pytest.mark.parametrize(
    ("name", "n", "first", "last"),
    [
        ("tilt_series", 41, 0.000999877, -60.0),
        ("frame_set_multiple", 21, 32.986, None),
        ("frame_set_single", 1, 32.984, None),
    ],
)
def test_mdocs_of_serialem(name, n, first, last):
    found = mdoc.read_mdoc(shared("formats", "mdoc", "mdocfile_tests", "test_data", f"{name}.mdoc"))
    assert len(found) == n
    assert_allclose(found.column("angle")[0], first)
    if last is not None:
        assert_allclose(found.column("angle").min(), last, atol=0.1)


def test_defocus_files_of_both_versions(tmp_path):
    two = imod_tilts.read_defocus(write_seed("defocus", tmp_path))
    assert two["defocus_u"].tolist() == [25000.0, 26000.0, 26000.0]
    (tmp_path / "b.defocus").write_text(
        "39 0 0. 0. 0. 3\n1 1 -60 -60 2500 2400 0.5 45 1\n2 2 -57 -57 2600 2500 1 50 1\n"
    )
    three = imod_tilts.read_defocus(tmp_path / "b.defocus")
    assert three["defocus_v"].tolist() == [24000.0, 25000.0]
    assert_allclose(three["defocus_angle"], np.degrees([0.5, 1.0]))  # flag 2: radians
    assert three["phase_shift"].tolist() == [45.0, 50.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<TiltSeries><Angles>1\nx</Angles></TiltSeries>", "Angles must be finite numbers, got 'x'"),
        ("<TiltSeries></TiltSeries>", "Angles is missing"),
        ("<Movie/>", "starts with TiltSeries"),
        ("<TiltSeries>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><TiltSeries/>', "entities"),
        ('<TiltSeries><Angles>1</Angles><GridCTF Width="1000000" Height="1000000" Depth="1000000">'
         '<Node X="0" Y="0" Z="0" Value="1"/></GridCTF></TiltSeries>', "claims"),
        ("<TiltSeries><Angles>1 2</Angles><Dose>1</Dose></TiltSeries>", "Dose must have 2 numbers"),
        ("<TiltSeries><Angles>1 2</Angles><UseTilt>True</UseTilt></TiltSeries>", "UseTilt must have 2 lines as Angles"),
        ("<TiltSeries><Angles>1 2</Angles><MoviePath>a.tif</MoviePath></TiltSeries>", "MoviePath must have 2 lines"),
    ],
)  # fmt: skip
def test_bad_xml_is_one_sentence(text, message, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        warp.read_xml(path)


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    "declared", ['<?xml version="1.0" encoding="utf-8"?>', '<?xml version="1.0" encoding="utf-16"?>', ""]
)
def test_xml_is_read_in_its_encoding_whatever_it_declares(code, declared, tmp_path):
    path, mark = tmp_path / "a.xml", "\ufeff" if code == "utf-16-be" else ""
    path.write_bytes((mark + declared + "<TiltSeries><Angles>0\n3</Angles></TiltSeries>").encode(code))
    assert recognise(path) == "warp-xml"
    assert len(warp.read_xml(path)) == 2
    path.write_bytes((mark + declared + '<!DOCTYPE a [<!ENTITY b "c">]><TiltSeries/>').encode(code))
    with pytest.raises(FormatError, match="entities"):
        warp.read_xml(path)


@pytest.mark.parametrize("kind", TEXT_TILTS)
def test_every_kind_is_recognised_by_content(kind, tmp_path):
    path = write_seed(kind, tmp_path)
    assert recognise(path) == {"defocus3": "defocus"}.get(kind, kind)
    assert len(read_tilts(path)) == {"mdoc": 2, "aln": 3, "ctffind": 2, "gctf": 2, "defocus": 3}.get(kind, 5)


def test_an_empty_table_has_no_tilts(tmp_path):
    (tmp_path / "a.tomostar").write_text("data_\n\nloop_\n_wrpMovieName\n_wrpAngleTilt\n")
    with pytest.raises(FormatError, match="no block has images"):
        warp.read_tomostar(tmp_path / "a.tomostar")
    assert isinstance(tilts().table, pd.DataFrame)
