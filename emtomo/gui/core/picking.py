"""The points that a user picks: models in groups, unlimited undo, a journal that survives a crash.

Every change is one line of JSON in the journal before it is shown; a picker
that was killed after twenty clicks finds all twenty when it is opened again.
"""

import hashlib
import json
import os
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.geometry.models import MODELS, ROLES
from emtomo.compute.tracking import TrackOptions, track_membrane
from emtomo.errors import EmtomoError, FormatError

_disk = ThreadPoolExecutor(1, "journal")  # what it does to one file it does in order
COLUMNS = ["tomogram_id", "group", "model", "role", "x", "y", "z"]


@dataclass(frozen=True)
class Point:
    """One picked point: x, y, z in 0-based voxels of the tomogram that is shown; score where a program found it."""

    x: float
    y: float
    z: float
    role: str = "point"
    score: float = 0.0


@dataclass
class Model:
    """One group of points."""

    kind: str
    points: list[Point] = field(default_factory=list)
    name: str = ""


class PickingSession:
    """The models of one tomogram, as a user edits them.

    Parameters
    ----------
    tomogram_id : str
    journal : Path
        Written after every change; read when it exists.
    kinds : tuple of str
        The kinds of models that there are.
    within : Path, optional
        The project's folder; it is never made anew.
    repair : bool
        Cut off half a line at the end of the journal; not where it is only looked at.

    Raises
    ------
    FormatError
        If the journal holds something else than changes.
    """

    def __init__(
        self,
        tomogram_id: str,
        journal: Path,
        kinds: tuple[str, ...] = MODELS,
        within: Path | None = None,
        *,
        repair: bool = True,
    ) -> None:
        self.tomogram_id, self.within = tomogram_id, within
        self.journal = journal
        self.kinds = kinds
        self.models: dict[int, Model] = {}
        self.current = 0
        self._done: list[dict[str, Any]] = []
        self._undone: list[dict[str, Any]] = []
        self._held: list[str] | None = None
        self._file: int | None = None
        self._synced: Future[None] | None = None
        self._saved = self.digest()
        if journal.exists():
            self._replay(repair)

    # --- changes ---

    def new_model(self, kind: str, group: int = 0) -> int:
        """Start a model and make it the current one; its group is higher than any that is there or can be redone.

        Parameters
        ----------
        kind : str
        group : int
            Take this number instead, if it is free.
        """
        if kind not in self.kinds:
            raise EmtomoError(f"There is no model {kind!r}; the models are {', '.join(self.kinds)}.")
        used = {change["group"] for change in (*self._done, *self._undone) if change["do"] == "model"}
        if not group or group in used:
            group = max(used, default=0) + 1
        self._change({"do": "model", "group": group, "kind": kind})
        return group

    def drop_model(self, group: int) -> None:
        """Remove a model with its points."""
        if group not in self.models:
            raise EmtomoError(f"There is no model {group}.")
        self._change({"do": "drop", "group": group})

    def set_kind(self, group: int, kind: str) -> None:
        """Make a model one of another kind; its points stay."""
        if kind not in self.kinds:
            raise EmtomoError(f"There is no model {kind!r}; the models are {', '.join(self.kinds)}.")
        if self.models[group].kind != kind:
            self._change({"do": "kind", "group": group, "kind": kind})

    def name_model(self, group: int, name: str) -> None:
        """Give a model a name of the user's."""
        if self.models[group].name != name:
            self._change({"do": "name", "group": group, "name": name})

    def add(self, x: float, y: float, z: float, role: str = "point") -> None:
        """Add a point to the current model."""
        if self.current not in self.models:
            raise EmtomoError("Start a model before picking points.")
        if role not in ROLES:
            raise EmtomoError(f"The role must be one of {', '.join(ROLES)}, got {role!r}.")
        self._change({"do": "add", "group": self.current, "points": [[float(x), float(y), float(z), role]]})

    def replace_all(self, group: int, points: list[list[Any]]) -> None:
        """Put other points (x, y, z, role, score) in the place of a model's, as one change."""
        self._change({"do": "set", "group": group, "points": points})

    def remove_many(self, points: list[tuple[int, int]]) -> None:
        """Remove points (group, index) as one change."""
        by_group: dict[int, list[int]] = {}
        for group, index in points:
            by_group.setdefault(group, []).append(index)
        if by_group:
            self._change(
                {"do": "erase", "group": next(iter(by_group)), "points": [[g, i] for g, i in by_group.items()]}
            )

    def add_many(self, group: int, points: list[list[Any]]) -> None:
        """Add points (x, y, z, role and, if it has one, score) to a model as one change."""
        if points:
            self._change({"do": "add", "group": group, "points": points})

    def move(self, group: int, index: int, x: float, y: float, z: float) -> None:
        """Move one point."""
        self._change({"do": "move", "group": group, "index": index, "to": [float(x), float(y), float(z)]})

    def remove(self, group: int, index: int) -> None:
        """Remove one point."""
        self._remove(group, [index])

    def remove_last(self) -> None:
        """Remove the last point of the current model, if it has any."""
        points = self.models[self.current].points if self.current in self.models else []
        if points:
            self._remove(self.current, [len(points) - 1])

    def select(self, group: int) -> None:
        """Make `group` the current model."""
        if group not in self.models:
            raise EmtomoError(f"There is no model {group}.")
        self.current = group

    def track(self, volume: np.ndarray, slices: list[int], options: TrackOptions | None = None) -> int:
        """Follow the current model's membrane into `slices`; return how many points were added."""
        here = self.models.get(self.current)
        points = [p for p in here.points if p.role == "point"] if here else []
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
        self._write({"do": "undo"})
        self._undone.append(self._done.pop())
        self._rebuild()
        return True

    def redo(self) -> bool:
        """Do again what was undone last; return whether there was anything."""
        if not self._undone:
            return False
        self._write({"do": "redo"})
        self._done.append(self._undone.pop())
        self._rebuild()
        return True

    @property
    def changed(self) -> bool:
        """Whether there is anything to register."""
        return self.count > 0

    @property
    def count(self) -> int:
        """Number of points."""
        return sum(len(model.points) for model in self.models.values())

    @property
    def unsaved(self) -> bool:
        """Whether the points are no longer those that were registered last."""
        return self.digest() != self._saved

    def mark_saved(self) -> None:
        """Note that the points as they are now were registered."""
        self._saved = self.digest()
        self._write({"do": "saved", "digest": self._saved})

    def digest(self) -> str:
        """Return a short text that differs when the points do."""
        message = [
            [g, m.kind, *([m.name] if m.name else []), [[p.x, p.y, p.z, p.role] for p in m.points]]
            for g, m in self.models.items()
            if m.points
        ]
        return hashlib.sha256(json.dumps(message).encode()).hexdigest()[:16]

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
            self.models[group].points += [Point(*row) for row in change["points"]]
        elif change["do"] == "set":
            self.models[group].points = [Point(*row) for row in change["points"]]
        elif change["do"] == "remove":
            self._take_out(group, change["indices"])
        elif change["do"] == "erase":
            for one, indices in change["points"]:
                self._take_out(one, indices)
        elif change["do"] == "move":
            x, y, z = change["to"]
            points = self.models[group].points
            points[change["index"]] = replace(points[change["index"]], x=x, y=y, z=z)
        elif change["do"] == "drop":
            del self.models[group]
            self.current = self.current if self.current in self.models else max(self.models, default=0)
        elif change["do"] == "kind":
            self.models[group].kind = change["kind"]
        elif change["do"] == "name":
            self.models[group].name = change["name"]
        else:
            raise KeyError(change["do"])

    def _take_out(self, group: int, indices: list[int]) -> None:
        gone = set(indices)
        self.models[group].points = [p for k, p in enumerate(self.models[group].points) if k not in gone]

    def _rebuild(self) -> None:
        current = self.current
        self.models = {}
        self.current = 0
        for change in self._done:
            self._apply(change)
        if current in self.models:
            self.current = current

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Write the changes that are made inside at once: a picker that is killed has all of them, or none."""
        self._held = []
        try:
            yield
            lines, self._held = self._held, None
            self._append(lines)
        finally:
            self._held = None

    def _write(self, change: dict[str, Any]) -> None:
        if self._held is not None:
            self._held.append(json.dumps(change))
        else:
            self._append([json.dumps(change)])

    def _append(self, lines: list[str]) -> None:
        # the kernel has the lines before this returns, so that a killed picker loses nothing; the disk, which may be
        # slow, is waited for in a thread, and an error is reported at the next change
        if self._synced is not None and self._synced.done():
            synced, self._synced = self._synced, None  # reported once: the next change is tried again
            synced.result()
        if self._file is not None and not os.fstat(self._file).st_nlink:
            self._file = None  # somebody removed the journal: it begins anew, with all that was done and undone
            changes = [*self._done, *reversed(self._undone), *[{"do": "undo"}] * len(self._undone)]
            lines = [*map(json.dumps, changes), *lines]
        file, before = self._opened()
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            while data:
                data = data[os.write(file, data) :]
        except OSError:
            os.ftruncate(file, before)  # no half line, which would spoil the next
            raise
        self._synced = _disk.submit(os.fsync, file)

    def _opened(self) -> tuple[int, int]:
        """Return the open journal and its length; it stays open, since a slow disk takes long to open a file."""
        if self._file is None:
            if self.within is not None and not self.within.is_dir():
                raise EmtomoError(f"The project folder {self.within} is gone: this change is not kept. Find it first.")
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            weakref.finalize(self, _disk.submit, os.close, self._file).atexit = False
        return self._file, os.fstat(self._file).st_size

    def _replay(self, repair: bool) -> None:
        raw = self.journal.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if repair and len(whole) < len(raw):  # the picker was killed in the middle of writing its last line
            self.journal.write_bytes(whole)
        for n, line in enumerate(whole.decode("utf8", errors="replace").split("\n"), 1):
            if not line:
                continue
            try:
                self._follow(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError):
                raise FormatError(self.journal, "not a change of a picking session.", n) from None

    def _follow(self, change: dict[str, Any]) -> None:
        if change["do"] == "saved":
            self._saved = str(change["digest"])
        elif change["do"] == "undo":
            self._undone.append(self._done.pop())
            self._rebuild()
        elif change["do"] == "redo":
            self._done.append(self._undone.pop())
            self._rebuild()
        else:
            self._apply(change)
            self._done.append(change)
            self._undone.clear()
