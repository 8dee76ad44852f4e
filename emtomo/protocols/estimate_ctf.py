"""Protocol: estimate the CTF of tilt series or micrographs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.optics.estimation import CtfEstimate, estimate_ctf
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.tile_rings import check_range, choose_rings
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_geometry
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfMicrographs, SetOfTiltSeries
from emtomo.objects.tilt_images import TiltImages
from emtomo.wording import count_text, group_problems

SHOWN = 5  # names in a sentence
CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")


class EstimateCtf(EmtomoProtocol):
    """Estimate defocus, astigmatism and hand of tilt series, or the CTF of micrographs, from rings in power spectra.

    All images of a series are fitted together, with the defocus of every tile at the height that the tilt geometry
    gives it. Tilts without rings are listed and take values of their neighbours; excluded tilts take no part.
    Micrographs are fitted one by one; those without rings are listed and have no CTF.
    """

    NAME = "estimate-ctf"
    _label = "estimate CTF"
    _possibleOutputs = {"tilt_series": SetOfTiltSeries, "micrographs": SetOfMicrographs}
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
            optional=True,
        )
        self._add_input(
            form,
            "micrographs",
            "SetOfMicrographs",
            "Micrographs",
            "In place of tilt series.",
            optional=True,
        )

    def _check(self) -> list[str]:
        options = self.options(CtfEstimationOptions)
        if self.input_tilt_series.pointsNone() == self.input_micrographs.pointsNone():
            return ["Choose either tilt series or micrographs."]
        source = self._source()
        if not len(source):
            return ["The set of tilt series is empty." if self._of_series() else "The set of micrographs is empty."]
        if options.max_defocus <= options.min_defocus:
            return [
                f"Maximum defocus must be larger than the minimum ({options.min_defocus:g} Å), "
                f"got {options.max_defocus:g} Å."
            ]
        check_range(options)
        problems = []
        for name in source.group_ids():
            try:
                images, geometry = self._images(name)
                if geometry.excluded.all():
                    raise EmtomoError("all tilts are excluded; nothing is left to estimate the CTF from.")
                if not geometry.pixel_size > 0:
                    raise EmtomoError("the pixel size of the images is not known.")
                size = images.size() if isinstance(images, TiltImages) else self.input_micrographs.get().shape(name)
                choose_rings(size, geometry.pixel_size, options)
            except EmtomoError as error:
                problems.append((name, error))
        return group_problems(problems)

    # --- steps ---

    def _insertAllSteps(self) -> None:
        last = self.output_step if self._of_series() else self.micrographs_step
        self._insert_per_tomogram(self.estimate_step, self._source().group_ids(), last)

    def estimate_step(self, name: str, number: int, total: int) -> None:
        """Estimate the CTF of one series or micrograph and write it, with the curves, into the run's folder."""
        source = self._source()
        images, geometry = self._images(name)
        used = int((~geometry.excluded).sum())
        try:
            found = estimate_ctf(
                images,
                geometry,
                self.options(CtfEstimationOptions),
                voltage=float(source.voltage.get()),
                cs=float(source.cs.get()),
                amplitude_contrast=float(source.amplitude_contrast.get()),
                on_progress=lambda done: self.progress(number + done / used, total),
            )
        except EmtomoError as error:
            if not self._of_series():  # the others go on
                _write(pd.DataFrame({"problem": [str(error)]}), self._file(name, "ctf"))
                return
            raise EmtomoError(f"{name}: {error}") from None
        angle = np.zeros(1) if not self._of_series() else source.images(name)["angle"].to_numpy(float)
        _write(_tilt_table(found, angle, geometry.excluded), self._file(name, "ctf"))
        _write(_curve_table(found), self._file(name, "rings"))
        mrc.write_volume(self._getExtraPath(f"{name}_fit.mrc"), found.pictures, 1.0, stack=True)

    def micrographs_step(self, names: list[str]) -> None:
        """Register the micrographs with their CTF, and list those that show no rings."""
        self.forget_remarks()
        tables = {name: pd.read_csv(self._file(name, "ctf")) for name in names}
        problems = {name: str(table["problem"].iloc[0]) for name, table in tables.items() if "problem" in table}
        if len(problems) == len(names):
            name, problem = next(iter(problems.items()))
            raise EmtomoError(f"{name}: {problem}")
        source = self.input_micrographs.get()
        frame = source.frame()
        columns = {**{c: c for c in CTF_COLUMNS}, "ctf_score": "correlation", "max_resolution": "resolution"}
        for column, of in columns.items():
            values = {name: np.nan if name in problems else float(t[of].iloc[0]) for name, t in tables.items()}
            frame[column] = frame["micrograph_id"].map(values).to_numpy(float)
        out = SetOfMicrographs.create(self._getPath("micrographs.sqlite"))
        out.copy_fields(source)
        out.extend(frame)
        self.remark(*_micrograph_remarks(frame, problems))
        self._register(self.input_micrographs, micrographs=out)

    def output_step(self, names: list[str]) -> None:
        """Register the series with their CTF, and say how well it fits."""
        self.forget_remarks()
        source = self.input_tilt_series.get()
        frame, parts = source.frame().assign(tilts=None), []
        for name in names:
            found = pd.read_csv(self._file(name, "ctf"))
            table = source.images(name)
            values = {c: found[c].to_numpy() for c in CTF_COLUMNS}
            quality = {"ctf_score": found["correlation"].to_numpy(), "max_resolution": found["resolution"].to_numpy()}
            parts.append(table.assign(tomogram_id=name, **values, **quality))
            if bool(found["hand_is_certain"].iloc[0]) and self.options(CtfEstimationOptions).hand == "estimate":
                frame.loc[frame["tomogram_id"] == name, "hand"] = int(found["hand"].iloc[0])
            self.remark(*_remarks(name, found))
        out = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"))
        out.copy_fields(source)
        out.extend(frame, pd.concat(parts, ignore_index=True))
        self._register(self.input_tilt_series, tilt_series=out)

    # --- helpers ---

    def _of_series(self) -> bool:
        return not self.input_tilt_series.pointsNone()

    def _source(self) -> SetOfTiltSeries | SetOfMicrographs:
        return self.input_tilt_series.get() if self._of_series() else self.input_micrographs.get()

    def _images(self, name: str) -> tuple[Callable[[int], np.ndarray], TiltGeometry]:
        """Return the images of a series, or a micrograph as the only one, and their geometry."""
        source = self._source()
        if isinstance(source, SetOfTiltSeries):
            return TiltImages(source.images(name)), source.geometry(name)
        file = str(source.frame(["file"], name)["file"].iloc[0])
        geometry = tilt_geometry({"angle": np.zeros(1)}, pixel_size=float(source.pixel_size.get() or np.nan))
        return lambda _: np.asarray(mrc.open_volume(file)[0]), geometry

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
            "plane_x": found.plane.angles[0],
            "plane_y": found.plane.angles[1],
            "plane_x_error": found.plane.errors[0],
            "plane_y_error": found.plane.errors[1],
            "plane_certainty": found.plane.certainty,
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


def _micrograph_remarks(frame: pd.DataFrame, problems: dict[str, str]) -> list[str]:
    """Return sentences on the CTF of micrographs."""
    known = frame[np.isfinite(frame["defocus_u"].to_numpy(float))]
    mean = (known["defocus_u"] + known["defocus_v"]) / 20000
    sentences = [
        f"{count_text(len(known), 'micrograph')}: defocus {mean.median():.2f} "
        f"µm ({mean.min():.2f} to {mean.max():.2f}); rings fit "
        f"to {known['max_resolution'].median():.1f} Å, with a correlation of {known['ctf_score'].median():.2f} "
        "(medians)."
    ]
    if problems:
        listed = ", ".join(list(problems)[:SHOWN]) + (" …" if len(problems) > SHOWN else "")
        sentences.append(
            f"The CTF of {count_text(len(problems), 'micrograph')} was "
            f"not found ({listed}): {next(iter(problems.values()))}"
        )
    return sentences


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
    x, y, x_error, y_error = (float(found[f"plane_{c}"].iloc[0]) for c in ("x", "y", "x_error", "y_error"))
    if x or y:
        sentences.append(
            f"{name}: the specimen is inclined by {x:.1f} ± {x_error:.1f}° about x and {y:.1f} ± {y_error:.1f}° about "
            f"y (by {float(found['plane_certainty'].iloc[0]):.1f} standard deviations)."
        )
    return sentences
