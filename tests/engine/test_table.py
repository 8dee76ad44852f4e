"""Bulk columns in the engine's own file format."""

import sqlite3

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.rotations import random_rotations
from emtomo.engine.fields import Field
from emtomo.engine.output_checks import size_errors
from emtomo.engine.table import Item, TableSet
from emtomo.errors import EmtomoError
from emtomo.objects import (
    Mask,
    SetOfClasses2D,
    SetOfCoordinates2D,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfMicrographs,
    SetOfParticles,
    SetOfSubtomograms,
    SetOfTiltSeries,
    SetOfTomograms,
    coordinates_frame,
)


def coordinates(path, n=5, **more):
    frame = coordinates_frame("TS 'a' ü", np.arange(3.0 * n).reshape(n, 3), random_rotations(n, 1), **more)
    made = SetOfCoordinates3D.create(path, pixel_size=10.0, box_size=32)
    made.extend(frame)
    made.write()
    return made, frame


def test_rows_come_back_as_they_went(tmp_path):
    path = tmp_path / "c.sqlite"
    _, frame = coordinates(path, score=np.arange(5) / 3, group=np.arange(5), picker="me")
    back = SetOfCoordinates3D.open(path)
    pd.testing.assert_frame_equal(back.frame()[list(frame.columns)], frame, check_dtype=False)
    assert len(back) == 5 and back.pixel_size.get() == 10.0 and back.box_size.get() == 32
    assert_allclose(back.rotations(), random_rotations(5, 1))
    assert_allclose(back.positions("TS 'a' ü"), np.arange(15.0).reshape(5, 3))
    assert len(back.positions("other")) == 0


def test_the_engines_own_classes_read_and_iterate_it(tmp_path):
    path = tmp_path / "c.sqlite"
    coordinates(path)
    found = SetOfCoordinates3D(filename=str(path))
    assert [item.x.get() for item in found.items()] == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert found[2].y.get() == 4.0
    assert found.getFirstItem().tomogram_id.get() == "TS 'a' ü"
    assert len({id(item) for item in found.items()}) > 1  # not one object, refilled
    found.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT value FROM Properties WHERE key='self'").fetchone() == ("SetOfCoordinates3D",)


def test_the_bulk_file_is_what_the_engine_itself_would_write(tmp_path):
    """Same tables, columns and classes as item by item through pyworkflow's API."""
    path, theirs = tmp_path / "c.sqlite", tmp_path / "theirs.sqlite"
    coordinates(path, n=2)
    item = SetOfCoordinates3D.open(path).getFirstItem()
    made = SetOfCoordinates3D(filename=str(theirs))
    item.setObjId(None)
    made._getMapper().insert(item)
    made._getMapper().commit()
    made.close()
    with sqlite3.connect(path) as ours, sqlite3.connect(theirs) as other:
        for query in (
            "SELECT label_property, column_name, class_name FROM Classes ORDER BY id",
            "SELECT name, type FROM pragma_table_info('Objects') ORDER BY cid",
        ):
            assert ours.execute(query).fetchall() == other.execute(query).fetchall()


KINDS = [
    SetOfTomograms,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfSubtomograms,
    SetOfTiltSeries,
    SetOfMicrographs,
    SetOfCoordinates2D,
    SetOfParticles,
    SetOfClasses2D,
]


@pytest.mark.parametrize("kind", KINDS)
def test_empty_sets_are_sets(kind, tmp_path):
    path = tmp_path / "e.sqlite"
    made = kind.create(path, pixel_size=1.0)
    made.write()
    back = kind.open(path)
    assert len(back) == 0 and list(back.items()) == [] and len(back.frame()) == 0
    assert list(back.frame().columns) == [f.name for f in kind.ITEM_TYPE.FIELDS]
    assert str(back)


def test_nothing_stands_under_the_final_name_before_it_is_written(tmp_path):
    path = tmp_path / "c.sqlite"
    made = SetOfCoordinates3D.create(path)
    made.extend(coordinates_frame("a", np.zeros((2, 3))))
    assert not path.exists()
    made.write()
    assert [p.name for p in tmp_path.iterdir()] == ["c.sqlite"]


def test_an_older_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "c.sqlite"
    coordinates(path, n=5)
    coordinates(path, n=2)
    assert len(SetOfCoordinates3D.open(path)) == 2


def test_unknown_columns_finished_sets_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "c.sqlite"
    made, frame = coordinates(path)
    with pytest.raises(EmtomoError, match="never edited"):
        made.extend(frame)
    with pytest.raises(EmtomoError, match="has no column colour"):
        SetOfCoordinates3D.create(tmp_path / "d.sqlite").extend(frame.assign(colour=1))
    with pytest.raises(EmtomoError, match="has no column colour"):
        SetOfCoordinates3D.open(path).frame(["colour"])
    with pytest.raises(EmtomoError, match="the set.s file is missing"):
        SetOfCoordinates3D.open(tmp_path / "none.sqlite")
    with pytest.raises(TypeError, match="no field wrong"):
        SetOfCoordinates3D.ITEM_TYPE(wrong=1)


def test_missing_values_stay_missing(tmp_path):
    path = tmp_path / "c.sqlite"
    made = SetOfCoordinates3D.create(path)
    made.extend(pd.DataFrame({"tomogram_id": ["a", "b"], "x": [1.0, np.nan], "picker": ["p", None]}))
    made.write()
    frame = SetOfCoordinates3D.open(path).frame()
    assert np.isnan(frame["x"][1]) and frame["picker"][1] is None and np.isnan(frame["r11"]).all()
    assert frame["group"].tolist() == [1, 1]


def test_many_chunks_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("emtomo.engine.table.CHUNK", 7)
    path = tmp_path / "c.sqlite"
    made = SetOfCoordinates3D.create(path)
    for start in (0, 20):
        made.extend(coordinates_frame("a", np.arange(start * 3.0, (start + 20) * 3).reshape(20, 3)))
    made.write()
    assert_allclose(SetOfCoordinates3D.open(path).positions(), np.arange(120.0).reshape(40, 3))


def test_items_are_read_by_the_group_that_their_set_names(tmp_path):
    class OfMicrographs(TableSet):
        ITEM_TYPE, GROUP = type("Spot", (Item,), {"FIELDS": (Field("micrograph_id", str, ""),)}), "micrograph_id"

    class OfNone(TableSet):
        ITEM_TYPE = type("Curve", (Item,), {"FIELDS": (Field("value", float, ""),)})

    made = OfMicrographs.create(tmp_path / "m.sqlite")
    made.extend(pd.DataFrame({"micrograph_id": ["b", "a", "b"]}))
    made.write()
    assert made.group_ids() == ["b", "a"] and len(made.frame(tomogram_id="b")) == 2
    made = OfNone.create(tmp_path / "n.sqlite")
    made.extend(pd.DataFrame({"value": [1.0]}))
    made.write()
    assert made.group_ids() == []
    with pytest.raises(EmtomoError, match="belong to no tomogram"):
        made.frame(tomogram_id="b")


def test_a_set_of_an_older_version_lacks_newer_columns(tmp_path):
    fields = (Field("tomogram_id", str, ""), Field("score", float, ""))
    older = type("S", (TableSet,), {"ITEM_TYPE": type("I", (Item,), {"FIELDS": fields})})
    newer_fields = (*fields, Field("half", int, ""), Field("sigma", float, ""))
    newer = type("S", (TableSet,), {"ITEM_TYPE": type("I", (Item,), {"FIELDS": newer_fields})})
    older.save(tmp_path / "s.sqlite", pd.DataFrame({"tomogram_id": ["a", "b"], "score": [1.0, 2.0]}))
    frame = newer.open(tmp_path / "s.sqlite").frame()
    assert frame["score"].tolist() == [1.0, 2.0] and frame["half"].tolist() == [None, None]
    assert np.isnan(frame["sigma"]).all()


def test_groups_are_in_order_of_appearance_and_values_are_counted(tmp_path):
    parts = [coordinates_frame(n, np.zeros((700, 3)), random_rotations(700, 1)) for n in ("b", "a")]
    parts += [coordinates_frame("b", np.zeros((3, 3)))]
    SetOfCoordinates3D.save(tmp_path / "c.sqlite", pd.concat(parts, ignore_index=True), pixel_size=1.0, box_size=8)
    found = SetOfCoordinates3D.open(tmp_path / "c.sqlite")
    assert found.tomogram_ids() == ["b", "a"] and found.count("r11") == 1400 and found.count("x") == 1403
    assert found.summary() == "1403 particles in 2 tomograms, 1400 oriented, box 8"
    assert list(found.frame()["tomogram_id"]) == ["b"] * 700 + ["a"] * 700 + ["b"] * 3


def test_group_ids_that_are_paths_are_refused(tmp_path):
    SetOfCoordinates3D.save(tmp_path / "c.sqlite", coordinates_frame("here", np.zeros((1, 3))), pixel_size=1.0)
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("UPDATE Objects SET c01 = '../../x'")
    with pytest.raises(EmtomoError, match="tomogram_id must be a plain name"):
        SetOfCoordinates3D.open(tmp_path / "c.sqlite").tomogram_ids()


@pytest.mark.parametrize("gap", [False, True])
def test_items_taken_from_a_set_are_those_that_rows_of_it_would_give(tmp_path, gap):
    """Also where the numbers of the items have gaps, in sets without them from database to database."""
    frame = coordinates_frame("a ü '", np.arange(24.0).reshape(8, 3), random_rotations(8, 1), score=np.arange(8) / 3)
    frame.loc[3, ["r11", "score"]] = np.nan
    SetOfCoordinates3D.save(tmp_path / "c d?#.sqlite", frame, pixel_size=2.0)
    if gap:
        with sqlite3.connect(tmp_path / "c d?#.sqlite") as db:
            db.execute("UPDATE Objects SET id = 3 * id + 100")
    source, keep = SetOfCoordinates3D.open(tmp_path / "c d?#.sqlite"), np.arange(8) % 3 > 0
    for name in ("new 1.sqlite", "new 2.sqlite"):
        made = SetOfCoordinates3D.create(tmp_path / name)
        made.extend(frame[:1])
        if name == "new 1.sqlite":
            made.extend_from(source, keep)
        else:
            made.extend(source.frame()[keep])
        made.write()
    one, other = (SetOfCoordinates3D.open(tmp_path / f"new {k}.sqlite") for k in (1, 2))
    pd.testing.assert_frame_equal(one.frame(), other.frame())
    assert len(one) == len(other) == 6 and [item.getObjId() for item in one.items()] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(EmtomoError, match="7 decisions were made on a set of 8 items"):
        SetOfCoordinates3D.create(tmp_path / "e.sqlite").extend_from(source, keep[:7])
    with sqlite3.connect(tmp_path / "c d?#.sqlite") as db:
        db.execute("UPDATE Objects SET c01 = '../../x' WHERE c02 = 0")
    with pytest.raises(EmtomoError, match="tomogram_id must be a plain name"):
        SetOfCoordinates3D.create(tmp_path / "e.sqlite").extend_from(source, keep)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE Objects SET c02 = 'abc' || char(27) || '[31m'", "could not convert"),
        ("UPDATE Objects SET c02 = x'00ff'", "could not convert"),
        ("UPDATE Objects SET c14 = 'abc'", "invalid literal"),
        ("UPDATE Objects SET c14 = 1e300", "too large"),
        ("UPDATE Objects SET c16 = CAST(x'ff' AS TEXT)", "Could not decode"),
        ("UPDATE Classes SET column_name = 'c99' WHERE label_property = 'x'", "no such column"),
        ("DROP TABLE Objects", "no table of items"),
        ("ALTER TABLE Objects ADD c18 REAL AS (length(zeroblob(1000000)))", "computed instead of stored"),
        ("ALTER TABLE Objects RENAME TO O; CREATE VIEW Objects AS WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT "
         "id + 1 FROM r) SELECT * FROM r JOIN O USING (id)", "computed instead of stored"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_set_is_one_sentence(change, sentence, tmp_path):
    coordinates(tmp_path / "c.sqlite")
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.executescript(change)
    with pytest.raises(EmtomoError, match=sentence) as reported:
        SetOfCoordinates3D.open(tmp_path / "c.sqlite").frame()
    assert "c.sqlite: " in str(reported.value) and "\n" not in str(reported.value) and "\x1b" not in str(reported.value)


def test_a_set_has_as_many_items_as_there_are_whatever_it_says(tmp_path):
    coordinates(tmp_path / "c.sqlite")
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("UPDATE Properties SET value = '999999999999' WHERE key = '_size'")
    assert len(SetOfCoordinates3D.open(tmp_path / "c.sqlite")) == 5


@pytest.mark.parametrize("size", [-1.0, 0.0, np.nan, 1e308, np.inf])
def test_an_input_of_a_pixel_size_that_cannot_be_is_refused(size):
    (sentence,) = size_errors("Tomograms", SetOfTomograms(pixel_size=size))
    assert sentence.startswith("Tomograms: the pixel size must be from 0.001 to 100000 Å, it is ")
    assert not size_errors("Tomograms", SetOfTomograms(pixel_size=1.35)) and not size_errors("Mask", None)


def test_a_pixel_size_that_is_text_is_one_sentence(tmp_path):
    SetOfTomograms.save(tmp_path / "t.sqlite", pd.DataFrame({"tomogram_id": ["t"], "file": ["t.mrc"]}))
    said = SetOfTomograms.open(tmp_path / "t.sqlite")  # what the engine makes of a number that it cannot read
    (sentence,) = size_errors("Tomograms", said)
    assert sentence == "Tomograms: the pixel size is missing or no number; run what made it again."
    assert str(said) == "cannot be read: the pixel size or another value is missing or no number"
    (sentence,) = size_errors("Mask", Mask(file="m.mrc"))
    assert sentence.startswith("Mask: the pixel size is missing")
