"""Charts of a run with those of the project's other runs to be shown beside them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from emtomo.gui.core.chart import Chart
from emtomo.gui.core.ctf_charts import ctf_charts
from emtomo.gui.core.run_charts import comparable_runs, run_charts, tilt_series_names
from emtomo.gui.tk.chartwindow import ChartWindow, Read

NOT_YET = "No iteration is finished yet."
NOTHING = "This run has written nothing that is drawn as a curve: it has no iterations."


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
        """Return what reads the charts of the run in this folder."""
        return lambda name, part: run_charts(of, name, part)

    others = {name: reader(of) for name, of in _others(master, run).items()}
    title, parts = f"{label} – charts – emtomo", partial(tilt_series_names, folder)
    known = getattr(master, "runs", {}).get(run)
    over = known is not None and known.status == "finished"
    return ChartWindow(master, title, label, reader(folder), others, parts, NOTHING if over else NOT_YET)


def open_charts_beside(
    master: Any, run: int, title: str, read: Read, read_other: Callable[[Path, str], list[Chart]]
) -> ChartWindow:
    """Show charts of an output; `read_other` reads those of another run's folder, given its label."""

    def reader(of: Path) -> Read:
        """Return what reads the other run's charts."""
        return lambda name, _: read_other(of, name)

    others = {name: reader(of) for name, of in _others(master, run).items()}
    return ChartWindow(master, f"{title} – FSC – emtomo", title, read, others)


def open_ctf_charts(master: Any, run: int, label: str, folder: Path, names: list[str]) -> ChartWindow:
    """Show what a run has fitted to tilt series or micrographs, one of them at a time."""

    def reader(of: Path) -> Read:
        """Return what reads the CTF charts of this file."""
        return lambda name, part: ctf_charts(of, part, name)

    others: dict[str, Read] = {}
    for i, other in getattr(master, "runs", {}).items():
        of = master.folder / other.folder
        if i != run and other.folder and (of / "extra" / f"{names[0]}_ctf.csv").exists():
            others[other.label] = reader(of)
    return ChartWindow(master, f"{label} – CTF – emtomo", label, reader(folder), others, names)


def _others(master: Any, run: int) -> dict[str, Path]:
    """Return the runs of the project that can be shown beside a run, if a project's window opened this."""
    return comparable_runs(master.folder, master.runs, run) if hasattr(master, "runs") else {}
