"""Clicks that bring a window to the front: they do nothing else, since nobody aims at what is not seen."""

import time
from collections.abc import Callable

SAME_CLICK = 0.25  # s between a window's coming to the front and the press that brought it there

Box = tuple[int, int, int, int]


def overlap(one: Box, other: Box) -> bool:
    """Return whether two rectangles (x, y, width, height) have pixels in common."""
    return all(one[k] < other[k] + other[k + 2] and other[k] < one[k] + one[k + 2] for k in (0, 1))


class RaisingClick:
    """Tells the press that raises a window from those that follow.

    A window manager raises the window first and hands the press on, so that the window is in front already when it
    hears of it. One that raises nothing on a click gets one press a time that the window is covered: the caller then
    raises it.

    Parameters
    ----------
    clock : callable
        Seconds.

    Attributes
    ----------
    opened : bool
        Whether the window has been in front since it was made.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._covered, self._answered, self._uncovered = False, False, -1e9
        self.opened = False  # it has been in front: a new window comes there by itself, not by a press

    def look(self, covered: bool, *, closed: bool = False) -> None:
        """Take note of whether other windows cover this one now; `closed`: one of them has just been closed."""
        if self._covered and not covered:
            self._uncovered = -1e9 if closed or not self.opened else self._clock()
            self._answered = False
        self._covered = covered
        self.opened |= not covered

    def only_raises(self) -> bool:
        """Return whether a press that has just come only brings the window to the front."""
        if self._covered:
            first, self._answered = not self._answered, True
            return first
        self.opened = True
        recent = self._clock() - self._uncovered < SAME_CLICK
        self._uncovered = -1e9  # the next press is meant
        return recent
