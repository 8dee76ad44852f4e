"""The coordinates that picking on a micrograph began with, watched for a run that picks again."""

import contextlib
from typing import Any

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.picking_run import PickingRun


class PreviousPicks:
    """The previous coordinates of one micrograph, as they are on disk now.

    Parameters
    ----------
    run : PickingRun
    name : str
        Of the micrograph.
    """

    def __init__(self, run: PickingRun, name: str) -> None:
        self.run, self.name = run, name
        self.stamp = run.previous_stamp()
        self._loaded: list[list[Any]] = []
        if self.known:
            with contextlib.suppress(EmtomoError):  # said when they are asked for
                self.read()

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self.run.coordinates is not None

    def has_changed(self) -> bool:
        """Return whether they were written anew since this was asked last."""
        before, self.stamp = self.stamp, self.run.previous_stamp()
        return self.stamp is not None and self.stamp != before

    def read(self) -> list[list[Any]]:
        """Return x, y, z, role and score of every point now; raise what :meth:`.PickingRun.reload` does."""
        self._loaded = self.run.reload(self.name)
        return self._loaded

    def are_unchanged(self, session: PickingSession) -> bool:
        """Return whether a session has just the points that were read last: nothing was changed by hand."""
        here = np.array([[p.x, p.y] for model in session.models.values() for p in model.points]).reshape(-1, 2)
        there = np.array([row[:2] for row in self._loaded]).reshape(-1, 2)
        return here.shape == there.shape and bool(np.allclose(here, there, atol=1e-3))
