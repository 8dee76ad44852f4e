"""Which emtomo carried out a run: a resumed one keeps what another version has finished."""

import hashlib
import time
from functools import cache
from pathlib import Path
from typing import Any

from emtomo.version import __version__

SOURCE = Path(__file__).parent.parent
NO_RESULTS = {"cli", "gui", "viewers"}  # packages that change nothing of what a run computes


@cache
def source_digest(source: Path = SOURCE) -> str:
    """Return a digest of the package's source: the version stays the same between two releases, results may not.

    It is that of the code that this process has loaded, if it is asked for before the files change.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(source.rglob("*.py")):
        place = path.relative_to(source)
        if place.parts[0] not in NO_RESULTS:
            digest.update(f"{place.as_posix()}\n{path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def codes_after(known: Any, *, kept: bool, complete: bool) -> list[dict[str, str]]:
    """Return the versions that a run's results come from, once this process goes on with it.

    Parameters
    ----------
    known : list of dict
        What was returned when the run was started before; anything else is a run of an emtomo that recorded none.
    kept : bool
        Something that was finished before stays.
    complete : bool
        All was finished before: this version adds nothing.

    Returns
    -------
    list of dict
        ``emtomo`` (version), ``source`` (digest) and ``since`` (local time) of each, in their order.
    """
    now = {"emtomo": __version__, "source": source_digest(), "since": time.strftime("%Y-%m-%d %H:%M")}
    if not kept:
        return [now]
    rows = known if isinstance(known, list) else []
    before = [{key: str(row.get(key, ""))[:40] for key in now} for row in rows if isinstance(row, dict)]
    before = before or [dict.fromkeys(now, "")]
    same = all(before[-1][key] == now[key] for key in ("emtomo", "source"))
    return before if complete or same else [*before, now]


def code_remarks(codes: list[dict[str, str]]) -> list[str]:
    """Return a sentence where a run's results come from more than one version."""
    if len(codes) < 2:
        return []
    texts = [
        f"{code['emtomo']} (source {code['source']}, from {code['since']})" if code["emtomo"] else "one not recorded"
        for code in codes
    ]
    return [
        f"This run was carried out with {len(codes)} versions of emtomo, one after the other: {', then '.join(texts)}. "
        "What an earlier one had finished was kept; a restart makes all of it with one version."
    ]
