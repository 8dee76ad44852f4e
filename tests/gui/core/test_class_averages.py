"""What the window of class averages knows: order, selection, counts, averages."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emtomo.errors import EmtomoError
from emtomo.gui.core.class_averages import ClassSelection, list_iterations, read_iteration

FRAME = pd.DataFrame(
    {
        "class_number": [1, 2, 3, 4],
        "members": [10, 40, 0, 50],
        "share": [0.1, 0.4, 0.0, 0.5],
        "resolution": [30.0, 20.0, np.nan, 25.0],
        "gain": [50.0, 20.0, np.nan, 40.0],
        "explained": [0.4, 0.9, np.nan, 0.8],  # the first is dense junk
        "angle_accuracy": [np.nan] * 4,
    }
)


@pytest.mark.parametrize(
    ("by", "best", "worst"),
    [
        ("class distribution", [3, 1, 0, 2], [2, 0, 1, 3]),
        ("gain", [0, 3, 1, 2], [1, 3, 0, 2]),
        ("explained power", [1, 3, 0, 2], [0, 3, 1, 2]),
        ("rank", [3, 0, 1, 2], [1, 0, 3, 2]),
        ("resolution", [1, 3, 0, 2], [0, 3, 1, 2]),
        ("class number", [0, 1, 2, 3], [3, 2, 1, 0]),
    ],
)
def test_orders(by, best, worst):
    classes = ClassSelection(FRAME)
    assert by in classes.sorts() and "accuracy of rotations" not in classes.sorts()
    classes.sort(by)
    assert classes.order.tolist() == best
    classes.sort(by, best_first=False)
    assert classes.order.tolist() == worst  # what is not known stays last


def test_selection_and_counts():
    classes = ClassSelection(FRAME)
    assert classes.counts() == "0 of 4 classes selected: 0 of 100 particles (0.0%)."
    classes.toggle(1)
    assert classes.counts() == "1 of 4 classes selected: 40 of 100 particles (40.0%)."
    classes.select_range(2, 0)  # places, from either end: classes 4, 2 and 1
    assert classes.ids().tolist() == [1, 2, 4]
    classes.invert()
    assert classes.ids().tolist() == [3]
    classes.toggle(2)
    with pytest.raises(EmtomoError, match="Select classes first"):
        classes.average(np.zeros((4, 2, 2)))
    classes.select_all()
    images = np.arange(4.0)[:, None, None] * np.ones((4, 2, 2))
    assert classes.average(images) == pytest.approx(np.full((2, 2), 0.4 * 1 + 0.5 * 3))
    classes.clear()
    classes.toggle(2)
    assert classes.average(images) == pytest.approx(np.full((2, 2), 2.0))  # no members: as it is
    assert classes.label(0) == "1: 10 (10.0%)\n30.0 Å, gain 50.0\n40% explained" and classes.label(2) == "3: 0 (0.0%)"


def test_empty_sets_and_iterations(tmp_path):
    assert ClassSelection(FRAME[:0]).counts() == "0 of 0 classes selected: 0 of 0 particles."
    folder = tmp_path / "extra" / "iterations"
    folder.mkdir(parents=True)
    np.savez(folder / "it_001.npz", references=np.ones((2, 3, 3)))
    (folder / "it_002.npz").write_bytes(b"none")
    shown = SimpleNamespace(folder=tmp_path, protocol="classify-2d")
    one, two = list_iterations(shown)
    assert read_iteration(one).shape == (2, 3, 3)
    with pytest.raises(EmtomoError, match="it_002.npz: not an iteration"):
        read_iteration(two)
    assert list_iterations(SimpleNamespace(folder=tmp_path, protocol="select-classes")) == []
