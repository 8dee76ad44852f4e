"""What the windows remember of this user: theme, sizes, recent projects. Losing it costs nothing."""

import json
import os
from pathlib import Path
from typing import Any

from emtomo.engine.environment import user_folder

MOST_RECENT = 12
FILE = "windows.json"


class Settings:
    """A small dictionary that is written, whole, whenever it changes.

    Parameters
    ----------
    path : Path, optional
        ``windows.json`` in the user's folder by default. A damaged file counts as empty.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_folder() / FILE
        try:
            stored = json.loads(self.path.read_text(encoding="utf8"))
        except (OSError, ValueError):
            stored = {}
        self._values: dict[str, Any] = stored if isinstance(stored, dict) else {}

    def get(self, name: str, otherwise: Any) -> Any:
        """Return the value `name`, or `otherwise` if there is none of that type."""
        value = self._values.get(name, otherwise)
        return value if isinstance(value, type(otherwise)) else otherwise

    def put(self, name: str, value: Any) -> None:
        """Remember a value; a folder that cannot be written is passed over."""
        if self._values.get(name) == value:
            return
        self._values[name] = value
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
            part.write_text(json.dumps(self._values, indent=1), encoding="utf8")
            part.replace(self.path)
        except OSError:
            return

    def recent(self) -> list[str]:
        """Return the projects opened last that are still there, newest first."""
        return [p for p in self.get("recent", []) if isinstance(p, str) and Path(p).is_dir()]

    def remember(self, project: str) -> None:
        """Note that `project` was opened."""
        self.put("recent", [project, *(p for p in self.recent() if p != project)][:MOST_RECENT])


def scaling(xdpi: float, resources_dpi: float | None) -> float:
    """Return the factor for the windows, 1.0 at 96 dots per inch.

    ``EMTOMO_SCALE`` (a number, or per cent) comes first, then the desktop's ``Xft.dpi``, then the size that the
    screen says it has; what a screen says is trusted only between 100 and 300 %.
    """
    stored = os.environ.get("EMTOMO_SCALE", "").strip().rstrip("%")
    try:
        wanted = float(stored)
    except ValueError:
        wanted = 0.0
    if wanted > 0:
        wanted = wanted / 100 if wanted > 10 else wanted
        return min(max(wanted, 0.5), 4.0)
    if resources_dpi:
        return min(max(resources_dpi / 96, 1.0), 4.0)
    guess = xdpi / 96
    return round(guess * 4) / 4 if 1.4 <= guess <= 3.0 else 1.0
