"""Large tables are read and written in one go: the same as row by row, and what is unusual still row by row."""

import numpy as np
import pandas as pd
import pytest
from starfile.writer import StarWriter

from emtomo.errors import FormatError
from emtomo.io import star, text
from emtomo.io.points import _NUMERIC, read_points

REGULAR = {
    "commas": "tomogram_id,X,y,z,score,note\n01,1.5,2,3e1,0.25,a b\nTS_2, 4 ,5,6 ,1, c \n",
    "spaces": "# pixel size 5\nx y z label\n1  2 3.25 01\n 4 5\t6 x\n",
    "semicolons": "x;y;z\n0.1;0.30000000000000004;1e-300\n-0;5;6\n",
    "one row": "x,y,z\n1,2,3",
}
UNUSUAL = {
    "no names": "1,2,3\n4,5,6\n",
    "short row": "x,y,z,label\n1,2,3\n4,5,6,b\n",
    "short and long": "x,y,z\n1,2\n4,5,6,7\n",
    "long row": "x y z\n1 2 3\n1 2 3 4\n",
    "comment inside": "x,y,z\n1,2,3\n# a\n4,5,6\n",
    "blank line": "x,y,z\n1,2,3\n\n4,5,6\n",
    "word": "x,y,z\n1,2,3\n4,b,6\n",
    "empty cell": "x,y,z\n1,2,3\n4,,6\n",
    "nan": "x,y,z\n1,2,3\n4,nan,6\n",
    "huge": "x,y,z\n1,2,3\n4,1e31,6\n",
    "crashes pandas": "x,y,z\n1,2,3\n4,1e99999,6\n",
    "same name": "x,x,z\n1,2,3\n",
    "nothing": "x,y,z\n",
}


@pytest.mark.parametrize("name", REGULAR)
def test_a_regular_table_is_what_it_is_row_by_row(name, tmp_path):
    path = tmp_path / "table.txt"
    path.write_text(REGULAR[name])
    quick = text._read_regular(REGULAR[name], _NUMERIC)
    slow = text.read_table(path)
    assert list(quick.index) == list(slow.index) and list(quick) == list(slow)
    for column in slow:
        if column.lower() in _NUMERIC:
            assert quick[column].dtype == float
            np.testing.assert_array_equal(quick[column], text.as_numbers(slow[column]))
        else:
            assert list(quick[column]) == list(slow[column])


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_table_is_looked_at_row_by_row(name):
    assert text._read_regular(UNUSUAL[name], _NUMERIC) is None


def test_a_wrong_row_far_down_is_named_by_its_line(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("# a comment\nx,y,z\n" + "1,2,3\n" * 5000 + "1,two,3\n")
    with pytest.raises(FormatError, match="line 5003: y must be a finite number, got 'two'"):
        read_points(path)


FRAMES = {
    "kinds": pd.DataFrame(
        {
            "whole": [1, 2],
            "some": [1.5, np.nan],
            "words": ["x y", ""],
            "missing": ["p", None],
            "flags": [True, False],
            "float32": np.array([0.1, 1 / 3], np.float32),
            "infinite": [-0.0, np.inf],
            "nullable": pd.array([1, None], dtype="Int64"),
            "mixed": [2.5, "t%s"],
        }
    ),
    "no rows": pd.DataFrame({"a": [], "b": []}),
    "more than are written at once": pd.DataFrame({"a": np.arange(star.WRITE_ROWS + 1) / 7}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_loop_is_written_as_starfile_writes_it(name, tmp_path):
    blocks = {"optics": {"number": 1, "words": "a b"}, "": FRAMES[name]}
    star.write_blocks(tmp_path / "loop.star", blocks)
    written = (tmp_path / "loop.star").read_text().split("\n")
    expected = "".join(f"{line}\n" for line in StarWriter(blocks, float_format="%.10g").lines()).split("\n")
    assert written[1:] == expected[1:]  # the first line has the time
