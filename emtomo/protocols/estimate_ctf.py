"""Protocol: estimate the CTF of tilt series."""

from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.optics.estimation import CtfEstimate, estimate_ctf
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.power_spectra import polar_grid
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.objects import SetOfTiltSeries
from emtomo.objects.tilt_images import TiltImages

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")


class EstimateCtf(EmtomoProtocol):
    """Estimate defocus, astigmatism and the hand of tilt series from the rings in their power spectra.

    All images of a series are fitted together, with the defocus of every tile at the height that the tilt geometry
    gives it. Tilts without rings are listed and take values of their neighbours; excluded tilts take no part.
    """

    NAME = "estimate-ctf"
    _label = "estimate CTF"
    _possibleOutputs = {"tilt_series": SetOfTiltSeries}
    OPTIONS = (CtfEstimationOptions,)
    STEPS_APART = ("estimate_step",)
    STEPS_PER = "tilt series"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "tilt_series",
            "SetOfTiltSeries",
            "Tilt series",
            "Of images that are not CTF-corrected.",
        )

    def _check(self) -> list[str]:
        series, options = self.input_tilt_series.get(), self.options(CtfEstimationOptions)
        if not len(series):
            return ["The set of tilt series is empty."]
        if options.max_defocus <= options.min_defocus:
            return [
                f"Maximum defocus must be larger than the minimum ({options.min_defocus:g} Å), "
                f"got {options.max_defocus:g} Å."
            ]
        errors = []
        for name in series.tomogram_ids():
            try:
                geometry = series.geometry(name)
                if geometry.excluded.all():
                    raise EmtomoError("all tilts are excluded; nothing is left to estimate the CTF from.")
                if not geometry.pixel_size > 0:
                    raise EmtomoError("the pixel size of the tilt images is not known.")
                tile = min(options.tile_size, *TiltImages(series.images(name)).size()) // 2 * 2
                polar_grid(tile, geometry.pixel_size, options.low_resolution, options.high_resolution)
            except EmtomoError as error:
                errors.append(f"{name}: {error}")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.estimate_step, self.input_tilt_series.get().tomogram_ids(), self.output_step)

    def estimate_step(self, name: str, number: int, total: int) -> None:
        """Estimate the CTF of one series and write it, with the curves of all tilts, into the run's folder."""
        series = self.input_tilt_series.get()
        table, geometry = series.images(name), series.geometry(name)
        used = int((~geometry.excluded).sum())
        try:
            found = estimate_ctf(
                TiltImages(table),
                geometry,
                self.options(CtfEstimationOptions),
                voltage=float(series.voltage.get()),
                cs=float(series.cs.get()),
                amplitude_contrast=float(series.amplitude_contrast.get()),
                on_progress=lambda done: self.progress(number + done / used, total),
            )
        except EmtomoError as error:
            raise EmtomoError(f"{name}: {error}") from None
        _write(_tilt_table(found, table["angle"].to_numpy(float), geometry.excluded), self._file(name, "ctf"))
        _write(_curve_table(found), self._file(name, "rings"))

    def output_step(self, names: list[str]) -> None:
        """Register the series with their CTF, and say how well it fits."""
        self.forget_remarks()
        source = self.input_tilt_series.get()
        frame, parts = source.frame().assign(tilts=None), []
        for name in names:
            found = pd.read_csv(self._file(name, "ctf"))
            table = source.images(name)
            parts.append(table.assign(tomogram_id=name, **{c: found[c].to_numpy() for c in CTF_COLUMNS}))
            if bool(found["hand_is_certain"].iloc[0]) and self.options(CtfEstimationOptions).hand == "estimate":
                frame.loc[frame["tomogram_id"] == name, "hand"] = int(found["hand"].iloc[0])
            self.remark(*_remarks(name, found))
        out = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"))
        out.copy_fields(source)
        out.extend(frame, pd.concat(parts, ignore_index=True))
        self._register(self.input_tilt_series, tilt_series=out)

    # --- helpers ---

    def _file(self, name: str, what: str) -> Path:
        return Path(self._getExtraPath(f"{name}_{what}.csv"))


def _tilt_table(found: CtfEstimate, angle: np.ndarray, excluded: np.ndarray) -> pd.DataFrame:
    """Return one row a tilt: its CTF and how well it fits."""
    return pd.DataFrame(
        {
            "tilt": np.arange(1, len(angle) + 1),
            "angle": angle,
            "excluded": excluded,
            "fitted": found.fitted,
            "defocus_u": found.ctf.defocus_u,
            "defocus_v": found.ctf.defocus_v,
            "defocus_angle": found.ctf.angle,
            "phase_shift": found.ctf.phase_shift,
            "correlation": found.correlation,
            "resolution": found.resolution,
            "significance": found.significance,
            "hand": found.hand,
            "hand_certainty": found.hand_certainty,
            "hand_is_certain": found.hand_is_certain,
        }
    )


def _curve_table(found: CtfEstimate) -> pd.DataFrame:
    """Return the rings of all tilts that took part: measured and fitted, by frequency."""
    used = np.flatnonzero(np.isfinite(found.correlation))
    return pd.DataFrame(
        {
            "tilt": np.repeat(used + 1, len(found.frequency)),
            "frequency": np.tile(found.frequency, len(used)),
            "measured": found.measured[used].ravel(),
            "fit": found.model[used].ravel(),
        }
    )


def _write(table: pd.DataFrame, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False, float_format="%.6g")
    part.replace(path)


def _remarks(name: str, found: pd.DataFrame) -> list[str]:
    """Return sentences on the CTF of one series."""
    fitted = found[found["fitted"]]
    mean = (fitted["defocus_u"] + fitted["defocus_v"]) / 20000
    astigmatism = float((fitted["defocus_u"] - fitted["defocus_v"]).median())
    sentences = [
        f"{name}: defocus {mean.median():.2f} µm ({mean.min():.2f} to {mean.max():.2f}), "
        f"astigmatism {astigmatism:.0f} Å; rings fit to {fitted['resolution'].median():.1f} Å, with a correlation of "
        f"{fitted['correlation'].median():.2f} (medians)."
    ]
    weak = found[~found["fitted"] & ~found["excluded"]]
    if len(weak):
        tilts = ", ".join(f"{t} ({a:.1f}°)" for t, a in zip(weak["tilt"], weak["angle"], strict=True))
        sentences.append(f"{name}: no rings in tilts {tilts}; their CTF is that of their neighbours.")
    hand, deviations = int(found["hand"].iloc[0]), float(found["hand_certainty"].iloc[0])
    better, by = ("grows" if deviations > 0 else "falls"), abs(deviations)
    if not bool(found["hand_is_certain"].iloc[0]):
        sentences.append(f"{name}: the hand is not certain ({by:.1f} standard deviations); it is left as it was.")
    elif (deviations > 0) == (hand > 0):
        sentences.append(f"{name}: defocus {better} with the height (hand {hand}), by {by:.1f} standard deviations.")
    else:
        sentences.append(
            f"{name}: defocus {better} with the height, by {by:.1f} standard deviations; the series has the other hand "
            f"({hand}), which was kept."
        )
    return sentences
