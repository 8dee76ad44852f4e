"""Pictures of multi-particle refinement: resolution, what was kept, movements, defocus and weights of the tilts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown

BEFORE, AFTER, KEPT, REFUSED = "#9aa0a6", "#2a6fb0", "#2e8b57", "#c0392b"
LONGEST = 0.15  # of the picture's width that the longest arrow takes
EDGE = LONGEST + 0.03  # of the points' extent
TILTS = 3  # whose movements are drawn


def refinement(shown: Shown) -> Figure:
    """Return FSC before and after, resolution by iteration, held-out scores, and the first series' tilts."""
    folder = shown.folder / "extra"
    figure = Figure(figsize=(14, 9), layout="constrained")
    rows: Any = figure.subplots(3, 3)
    _draw_fsc(rows[0][0], folder)
    _draw_resolution(rows[0][1], read_table(folder / "metrics.csv"))
    _draw_trials(rows[0][2], read_table(folder / "trials.csv"))
    tilts, moves = read_table(folder / "tilts.csv"), read_table(folder / "movements.csv")
    name = str(tilts["series"].iloc[0])
    tilts, moves = tilts[tilts["series"] == name], moves[moves["series"] == name]
    _draw_movements(rows[1], tilts, moves)
    _draw_defocus(rows[2][0], tilts)
    _draw_weights(rows[2][1], tilts)
    _draw_shifts(rows[2][2], tilts)
    figure.suptitle(f"{shown.title}; tilts of {name}", fontsize=11)
    return figure


def read_table(path: Path) -> pd.DataFrame:
    """Return a table of the run.

    Raises
    ------
    EmtomoError
        If the run has not written it, or it is empty.
    """
    if not path.exists():
        raise EmtomoError(f"{path.name} is not there: the run has not finished.")
    table = pd.read_csv(path)
    if not len(table) and path.name != "trials.csv":
        raise EmtomoError(f"{path} has no rows.")
    return table


@dataclass(frozen=True)
class Movements:
    """How points of a grid moved in the images of a tilt series; `best` is the image of the lowest tilt."""

    name: str
    tilts: pd.DataFrame
    moves: pd.DataFrame
    best: int


def series_names(folder: Path) -> list[str]:
    """Return the tilt series whose movements a refinement has written; `folder` is the run's."""
    return [str(name) for name in dict.fromkeys(read_table(folder / "extra" / "movements.csv")["series"])]


def read_movements(folder: Path, name: str) -> Movements:
    """Return the movements in the images of a tilt series."""
    tilts, moves = (read_table(folder / "extra" / f"{kind}.csv") for kind in ("tilts", "movements"))
    tilts = tilts[tilts["series"].astype(str) == name].reset_index(drop=True)
    moves = moves[moves["series"].astype(str) == name]
    return Movements(name, tilts, moves, int(tilts["angle"].abs().argmin()))


def movement_figure(found: Movements, image: int) -> Figure:
    """Return the movements in one image as arrows; `image` counts from 0."""
    row, figure = found.tilts.iloc[image], Figure(figsize=(7, 6), layout="constrained")
    axes: Any = figure.subplots()
    one = found.moves[found.moves["tilt"] == row["tilt"]]
    _draw_arrows(axes, one, found.moves)
    rms = float(np.sqrt((one["dx"] ** 2 + one["dy"] ** 2).mean()))
    axes.set_title(
        f"{found.name}, tilt {row['tilt']} at {row['angle']:.1f}°: moved by {rms:.1f} Å (rms), at most "
        f"{_longest(one):.1f} Å; longest of all tilts {_longest(found.moves):.1f} Å", fontsize=10,
    )  # fmt: skip
    axes.set_ylabel("Å")
    return figure


def movements(shown: Shown) -> Figure:
    """Return the movements in every image of the first tilt series as arrows."""
    found = read_movements(shown.folder, series_names(shown.folder)[0])
    order = found.tilts.sort_values("angle")
    columns = int(np.ceil(np.sqrt(len(order))))
    rows = -(-len(order) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.5 * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (_, row) in zip(every, order.iterrows(), strict=False):
        _draw_arrows(axes, found.moves[found.moves["tilt"] == row["tilt"]], found.moves)
        axes.set(title=f"{round(row['angle'])}°", xlabel="")
    for axes in every[len(order) :]:
        axes.axis("off")
    figure.suptitle(f"{shown.title}: movements in the images of {found.name}, longest {_longest(found.moves):.1f} Å")
    return figure


def _draw_fsc(axes: Any, folder: Path) -> None:
    for name, colour, label in (("fsc_before.csv", BEFORE, "before"), ("fsc.csv", AFTER, "after")):
        table = read_table(folder / name)
        axes.plot(table["frequency"], table["corrected"], color=colour, label=label)
    axes.axhline(0.143, color="k", linewidth=0.6, linestyle=":")
    axes.set(title="FSC of the half maps", xlabel="1/Å", ylim=(-0.1, 1.02))
    axes.legend(fontsize=8)


def _draw_resolution(axes: Any, metrics: pd.DataFrame) -> None:
    for name, one in metrics.groupby("species", sort=False):
        axes.plot(one["iteration"], one["resolution"], "o-", label=str(name))
    axes.set(title="resolution (Å)", xlabel="iteration")
    axes.set_xticks(metrics["iteration"].unique())
    axes.legend(fontsize=8)


def _draw_trials(axes: Any, trials: pd.DataFrame) -> None:
    tried = trials[trials["held_out"] > 0]
    axes.set_title("rise of the held-out score")
    if not len(tried):
        axes.axis("off")
        axes.text(0.5, 0.5, "nothing was tried", ha="center")
        return
    names = list(dict.fromkeys(tried["name"]))
    for kept, colour, label in ((True, KEPT, "kept"), (False, REFUSED, "refused")):
        mine = tried[tried["kept"].astype(bool) == kept]
        axes.scatter(mine["gain"], [names.index(n) for n in mine["name"]], color=colour, s=16, label=label, alpha=0.7)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xscale("symlog", linthresh=10)
    axes.axvline(0, color="k", linewidth=0.6)
    axes.set_xlabel("log likelihood")
    axes.legend(fontsize=8)


def _draw_movements(axes: Any, tilts: pd.DataFrame, moves: pd.DataFrame) -> None:
    order = tilts.sort_values("angle")["tilt"].to_numpy()
    chosen = order[np.unique(np.linspace(0, len(order) - 1, TILTS).astype(int))]
    for a, t in zip(axes, chosen, strict=False):
        angle = float(tilts.loc[tilts["tilt"] == t, "angle"].iloc[0])
        _draw_arrows(a, moves[moves["tilt"] == t], moves)
        a.set_title(f"movement at {round(angle)}°, longest of all {_longest(moves):.1f} Å")


def _draw_arrows(axes: Any, one: pd.DataFrame, moves: pd.DataFrame) -> None:
    """Draw the movements in one image, as long as is fitting for those in all images."""
    span = float(max(np.ptp(moves["x"]), np.ptp(moves["y"]), 1.0))
    scale = LONGEST * span / max(_longest(moves), 1e-9)
    axes.quiver(
        one["x"], one["y"], one["dx"] * scale, one["dy"] * scale, angles="xy", scale_units="xy", scale=1,
        color=AFTER, width=0.006,
    )  # fmt: skip
    limits = {f"{k}lim": (moves[k].min() - EDGE * span, moves[k].max() + EDGE * span) for k in ("x", "y")}
    axes.set(aspect="equal", xlabel="Å", **limits)  # the same for all images, and no arrow is cut
    axes.tick_params(labelsize=7)


def _longest(moves: pd.DataFrame) -> float:
    return float(np.hypot(moves["dx"], moves["dy"]).max())


def _draw_defocus(axes: Any, tilts: pd.DataFrame) -> None:
    one = tilts.sort_values("angle")
    axes.plot(one["angle"], one["defocus_before"] / 1e4, color=BEFORE, label="before")
    axes.plot(one["angle"], one["defocus"] / 1e4, ".-", color=AFTER, label="after")
    axes.set(title="defocus (µm)", xlabel="tilt (°)")
    axes.legend(fontsize=8)


def _draw_weights(axes: Any, tilts: pd.DataFrame) -> None:
    one = tilts.sort_values("angle")
    axes.plot(one["angle"], one["scale"], ".-", color=AFTER, label="scale")
    axes.set(title="weights", xlabel="tilt (°)", ylim=(0, None))
    other = axes.twinx()
    other.plot(one["angle"], one["bfactor"], ".:", color=REFUSED, label="B factor (Å²)")
    other.tick_params(labelsize=8, colors=REFUSED)
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8)


def _draw_shifts(axes: Any, tilts: pd.DataFrame) -> None:
    one = tilts.sort_values("angle")
    for name, label in (("turn", "rotation (°)"), ("shift", "shift (Å)")):
        axes.plot(one["angle"], one[name], ".-", label=label)
    axes.set(title="how far tilts moved", xlabel="tilt (°)")
    axes.legend(fontsize=8)
