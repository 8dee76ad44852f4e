"""Charts of fitted CTFs: defocus, agreement and resolution of every image, and the rings of one."""

from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.gui.core.chart import Chart, ChartCurve
from emtomo.gui.core.run_charts import read_csv

MICROMETRE = 1e-4  # of an Å


def ctf_charts(folder: Path, name: str, run: str = "") -> list[Chart]:
    """Return what a run has fitted to a tilt series or micrograph, as charts against the tilt angle.

    Parameters
    ----------
    folder : Path
        Of the run.
    name : str
        Of the series or micrograph.
    run : str
        The run's label, where several are shown.
    """
    tilts, rings = (read_csv(folder / "extra" / f"{name}_{what}.csv") for what in ("ctf", "rings"))
    if not len(tilts):
        return []
    used = tilts[~tilts["excluded"].astype(bool)].sort_values("angle")
    several = len(tilts) > 1
    x = used["angle" if several else "tilt"].to_numpy(float)
    across = "tilt angle (°)" if several else "image"

    def chart(title: str, unit: str, *columns: tuple[str, str, float]) -> Chart:
        """Return one chart with a curve per column (name, label, factor to the unit)."""
        curves = tuple(
            ChartCurve(label, x, used[column].to_numpy(float) * factor, run, k, line=several)
            for k, (column, label, factor) in enumerate(columns)
        )
        return Chart(title, across, unit, curves, whole=not several)

    charts = [
        chart("defocus", "defocus (µm)", ("defocus_u", "U", MICROMETRE), ("defocus_v", "V", MICROMETRE)),
        chart("agreement with the spectrum", "correlation", ("correlation", "", 1.0)),
        chart("resolution of the fit", "resolution (Å)", ("resolution", "", 1.0)),
        chart("angle of the astigmatism", "angle (°)", ("defocus_angle", "", 1.0)),
    ]
    if used["phase_shift"].any():
        charts.append(chart("phase shift", "phase shift (°)", ("phase_shift", "", 1.0)))
    charts = [c for c in charts if any(np.isfinite(curve.y).any() for curve in c.curves)]
    return charts + ([_ring_chart(used, rings, run)] if len(rings) and len(used) else [])


def _ring_chart(used: pd.DataFrame, rings: pd.DataFrame, run: str) -> Chart:
    """Return the rings, without background, of the image of least tilt, measured and fitted, at equal scale."""
    fitted = used[used["fitted"].astype(bool)]
    some = fitted if len(fitted) else used
    best = some.iloc[int(some["angle"].abs().to_numpy().argmin())]
    one = rings[rings["tilt"] == best["tilt"]]
    x = one["frequency"].to_numpy(float)
    curves = []
    for k, (column, label) in enumerate((("measured", "measured"), ("fit", "fit"))):
        y = one[column].to_numpy(float)
        curves.append(ChartCurve(label, x, y / (float(np.sqrt(np.mean(y**2))) or 1.0), run, k, dots=False, thin=k == 0))
    places = (1 / float(best["resolution"]),) if np.isfinite(best["resolution"]) else ()
    title = f"rings of image {int(best['tilt'])} at {best['angle']:.0f}°"
    return Chart(title, "resolution (Å)", "power without background", tuple(curves), (0.0,), places, resolution=True,
                 key="rings")  # fmt: skip
