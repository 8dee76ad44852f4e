"""How many picks of a run wait in its journals to be registered."""

from pathlib import Path

from emtomo.errors import EmtomoError
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.picking_run import FOLDER, KINDS

_counts: dict[str, tuple[tuple[int, int], int]] = {}  # path → (time, size), points


def count_unregistered(project: Path, run: int, kind: str) -> int:
    """Return the points of a picking run whose tomograms changed since they were registered; files are only read."""
    folder = project / FOLDER / str(run)
    if not folder.is_dir():
        return 0
    total = 0
    for path in sorted(folder.glob("*.jsonl")):
        try:
            now = path.stat()
            stamp = now.st_mtime_ns, now.st_size
            known = _counts.get(str(path))
            if known is None or known[0] != stamp:
                session = PickingSession(path.stem, path, KINDS[kind], repair=False)
                known = _counts[str(path)] = stamp, session.count if session.unsaved else 0
        except (OSError, EmtomoError):
            continue
        total += known[1]
    return total
