"""Charts of a run with those of the project's other runs to be shown beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from emtomo.gui.core.chart import Chart
from emtomo.gui.core.run_charts import comparable_runs, run_charts, tilt_series_names
from emtomo.gui.tk.chartwindow import ChartWindow, Read


def open_run_charts(master: Any, run: int, label: str, folder: Path) -> ChartWindow:
    """Show the metrics, FSC and tilts of a run, read again while it goes on.

    Parameters
    ----------
    master : ProjectHost
    run : int
    label : str
    folder : Path
        Of the run.
    """

    def reader(of: Path) -> Read:
        return lambda name, part: run_charts(of, name, part)

    others = {name: reader(of) for name, of in _others(master, run).items()}
    return ChartWindow(
        master, f"{label} – charts – emtomo", label, reader(folder), others, tilt_series_names(folder)
    )  # fmt: skip


def open_charts_beside(
    master: Any, run: int, title: str, read: Read, read_other: Callable[[Path, str], list[Chart]]
) -> ChartWindow:
    """Show charts of an output; `read_other` reads those of another run's folder, given its label."""

    def reader(of: Path) -> Read:
        return lambda name, _: read_other(of, name)

    others = {name: reader(of) for name, of in _others(master, run).items()}
    return ChartWindow(master, f"{title} – FSC – emtomo", title, read, others)


def _others(master: Any, run: int) -> dict[str, Path]:
    """Return the runs of the project that can be shown beside a run, if a project's window opened this."""
    return comparable_runs(master.folder, master.runs, run) if hasattr(master, "runs") else {}
