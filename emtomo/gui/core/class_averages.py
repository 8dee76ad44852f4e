"""Class averages in an order, some of them selected: all that the window of class averages knows."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emtomo.compute.classification.selection import discount_gain
from emtomo.compute.slices import contrast_limits
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.wording import count_text

# what to sort by → column, and whether small values are best
SORTS = {
    "class distribution": ("share", False),
    "rank": ("rank", False),
    "gain": ("gain", False),
    "explained power": ("explained", False),
    "resolution": ("resolution", True),
    "accuracy of rotations": ("angle_accuracy", True),
    "class number": ("class_number", True),
}


class ClassSelection:
    """The classes of a set, in an order; rows are counted from 0 in the order of the set, places in the one shown."""

    def __init__(self, frame: pd.DataFrame) -> None:
        gain, explained = (frame[name].to_numpy(float) for name in ("gain", "explained"))
        self.frame = frame.assign(rank=discount_gain(gain, explained))
        self.selected: set[int] = set()
        self.order = np.arange(len(frame))
        self.sort("class distribution")

    def sorts(self) -> list[str]:
        """Return what can be sorted by: columns of which something is known."""
        return [name for name, (column, _) in SORTS.items() if self.frame[column].notna().any()]

    def sort(self, by: str, best_first: bool = True) -> None:
        """Put the classes in order; those of which nothing is known come last."""
        column, small_is_best = SORTS[by]
        values = self.frame[column].to_numpy(float)
        known = np.where(np.isfinite(values), values if small_is_best == best_first else -values, np.inf)
        self.order = np.argsort(known, kind="stable")

    def toggle(self, row: int) -> None:
        """Select a class, or take it back."""
        self.selected ^= {row}

    def select_range(self, first: int, last: int) -> None:
        """Select all classes from one place to another."""
        low, high = sorted((first, last))
        self.selected |= {int(row) for row in self.order[low : high + 1]}

    def select_all(self) -> None:
        """Select every class."""
        self.selected = set(range(len(self.frame)))

    def clear(self) -> None:
        """Select none."""
        self.selected = set()

    def invert(self) -> None:
        """Select the others."""
        self.selected = set(range(len(self.frame))) - self.selected

    def ids(self) -> np.ndarray:
        """Return the places of the selected classes in their set; the first is 1."""
        return np.array(sorted(self.selected), int) + 1

    def counts(self) -> str:
        """Return how much is selected, as a sentence."""
        members = self.frame["members"].to_numpy(int)
        mine, total = int(members[sorted(self.selected)].sum()), int(members.sum())
        share = f" ({mine / total:.1%})" if total else ""
        return (
            f"{len(self.selected)} of {count_text(len(self.frame), 'class')} "
            f"selected: {mine} of {count_text(total, 'particle')}{share}."
        )

    def label(self, row: int) -> str:
        """Return what stands under a class: number, particles, share, resolution, gain, share of power explained."""
        one = self.frame.iloc[row]
        lines = [f"{int(one['class_number'])}: {int(one['members'])} ({one['share']:.1%})"]
        known = [f"{one['resolution']:.1f} Å"] if np.isfinite(one["resolution"]) else []
        known += [f"gain {one['gain']:.1f}"] if np.isfinite(one["gain"]) else []
        more = [f"{one['explained']:.0%} explained"] if np.isfinite(one["explained"]) else []
        return "\n".join([*lines, *([", ".join(known)] if known else []), *more])

    def average(self, images: np.ndarray) -> np.ndarray:
        """Return the average of the selected classes, weighted by their particles (equally, where none are known)."""
        rows = sorted(self.selected)
        if not rows:
            raise EmtomoError("Select classes first: click them.")
        weights = self.frame["members"].to_numpy(float)[rows]
        return np.asarray(np.average(images[rows], axis=0, weights=weights if weights.sum() > 0 else None))


def read_averages(shown: Shown) -> np.ndarray:
    """Return the averages (K, n, n) of a set of classes, in its order."""
    frame = shown.value.frame(["file", "index"])
    stacks = {file: mrc.open_volume(shown.path(str(file))) for file in frame["file"].unique()}
    return np.stack(
        [np.asarray(stacks[f][int(k)], np.float32) for f, k in zip(frame["file"], frame["index"], strict=True)]
    )


def list_iterations(shown: Shown) -> list[Path]:
    """Return the iterations that the classification kept, if this is one."""
    return sorted((shown.folder / "extra" / "iterations").glob("it_*.npz")) if shown.protocol == "classify-2d" else []


def read_iteration(path: Path) -> np.ndarray:
    """Return the averages (K, n, n) of a kept iteration.

    Raises
    ------
    EmtomoError
        If the file is none.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return np.asarray(data["references"], np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise EmtomoError(f"{path.name}: not an iteration of a classification ({error}).") from None


def picture_of(image: np.ndarray, title: str) -> Figure:
    """Return a figure of one image."""
    figure = Figure(figsize=(5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    low, high = contrast_limits(image)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
    axes.set_title(title, fontsize=9)
    axes.axis("off")
    return figure
