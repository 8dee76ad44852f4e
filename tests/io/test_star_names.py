"""Names of files with spaces that stand without quotes in a STAR file."""

import pytest

from emtomo.errors import FormatError
from emtomo.io.formats import read
from emtomo.io.names import match_names
from emtomo.io.star import read_blocks

HEAD = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnMicrographName #4\n"


def test_a_path_with_a_space_is_one_name(tmp_path):
    path = tmp_path / "names.star"
    path.write_text(HEAD + "1 2 3 /data/my run/x/TS_01_10.00Apx.mrc\n4 5 6 TS_02.mrc\n")
    found = read(path)
    assert found.tomograms.tolist() == ["/data/my run/x/TS_01_10.00Apx.mrc", "TS_02.mrc"]
    assert found.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert set(match_names(list(found.tomograms), ["TS_01", "TS_02"])[0].values()) == {"TS_01", "TS_02"}


def test_the_name_may_stand_before_numbers(tmp_path):
    path = tmp_path / "first.star"
    path.write_text("data_x\n\nloop_\n_rlnImageName\n_rlnCoordinateX\n000001@a b  c.mrcs 5\n")
    table = read_blocks(path)["x"]
    assert table["rlnImageName"].tolist() == ["000001@a b c.mrcs"] and table["rlnCoordinateX"].tolist() == [5]


@pytest.mark.parametrize("row", ["1 2 3 TS_01 7", "1 2 3 4 TS_01", "1 2 3 TS_01 0.5 nan 2"])
def test_numbers_too_many_are_no_part_of_a_name(tmp_path, row):
    path = tmp_path / "more.star"
    path.write_text(f"{HEAD}{row}\n")
    with pytest.raises(FormatError, match="line 8: a row needs 4 values .* A name with spaces must stand in quotes"):
        read_blocks(path)


def test_where_two_columns_hold_names_the_row_is_refused(tmp_path):
    path = tmp_path / "two.star"
    path.write_text("data_\n\nloop_\n_rlnImageName\n_rlnMicrographName\na b c\n")
    with pytest.raises(FormatError, match="line 6: .* must stand in quotes"):
        read_blocks(path)
