"""The picker's model: groups, undo without end, and a journal that survives kill -9."""

import errno
import gc
import os
import shutil
from concurrent.futures import wait
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emtomo.errors import EmtomoError, FormatError
from emtomo.gui.core.picking import PickingSession, _disk
from tests.conftest import shared


@pytest.fixture
def session(tmp_path):
    made = PickingSession("TS_1", tmp_path / "j.jsonl")
    made.new_model("vesicle")
    return made


def test_twenty_clicks_are_there_after_a_crash(session):
    for k in range(20):
        session.add(k, 2 * k, 3.5)
    again = PickingSession("TS_1", session.journal)  # nothing was closed or saved
    pd.testing.assert_frame_equal(again.frame(), session.frame())
    assert len(again.frame()) == 20 and again.current == 1


def test_changes_of_one_write_are_all_on_disk_or_none(session):
    before = session.journal.read_bytes()
    with pytest.raises(ZeroDivisionError), session.one_write():
        session.add(1, 2, 3)
        assert session.journal.read_bytes() == before
        raise ZeroDivisionError  # as a kill in the middle
    assert session.journal.read_bytes() == before
    again = PickingSession("TS_1", session.journal)
    with again.one_write():
        again.add(1, 2, 3)
        again.add(4, 5, 6)
    assert len(PickingSession("TS_1", session.journal).frame()) == 2
    again.add(7, 8, 9)  # and one at a time from then on
    assert len(PickingSession("TS_1", session.journal).frame()) == 3


def test_a_line_cut_off_in_the_middle_costs_one_click(session):
    session.add(1, 2, 3)
    session.add(4, 5, 6)
    raw = session.journal.read_bytes()
    session.journal.write_bytes(raw[:-5])
    again = PickingSession("TS_1", session.journal)
    assert len(again.frame()) == 1
    again.add(7, 8, 9)
    assert len(PickingSession("TS_1", session.journal).frame()) == 2


def test_a_foreign_file_is_reported(session):
    session.journal.write_text("hello\n")
    with pytest.raises(FormatError, match="line 1"):
        PickingSession("TS_1", session.journal)


def test_groups_count_up_past_one_that_could_be_redone(session):
    assert session.new_model("surface") == 2
    session.undo()
    assert session.new_model("filament") == 3
    session.undo()
    session.redo()
    assert [m.kind for m in session.models.values()] == ["vesicle", "filament"]


def test_removing_and_undoing(session):
    for k in range(3):
        session.add(k, 0, 0)
    session.remove_last()
    assert len(session.frame()) == 2
    session.remove_many([(1, 0)])
    assert session.frame()["x"].tolist() == [1.0]
    assert session.undo() and session.undo()
    assert session.frame()["x"].tolist() == [0.0, 1.0, 2.0]
    assert session.redo()
    assert session.frame()["x"].tolist() == [0.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["add", "model", "last", "near", "undo", "redo"]), max_size=40), st.integers(0, 99))
def test_any_series_of_actions_replays_to_the_same_state(tmp_path_factory, actions, seed):
    rng = np.random.default_rng(seed)
    session = PickingSession("a", tmp_path_factory.mktemp("j") / "j")
    for action in actions:
        if action == "add" and session.models:
            session.add(*rng.integers(0, 5, 3))
        elif action == "model":
            session.new_model("vesicle")
        elif action == "last":
            session.remove_last()
        elif action == "near":
            near = [(g, k) for g, m in session.models.items() for k, p in enumerate(m.points) if p.x < 2]
            session.remove_many(near)
        elif action == "undo":
            session.undo()
        elif action == "redo":
            session.redo()
    again = PickingSession("a", session.journal)
    pd.testing.assert_frame_equal(again.frame(), session.frame())
    while again.undo():
        pass
    assert not again.changed


def test_what_is_wrong_is_reported(session, tmp_path):
    empty = PickingSession("a", tmp_path / "e")
    with pytest.raises(EmtomoError, match="Start a model"):
        empty.add(1, 2, 3)
    with pytest.raises(EmtomoError, match="no model 'blob'"):
        session.new_model("blob")
    with pytest.raises(EmtomoError, match="role must be one of"):
        session.add(1, 2, 3, "upside")
    with pytest.raises(EmtomoError, match="no model 7"):
        session.select(7)
    assert not empty.undo() and not empty.redo() and not empty.changed


def test_o_follows_the_membrane_to_the_next_slices(tmp_path):
    with mrcfile.open(shared("phantom_tomogram", "tomo_001_rec_snr0.5.mrc.gz")) as file:
        tomogram = file.data
    s = pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv")).iloc[0]
    centre, radius = np.array([s.x_A, s.y_A, s.z_A]) / 10, s.r_A / 10
    session = PickingSession("a", tmp_path / "j")
    session.new_model("vesicle")
    for z in (66, 68, 70):
        r = np.sqrt(radius**2 - (z - centre[2]) ** 2)
        for angle in np.arange(12) * np.pi / 6:
            session.add(centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle), z)
    added = session.track(tomogram, list(range(71, 81)))
    new = session.frame().iloc[36:]
    assert added == len(new) > 100 and set(new["z"]) == set(range(71, 81))
    away = np.linalg.norm(new[["x", "y", "z"]].to_numpy() - centre, axis=1) - radius
    assert np.percentile(np.abs(away), 95) < 1.5
    session.undo()  # one key takes all of it back
    assert len(session.frame()) == 36


def test_what_the_disk_refuses_is_reported_and_leaves_no_half_line(tmp_path, monkeypatch):
    session = PickingSession("t", tmp_path / "t.jsonl")
    session.new_model("general")
    session.add(1, 2, 3)
    write, whole = os.write, session.journal.read_bytes()

    def full(file, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:-5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        session.add(4, 5, 6)
    monkeypatch.undo()
    assert session.journal.read_bytes() == whole and session.count == 1
    session.add(7, 8, 9)
    assert PickingSession("t", session.journal).count == 2


def test_a_late_refusal_is_reported_at_the_next_change(tmp_path, monkeypatch):
    session = PickingSession("t", tmp_path / "t.jsonl")

    def broken(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    session.new_model("general")
    wait([session._synced])
    with pytest.raises(OSError, match="Input/output"):
        session.add(1, 2, 3)
    monkeypatch.undo()
    session.add(1, 2, 3)  # reported once
    assert PickingSession("t", session.journal).count == 1


def test_a_journal_that_somebody_removes_is_begun_again(tmp_path):
    session = PickingSession("t", tmp_path / "a folder" / "t.jsonl")
    session.new_model("general")
    session.add(1, 2, 3)
    for change in (lambda: session.add(4, 5, 6), session.undo, session.redo, session.undo):
        shutil.rmtree(session.journal.parent)
        change()
        assert PickingSession("t", session.journal).frame().equals(session.frame())
    assert session.redo() and PickingSession("t", session.journal).count == session.count


def test_journals_are_closed_with_their_sessions(tmp_path):
    for k in range(3):
        session = PickingSession("t", tmp_path / f"{k}.jsonl")
        session.new_model("general")
    del session
    gc.collect()
    _disk.submit(int).result()
    still = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink() and one.exists()]
    assert not [one for one in still if str(tmp_path) in str(one.resolve())]
