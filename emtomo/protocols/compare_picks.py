"""Protocol: how well pickers did, against true or trusted places."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.agreement import AgreementOptions, agreement
from emtomo.compute.rotations import angle_between
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D, positions_of, rotations_of
from emtomo.objects.rotation import ROTATION_COLUMNS
from emtomo.wording import count_text

_COMPARED = ["tomogram_id", "x", "y", "z", *ROTATION_COLUMNS]


class ComparePicks(EmtomoProtocol):
    """Report precision and recall of picks against the ground truth: simulated positions, or picks made by hand.

    Each set is compared for itself, the nearest pairs first. The output are the true places; their score is the share
    of the sets that found them.
    """

    NAME = "compare-picks"
    _label = "compare picks with the truth"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (AgreementOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "coordinates", "SetOfCoordinates3D", "Picks", "One or more sets.", many=True)
        self._add_input(form, "truth", "SetOfCoordinates3D", "True places", "All of them in the tomograms they are in.")

    def _check(self) -> list[str]:
        return [] if len(self.input_truth.get()) else ["There is no true place to compare with: the set is empty."]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.compare_step)

    def compare_step(self) -> None:
        """Compare every set, tell and register."""
        self.forget_remarks()
        truth, distance = self.input_truth.get(), self.options(AgreementOptions).distance
        frame = truth.frame()
        known, true_places = frame.groupby("tomogram_id", sort=False).indices, positions_of(frame)
        found, rows = np.zeros(len(frame)), []
        for pointer in self.input_coordinates:
            picks, label = pointer.get().frame(_COMPARED), self._name_of(pointer)
            picks = picks[picks["tomogram_id"].isin(set(frame["tomogram_id"]))]
            pairs, places = [], positions_of(picks)
            picked = picks.groupby("tomogram_id", sort=False).indices
            for name, true in known.items():
                mine = picked.get(name, np.zeros(0, int))
                here = agreement(places[mine], true_places[true], distance)
                pairs.append(np.column_stack([mine[here.pairs[:, 0]], true[here.pairs[:, 1]]]))
            rows.append(self._row(label, picks, frame, np.concatenate(pairs).astype(int)))
            found[np.concatenate(pairs).astype(int)[:, 1]] += 1
        self._write(rows)
        self.remark(*(self._sentence(row) for row in rows))
        out = SetOfCoordinates3D.create(self._getPath("coordinates.sqlite"))
        out.copy_fields(truth)
        out.extend(frame.assign(score=found / max(1, len(self.input_coordinates))))
        self._register(self.input_truth, coordinates=out)

    # --- helpers ---

    @staticmethod
    def _name_of(pointer: Any) -> str:
        return str(pointer.getObjValue().getObjLabel())

    @staticmethod
    def _row(label: str, picks: pd.DataFrame, truth: pd.DataFrame, pairs: np.ndarray) -> dict[str, Any]:
        hits = len(pairs)
        away = np.linalg.norm(positions_of(picks)[pairs[:, 0]] - positions_of(truth)[pairs[:, 1]], axis=1)
        a, b = rotations_of(picks)[pairs[:, 0]], rotations_of(truth)[pairs[:, 1]]
        known = ~(np.isnan(a).any(axis=(1, 2)) | np.isnan(b).any(axis=(1, 2)))
        return {
            "picks_of": label,
            "picks": len(picks),
            "truth": len(truth),
            "found": hits,
            "precision": hits / max(1, len(picks)),
            "recall": hits / max(1, len(truth)),
            "f1": 2 * hits / max(1, len(picks) + len(truth)),
            "distance": float(np.median(away)) if hits else np.nan,
            "angle": float(np.median(angle_between(a[known], b[known]))) if known.any() else np.nan,
        }

    @staticmethod
    def _sentence(row: dict[str, Any]) -> str:
        angle = f" and {row['angle']:.1f}°" if np.isfinite(row["angle"]) else ""
        off = f"; {row['distance']:.0f} Å{angle} off (median)" if row["found"] else ""
        return (
            f"{row['picks_of']}: {row['found']} of {row['truth']} found "
            f"among {count_text(row['picks'], 'pick')}: precision "
            f"{row['precision']:.2f}, recall {row['recall']:.2f}, F1 {row['f1']:.2f}{off}."
        )

    def _write(self, rows: list[dict[str, Any]]) -> None:
        path = Path(self._getExtraPath("agreement.csv"))
        part = path.with_name("part_" + path.name)
        pd.DataFrame(rows).to_csv(part, index=False, float_format="%.4f")
        part.replace(path)
