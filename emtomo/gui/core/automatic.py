"""What an empty field, or one of 0, stands for: read from its help, which says it once for all readers."""

import re
from collections.abc import Collection

from emtomo.gui.core.fields import FormField

_STANDS_FOR = {
    "": re.compile(r"(?:^|[.;] )[Ee]mpty: (.+)$", re.S),
    "0": re.compile(r"(?:^|[.;] )0(?::| takes) (.+)$", re.S),
}
_END = re.compile(r"\.(?=\s|$)|; (?=up to|\d)")  # of the sentence; not the point of a number
_CASE = re.compile(r"(\S+) for (\w+)")


def automatic_text(field: FormField, others: Collection[str] = ()) -> str:
    """Return ``automatic: 10`` for a field whose text says to choose, empty where the text is a value.

    Parameters
    ----------
    field : FormField
    others : collection of str
        Texts of the other fields: of ``10 for eed, 70 for bflow`` the one that is chosen there counts.
    """
    text = field.text.strip()
    if field.kind in ("int", "float"):
        try:
            text = "0" if text and float(text) == 0 else text
        except ValueError:
            return ""
    found = _STANDS_FOR[text].search(field.help) if text in _STANDS_FOR else None
    if found is None:
        return ""
    meaning = _END.split(found[1], maxsplit=1)[0].strip()
    cases = {word: value for value, word in _CASE.findall(meaning)}
    chosen = [value for word, value in cases.items() if word in others]
    return f"automatic: {chosen[0] if len(chosen) == 1 and len(cases) > 1 else meaning}"
