"""Sets of tilt series: the table of images, older sets, geometry, and what other programs' files say."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.errors import EmtomoError
from emtomo.io import mrc, warp
from emtomo.io.relion_tilts import read_tomograms
from emtomo.io.tilts import Tilts
from emtomo.objects import SetOfTiltSeries
from emtomo.objects.tilt_exchange import image_rows, series_row, tilts_of
from emtomo.objects.tilt_images import TiltImages
from tests.conftest import shared


def tilts(n=5, seed=0):
    """A series that knows everything."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "name": [f"movie {k}'s.tif" for k in range(n)],
            "angle": np.linspace(-60, 50, n),
            "x_tilt": rng.normal(0, 2, n),
            "rotation": rng.normal(84, 1, n),
            "shift_x": rng.normal(0, 20, n),
            "shift_y": rng.normal(0, 20, n),
            "dose": 3.0 * rng.permutation(n),
            "acquisition_order": rng.permutation(n) + 1,
            "defocus_u": rng.normal(30000, 300, n),
            "defocus_v": rng.normal(29000, 300, n),
            "defocus_angle": rng.uniform(-90, 90, n),
            "phase_shift": rng.uniform(0, 90, n),
            "scale": rng.uniform(0.4, 1, n),
            "bfactor": rng.uniform(10, 100, n),
            "stage_x": rng.normal(0, 1, n),
            "stage_y": rng.normal(0, 1, n),
            "stage_z": rng.normal(0, 1, n),
            "excluded": np.arange(n) == 1,
        }
    )
    return Tilts(
        table,
        pixel_size=2.0,
        image_size=(1500, 1301),
        volume_size=(1400, 1200, 501),
        optics={"voltage": 200.0, "cs": 2.2, "amplitude_contrast": 0.08},
        hand=-1,
        image_warp=ImageWarp(rng.normal(0, 9, (n, 3, 4)), rng.normal(0, 9, (n, 3, 4)), (3000.0, 2602.0)),
        volume_warp=VolumeWarp(rng.normal(0, 9, (3, 2, 3, 3, 3)), (2800.0, 2400.0, 1002.0), (0.0, 12.0)),
        name="TS 'a' ü",
    )


def saved(path, *series):
    made = SetOfTiltSeries.create(path, pixel_size=series[0].pixel_size, **series[0].optics)
    rows = pd.DataFrame([series_row(s, s.name, file="stack.mrc") for s in series])
    images = [image_rows(s, s.name, file="stack.mrc", index=np.arange(len(s))) for s in series]
    made.extend(rows, pd.concat(images, ignore_index=True))
    made.write()
    return SetOfTiltSeries.open(path)


def test_nothing_that_a_reader_knows_is_lost(tmp_path):
    given = tilts()
    back = tilts_of(saved(tmp_path / "t.sqlite", given), given.name)
    for name in given.table:
        if name == "name":
            assert back.table[name].tolist() == given.table[name].tolist()
        else:
            assert_allclose(back.column(name), given.column(name), err_msg=name)
    for name in ("pixel_size", "image_size", "volume_size", "optics", "hand", "name"):
        assert getattr(back, name) == getattr(given, name), name
    assert_allclose(back.image_warp.planes(5), given.image_warp.planes(5))
    assert_allclose(back.volume_warp.nodes, given.volume_warp.nodes)


def test_geometry_of_a_set_is_that_of_the_file(tmp_path):
    given = tilts()
    mine, theirs = saved(tmp_path / "t.sqlite", given).geometry(given.name), given.geometry()
    points = np.random.default_rng(1).uniform(-500, 500, (6, 3)) * [1, 1, 0.4]
    assert_allclose(mine.project(points), theirs.project(points), atol=1e-9)
    assert_allclose(mine.sections, theirs.sections)
    assert_allclose(mine.weights(np.array([0.1])), theirs.weights(np.array([0.1])))
    assert (mine.hand, mine.image_size, mine.volume_size) == (-1, (3000.0, 2602.0), (2800.0, 2400.0, 1002.0))
    assert_allclose(mine.ctf.voltage, 200.0)
    assert mine.excluded.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("kind", ["relion", "warp"])
def test_series_of_other_programs_come_back_as_they_were(kind, tmp_path):
    if kind == "relion":
        given = read_tomograms(shared("formats", "relion", "warp2_matching_tomograms.star"))["TS_1.tomostar"]
    else:
        given = warp.read_xml(shared("warp_oracle", "geometry", "6_everything.xml"))
    found = saved(tmp_path / "t.sqlite", given)
    points = np.random.default_rng(1).uniform(-200, 200, (6, 3))
    assert_allclose(found.geometry(given.name).project(points), given.project(points), atol=1e-4)


def test_a_subset_takes_its_images_along(tmp_path):
    first, second = tilts(), tilts(3, 1)
    second.name = "TS_2"
    both = saved(tmp_path / "t.sqlite", first, second)
    assert both.tomogram_ids() == [first.name, "TS_2"]
    assert "2 tilt series with 8 tilts in all at 2 Å/px" in both.summary()
    part = SetOfTiltSeries.create(tmp_path / "p.sqlite")
    part.copy_fields(both)
    part.extend(both.frame().iloc[[1]])
    part.write()
    part = SetOfTiltSeries.open(tmp_path / "p.sqlite")
    assert part.tomogram_ids() == ["TS_2"] and part.voltage.get() == 200
    assert_allclose(part.images("TS_2")["angle"], second.table["angle"])
    assert [len(item.table()) for item in both.items()] == [5, 3]
    with pytest.raises(EmtomoError, match="no tilt series TS_1"):
        part.images("TS_1")


def old_style(path, table):
    """Write a set as it was before images had a table: three columns, tilts as JSON in a cell."""

    class TiltSeries(Item):
        FIELDS = (Field("tomogram_id", str, ""), Field("file", str, ""), Field("tilts", str, ""))

    kind = type("SetOfTiltSeries", (TableSet,), {"ITEM_TYPE": TiltSeries, "FIELDS": SetOfTiltSeries.FIELDS})
    made = kind.create(path, pixel_size=4.0)
    cell = json.dumps({name: list(values) for name, values in table.items()})
    made.extend(pd.DataFrame({"tomogram_id": ["a"], "file": ["a.mrc"], "tilts": [cell]}))
    made.write()
    return SetOfTiltSeries.open(path)


def test_sets_of_older_versions_are_read_and_copied(tmp_path):
    zero = [0.0, 0.0, 0.0]
    table = {"index": [0, 1, 2], "angle": [-3.0, 0.0, 3.0], "acquisition_order": [2, 0, 1], "dose": [6.0, 0.0, 3.0],
             "shift_x": zero, "shift_y": zero, "rotation": [84.0] * 3, "defocus_u": [30000.0] * 3,
             "defocus_v": [29000.0] * 3, "defocus_angle": zero, "phase_shift": zero, "excluded": [0, 0, 1]}  # fmt: skip
    found = old_style(tmp_path / "o.sqlite", table)
    assert found.frame()["hand"].tolist() == [None] and "1 tilt series" in found.summary()
    images = found.images("a")
    assert images["tilt_axis_angle"].tolist() == [84.0] * 3 and images["file"].tolist() == ["a.mrc"] * 3
    assert images["excluded"].tolist() == [False, False, True] and images["acquisition_order"].tolist() == [3, 1, 2]
    assert next(found.items()).table()["dose"].tolist() == [6.0, 0.0, 3.0]
    geometry = found.geometry("a")
    assert_allclose(geometry.ctf.defocus, 29500.0)
    copy = SetOfTiltSeries.create(tmp_path / "c.sqlite")
    copy.copy_fields(found)
    copy.extend(found.frame())
    copy.write()
    copy = SetOfTiltSeries.open(tmp_path / "c.sqlite")
    assert_allclose(copy.geometry("a").project(np.ones((1, 3))), geometry.project(np.ones((1, 3))))
    table["defocus_u"] = table["defocus_v"] = zero
    assert old_style(tmp_path / "n.sqlite", table).geometry("a").ctf is None


def test_series_without_images_and_unknown_columns_are_refused(tmp_path):
    made = SetOfTiltSeries.create(tmp_path / "t.sqlite", pixel_size=1.0)
    one = pd.DataFrame({"tomogram_id": ["a"]})
    with pytest.raises(EmtomoError, match="a: a tilt series needs the table of its images"):
        made.extend(one)
    with pytest.raises(EmtomoError, match="no column colour"):
        made.extend(one, pd.DataFrame({"tomogram_id": ["a"], "colour": [1]}))
    with pytest.raises(EmtomoError, match="at least one image"):
        made.extend(one, pd.DataFrame({"tomogram_id": ["b"], "angle": [1.0]}))


def test_the_engines_own_reader_finds_the_series(tmp_path):
    given = tilts()
    saved(tmp_path / "t.sqlite", given)
    found = SetOfTiltSeries(filename=str(tmp_path / "t.sqlite"))
    item = found.getFirstItem()
    assert item.tomogram_id.get() == given.name and item.hand.get() == -1
    with pytest.raises(EmtomoError, match="read from its set"):
        item.table()
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as db:
        assert db.execute("SELECT COUNT(*) FROM Images").fetchone() == (5,)


def test_images_of_another_size_are_named(tmp_path):
    for name, shape in (("a.mrc", (1, 20, 24)), ("b.mrc", (1, 24, 20))):
        mrc.write_volume(tmp_path / name, np.zeros(shape, np.float32), 2.0, stack=True)
    images = TiltImages(pd.DataFrame({"file": ["a.mrc", "a.mrc", "b.mrc"], "index": [0, 0, 0]}), folder=tmp_path)
    assert images(1).shape == images.size()
    with pytest.raises(EmtomoError, match="tilt 3 has 20 × 24 pixels, and tilt 1 has 24 × 20; all images"):
        images(2)


WRONG_WARPS = (
    "[", "1", "[" * 100_000, '{"image": 1}', '{"image": {"x": [1], "y": [1], "size": [1, 1]}}',
    '{"volume": {"size": [1, 2], "nodes": [], "doses": []}}', '{"rotations": [[[1, 0, 0], [0, 1, 0], [0, 0, NaN]]]}',
    '{"magnification": [[0, 0], [0, 0]]}', '{"cs": 1e999}', '{"cs": null}',
)  # fmt: skip


@pytest.mark.parametrize("cell", WRONG_WARPS, ids=lambda text: text[:20])
def test_damaged_warps_are_one_sentence(cell, tmp_path):
    made = saved(tmp_path / "t.sqlite", tilts())
    made.close()
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as db, db:
        column = dict(db.execute("SELECT label_property, column_name FROM Classes"))["warps"]
        db.execute(f"UPDATE Objects SET {column} = ?", (cell,))
    damaged = SetOfTiltSeries.open(tmp_path / "t.sqlite")
    for read in (damaged.geometry, lambda name: tilts_of(damaged, name)):
        with pytest.raises(EmtomoError, match=r"t.sqlite: the geometry of .* cannot be read .* run what made it again"):
            read(damaged.tomogram_ids()[0])
