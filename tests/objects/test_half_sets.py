"""Half maps and particles of different refinements."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emtomo.errors import EmtomoError
from emtomo.objects import SetOfCoordinates3D, SetOfParticleSeries, half_sets
from emtomo.objects.half_sets import check_half_sets, match_places
from emtomo.protocols.refine_poses import _check_halves


def frame_of(n=40, seed=1):
    places = np.random.default_rng(0).uniform(-900, 900, (n, 3))
    half = np.random.default_rng(seed).permutation(np.arange(n) % 2 + 1)
    names = np.where(np.arange(n) < n // 2, "TS_1", "TS_2")
    columns = dict(zip("xyz", places.T, strict=True)) | {f"shift_{axis}": 0.0 for axis in "xyz"}
    return pd.DataFrame({"tomogram_id": names, "half": half, **columns})


def check(tmp_path, monkeypatch, mine, others):
    if isinstance(others, pd.DataFrame):
        SetOfParticleSeries.save(tmp_path / "others.sqlite", others)
        others = SetOfParticleSeries.open(tmp_path / "others.sqlite")
    SetOfParticleSeries.save(tmp_path / "mine.sqlite", mine)
    monkeypatch.setattr(half_sets, "particles_behind", lambda _: others)
    value = SimpleNamespace(get=lambda: 24), SimpleNamespace(get=lambda: 10.0)
    average = SimpleNamespace(get=lambda: SimpleNamespace(box_size=value[0], pixel_size=value[1]))
    return check_half_sets(average, SetOfParticleSeries.open(tmp_path / "mine.sqlite"))


def test_halves_of_the_average_are_compared_by_the_particles_places(tmp_path, monkeypatch):
    mine = frame_of()
    moved = mine.assign(x=mine["x"] + 4, shift_z=-6.0).sample(frac=0.7, random_state=2)
    assert check(tmp_path, monkeypatch, mine, moved) == ""
    assert "the average's refinement." in check(tmp_path, monkeypatch, mine, mine.assign(
        half=np.where(np.arange(40) == 3, 3 - mine["half"], mine["half"])))  # fmt: skip
    for other in (frame_of(seed=2), mine.assign(half=3 - mine["half"])):
        with pytest.raises(EmtomoError, match=r"of 40 particles are in the other half set than in the average's .*"):
            check(tmp_path, monkeypatch, mine, other)
    assert "None of the particles" in check(tmp_path, monkeypatch, mine, mine.assign(tomogram_id="TS_3"))
    assert "No run says from which particles" in check(tmp_path, monkeypatch, mine, None)


def test_averages_of_particles_without_halves_are_refused(tmp_path, monkeypatch):
    mine = frame_of()
    SetOfCoordinates3D.save(tmp_path / "picks.sqlite", mine[["tomogram_id", "x", "y", "z"]])
    for others in (mine.assign(half=0), SetOfCoordinates3D.open(tmp_path / "picks.sqlite")):
        with pytest.raises(EmtomoError, match="in no half set, drawn at random"):
            check(tmp_path, monkeypatch, mine, others)


def test_places_match_one_to_one_within_reach():
    first, second = frame_of(), frame_of().iloc[::-1].reset_index(drop=True)
    rows, partners = match_places(first, pd.concat([second, second.assign(y=second["y"] + 1)], ignore_index=True), 60)
    assert np.array_equal(np.sort(rows), np.arange(40)) and np.array_equal(partners, 39 - rows)
    assert not len(match_places(first, second.assign(x=np.nan), 60)[0])
    assert not len(match_places(first.iloc[:0], second, 60)[0])


def test_an_iteration_of_other_halves_is_not_continued():
    def check(given, start, kept):
        state = SimpleNamespace(poses=SimpleNamespace(half=np.array(kept)), progress=SimpleNamespace(iteration=2))
        _check_halves(SimpleNamespace(frame=pd.DataFrame({"half": given})), np.array(start), state)

    check([1, 2, 2], [1, 2, 2], [1, 2, 2])
    check([0, 0, 2], [1, 2, 2], [2, 1, 2])  # those without a half were assigned there
    with pytest.raises(EmtomoError, match="Iteration 2 has 1 of 3 particles in the other half set"):
        check([1, 2, 2], [1, 2, 2], [1, 1, 2])
