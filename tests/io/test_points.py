"""Point and particle tables of other programs and of users."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import FormatError
from emtomo.io.acquisition import read_acquisition
from emtomo.io.formats import read
from emtomo.io.meshes import read_obj, write_obj
from emtomo.io.names import expand, match_names, stem
from emtomo.io.points import read_points
from emtomo.io.text import read_table
from tests.conftest import shared


def save(tmp_path, text, name="p.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode("utf8") if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "tomogram_id,group,x,y,z,role\nTS_1,2,1,2,3,inside\n",
        "z;y;x;role;group;tomogram_id\n3;2;1;inside;2;TS_1\n",
        "\ufefftomogram_id\tgroup\tx\ty\tz\trole\r\nTS_1\t2\t1\t2\t3\tinside\r\n",
        "# a comment\ntomogram_id group x y z role\n\nTS_1 2 1.0 2e0 3 inside\n",
    ],
)
def test_points_in_any_column_order_separator_and_line_ending(text, tmp_path):
    picks = read(save(tmp_path, text))
    assert_allclose(picks.positions, [[1, 2, 3]])
    assert picks.tomograms.tolist() == ["TS_1"]
    assert picks.columns["role"].tolist() == ["inside"] and picks.columns["group"].tolist() == [2]


def test_plain_columns_of_three_four_six_and_seven(tmp_path):
    assert_allclose(read(save(tmp_path, "1 2 3\n4 5 6\n")).positions, [[1, 2, 3], [4, 5, 6]])
    assert read(save(tmp_path, "1,2,3,9\n")).columns["group"].tolist() == [9]
    assert_allclose(read(save(tmp_path, "1 2 3 0 1 0\n")).rotations[0, :, 2], [0, 1, 0])
    seven = read(save(tmp_path, "1 2 3 4 0 0 5\n"))
    assert seven.columns["group"].tolist() == [4]
    assert_allclose(seven.rotations[0, :, 2], [0, 0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row"),
        ("x,y,z\n", None),
        ("x,y,z\n1,2\n", "line 2: 3 columns are needed"),
        ("x,y,z\n1,2,a\n", "line 2: z must be a finite number, got 'a'"),
        ("x,y,z\n1,2,3\n1,nan,3\n", "line 3: y must be a finite number"),
        ("x,y,y\n1,2,3\n", "same name"),
        ("a,b,c\n1,2,3\n", "columns x, y, z are needed"),
        ("1 2\n", "3, 4, 6 or 7"),
        (b"\x00\xff\xfe\x80binary", "not a text file"),
    ],
)
def test_each_fault_names_file_and_line(text, message, tmp_path):
    path = save(tmp_path, text)
    if message is None:
        assert len(read(path).positions) == 0
        return
    with pytest.raises(FormatError, match=message) as caught:
        read_points(path)
    assert "p.csv" in str(caught.value)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(FormatError, match="No such file"):
        read_table(tmp_path / "none.csv")


def test_dynamo_table_and_star_of_the_same_particles_agree():
    """dynamo2m's pair: the STAR that another program made of a Dynamo table (5 Å and 15 Å pixels)."""
    picks = read(shared("formats", "dynamo", "t_complex.tbl"))
    assert picks.format == "dynamo" and len(picks.positions) > 0
    assert_allclose(np.linalg.det(picks.rotations), 1, atol=1e-9)


def test_dynamo_normals_of_a_lattice_are_nearly_parallel_to_their_neighbours():
    picks = read(shared("formats", "dynamo", "b4_motl_CR_tm_topbott_clean600_1_dynamo.tbl"))
    names = pd.Series(picks.tomograms)
    best = names.value_counts().index[0]
    mine = (names == best).to_numpy()
    assert mine.sum() > 2
    assert_allclose(np.linalg.norm(picks.rotations[mine][:, :, 2], axis=1), 1, atol=1e-9)


def test_dynamo_angles_equal_those_of_the_formula(tmp_path):
    from scipy.spatial.transform import Rotation

    row = ["0"] * 26
    row[6:9] = ["30", "40", "50"]
    row[3:6], row[23:26] = ["1", "2", "3"], ["10", "20", "30"]
    row[19] = "7"
    picks = read(save(tmp_path, " ".join(row), "a.tbl"))
    expected = (
        Rotation.from_euler("z", -30, degrees=True)
        * Rotation.from_euler("x", -40, degrees=True)
        * Rotation.from_euler("z", -50, degrees=True)
    )
    assert_allclose(picks.rotations[0], expected.as_matrix(), atol=1e-12)
    assert_allclose(picks.centres, [[11, 22, 33]])
    assert picks.tomograms.tolist() == ["7"]


def test_relion_pose_is_the_subtomogram_frame_times_the_angles_less_the_turned_origin(tmp_path):
    """RELION 4/5: total rotation A_subtomogram A_angle, origin in the subtomogram's frame (formats.md, section 2)."""
    from scipy.spatial.transform import Rotation

    names = [f"rlnCenteredCoordinate{a}Angst" for a in "XYZ"] + ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    names += [f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")] + [f"rlnOrigin{a}Angst" for a in "XYZ"]
    lines = ["data_particles", "", "loop_", *[f"_{n} #{k}" for k, n in enumerate(names, 1)]]
    lines.append("100 200 -300 10 20 30 40 50 60 7 8 9")
    picks = read(save(tmp_path, "\n".join(lines) + "\n", "a.star"))

    def matrix(rot, tilt, psi):
        steps = [("z", -psi), ("y", -tilt), ("z", -rot)]
        total = Rotation.identity()
        for axis, angle in steps:
            total = total * Rotation.from_euler(axis, angle, degrees=True)
        return total.as_matrix()

    frame = matrix(40, 50, 60)
    assert (picks.unit, picks.origin) == ("angstrom", "half")
    assert_allclose(picks.rotations[0], frame @ matrix(10, 20, 30), atol=1e-9)
    assert_allclose(picks.centres[0], [100, 200, -300] - frame @ [7, 8, 9], atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "relion_3.0.star",
        "relion_3.1_optics.star",
        "relion_3.1_optics2.star",
        "bin1_1deg_500.star",
        "warp2_particles_matching.star",
        "bin1_1deg_500_2.star",
    ],
)
def test_star_files_of_other_programs_are_read(name):
    picks = read(shared("formats", "relion", name))
    assert len(picks.positions) and np.isfinite(picks.positions).all()
    if picks.rotations is not None:
        assert_allclose(np.linalg.det(picks.rotations), 1, atol=1e-6)


def test_the_phantoms_quaternions_and_relion_angles_are_one_rotation(tmp_path):
    """polnet gives both; the z axes stand in columns of their own."""
    table = pd.read_csv(shared("phantom_tomogram", "truth_particles.csv"))
    lines = ["data_particles", "", "loop_"]
    lines += [
        f"_rln{n} #{k}"
        for k, n in enumerate(["CoordinateX", "CoordinateY", "CoordinateZ", "AngleRot", "AngleTilt", "AnglePsi"], 1)
    ]
    for row in table.itertuples():
        lines.append(f"{row.x} {row.y} {row.z} {row.rlnAngleRot} {row.rlnAngleTilt} {row.rlnAnglePsi}")
    picks = read(save(tmp_path, "\n".join(lines) + "\n", "a.star"))
    assert_allclose(picks.rotations[:, :, 2], table[["zx", "zy", "zz"]].to_numpy(), atol=1e-6)


def test_star_without_positions_is_reported(tmp_path):
    path = save(tmp_path, "data_\n\nloop_\n_rlnMicrographName #1\na\n", "a.star")
    with pytest.raises(FormatError, match="no block has rlnCoordinate"):
        read(path)


def test_names_match_across_programs():
    known = ["TS_01", "TS_02"]
    found, missing, unused = match_names(["x/TS_01.mrc_15.00Apx.mrc", "TS_03_7.90Apx.mrc"], known)
    assert found == {"x/TS_01.mrc_15.00Apx.mrc": "TS_01"}
    assert missing == ["TS_03_7.90Apx.mrc"] and unused == ["TS_02"]
    assert [stem(n) for n in ("TS_01.mrc.tomostar", "a\\TS_01.rec.gz", "TS_01_10.00Apx.mrc", "x.y.mrc")] == [
        "TS_01",
        "TS_01",
        "TS_01",
        "x.y",
    ]


def test_patterns_mark_the_id():
    glob, finder = expand("tomo_{TS}_bin#.mrc")
    assert glob == "tomo_*_bin[0-9].mrc"
    assert finder.match("tomo_TS 01 (a)_bin4.mrc").group(1) == "TS 01 (a)"
    assert finder.match("tomo_x_binA.mrc") is None


def test_acquisition_table(tmp_path):
    path = save(tmp_path, "name tilt_min tilt_max tilt_step tilt_axis_angle\nTS_2.mrc -50 40 2 85\nTS_1 -60 60 3 84\n")
    frame = read_acquisition(path, ["TS_1", "TS_2"])
    assert frame.loc["TS_2"].tolist() == [-50, 40, 2, 85]
    with pytest.raises(FormatError, match="no row for TS_9"):
        read_acquisition(path, ["TS_9"])
    with pytest.raises(FormatError, match="line 2: tilt_min must be below"):
        read_acquisition(save(tmp_path, "name tilt_min tilt_max tilt_step tilt_axis_angle\na 5 -5 1 0\n"), ["a"])


def test_meshes_round_trip(tmp_path, rng):
    vertices, faces = rng.normal(size=(5, 3)), np.array([[0, 1, 2], [2, 3, 4]])
    write_obj(tmp_path / "m.obj", vertices, faces)
    v, f = read_obj(tmp_path / "m.obj")
    assert_allclose(v, vertices, atol=1e-4)
    assert f.tolist() == faces.tolist()


def test_names_that_reconstruction_programs_change_match():
    known = ["TS_01", "TS_02", "lamella.1_ts.003_rec"]
    asked = ["rec_TS_01.mrc", "TS_02_Vol.mrc", "lamella.1_ts.003.mrc", "TS_03"]
    found, missing, _ = match_names(asked, known)
    assert found == dict(zip(asked[:3], known, strict=True)) and missing == ["TS_03"]
    assert match_names(["TS_01"], ["rec_TS_01", "TS_01_Vol"])[1] == ["TS_01"]  # either could be meant


def test_cells_in_quotes_may_hold_the_separator_and_quotes(tmp_path):
    path = tmp_path / "a.csv"
    rows = ['"tomo, 1",1,2,3,"a ""b"" c"', 'plain,4,5,6,5" nail', "other,7,8,9,"]
    path.write_text("tomogram_id,x,y,z,set_name\n" + "\n".join(rows) + "\n")
    found = read_points(path)
    assert found.tomograms.tolist() == ["tomo, 1", "plain", "other"]
    assert found.columns["set_name"].tolist() == ['a "b" c', '5" nail', ""]
    assert_allclose(found.positions[:, 0], [1, 4, 7])
    path.write_text('x,y,z\n"1,2,3\n')
    with pytest.raises(FormatError, match="line 2"):
        read_points(path)
