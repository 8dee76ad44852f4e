"""The engine's own sentences in plain words."""

import re

from emtomo.errors import one_line, says_full

FULL = "The disk is full: make room, then resume the run; its finished steps stay."
MOVED = "The project was moved while this ran, or may only be read: resume the run where it is now."
MISSING = "must be given."  # ends the sentence about an input that is not there yet
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|^\*([^*\n]+)\*(?= )")  # the second is a label, before its error
_EMPTY_INPUT = re.compile(r"^(.*) (?:cannot be EMPTY|Can not have EMPTY items)\.$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def without_bold(text: str) -> str:
    """Return a sentence of the engine in plain words, without its marks for bold print; other asterisks stay."""
    return _EMPTY_INPUT.sub(rf"\1 {MISSING}", _BOLD.sub(lambda m: m[1] or m[2], text))


def plain_error(text: str) -> str:
    """Return why a run failed, without colours and without what the engine puts before every reason."""
    reason = _COLOUR.sub("", text).strip()
    if says_full(reason):
        return FULL
    if "attempt to write a readonly database" in reason:
        return MOVED
    return reason.removeprefix("Protocol failed: ").removeprefix("Protocol has validation errors:").strip()


def log_line(text: str) -> str:
    """Return a line of a log without colours, as a terminal shows it."""
    return one_line(_COLOUR.sub("", text))
