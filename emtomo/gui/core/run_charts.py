"""Charts of a run from the files that it writes, while it goes on and afterwards: metrics, FSC, tilts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.fourier.shell_correlation import resolution_text
from emtomo.errors import EmtomoError
from emtomo.gui.core.chart import Chart, ChartCurve, format_number
from emtomo.gui.core.runs import Run

# files of per-iteration metrics in a run's folder, and their columns with what they are; the first file there is read
TABLES = ("metrics.csv", "changes.csv", "classes.csv", "losses.csv")
METRICS: dict[str, str] = {
    "resolution": "resolution (Å)",
    "compared_to": "finest detail compared (Å)",
    "angle_change": "change of orientation (°)",
    "shift_change": "change of position (voxels)",
    "change": "change of the model",
    "certainty": "certainty of the poses",
    "log_likelihood": "mean log likelihood",
    "likelihood": "mean log likelihood",
    "score": "log likelihood of all images",
    "held_out_gain": "rise of the held-out score",
    "changed": "share of particles that change class",
    "loss": "loss",
}
SHARE = "share_"  # columns of the shares of classes
THRESHOLD = 0.143
FIRST_CURVE = "corrected"


def metrics_file(folder: Path) -> Path | None:
    """Return the file of per-iteration metrics that a run writes, if it has begun to."""
    return next((folder / "extra" / name for name in TABLES if (folder / "extra" / name).exists()), None)


def read_csv(path: Path | None) -> pd.DataFrame:
    """Return a table of a run; without rows where it is not there, or is being written."""
    if path is None or not path.exists():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return pd.DataFrame()


def metric_charts(folder: Path, run: str = "") -> list[Chart]:
    """Return a chart for each per-iteration metric of a run, as it is now.

    Parameters
    ----------
    folder : Path
        Of the run.
    run : str
        Its label, for the legend where several runs are shown.
    """
    table = read_csv(metrics_file(folder))
    if not len(table):
        return []
    first = str(table.columns[0])
    numeric = [str(c) for c in table.columns[1:] if pd.api.types.is_numeric_dtype(table[c])]
    shares = [c for c in numeric if c.startswith(SHARE)]
    known = [c for c in METRICS if c in numeric]
    wanted = known or [c for c in numeric if c not in shares][:4]
    charts = [_metric_chart(table, first, c, run) for c in wanted]
    if shares:
        x = table[first].to_numpy(float)
        curves = [
            ChartCurve(f"class {c.removeprefix(SHARE)}", x, table[c].to_numpy(float), run, k)
            for k, c in enumerate(shares)
        ]
        charts.append(Chart("shares of the classes", first.replace("_", " "), "share", tuple(curves), whole=True))
    return charts


def _metric_chart(table: pd.DataFrame, x: str, column: str, run: str) -> Chart:
    """Return one metric against the first column, a curve for each species; the title ends with the last value."""
    name = METRICS.get(column, column.replace("_", " "))
    last = format_number(float(table[column].iloc[-1]))
    curves = tuple(_by_species(table, x, column, run))
    title = f"{name}: {last}" if len(curves) == 1 else name
    return Chart(title, x.replace("_", " "), name, curves, whole=True, key=name)


def _by_species(table: pd.DataFrame, x: str, y: str, run: str) -> list[ChartCurve]:
    if "species" not in table:
        return [ChartCurve("", table[x].to_numpy(float), table[y].to_numpy(float), run)]
    several = table["species"].nunique() > 1
    return [
        ChartCurve(str(name) if several else "", one[x].to_numpy(float), one[y].to_numpy(float), run, k)
        for k, (name, one) in enumerate(table.groupby("species", sort=False))
    ]


def fsc_chart(path: Path, run: str = "", resolution: float = 0.0, pixel_size: float = 0.0) -> Chart:
    """Return the Fourier shell correlations of a file.

    Parameters
    ----------
    path : Path
        CSV: frequency in 1/Å, then one column a curve.
    run : str
    resolution, pixel_size : float
        Å, 0 where they are not known; for the title and the place that is marked.

    Raises
    ------
    EmtomoError
        If the file is no table of curves.
    """
    table = read_csv(path)
    if len(table.columns) < 2 or "frequency" not in table:
        raise EmtomoError(f"{path}: an FSC file has a column frequency and one for each curve.")
    x = table["frequency"].to_numpy(float)
    curves = tuple(
        ChartCurve(str(name), x, table[name].to_numpy(float), run, k, dots=False, thin=name != FIRST_CURVE and k > 0)
        for k, name in enumerate(table.columns[1:])
    )
    title = "FSC"
    if resolution:
        title = f"FSC 0.143: {resolution_text(resolution, pixel_size, 2)}"
    elif pixel_size:
        title = "no resolution: there is nothing to compare"
    places = (1 / resolution,) if resolution else ()
    return Chart(title, "resolution (Å)", "FSC", curves, (0.0, THRESHOLD), places, (-0.1, 1.05), resolution=True,
                 key="FSC")  # fmt: skip


def fsc_of_folder(folder: Path, run: str = "") -> list[Chart]:
    """Return the FSC that a run has written, before and after where it has both."""
    after, before = folder / "extra" / "fsc.csv", folder / "extra" / "fsc_before.csv"
    charts = []
    if after.exists():
        chart = fsc_chart(after, run)
        if before.exists():
            old = fsc_chart(before, run).curves[0]
            both = (
                ChartCurve("after", chart.curves[0].x, chart.curves[0].y, run, 0, dots=False),
                ChartCurve("before", old.x, old.y, run, 1, dots=False),
            )
            chart = replace(chart, title="FSC of the half maps", curves=both)
        charts.append(chart)
    return charts


def tilt_series_names(folder: Path) -> list[str]:
    """Return the tilt series of whose tilts a multi-particle refinement has written what changed."""
    table = read_csv(folder / "extra" / "tilts.csv")
    return [str(name) for name in dict.fromkeys(table["series"])] if "series" in table else []


def tilt_charts(folder: Path, series: str, run: str = "") -> list[Chart]:
    """Return what a multi-particle refinement changed about the tilts of a series, against the tilt angle."""
    table = read_csv(folder / "extra" / "tilts.csv")
    if "series" not in table:
        return []
    one = table[table["series"].astype(str) == series].sort_values("angle")
    x = one["angle"].to_numpy(float)

    def chart(title: str, unit: str, *columns: tuple[str, str, float]) -> Chart:
        """Return a chart of some columns."""
        curves = [
            ChartCurve(name, x, one[c].to_numpy(float) * factor, run, k)
            for k, (c, name, factor) in enumerate(columns)
            if c in one and np.isfinite(one[c].to_numpy(float)).any()
        ]
        return Chart(title, "tilt angle (°)", unit, tuple(curves))

    charts = [
        chart("defocus", "defocus (µm)", ("defocus", "after", 1e-4), ("defocus_before", "before", 1e-4)),
        chart("shift of the tilts", "shift (Å)", ("shift", "", 1.0)),
        chart("rotation of the tilts", "rotation (°)", ("turn", "", 1.0)),
        chart("scale of the tilts", "scale", ("scale", "", 1.0)),
        chart("B factor of the tilts", "B factor (Å²)", ("bfactor", "", 1.0)),
    ]
    return [c for c in charts if c.curves]


def motion_charts(folder: Path, series: str, run: str = "") -> list[Chart]:
    """Return how far the particles of a series have moved and rotated by the dose, one curve a species."""
    table = read_csv(folder / "extra" / "motion.csv")
    if "series" not in table or not len(table):
        return []
    groups = list(table[table["series"].astype(str) == series].groupby("species", sort=False))
    charts = []
    for column, title, unit in (("shift", "movement of the particles", "shift (Å)"),
                                ("rotation", "rotation of the particles over the dose", "rotation (°)")):  # fmt: skip
        curves = tuple(
            ChartCurve(str(name), one["dose"].to_numpy(float), one[column].to_numpy(float), run, k)
            for k, (name, one) in enumerate(groups)
        )
        charts.append(Chart(title, "dose (e/Å²)", unit, curves))
    return [c for c in charts if c.curves]


def trial_charts(folder: Path, run: str = "") -> list[Chart]:
    """Return the rise of the held-out score of every group of parameters that a multi-particle refinement tried."""
    table = read_csv(folder / "extra" / "trials.csv")
    if not len(table) or "held_out" not in table:
        return []
    table = table[table["held_out"] > 0]
    curves = []
    for k, (name, one) in enumerate(table.groupby("name", sort=False)):
        for kept, what in ((True, "kept"), (False, "not kept")):
            mine = one[one["kept"].astype(bool) == kept]
            if len(mine):
                x, y = mine["iteration"].to_numpy(float), mine["gain"].to_numpy(float)
                curves.append(ChartCurve(f"{name}, {what}", x, y, run, k, line=False, thin=not kept))
    if not curves:
        return []
    curves.sort(key=lambda c: (c.thin, -float(c.y.max())))  # a small legend names those that helped most
    return [Chart("held-out score of what was tried", "iteration", "rise of log likelihood", tuple(curves), (0.0,),
                  whole=True)]  # fmt: skip


def run_charts(folder: Path, run: str = "", series: str = "") -> list[Chart]:
    """Return all charts of a run as its files are now: metrics, FSC, and those of the tilts of a series."""
    charts = metric_charts(folder, run) + fsc_of_folder(folder, run) + trial_charts(folder, run)
    return charts + (tilt_charts(folder, series, run) + motion_charts(folder, series, run) if series else [])


def comparable_runs(project: Path, runs: Mapping[int, Run], own: int) -> dict[str, Path]:
    """Return the folders of the other runs of a project that have something to be shown beside a run's charts."""
    return {
        run.label: project / run.folder
        for i, run in sorted(runs.items(), reverse=True)
        if i != own and run.folder and (metrics_file(project / run.folder) or has_fsc(project / run.folder))
    }


def has_fsc(folder: Path) -> bool:
    """Return whether a run has written an FSC."""
    return (folder / "extra" / "fsc.csv").exists()
