"""Protocol: leave out tilts of tilt series."""

from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.tilt.selection import (
    TiltSelectionOptions,
    TiltStatistics,
    find_excluded,
    suggest_exclusions,
    tilt_statistics,
)
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io.names import as_place
from emtomo.objects import SetOfTiltSeries
from emtomo.objects.tilt_images import TiltImages, fit_of_tilts
from emtomo.wording import count_text, share_text


class SelectTilts(EmtomoProtocol):
    """Exclude tilts by dose, angle or order, or those of a list; and suggest tilts whose images are out of line.

    Excluded tilts stay in the table, marked, with all that is known of them. Suggestions are listed and written as a
    list that can be given back; nothing is excluded without being asked for.
    """

    NAME = "select-tilts"
    STEPS_APART = ("look_step",)
    STEPS_PER = "tilt series"
    _label = "select tilts"
    _possibleOutputs = {"tilt_series": SetOfTiltSeries}
    OPTIONS = (TiltSelectionOptions,)
    READS = ("excluded",)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tilt_series", "SetOfTiltSeries", "Tilt series", "Whose tilts to select.")
        add_optional_path(
            form,
            "excluded",
            "Excluded tilts",
            "CSV with a header: tomogram_id, tilt (from 1, in the order of the table). The tilt viewer and this "
            "protocol's own suggestions are written so.",
        )

    def _check(self) -> list[str]:
        if not len(self.input_tilt_series.get()):
            return ["The set of tilt series is empty."]
        self._tables()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        series = self.input_tilt_series.get().tomogram_ids()
        look = self.look_step if self.options(TiltSelectionOptions).suggest else self.pass_step
        self._insert_per_tomogram(look, series, self.output_step)

    def pass_step(self, name: str, number: int, total: int) -> None:
        """Do nothing: no suggestions are wanted."""

    def look_step(self, name: str, number: int, total: int) -> None:
        """Write the statistics of the images of one series."""
        table = self.input_tilt_series.get().images(name)
        found = tilt_statistics(
            TiltImages(table),
            table["angle"].to_numpy(float),
            lambda done, all_: self.progress(number + done / all_, total),
        )
        path = Path(self._getExtraPath(f"{name}_statistics.csv"))
        part = path.with_name(path.name + ".part")
        columns = {"tilt": np.arange(1, len(table) + 1), "angle": table["angle"], **vars(found)}
        pd.DataFrame(columns).to_csv(part, index=False)
        part.replace(path)

    def output_step(self, names: list[str]) -> None:
        """Register the series with their marks, and list what is out of line."""
        self.forget_remarks()
        source = self.input_tilt_series.get()
        tables = self._tables()
        out = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"))
        out.copy_fields(source)
        frame = source.frame().assign(tilts=None)
        out.extend(frame, pd.concat([t.assign(tomogram_id=n) for n, t in tables.items()], ignore_index=True))
        gone, all_ = (sum(int(f(t)) for t in tables.values()) for f in (lambda t: t["excluded"].sum(), len))
        self.remark(f"{share_text(gone, all_, 'tilt', 'is')} excluded.")
        if self.options(TiltSelectionOptions).suggest:
            self._suggest(tables)
        self._register(self.input_tilt_series, tilt_series=out)

    # --- helpers ---

    def _suggest(self, tables: dict[str, pd.DataFrame]) -> None:
        """Write the suggestions as a list, and say them."""
        rows = []
        for name, table in tables.items():
            found = pd.read_csv(self._getExtraPath(f"{name}_statistics.csv"))
            statistics = TiltStatistics(*(found[c].to_numpy() for c in ("mean", "deviation", "correlation")))
            angle, gone = table["angle"].to_numpy(float), table["excluded"].to_numpy(bool)
            reasons = suggest_exclusions(statistics, angle, gone, fit_of_tilts(table))
            for k, reason in reasons.items():
                self.remark(f"{name}: tilt {k + 1} at {table['angle'][k]:.1f}° is out of line: {reason}.")
                rows.append({"tomogram_id": name, "tilt": k + 1})
        path = Path(self._getExtraPath("suggested.csv"))
        pd.DataFrame(rows, columns=["tomogram_id", "tilt"]).to_csv(path, index=False)
        if rows:
            self.remark(
                f"{count_text(len(rows), 'tilt is', 'tilts are')} suggested "
                f"to be excluded, and are not: give {path} as excluded tilts."
            )

    def _tables(self) -> dict[str, pd.DataFrame]:
        """Return the images of every series with their new marks."""
        source, options = self.input_tilt_series.get(), self.options(TiltSelectionOptions)
        listed = self._listed(source)
        out = {}
        for name in source.tomogram_ids():
            table = source.images(name)
            geometry = source.geometry(name)
            gone = find_excluded(table["angle"].to_numpy(float), geometry.dose, geometry.order, options)
            gone[[tilt - 1 for tilt in listed.get(name, [])]] = True
            if options.keep_excluded:
                gone |= geometry.excluded
            if gone.all():
                raise EmtomoError(f"{name}: all {count_text(len(table), 'tilt')} would be excluded.")
            out[name] = table.assign(excluded=gone)
        return out

    def _listed(self, source: SetOfTiltSeries) -> dict[str, list[int]]:
        """Return the tilts of the list, from 1, by series."""
        path = str(self.excluded.get() or "")
        if not path:
            return {}
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except OSError as error:
            raise EmtomoError(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise EmtomoError(f"{path}: no table of tilts: {error}.") from None
        if not {"tomogram_id", "tilt"} <= set(table):
            raise EmtomoError(f"{path}: the columns tomogram_id and tilt are needed, got {', '.join(map(str, table))}.")
        counts = {name: len(source.images(name)) for name in source.tomogram_ids()}
        out: dict[str, list[int]] = {}
        for line, (name, tilt) in enumerate(zip(table["tomogram_id"], table["tilt"], strict=True), 2):
            if name not in counts:
                raise EmtomoError(f"{path}: line {line}: there is no tilt series {name[:80]!r}.")
            place = as_place(tilt)
            if place is None or place > counts[name]:
                raise EmtomoError(f"{path}: line {line}: tilt must be from 1 to {counts[name]}, got {tilt[:40]!r}.")
            out.setdefault(name, []).append(place)
        return out
