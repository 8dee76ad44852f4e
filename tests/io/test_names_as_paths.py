"""One file for each tomogram or series: no name in a file decides where it is written."""

import numpy as np
import pandas as pd
import pytest

from emtomo.errors import FormatError
from emtomo.io.convert_tilts import write_series
from emtomo.io.particles import ParticleList
from emtomo.io.per_tomogram import write_for_each_tomogram
from emtomo.io.tilts import Tilts


def particles(*names):
    return ParticleList(np.array(names, object), np.zeros((len(names), 3)), np.zeros((len(names), 3)))


def written(path, names):
    def write(target, mine, name):
        target.write_text(name)

    return write_for_each_tomogram(path, particles(*names), ".box", write)


@pytest.mark.parametrize("bad", ["..", "a\nb", "x" * 250])
def test_a_tomogram_whose_name_is_no_file_name_is_refused(bad, tmp_path):
    with pytest.raises(FormatError, match="the name of a tomogram must"):
        written(tmp_path / "out", ["TS_01", bad])
    assert not list(tmp_path.iterdir())


def test_two_tomograms_are_never_written_to_one_file(tmp_path):
    with pytest.raises(FormatError, match="'TS_01' of more than one"):
        written(tmp_path / "out", ["a/TS_01.mrc", "b/TS_01.mrc"])
    assert not list(tmp_path.iterdir())
    files = written(tmp_path / "out", ["../a/TS_01.mrc", "/b/TS_02.mrc"])
    assert [file.name for file in files] == ["TS_01.box", "TS_02.box"]
    assert {file.parent for file in files} == {tmp_path / "out"}


@pytest.mark.parametrize("bad", ["../../thesis", "/tmp/thesis", "..", "a\\b", "TS_01"])
def test_a_tilt_series_whose_name_is_a_path_or_there_twice_is_refused(bad, tmp_path):
    table = pd.DataFrame({"name": ["1.mrc"], "angle": [0.0], "dose": [0.0]})
    for to, target in (("tomostar", "out"), ("tomograms", "tomograms.star")):
        with pytest.raises(FormatError, match="the name of a tilt series"):
            write_series([Tilts("TS_01", table), Tilts(bad, table)], tmp_path / target, to)
    assert not list(tmp_path.iterdir())
