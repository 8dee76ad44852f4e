"""One declaration of a parameter, read by form, validation, command line, documentation and tests."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from emtomo.errors import EmtomoError

T = TypeVar("T")
SMALLEST_PIXEL, LARGEST_PIXEL = 1e-3, 1e5  # Å, from less than an atom to a cell in a voxel


def pixel_size_unless(unset: float) -> Callable[[float], str]:
    """Return the check of an option that holds a pixel size, or `unset` where it is taken from elsewhere."""

    def problem(value: float) -> str:
        """Return one sentence that says what is wrong with a value, empty when it is valid."""
        if value == unset or SMALLEST_PIXEL <= value <= LARGEST_PIXEL:
            return ""
        return f"A pixel size must be from {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g} Å, or {unset:g}, got {value:g} Å."

    return problem


@dataclass(frozen=True)
class Param:
    """How a field of an options dataclass is shown and checked.

    Attributes
    ----------
    label, help : str
        What the form shows.
    unit : str
        Unit of the value, e.g. ``"Å"``; empty when it has none.
    gt, ge, lt, le : float, optional
        Bounds of a valid value.
    choices : tuple of str, or mapping from str to str
        The only values allowed, of a mapping each with what a form shows for it; empty when free.
    expert : bool
        Shown only to users who ask for all parameters.
    when : tuple
        Another option and the values of it with which this one counts, e.g. ``("method", "eed")``; a form hides it
        otherwise. Empty: it always counts.
    validate : callable, optional
        Value to a sentence that says what else is wrong with it, empty when nothing is; asked where the option counts.
        A form tells it at once.
    """

    label: str
    help: str
    unit: str = ""
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    choices: tuple[str, ...] | Mapping[str, str] = ()
    expert: bool = False
    when: tuple[Any, ...] = ()
    validate: Callable[[Any], str] | None = None

    @property
    def bounds(self) -> str:
        """The bounds as text, e.g. ``"> 0, <= 0.15"``; empty when there are none."""
        named = ((">", self.gt), (">=", self.ge), ("<", self.lt), ("<=", self.le))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in named if bound is not None)

    def problem(self, value: Any) -> str:
        """Return one sentence that says what is wrong with `value`, empty when it is valid."""
        unit = f" {self.unit}" if self.unit else ""
        if self.choices:
            if value in self.choices:
                return ""
            return f"{self.label} must be one of {', '.join(self.choices)}, got {value!r}."
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.label} must be a finite number, got {value}."
        for sign, bound, holds in (
            (">", self.gt, lambda b: value > b),
            (">=", self.ge, lambda b: value >= b),
            ("<", self.lt, lambda b: value < b),
            ("<=", self.le, lambda b: value <= b),
        ):
            if bound is not None and not holds(bound):
                least, got = _plain(bound), _plain(value)
                got = repr(value) if got == least and float(value) != bound else got  # rounded, it would be the bound
                return f"{self.label} must be {sign} {least}{unit}, got {got}{unit}."
        return ""


def _plain(number: float) -> str:
    """Return a number as text: all digits of a whole number, six of another."""
    return str(number) if isinstance(number, int) else f"{number:g}"


@dataclass(frozen=True)
class OptionField:
    """One field of an options dataclass, as form, command line and documentation need it."""

    name: str
    kind: type
    optional: bool
    default: Any
    param: Param


def option_fields(options: type) -> list[OptionField]:
    """Return the fields of the options dataclass `options`, in order of declaration.

    Raises
    ------
    TypeError
        If a field is not ``Annotated[bool | int | float | str (or None), Param(...)]``.
    """
    return list(_fields_of(options))


@functools.cache  # every run that a project reads has them
def _fields_of(options: type) -> tuple[OptionField, ...]:
    hints = get_type_hints(options, include_extras=True)
    found = []
    for field in dataclasses.fields(options):
        arguments = get_args(hints[field.name])
        param = next((a for a in arguments[1:] if isinstance(a, Param)), None)
        if param is None:
            raise TypeError(f"{options.__name__}.{field.name} has no Param")
        kind, optional = _kind(arguments[0])
        found.append(OptionField(field.name, kind, optional, field.default, param))
    return tuple(found)


def problems(options: type, values: dict[str, Any]) -> list[str]:
    """Return one sentence for every value in `values` that the options dataclass `options` forbids."""
    found = []
    for field in option_fields(options):
        value = values[field.name]
        if value is None:
            if not field.optional:
                found.append(f"{field.param.label} must not be empty.")
        elif sentence := _problem_of(field, value, values):
            found.append(sentence)
    return found


def _problem_of(field: OptionField, value: Any, values: dict[str, Any]) -> str:
    """Return the first sentence about a value: its kind, its bounds, its own check."""
    param = field.param
    return _wrong_kind(field, value) or param.problem(value) or _further_problem(param, value, values)


def _wrong_kind(field: OptionField, value: Any) -> str:
    """Return a sentence if `value` is not of the field's kind, empty if it is."""
    for kind, known, name in ((int, Integral, "a whole number"), (float, Real, "a number"), (str, str, "text")):
        if field.kind is kind and not isinstance(value, known):
            return f"{field.param.label} must be {name}, got {value!r}."
    return ""


def _further_problem(param: Param, value: Any, values: dict[str, Any]) -> str:
    """Return what the option's own check says of `value`; of one that does not count, nothing."""
    other, *allowed = param.when or ("",)
    counts = other not in values or values[other] in allowed
    return param.validate(value) if param.validate is not None and counts else ""


def check_options(options: T) -> T:
    """Return `options` if all its values are valid.

    Raises
    ------
    EmtomoError
        With every violation, in one message.
    """
    found = problems(type(options), {f.name: getattr(options, f.name) for f in dataclasses.fields(options)})  # type: ignore[arg-type]
    if found:
        raise EmtomoError(" ".join(found))
    return options


def _kind(hint: Any) -> tuple[type, bool]:
    """Return the plain type behind `hint` and whether ``None`` is allowed."""
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [a for a in get_args(hint) if a is not type(None)]
        return kinds[0], len(kinds) < len(get_args(hint))
    return hint, False
