"""A part of a set that somebody chose by hand, kept in a file that says which set it was chosen in."""

import hashlib
from pathlib import Path

import numpy as np

from emtomo.engine.table import TableSet
from emtomo.errors import FormatError
from emtomo.wording import count_text

HEADER = "# emtomo selection of items of the set "
# what makes an item the one that it is: a refinement gives it another pose, never another place
IDENTITY = ("tomogram_id", "micrograph_id", "group", "x", "y", "z")
DIGITS = 12  # Python reads no number of thousands of digits


def set_identity(items: TableSet) -> str:
    """Return a short text that is the same for sets of the same items in the same order.

    Items are the same if tomogram, group and picked place are; a set whose items have no place is known by all columns.
    """
    known = [field.name for field in items.ITEM_TYPE.FIELDS]
    frame = items.frame([name for name in IDENTITY if name in known] if "x" in known else known)
    digest = hashlib.blake2b(str(len(frame)).encode(), digest_size=12)
    for name in frame:
        column = frame[name]
        texts = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in column.tolist()]
        digest.update("\n".join(texts).encode())
    return digest.hexdigest()


def write_selection(path: Path, items: TableSet, ids: np.ndarray) -> None:
    """Write the ids (1 is the first item) of some items of a set, with the identity of the set."""
    part = path.with_name(f"{path.name}.part")
    lines = "".join(f"{k}\n" for k in np.sort(ids))
    part.write_text(f"{HEADER}{set_identity(items)} ({count_text(len(items), 'item')})\n{lines}", encoding="utf8")
    part.replace(path)


def read_selection(path: Path, items: TableSet) -> np.ndarray:
    """Return the ids, 1 to n, in a file: one in a line, below the line that names the set if a window wrote it.

    Raises
    ------
    FormatError
        If the file cannot be read, was made for another set, or a line holds anything else.
    """
    n = len(items)
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(path, f"must be a text file with the numbers of items: {error}.") from None
    found = []
    for k, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if k == 1 and text.startswith(HEADER.strip()):
            made_in = text.removeprefix(HEADER)
            if made_in.split(" ")[0] != set_identity(items):
                was = made_in.partition(" ")[2].strip("()") or "another number of items"
                raise FormatError(
                    path,
                    f"the items were chosen in another set ({was}); the input, "
                    f"of {count_text(n, 'item')}, was made again or is "
                    "another one: choose them again in its gallery or 3D view.",
                    k,
                )
            continue
        if not (text.isascii() and text.isdigit() and len(text) <= DIGITS and 1 <= int(text) <= n):
            raise FormatError(path, f"must be the number of an item, 1 to {n}, got {text[:40]!r}.", k)
        found.append(int(text))
    return np.array(found, int)
