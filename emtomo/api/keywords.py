"""Options as one dataclass or as keywords: checked, documented and shown in signatures from one declaration."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeVar

from emtomo.errors import EmtomoError
from emtomo.options import check_options, option_fields

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def merge_options(cls: type[T], options: T | None, keywords: dict[str, Any]) -> T:
    """Return `options` (by default those of `cls`) with the values of `keywords`, checked.

    Raises
    ------
    EmtomoError
        If a keyword is no option, or a value is out of bounds; the message names all of them.
    """
    return split_options((cls, options), keywords=keywords)[0]


def split_options(*pairs: tuple[type, Any], keywords: dict[str, Any]) -> list[Any]:
    """Return one options object for each pair of class and given options, with the keywords that belong to it.

    Raises
    ------
    EmtomoError
        If a keyword belongs to none of the classes, options are of another class, or a value is out of bounds.
    """
    names = {cls: [field.name for field in option_fields(cls)] for cls, _ in pairs}
    known = [name for some in names.values() for name in some]
    for word in keywords:
        if word not in known:
            close = get_close_matches(word, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(known)}."
            raise EmtomoError(f"There is no option {word!r}; {hint}")
    merged = []
    for cls, options in pairs:
        if options is not None and not isinstance(options, cls):
            raise EmtomoError(f"The options must be {cls.__name__}, got {type(options).__name__}.")
        mine = {word: value for word, value in keywords.items() if word in names[cls]}
        given: Any = cls() if options is None else options
        merged.append(check_options(replace(given, **mine)))
    return merged


def accept_options(*classes: type) -> Callable[[F], F]:
    """Decorate a function whose ``**keywords`` are the fields of options dataclasses.

    Its signature then names every option, and its docstring says what each means, with unit, default and bounds.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        lines = ["", "    Other Parameters", "    ----------------"]
        for cls in classes:
            for field in option_fields(cls):
                kind = field.kind | None if field.optional else field.kind
                keyword = inspect.Parameter.KEYWORD_ONLY
                named.append(inspect.Parameter(field.name, keyword, default=field.default, annotation=kind))
                lines += _describe(field)
        function.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
        head, mark, tail = (function.__doc__ or "").partition("\n    Returns\n")
        function.OPTIONS = classes  # type: ignore[attr-defined]
        function.__doc__ = head.rstrip() + "\n" + "\n".join(lines) + "\n" + mark + tail
        return function

    return decorate


def _describe(field: Any) -> list[str]:
    """Return the lines of a numpy docstring about one option."""
    param = field.param
    kind = "{" + ", ".join(repr(c) for c in param.choices) + "}" if param.choices else field.kind.__name__
    kind += ", optional" if field.optional else f", default {field.default!r}"
    bounds = f" Allowed: {param.bounds}." if param.bounds else ""
    unit = f" In {param.unit}." if param.unit else ""
    return [f"    {field.name} : {kind}", f"        {param.label}. {param.help}{unit}{bounds}"]
