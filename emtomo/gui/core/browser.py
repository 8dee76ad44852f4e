"""What the particle browser shows and what is selected in it: one model that its table, pictures and plots share.

Particles are rows of their set, counted from 0. A listener is called with what has changed: ``rows`` (filter or order),
``selection``, ``current`` (the particle that was clicked last) or ``colour``.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from emtomo.engine.fields import Field
from emtomo.errors import EmtomoError
from emtomo.gui.core.browser_columns import Colouring, colour_column, display_table, heading, numbers_of, units_of
from emtomo.gui.core.tables import filter_rows
from emtomo.wording import count_text, pluralize

UNDONE = 100  # changes of the selection that can be taken back


class ParticleBrowser:
    """Particles of one set: shown rows, their order, selection, colours.

    Parameters
    ----------
    frame : DataFrame
        All columns of the set, one row a particle.
    fields : sequence of Field
        Of its items, for units.
    noun : str
        What one item is called.
    progress : callable, optional
        Called with the share of the rotations that were converted to angles.

    Attributes
    ----------
    table : DataFrame
        As shown, with Euler angles; the one that conditions are about.
    rows : (m,) int array
        Those that are shown, in the order that they are shown in.
    selected : (n,) bool array
    current : int or None
    colouring : Colouring
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        fields: Sequence[Field] = (),
        noun: str = "particle",
        progress: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.table = display_table(frame, progress)
        self._numbers = {str(name): numbers_of(self.table[name]) for name in self.table.columns}
        self.units = units_of(fields, self.table)
        self.noun = noun
        count = len(self.table)
        self.rows = np.arange(count)
        self.selected = np.zeros(count, bool)
        self.current: int | None = None
        self.condition = ""
        self.order: tuple[str, bool] | None = None
        self.colour_by = ""
        self.colouring: Colouring = colour_column(None, count)
        self.listeners: list[Callable[[str], object]] = []
        self._anchor: int | None = None
        self._undo: list[np.ndarray] = []
        self._redo: list[np.ndarray] = []
        self._saved = self.selected.copy()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def columns(self) -> list[str]:
        """Names of the columns shown."""
        return [str(name) for name in self.table.columns]

    def heading(self, name: str) -> str:
        """Return a column's name with its unit."""
        return heading(name, self.units)

    def numeric_columns(self) -> list[str]:
        """Return the columns that have numbers, for plots."""
        return [name for name in self.columns if self._numbers[name] is not None]

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as numbers; "" are the places in the set."""
        if not name:
            return np.arange(len(self), dtype=float)
        values = self._numbers[name]
        return np.full(len(self), np.nan) if values is None else values

    def varies(self, name: str) -> bool:
        """Return whether there is such a column of numbers, and not all of them are the same."""
        values = self.numbers(name) if name in self.columns else np.zeros(0)
        return bool(np.ptp(values[np.isfinite(values)]) > 0) if np.isfinite(values).any() else False

    def notify(self, what: str) -> None:
        """Call the listeners."""
        for listener in list(self.listeners):
            listener(what)

    # --- what is shown ---

    def find_rows(self, condition: str, order: tuple[str, bool] | None) -> np.ndarray:
        """Return the rows that a condition holds for, in an order; to be called in a thread for large sets.

        Raises
        ------
        EmtomoError
            If the condition cannot be read.
        """
        rows = filter_rows(self.table, condition)
        if order is None:
            return rows
        name, down = order
        if name not in self.numeric_columns():
            values = np.array(["" if v is None else str(v) for v in self.table[name].iloc[rows]])
            ordered = rows[np.argsort(values, kind="stable")]
            return ordered[::-1] if down else ordered
        values = self.numbers(name)[rows]
        known = np.isfinite(values)
        keyed = np.where(known, -values if down else values, np.inf)
        return rows[np.argsort(keyed, kind="stable")]  # those without a number come last

    def show(self, condition: str = "", order: tuple[str, bool] | None = None, rows: np.ndarray | None = None) -> None:
        """Show the rows that a condition holds for; `rows` where :meth:`find_rows` has found them already."""
        found = self.find_rows(condition, order) if rows is None else rows
        self.condition, self.order, self.rows = condition, order, found
        self.notify("rows")

    def place_of(self, row: int) -> int | None:
        """Return the place of a row among those shown."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None

    def set_colour(self, name: str) -> None:
        """Colour by a column; "" for none."""
        self.colour_by = name
        self.colouring = colour_column(self.table[name] if name else None, len(self))
        self.notify("colour")

    def describe(self, row: int) -> str:
        """Return what is known of a particle in one line."""
        one, parts = self.table.iloc[row], []
        for name in self.columns:
            value = one[name]
            if name in ("file", "ctf_file", "index", "visible") or value is None or value == "":
                continue
            if isinstance(value, float | np.floating) and not np.isfinite(value):
                continue
            text = f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)
            unit = self.units.get(name, "")
            parts.append(f"{name.replace('_', ' ')} {text}{unit if unit == '°' else f' {unit}' if unit else ''}")
        return f"{row + 1}: " + ", ".join(parts)

    # --- what is selected ---

    def click(self, row: int, *, add: bool = False, extend: bool = False) -> None:
        """Make a particle the current one and select it; `add` toggles it, `extend` selects all from the last one."""
        if extend and self._anchor is not None:
            one, other = self.place_of(self._anchor), self.place_of(row)
            if one is not None and other is not None:
                low, high = sorted((one, other))
                self._change(self._mask(self.rows[low : high + 1]) | (self.selected if add else False))
        elif add:
            mask = self.selected.copy()
            mask[row] = not mask[row]
            self._anchor = row
            self._change(mask)
        else:
            self._anchor = row
            self._change(self._mask(np.array([row])))
        self.look_at(row)

    def look_at(self, row: int | None) -> None:
        """Make a particle the current one; the selection stays."""
        self.current = row
        self.notify("current")

    def select(self, rows: np.ndarray, *, add: bool = False) -> None:
        """Select these rows, besides those that are selected already if `add`."""
        mask = self._mask(rows)
        self._change(mask | self.selected if add else mask)

    def select_shown(self) -> None:
        """Select all rows that the condition holds for."""
        self.select(self.rows)

    def clear(self) -> None:
        """Select none."""
        self._change(np.zeros(len(self), bool))

    def invert(self) -> None:
        """Select the others, of the whole set."""
        self._change(~self.selected)

    def undo(self) -> bool:
        """Take the last change of the selection back; return whether there was one."""
        return self._step(self._undo, self._redo)

    def redo(self) -> bool:
        """Make the last change again that was taken back."""
        return self._step(self._redo, self._undo)

    def _step(self, source: list[np.ndarray], to: list[np.ndarray]) -> bool:
        if not source:
            return False
        to.append(np.packbits(self.selected))
        self.selected = np.unpackbits(source.pop(), count=len(self)).astype(bool)
        self.notify("selection")
        return True

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self), bool)
        mask[rows] = True
        return mask

    def _change(self, mask: np.ndarray) -> None:
        if (mask != self.selected).any():
            self._undo = [*self._undo[-UNDONE + 1 :], np.packbits(self.selected)]
            self._redo.clear()
            self.selected = mask
            self.notify("selection")

    def counts(self) -> str:
        """Return how many are shown and selected, as a sentence."""
        total, shown, chosen = len(self), len(self.rows), int(self.selected.sum())
        of = count_text(total, self.noun)
        parts = [f"{chosen} of {of} selected" if chosen else of]
        if shown < total:
            parts.append(f"{shown} shown")
            hidden = chosen - int(self.selected[self.rows].sum())
            parts += [f"{count_text(hidden, 'selected one is', 'selected ones are')} not shown"] if hidden else []
        return ", ".join(parts) + "."

    # --- what is kept ---

    @property
    def unsaved(self) -> bool:
        """Whether a part was selected since the last one was saved."""
        some = 0 < int(self.selected.sum()) < len(self)
        return some and bool((self.selected != self._saved).any())

    def take_left_out(self, *, keep_selected: bool) -> np.ndarray:
        """Return the rows to leave out of a new set, which keeps the selected ones or the others; note it as saved.

        Raises
        ------
        EmtomoError
            If nothing or everything is selected.
        """
        chosen = int(self.selected.sum())
        if not 0 < chosen < len(self):
            what = "all are selected" if chosen else "nothing is selected"
            raise EmtomoError(f"Select a part of the {pluralize(self.noun)} first: {what}.")
        self._saved = self.selected.copy()
        return np.flatnonzero(~self.selected if keep_selected else self.selected)
