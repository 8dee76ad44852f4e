"""One table of what a window can do: menus, tool bars, keys and the F1 list all read it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """Something that a user can ask for.

    Attributes
    ----------
    name : str
        For tests and scripts.
    label : str
    run : callable
    keys : str
        Tk's event, e.g. ``"<Control-k>"``; empty for none.
    icon : str
        Name of a Bootstrap icon; empty for none.
    menu : str
        The menu that it stands in; empty for keys alone.
    help : str
        What it does, where the label does not say it.
    style : str
        Of its button in the tool bar; ``"hidden"`` keeps it out of there.
    """

    name: str
    label: str
    run: Callable[[], object]
    keys: str = ""
    icon: str = ""
    menu: str = ""
    help: str = ""
    style: str = "hidden"


_NAMES = {
    "Control": "Ctrl",
    "Key-": "",
    "MouseWheel": "Wheel",
    "Button-1": "Left click",
    "Button-2": "Middle click",
    "Button-3": "Right click",
    "Return": "Enter",
    "Prior": "Page up",
    "Next": "Page down",
    "period": ".",
    "greater": ">",
    "less": "<",
    "slash": "/",
    "question": "?",
    "plus": "+",
    "minus": "-",
    "equal": "=",
    "bracketleft": "[",
    "bracketright": "]",
    "space": "Space",
    "grave": "`",
    "asciitilde": "~",
}


def key_text(keys: str) -> str:
    """Return Tk's event as people read it: ``"<Control-Shift-k>"`` → ``"Ctrl+Shift+K"``."""
    if " " in keys:
        return " or ".join(key_text(one) for one in keys.split())
    if not keys:
        return ""
    parts = keys.strip("<>").split("-")
    names = [_NAMES.get(part, part) for part in parts if part != "Key"]
    last = names[-1]
    if len(last) == 1 and last.isalpha():
        shifted = last.isupper() and "Shift" not in names
        names = [*names[:-1], *(["Shift"] if shifted else []), last.upper()]
    return "+".join(names)


def key_list(title: str, actions: list[Action], mouse: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Return rows (key, what it does) of a window's F1 page."""
    rows = [(key, what) for key, what in (mouse or [])]
    rows += [(key_text(a.keys), a.help or a.label) for a in actions if a.keys]
    return rows
