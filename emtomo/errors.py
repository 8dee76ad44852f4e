"""Errors that a user can act upon: what must be, what was, and where."""

import errno
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 500
LIKE = 0.6  # share of common characters from which on a name is taken for a misspelt one
# what moves a terminal's cursor, ends a line or turns the direction of writing
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_FULL = re.compile(
    rf"disk is full|{re.escape(os.strerror(errno.ENOSPC))}|{re.escape(os.strerror(errno.EDQUOT))}"
    r"|\d+ requested and \d+ written"
)


def one_line(text: object) -> str:
    """Return words that somebody else wrote as one line that a terminal shows as it is."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(text).split()))


def plain_text(text: str) -> str:
    """Return a text of several lines without codes that a terminal would obey."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in "\n\t" else "\N{REPLACEMENT CHARACTER}", text)


def is_full(error: BaseException) -> bool:
    """Return whether an error of the system, or of a database, says that the disk is full."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or says_full(str(error))


def says_full(text: str) -> bool:
    """Return whether the words of an error say that the disk is full, in those of the system, SQLite or numpy."""
    return _FULL.search(text) is not None


def hint(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name that is most like a wrong one; empty if none is."""
    listed = [str(one) for one in known]
    near = get_close_matches(name.lower(), [one.lower() for one in listed], 1, LIKE)
    return f" (did you mean {next(o for o in listed if o.lower() == near[0])!r}?)" if near else ""


class EmtomoError(ValueError):
    """Something a user gave cannot be used; the message is one clear sentence."""


class FormatError(EmtomoError):
    """A file cannot be read as what it claims to be.

    Attributes
    ----------
    path : str
        The file.
    line : int or None
        The line, counted from 1, where the trouble is; ``None`` for binary files.
    """

    def __init__(self, path: object, message: str, line: int | None = None) -> None:
        self.path = str(path)
        self.line = line
        place = f"{one_line(path)}, line {line}" if line is not None else one_line(path)
        sentence = one_line(message)  # words of a damaged file may be long and hold line breaks
        super().__init__(f"{place}: {sentence if len(sentence) < LONGEST else sentence[:LONGEST] + ' …'}")
        self._given = (path if isinstance(path, str) else str(path), message, line)

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:
        """Let the error travel from another process."""
        return type(self), self._given


class ModelError(EmtomoError):
    """A geometrical model cannot be built from the points given for it."""


class ProjectError(EmtomoError):
    """A project, a run or a template cannot be used as asked."""
