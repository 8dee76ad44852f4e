"""The picking of one run: a journal for each tomogram, kept in the project until the run is deleted.

The window and the protocol meet in files alone: the picker writes journals under ``Picking/RUN/``; what is registered
is a CSV that ``pick-vectorial`` or ``pick-manually`` reads like one that a user wrote.
"""

import json
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from emtomo.compute.geometry.models import MODELS
from emtomo.compute.positions import from_voxels, to_voxels
from emtomo.engine.launcher import is_alive
from emtomo.engine.state import write_json
from emtomo.errors import EmtomoError
from emtomo.gui.core.picking import PickingSession
from emtomo.objects import (
    SetOfCoordinates2D,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfMicrographs,
    SetOfTomograms,
    positions_of,
)
from emtomo.objects.micrograph_slices import MicrographSlices, SlicePicks

FOLDER = "Picking"
LOCK = "open.json"
BOX = "box.json"
PARTICLES = ("particles",)
MOST_SAVES = 9  # that pick-manually registers
REFERENCES = ("positive", "negative", "particles")
KINDS = {"models": MODELS, "particles": PARTICLES, "references": REFERENCES}
# to do red, done green, always with word and icon; "picking" while its window is open
STATUS = {"to do": ("○", "danger"), "done": ("✓", "success"), "picking": ("✎", "info")}


@dataclass(frozen=True)
class Row:
    """One tomogram in the dialog."""

    tomogram_id: str
    count: int
    status: str
    size: str


class PickingRun:
    """All journals of one interactive run.

    Parameters
    ----------
    project : Path
    run : int
    tomograms : SetOfTomograms or SetOfMicrographs
        Micrographs are tomograms of one slice.
    kind : {"models", "particles", "references"}
    previous : SetOfMeshes, SetOfCoordinates3D or SetOfCoordinates2D, optional
        What a tomogram without a journal starts from.
    box_size : int
        Voxels, of the run; a window that changes it calls :meth:`set_box`.
    """

    def __init__(
        self,
        project: Path,
        run: int,
        tomograms: SetOfTomograms | SetOfMicrographs,
        kind: str,
        previous: SetOfMeshes | SetOfCoordinates3D | SetOfCoordinates2D | None = None,
        box_size: int = 0,
    ) -> None:
        self.folder = project / FOLDER / str(run)
        self.project, self.run, self.kind = project, run, kind
        self.source = tomograms
        self.flat = MicrographSlices(tomograms) if isinstance(tomograms, SetOfMicrographs) else None
        self.tomograms = tomograms.frame() if self.flat is None else self.flat.frame()
        self.pixel_size = float(tomograms.pixel_size.get())
        self.white = bool(tomograms.white.get())
        self.coordinates = previous
        self.previous: Any = previous
        if self.flat is not None and isinstance(previous, SetOfCoordinates2D):
            self.previous = SlicePicks(previous, self.flat)
        self.sessions: dict[str, PickingSession] = {}
        self._reading = threading.Lock()
        self.open: set[str] = set()
        self._registered_box = box_size
        self.box_size = self._kept_box() or box_size

    def _kept_box(self) -> int:
        try:
            return int(json.loads((self.folder / BOX).read_text(encoding="utf8"))["box_size"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def set_box(self, box_size: int) -> None:
        """Change the box size, voxels; it is registered with the points."""
        self.box_size = box_size
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / BOX, {"box_size": box_size})

    def lock(self) -> None:
        """Take the points for this process: two pickers would write over each other.

        A lock whose process has ended, however it ended, is taken over.

        Raises
        ------
        EmtomoError
            If another window that lives has them.
        """
        path = self.folder / LOCK
        try:
            stored = json.loads(path.read_text(encoding="utf8"))
            pid, host = int(stored["pid"]), str(stored["host"])
        except (OSError, ValueError, KeyError, TypeError):
            pid, host = 0, ""
        here = platform.node()
        if pid and host != here:
            raise EmtomoError(
                f"Run {self.run} is being picked on {host} (process {pid}); close that window, or, if it is gone, "
                f"delete {path}."
            )
        if pid and pid != os.getpid() and is_alive(pid):
            raise EmtomoError(f"Run {self.run} is being picked in another window (process {pid}); close that first.")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"pid": os.getpid(), "host": here})

    def unlock(self) -> None:
        """Give the points back."""
        (self.folder / LOCK).unlink(missing_ok=True)

    @property
    def names(self) -> list[str]:
        """The tomograms, in the order of their set."""
        return list(self.tomograms["tomogram_id"])

    def file(self, tomogram_id: str) -> Path:
        """Return the volume of a tomogram."""
        row = self.tomograms[self.tomograms["tomogram_id"] == tomogram_id].iloc[0]
        return self.project / str(row["file"])

    def shape(self, tomogram_id: str) -> tuple[int, int, int]:
        """Return z, y, x voxels of a tomogram."""
        row = self.tomograms[self.tomograms["tomogram_id"] == tomogram_id].iloc[0]
        return int(row["size_z"]), int(row["size_y"]), int(row["size_x"])

    def session(self, tomogram_id: str) -> PickingSession:
        """Return the session of a tomogram; a new one starts from the previous points, as one that is saved.

        Any thread may be the first to ask for it.
        """
        with self._reading:
            if tomogram_id not in self.sessions:
                journal = self.folder / f"{quote(tomogram_id, safe=' ')}.jsonl"
                fresh = not journal.exists()
                made = PickingSession(tomogram_id, journal, KINDS[self.kind], self.project)
                if fresh and self.previous is not None:
                    with made.one_write():
                        self._seed(made)
                self.sessions[tomogram_id] = made
            return self.sessions[tomogram_id]

    def _seed(self, session: PickingSession) -> None:
        assert self.previous is not None
        frame = self.previous.frame(tomogram_id=session.tomogram_id)
        if not len(frame):
            return
        voxels = to_voxels(positions_of(frame), self.shape(session.tomogram_id), self.pixel_size)
        scores = frame["score"].to_numpy(float) if "score" in frame else np.zeros(len(frame))
        roles = frame["role"].to_numpy(object) if "role" in frame else np.full(len(frame), "point", object)
        for group, rows in frame.reset_index(drop=True).groupby("group", sort=True):
            kind = str(rows["model"].iloc[0]) if "model" in rows else KINDS[self.kind][0]
            number = session.new_model(kind, int(str(group)))
            index = rows.index.to_numpy()
            stored = zip(voxels[index], roles[index], scores[index], strict=True)
            if "set_name" in rows and rows["set_name"].iloc[0]:
                session.name_model(number, str(rows["set_name"].iloc[0]))
            session.add_many(number, [[*map(float, p[::-1]), str(r), float(s)] for p, r, s in stored])
        session.mark_saved()

    def previous_stamp(self) -> tuple[int, int] | None:
        """Return when the previous coordinates were written (ns), and their bytes; None where there are none."""
        if self.coordinates is None:
            return None
        try:
            found = Path(self.coordinates.getFileName()).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def reload(self, tomogram_id: str) -> list[list[Any]]:
        """Return the points that a tomogram's previous coordinates have on disk now: x, y, z, role and score.

        Raises
        ------
        EmtomoError
            If the run was given none, or their file cannot be read.
        """
        if self.coordinates is None:
            raise EmtomoError("This run has no previous coordinates to be loaded again.")
        fresh: Any = type(self.coordinates).open(self.coordinates.getFileName())
        if self.flat is not None:
            fresh = SlicePicks(fresh, self.flat)
        frame = fresh.frame(tomogram_id=tomogram_id)
        voxels = to_voxels(positions_of(frame), self.shape(tomogram_id), self.pixel_size)[:, ::-1]
        scores = frame["score"].to_numpy(float)
        return [[*map(float, p), "point", float(s)] for p, s in zip(voxels, scores, strict=True)]

    def row(self, tomogram_id: str) -> Row:
        """Return what the dialog shows of a tomogram."""
        session = self.session(tomogram_id)
        status = "picking" if tomogram_id in self.open else "done" if session.count else "to do"
        return Row(tomogram_id, session.count, status, " × ".join(str(n) for n in self.shape(tomogram_id)[::-1]))

    def rows(self) -> list[Row]:
        """Return all tomograms."""
        return [self.row(name) for name in self.names]

    @property
    def unsaved(self) -> bool:
        """Whether points or box size are not registered as they are now."""
        changed_box = self.box_size != self._registered_box
        return changed_box or any(session.unsaved for session in list(self.sessions.values()))

    # --- what is registered ---

    def frame(self) -> pd.DataFrame:
        """Return all points of all tomograms in 0-based voxels, with group, kind, role, score and any names."""
        rows = [
            (name, group, model.kind, p.role, p.x, p.y, p.z, p.score, model.name)
            for name in self.names
            for group, model in self.session(name).models.items()
            for p in model.points
        ]
        columns = ["tomogram_id", "group", "model", "role", "x", "y", "z", "score", "set_name"]
        found = pd.DataFrame(rows, columns=columns)
        return found if found["set_name"].any() else found.drop(columns="set_name")

    def export(self) -> dict[str, str]:
        """Write the points as the files that the protocol reads, and mark all as saved.

        Returns
        -------
        dict
            The protocol's parameters. Every export of particles is a file of its own in one folder, which makes
            numbered outputs; the last of them is written again.

        Raises
        ------
        EmtomoError
            If there is no point.
        """
        frame = self.frame()
        picked = frame[frame["model"] == "particles"] if self.kind == "references" else frame
        if not len(picked):
            raise EmtomoError("Nothing was picked: there is no point to register.")
        if self.kind == "models":
            path = self.folder / "points.csv"
            write_table(frame.drop(columns="score"), path)
            values = {"points": str(path), "unit": "voxel", "replace_previous": "yes"}
        elif self.kind == "particles":
            folder = self.folder / "saves"
            number = min(len(list(folder.glob("save_*.csv"))) + 1, MOST_SAVES)
            write_table(picked.drop(columns=["model", "role"]), folder / f"save_{number:03d}.csv")
            values = {"points": str(folder), "unit": "voxel", "replace_previous": "yes"}
        else:
            path = self.folder / "picks.csv"
            write_table(self.in_angstrom(picked).drop(columns=["model", "role"]), path)
            values = {"picks": str(path), **self.references()}
        for session in list(self.sessions.values()):
            session.mark_saved()
        if self.box_size and self.box_size != self._registered_box:
            values["box_size"] = str(self.box_size)
            self._registered_box = self.box_size
        (self.folder / BOX).unlink(missing_ok=True)
        return values

    def references(self) -> dict[str, str]:
        """Write the references of a network and return the parameters that name them and the network."""
        frame = self.in_angstrom(self.frame())
        values = {}
        kept = frame[frame["model"].isin(["positive", "negative"])]
        if len(kept):
            path = self.folder / "references.csv"
            write_table(kept.rename(columns={"model": "label"})[["tomogram_id", "x", "y", "z", "label"]], path)
            values["references"] = str(path)
        network = self.folder / "network.safetensors"
        if network.exists():
            values["network"] = str(network)
        return values

    def in_angstrom(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return points of the sessions in Å from their tomograms' centres."""
        out = frame.copy()
        for name in frame["tomogram_id"].unique():
            mine = (frame["tomogram_id"] == name).to_numpy()
            voxels = frame.loc[mine, ["z", "y", "x"]].to_numpy(float)
            out.loc[mine, ["x", "y", "z"]] = from_voxels(voxels, self.shape(str(name)), self.pixel_size)
        return out


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    frame.to_csv(part, index=False, float_format="%.4f")
    part.replace(path)
