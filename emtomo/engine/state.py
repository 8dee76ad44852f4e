"""Small files of state in a run's folder: written whole or not at all, and read whatever they hold."""

import json
import os
from pathlib import Path
from typing import Any

from emtomo.engine.run_folder import is_own_file


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write `value` under a temporary name, then rename it to `path`; on a full disk what was there stays.

    Parameters
    ----------
    path : Path
    value : what JSON can hold
    sync : bool
        Wait until the disk has it: some say only then that they are full.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # a link would be followed
    try:
        with part.open("w", encoding="utf8") as stream:
            json.dump(value, stream, ensure_ascii=False)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_json(path: Path, default: dict[str, Any] | list[Any]) -> Any:
    """Return what a file of state holds; `default` if it is missing, damaged, no plain file or of another type."""
    try:
        value = json.loads(path.read_text(encoding="utf8")) if is_own_file(path) else default
    except (OSError, ValueError, RecursionError):
        return default
    return value if isinstance(value, type(default)) else default


def process_in(path: Path) -> dict[str, Any]:
    """Return number, start and host of the process that a file of state names; empty where it names none."""
    found = read_json(path, {})
    good = type(found.get("pid")) is int and isinstance(found.get("started"), int | float) and "host" in found
    return found if good else {}
