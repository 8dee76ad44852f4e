"""Scores of all peaks of a search, and which of them a threshold takes, without a window."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.compute.picking.choice import choose_templates
from emtomo.compute.picking.options import TemplateChoice
from emtomo.objects.micrograph_picks import SearchNotes, read_all_peaks, read_notes

BINS = 60


@dataclass(frozen=True)
class ScoreTable:
    """Peaks that are far enough from each other, of every micrograph of a search.

    Attributes
    ----------
    notes : SearchNotes
    places : dict of str to (n, 2) array
        y, x in pixels of the micrograph, the best first.
    scores : dict of str to (n,) array
    """

    notes: SearchNotes
    places: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path) -> "ScoreTable | None":
        """Return the peaks of a run's folder; None where it kept none.

        Raises
        ------
        EmtomoError
            If those of a micrograph are missing.
        """
        notes = read_notes(folder / "extra")
        if notes is None:
            return None
        found, _ = read_all_peaks(folder / "extra", notes.micrographs)
        every = TemplateChoice(threshold=-np.inf)
        choice = choose_templates(found, notes.pixel_size, notes.distance, every, notes.upper)
        pairs = list(zip(notes.micrographs, choice.peaks, strict=True))
        return cls(notes, {n: p.positions for n, p in pairs}, {n: p.scores for n, p in pairs})

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return counts in `BINS` bins of score, and the edges of the bins."""
        values = np.concatenate([*self.scores.values(), np.zeros(0)])
        if not len(values):
            return np.zeros(BINS, int), np.linspace(0, 1, BINS + 1)
        low, high = float(values.min()), float(values.max())
        return np.histogram(values, BINS, (low, max(high, low + 1e-6)))

    def above(self, micrograph_id: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the places and scores of the peaks of a micrograph with at least a score."""
        scores = self.scores.get(micrograph_id, np.zeros(0))
        count = int((scores >= threshold).sum())  # they are sorted
        return self.places.get(micrograph_id, np.zeros((0, 2)))[:count], scores[:count]

    def count(self, threshold: float) -> int:
        """Return how many peaks of all micrographs have at least a score."""
        return sum(int((scores >= threshold).sum()) for scores in self.scores.values())


def score_colours(scores: np.ndarray, low: float, high: float) -> list[str]:
    """Return colours from red (low) over white to blue (high), as ``#rrggbb``."""
    share = np.clip((np.asarray(scores, float) - low) / max(high - low, 1e-9), 0, 1)
    red, blue = np.array([230.0, 60, 50]), np.array([60.0, 110, 255])
    white = np.array([235.0, 235, 235])
    near = np.where(share[:, None] < 0.5, red, blue)
    colours = near + (white - near) * (1 - np.abs(2 * share - 1))[:, None]
    return [f"#{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b in colours]
