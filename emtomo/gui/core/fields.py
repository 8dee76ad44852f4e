"""One field of a form: its kind, its text, and what is wrong with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyworkflow.protocol import params as P

from emtomo.engine.form import input_classes
from emtomo.options import OptionField, Param

_KINDS: tuple[tuple[type, str], ...] = (
    (P.BooleanParam, "bool"),
    (P.EnumParam, "enum"),
    (P.MultiPointerParam, "pointers"),
    (P.PointerParam, "pointer"),
    (P.FolderParam, "folder"),
    (P.PathParam, "path"),
    (P.LabelParam, "label"),
    (P.TextParam, "text"),
    (P.IntParam, "int"),
    (P.FloatParam, "float"),
)
YES, NO = "yes", "no"
# what a form shows for a choice whose word is short for the command line
CHOICE_LABELS = {"eed": "edge-enhancing diffusion (eed)", "bflow": "Beltrami flow (bflow)"}


@dataclass
class FormField:
    """One parameter of a protocol as the form shows it; values are text, as on the command line.

    Attributes
    ----------
    name, attribute : str
        As users write it, and the protocol's attribute.
    kind : str
        bool, choice, enum, int, float, str, text, path, folder, label, pointer or pointers.
    wanted : tuple of str
        Classes that an input may be.
    choices : tuple of str
        Of a choice; of an enum, whose text is the number of the choice.
    labels : mapping from str to str
        What the form shows for a choice, where that is not the choice itself.
    """

    name: str
    attribute: str
    kind: str
    label: str
    help: str
    unit: str = ""
    bounds: str = ""
    choices: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    expert: bool = False
    optional: bool = False
    default: str = ""
    text: str = ""
    error: str = ""
    condition: bool = True
    param: Param | None = None
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def choice_label(self, word: str) -> str:
        """Return a choice as the form shows it."""
        return self.labels.get(word, word)

    @property
    def changed(self) -> bool:
        """Whether the text says something else than the default."""
        if self.kind in ("int", "float"):
            try:
                return float(self.text) != float(self.default)
            except ValueError:
                return self.text.strip() != self.default
        return self.text != self.default

    def value(self) -> Any:
        """Return the value that the text means.

        Raises
        ------
        ValueError
            With a sentence, if it means none.
        """
        text = self.text.strip()
        if self.kind == "bool":
            return text == YES
        if self.kind in ("int", "enum", "float"):
            if not text:
                return None
            kind, what = (float, "a number") if self.kind == "float" else (int, "a whole number")
            try:
                return kind(text)
            except ValueError:
                raise ValueError(f"{self.label} must be {what}, got {text!r}.") from None
        return self.text

    def check(self) -> str:
        """Note and return what is wrong with the text; empty when nothing is."""
        self.error = self._problem()
        return self.error

    def _problem(self) -> str:
        try:
            value = self.value()
        except ValueError as error:
            return str(error)
        if self.kind in ("pointer", "pointers"):
            return "" if self.text or self.optional else f"{self.label}: choose an input."
        if value is None:
            return "" if self.optional else f"{self.label} must not be empty."
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.label} must be a finite number, got {value}."
        if self.param is not None and not (self.optional and value == ""):
            return self.param.problem(value) or (self.param.validate(value) if self.param.validate else "")
        return ""


def kind_of(param: Any) -> str:
    """Return the kind of field for a parameter of the engine."""
    return next((kind for cls, kind in _KINDS if isinstance(param, cls)), "str")


def field_of(name: str, attribute: str, param: Any, option: OptionField | None, group: str) -> FormField:
    """Return the field for a parameter; `option` is its declaration where emtomo's own options declare it."""
    if option is not None:
        declared = option.param
        kind = "choice" if declared.choices else {bool: "bool", int: "int", float: "float"}.get(option.kind, "str")
        return FormField(
            name,
            attribute,
            kind,
            declared.label,
            declared.help,
            declared.unit,
            declared.bounds,
            tuple(declared.choices),
            expert=declared.expert,
            optional=option.optional,
            default=default_text(option.default),
            param=declared,
            group=group,
            labels=declared.choices if isinstance(declared.choices, Mapping) else CHOICE_LABELS,
        )
    kind = kind_of(param)
    wanted = input_classes(param) if "pointer" in kind else []
    label = str(param.label.get() or name).rstrip(":")
    if name == "device":
        kind = "choice"
    return FormField(
        name,
        attribute,
        kind,
        label,
        str(param.help.get() or ""),
        choices=("cpu", "cuda") if name == "device" else tuple(getattr(param, "choices", ()) or ()),
        wanted=tuple(wanted),
        expert=bool(param.isExpert()),
        optional=bool(getattr(param, "allowsNull", False)) or (not wanted and param.default.get() in (None, "")),
        default="" if wanted else default_text(_typed(kind, param.default.get())),
        group=group,
    )


def _typed(kind: str, value: Any) -> Any:
    """Return a default, which the engine may keep as text, as its kind."""
    if kind == "bool":
        return str(value).lower() in ("true", "1")
    if kind == "float" and value not in (None, ""):
        return float(value)
    return value


def default_text(value: Any) -> str:
    """Return a value as the text that a field holds."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return YES if value else NO
    return f"{value:.12g}" if isinstance(value, float) else str(value)
