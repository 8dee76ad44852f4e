"""The points that a user picks: models in groups, unlimited undo, a journal that survives a crash.

Every change is one line of JSON in the journal before it is shown; a picker
that was killed after twenty clicks finds all twenty when it is opened again.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.geometry.models import MODELS, ROLES
from emtomo.compute.tracking import TrackOptions, track_membrane
from emtomo.errors import EmtomoError, FormatError

COLUMNS = ["tomogram_id", "group", "model", "role", "x", "y", "z"]


@dataclass(frozen=True)
class Point:
    """One picked point: x, y, z in 0-based voxels of the tomogram that is shown."""

    x: float
    y: float
    z: float
    role: str = "point"


@dataclass
class Model:
    """One group of points."""

    kind: str
    points: list[Point] = field(default_factory=list)


class PickingSession:
    """The models of one tomogram, as a user edits them.

    Parameters
    ----------
    tomogram_id : str
    journal : Path
        Written after every change; read when it exists.

    Raises
    ------
    FormatError
        If the journal holds something else than changes.
    """

    def __init__(self, tomogram_id: str, journal: Path) -> None:
        self.tomogram_id = tomogram_id
        self.journal = journal
        self.models: dict[int, Model] = {}
        self.current = 0
        self._done: list[dict[str, Any]] = []
        self._undone: list[dict[str, Any]] = []
        if journal.exists():
            self._replay()

    # --- changes ---

    def new_model(self, kind: str) -> int:
        """Start a model and make it the current one; its group is higher than any that is there or can be redone."""
        if kind not in MODELS:
            raise EmtomoError(f"There is no model {kind!r}; the models are {', '.join(MODELS)}.")
        used = [change["group"] for change in (*self._done, *self._undone) if change["do"] == "model"]
        group = max(used, default=0) + 1
        self._change({"do": "model", "group": group, "kind": kind})
        return group

    def add(self, x: float, y: float, z: float, role: str = "point") -> None:
        """Add a point to the current model."""
        if self.current not in self.models:
            raise EmtomoError("Start a model before picking points.")
        if role not in ROLES:
            raise EmtomoError(f"The role must be one of {', '.join(ROLES)}, got {role!r}.")
        self._change({"do": "add", "group": self.current, "points": [[float(x), float(y), float(z), role]]})

    def remove_last(self) -> None:
        """Remove the last point of the current model, if it has any."""
        points = self.models[self.current].points if self.current in self.models else []
        if points:
            self._remove(self.current, [len(points) - 1])

    def remove_near(self, x: float, y: float, z: float, distance: float) -> int:
        """Remove the points of all models within `distance` voxels; return how many."""
        removed = 0
        for group, model in list(self.models.items()):
            away = [np.linalg.norm([p.x - x, p.y - y, p.z - z]) for p in model.points]
            near = [k for k, d in enumerate(away) if d <= distance]
            if near:
                self._remove(group, near)
                removed += len(near)
        return removed

    def select(self, group: int) -> None:
        """Make `group` the current model."""
        if group not in self.models:
            raise EmtomoError(f"There is no model {group}.")
        self.current = group

    def track(self, volume: np.ndarray, slices: list[int], options: TrackOptions | None = None) -> int:
        """Follow the current model's membrane into `slices`; return how many points were added."""
        points = [p for p in self.models[self.current].points if p.role == "point"] if self.models else []
        picked = np.array([[p.z, p.y, p.x] for p in points]).reshape(-1, 3)
        found = track_membrane(volume, picked, slices, options)
        rows = [[float(x), float(y), float(z), "point"] for z, y, x in found]
        if rows:
            self._change({"do": "add", "group": self.current, "points": rows})
        return len(rows)

    # --- undo ---

    def undo(self) -> bool:
        """Take the last change back; return whether there was one."""
        if not self._done:
            return False
        self._undone.append(self._done.pop())
        self._write({"do": "undo"})
        self._rebuild()
        return True

    def redo(self) -> bool:
        """Do again what was undone last; return whether there was anything."""
        if not self._undone:
            return False
        self._done.append(self._undone.pop())
        self._write({"do": "redo"})
        self._rebuild()
        return True

    @property
    def changed(self) -> bool:
        """Whether there is anything to register."""
        return any(model.points for model in self.models.values())

    def frame(self) -> pd.DataFrame:
        """Return all points as the table that ``pick-vectorial`` reads with ``unit=voxel``."""
        rows = [
            (self.tomogram_id, group, model.kind, p.role, p.x, p.y, p.z)
            for group, model in self.models.items()
            for p in model.points
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    # --- inside ---

    def _remove(self, group: int, indices: list[int]) -> None:
        self._change({"do": "remove", "group": group, "indices": indices})

    def _change(self, change: dict[str, Any]) -> None:
        self._write(change)
        self._done.append(change)
        self._undone.clear()
        self._apply(change)

    def _apply(self, change: dict[str, Any]) -> None:
        group = change["group"]
        if change["do"] == "model":
            self.models[group] = Model(change["kind"])
            self.current = group
        elif change["do"] == "add":
            self.models[group].points += [Point(x, y, z, role) for x, y, z, role in change["points"]]
        elif change["do"] == "remove":
            gone = set(change["indices"])
            self.models[group].points = [p for k, p in enumerate(self.models[group].points) if k not in gone]
        else:
            raise KeyError(change["do"])

    def _rebuild(self) -> None:
        current = self.current
        self.models = {}
        self.current = 0
        for change in self._done:
            self._apply(change)
        if current in self.models:
            self.current = current

    def _write(self, change: dict[str, Any]) -> None:
        with self.journal.open("a", encoding="utf8") as stream:
            stream.write(json.dumps(change) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _replay(self) -> None:
        raw = self.journal.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):  # the picker was killed in the middle of writing its last line
            self.journal.write_bytes(whole)
        for n, line in enumerate(whole.decode("utf8", errors="replace").split("\n"), 1):
            if not line:
                continue
            try:
                self._follow(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError):
                raise FormatError(self.journal, "not a change of a picking session.", n) from None

    def _follow(self, change: dict[str, Any]) -> None:
        if change["do"] == "undo":
            self._undone.append(self._done.pop())
            self._rebuild()
        elif change["do"] == "redo":
            self._done.append(self._undone.pop())
            self._rebuild()
        else:
            self._apply(change)
            self._done.append(change)
            self._undone.clear()
