"""What a file is, known by its content: a project that was moved or copied has files of other times, no others."""

import hashlib
import os
from pathlib import Path

CHUNK = 1 << 22
# absolute path → size, time in ns, digest: read once in this process as long as the file stays as it is
_seen: dict[str, tuple[int, int, str]] = {}


def content_digest(path: str | Path, noted: dict[str, list[int | str]] | None = None) -> str:
    """Return a digest of a file's content; ``""`` where there is no file.

    Parameters
    ----------
    path : str or Path
    noted : dict, optional
        Size, time (ns) and digest of files as :func:`note` returned them. A file whose size and time are still those is
        not read again.
    """
    try:
        now = Path(path).stat()
    except OSError:
        return ""
    stamp = now.st_size, now.st_mtime_ns
    key = os.path.normpath(Path(path).absolute())
    for known in (_seen.get(key), (noted or {}).get(str(path))):
        if known is not None and (known[0], known[1]) == stamp:
            return str(known[2])
    digest = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    found = digest.hexdigest()
    after = Path(path).stat()
    if (after.st_size, after.st_mtime_ns) == stamp:  # nobody wrote to it meanwhile
        _seen[key] = (*stamp, found)
    return found


def note(paths: list[str]) -> dict[str, list[int | str]]:
    """Return size, time (ns) and digest of every file in `paths` that is there."""
    found: dict[str, list[int | str]] = {}
    for path in paths:
        digest = content_digest(path)
        if digest:
            now = Path(path).stat()
            found[path] = [now.st_size, now.st_mtime_ns, digest]
    return found


def name_time_size(file: str) -> list[str | int]:
    """Return name, time and size of a file, as an older emtomo kept them."""
    now = Path(file).stat() if file and Path(file).exists() else None
    return [file, now.st_mtime_ns if now else 0, now.st_size if now else 0]


def files_in(path: str | None) -> list[str]:
    """Return a file that is there, or the files in a folder."""
    here = Path(path) if path else None
    if here is None or not here.exists():
        return []
    files = sorted(here.iterdir()) if here.is_dir() else [here]
    return [str(file) for file in files if file.is_file()]


def path_in_project(project: str | Path, path: str | Path) -> str:
    """Return how a project keeps the name of a file: relative to its own folder where the file lies in it.

    A project that is moved or copied then goes on with its own files.
    """
    place, folder = (os.path.normpath(Path(p).absolute()) for p in (path, project))
    for one, other in ((place, folder), (os.path.realpath(place), os.path.realpath(folder))):
        if one.startswith(other + os.sep):
            return os.path.relpath(one, other)
    return place
