"""The fields of a result in a window."""

from typing import Any

from emtomo.gui.core.shown import Shown
from emtomo.gui.tk.dialogs import Rows


def open_fields(master: Any, shown: Shown) -> Rows:
    """Show name, value, unit and meaning of every field of a result."""
    values = shown.value.values()
    rows = [(f.name, _text(values[f.name]), f.unit, f.meaning) for f in shown.value.FIELDS]
    return Rows(master, f"{shown.title} – emtomo", rows, ("Field", "Value", "Unit", "What it is"))


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
