"""Pictures of how well the CTF fits: power beside the fitted rings, their curve, and the quality of all images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc

MEASURED, FIT, UNFITTED = "#2a6fb0", "#d35400", "#c0392b"


@dataclass(frozen=True)
class FitFiles:
    """What estimate-ctf writes of one series or micrograph.

    Attributes
    ----------
    name : str
    tilts : DataFrame
        One row an image.
    rings : DataFrame
        Measured and fitted curves.
    pictures : (n, s, s) array
    """

    name: str
    tilts: pd.DataFrame
    rings: pd.DataFrame
    pictures: np.ndarray

    @property
    def best(self) -> int:
        """The number from 0 of the image to show first: the fitted one of least tilt."""
        used = self.tilts["fitted"] if self.tilts["fitted"].any() else ~self.tilts["excluded"]
        return int(np.where(used, self.tilts["angle"].abs(), np.inf).argmin())


def find_fits(folder: Path) -> list[str]:
    """Return the series or micrographs of whose fit a run's folder has pictures."""
    return sorted(path.name.removesuffix("_fit.mrc") for path in (folder / "extra").glob("*_fit.mrc"))


def require_fits(folder: Path) -> list[str]:
    """Return what :func:`find_fits` finds.

    Raises
    ------
    EmtomoError
        If there is none.
    """
    names = find_fits(folder)
    if not names:
        raise EmtomoError("The run has no pictures of the fit; estimate-ctf writes them.")
    return names


def read_fit(folder: Path, name: str) -> FitFiles:
    """Return what a run wrote of one series or micrograph.

    Raises
    ------
    EmtomoError
        If a file cannot be read.
    """
    base = folder / "extra"
    try:
        tilts, rings = (pd.read_csv(base / f"{name}_{what}.csv") for what in ("ctf", "rings"))
    except (OSError, ValueError) as error:
        raise EmtomoError(f"{base}: the fit of {name} cannot be read: {error}.") from None
    return FitFiles(name, tilts, rings, mrc.open_volume(base / f"{name}_fit.mrc"))


def ctf_fit(shown: Shown) -> Figure:
    """Return the fit of the first series' least tilt, and the quality of all its images."""
    names = require_fits(shown.folder)
    fit = read_fit(shown.folder, names[0])
    return fit_figure(fit, fit.best, len(names))


def fit_figure(fit: FitFiles, image: int, series: int = 1) -> Figure:
    """Return the power of one image beside its fit, both as curves, and score and resolution of all images."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    row = fit.tilts.iloc[image]
    _draw_picture(left.subplots(), fit, image)
    axes = right.subplots(2, 1)
    _draw_curves(axes[0], fit, image)
    _draw_quality(axes[1], fit, image)
    many = f" (1 of {series})" if series > 1 else ""
    tilt = f"tilt {image + 1} at {row['angle']:.1f}°" if len(fit.tilts) > 1 else ""
    mean, difference = (row["defocus_u"] + row["defocus_v"]) / 20000, row["defocus_u"] - row["defocus_v"]
    values = f"defocus {mean:.2f} µm, astigmatism {difference:.0f} Å at {row['defocus_angle']:.0f}°"
    shift = f", phase shift {row['phase_shift']:.0f}°" if row["phase_shift"] else ""
    figure.suptitle(", ".join(p for p in (f"{fit.name}{many}", tilt, values + shift) if p), fontsize=11)
    return figure


def _draw_picture(axes: Any, fit: FitFiles, image: int) -> None:
    picture = np.asarray(fit.pictures[image])
    row, frequency = fit.tilts.iloc[image], fit.rings["frequency"]
    reach = float(frequency.max()) if len(frequency) else 1.0
    axes.imshow(picture, cmap="gray", vmin=-2, vmax=2, origin="lower", extent=(-reach, reach, -reach, reach))
    axes.set_title("measured (left), fit (right)", fontsize=10)
    axes.set_xlabel("spatial frequency (1/Å)")
    if row["excluded"]:
        axes.text(0, 0, "excluded", color=UNFITTED, ha="center", va="center")
    elif np.isfinite(row["resolution"]):
        turn = np.linspace(0, 2 * np.pi, 200)
        axes.plot(np.cos(turn) / row["resolution"], np.sin(turn) / row["resolution"], ":", color=FIT, linewidth=1)


def _draw_curves(axes: Any, fit: FitFiles, image: int) -> None:
    curve, row = fit.rings[fit.rings["tilt"] == image + 1], fit.tilts.iloc[image]
    axes.set_xlabel("spatial frequency (1/Å)")
    axes.set_ylabel("rings without background")
    if not len(curve):
        axes.set_title("excluded: not fitted", fontsize=10)
        return
    scale = float(np.sqrt((curve["fit"] ** 2).mean()) or 1)
    measured = curve["measured"] / (float(np.sqrt((curve["measured"] ** 2).mean())) or 1)
    axes.plot(curve["frequency"], measured, color=MEASURED, linewidth=1, label="measured, at equal phase")
    axes.plot(curve["frequency"], curve["fit"] / scale, color=FIT, linewidth=1, label="fit")
    to = f", rings fit to {row['resolution']:.1f} Å" if np.isfinite(row["resolution"]) else ", no rings stand out"
    axes.set_title(f"correlation {row['correlation']:.2f}{to}", fontsize=10)
    if np.isfinite(row["resolution"]):
        axes.axvline(1 / row["resolution"], color=FIT, linestyle=":", linewidth=1)
    axes.legend(fontsize=8)


def _draw_quality(axes: Any, fit: FitFiles, image: int) -> None:
    place = fit.tilts["angle"] if len(fit.tilts) > 1 else fit.tilts["tilt"]
    good = fit.tilts["fitted"]
    used = ~fit.tilts["excluded"]
    axes.plot(place[used], fit.tilts["correlation"][used], ".", color=MEASURED, label="correlation")
    axes.plot(place[used & ~good], fit.tilts["correlation"][used & ~good], "x", color=UNFITTED, label="no rings")
    axes.axvline(place.iloc[image], color="grey", linewidth=0.8)
    axes.set_ylim(min(0.0, float(fit.tilts["correlation"].min() or 0)) - 0.05, 1.05)
    axes.set_ylabel("correlation")
    axes.set_xlabel("tilt angle (°)" if len(fit.tilts) > 1 else "image")
    other = axes.twinx()
    other.plot(place[used], fit.tilts["resolution"][used], "+", color=FIT, label="resolution of the fit")
    other.set_ylabel("resolution of the fit (Å)")
    lines = [*axes.get_lines()[:2], *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="lower center", ncols=3)
