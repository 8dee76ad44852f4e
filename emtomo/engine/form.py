"""Form fields from the options dataclass of an algorithm, and back."""

import re
from typing import Annotated, Any, TypeVar

from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import (
    LEVEL_ADVANCED,
    LEVEL_NORMAL,
    BooleanParam,
    FloatParam,
    Form,
    IntParam,
    PathParam,
    StringParam,
)
from pyworkflow.protocol.params import Param as EngineParam

from emtomo.options import OptionField, Param, option_fields, problems

T = TypeVar("T")
# inputs share their names with outputs, and some options with methods of the engine; the
# attribute of such a parameter has this prefix, its public name has not
INPUT = "input_"
_WORDS = {"TableSet": "a set of any kind"}
_ENGINE_PARAM: dict[type, type[EngineParam]] = {
    bool: BooleanParam,
    int: IntParam,
    float: FloatParam,
    str: StringParam,
}

# options that several protocols have
CopyFiles = Annotated[
    bool,
    Param("Copy files?", "Copy into the project instead of linking; links break when the originals move.", expert=True),
]
VolumeInFile = Annotated[
    str,
    Param(
        "Volume in the file",
        "Of several volumes in each file (MRC stack, HDF5, TIFF, OME-Zarr): the number, counted from 1, or the "
        "name. A single file can say it too, as FILE:2. Empty: the only one.",
        expert=True,
    ),
]


def input_classes(param: EngineParam) -> list[str]:
    """Return the names of the classes that an input takes, e.g. ``["Average", "Volume"]``."""
    given = param.pointerClass.get() if hasattr(param.pointerClass, "get") else param.pointerClass
    names = given if isinstance(given, (list, tuple)) else str(given).strip("[]").replace("'", "").split(",")
    return [str(name).strip() for name in names if str(name).strip()]


def plain_type(names: list[str]) -> str:
    """Return classes in words, e.g. ``"average or volume"``, ``"tilt series"``, ``"3D coordinates"``."""
    words = []
    for name in names:
        stem, dimension = re.fullmatch(r"(?:SetOf)?(.*?)(\d[Dd])?", name).groups()  # type: ignore[union-attr]
        parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d\w*", stem)
        plain = [part if part.isupper() else part.lower() for part in parts]
        words.append(_WORDS.get(name) or " ".join([dimension.upper(), *plain] if dimension else plain))
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


def add_device(form: Form) -> None:
    """Add the processor or GPU on which a protocol computes."""
    form.addParam("device", StringParam, default="cpu", label="Device", help="cpu, cuda or cuda:N.")


def add_optional_path(form: Form, name: str, label: str, text: str) -> None:
    """Add a file or folder that need not be given, with its label and help."""
    form.addParam(name, PathParam, default="", allowsNull=True, label=label, help=text)


def add_options(form: Form, options: type, *, condition: str | None = None) -> None:
    """Add one field to `form` for every field of the dataclass `options`.

    Parameters
    ----------
    form : Form
    options : type
        Dataclass of ``Annotated`` fields.
    condition : str, optional
        The engine's condition under which the fields are shown.
    """
    for field in option_fields(options):
        counts = condition_of(field) if field.param.when else condition
        extra: dict[str, Any] = {"condition": counts} if counts else {}
        form.addParam(
            attribute_of(field.name),
            _ENGINE_PARAM[field.kind],
            default=field.default,
            allowsNull=field.optional,
            label=label_of(field),
            help=help_of(field),
            expertLevel=LEVEL_ADVANCED if field.param.expert else LEVEL_NORMAL,
            **extra,
        )


def may_be_empty(param: EngineParam) -> bool:
    """Return whether a parameter of a form need not be given, wherever its class keeps that."""
    if isinstance(param, StringParam):  # texts and files
        return bool(param.default.get() == "")
    checks = (getattr(param, "allowsNull", False), *(getattr(one, "_allowsNull", False) for one in param.validators))
    return any(bool(one) for one in checks)


def condition_of(field: OptionField) -> str:
    """Return the engine's condition under which an option counts."""
    other, *values = field.param.when
    return f"{attribute_of(other)} in {tuple(values)!r}"


def attribute_of(name: str) -> str:
    """Return the attribute that holds the option `name`; one that a method of the engine has gets a prefix."""
    return f"{INPUT}{name}" if hasattr(Protocol, name) else name


def read_options(protocol: Protocol, options: type[T]) -> T:
    """Return the values of the form as an `options` instance."""
    return options(**{field.name: _value(protocol, field) for field in option_fields(options)})


def option_errors(protocol: Protocol, options: type) -> list[str]:
    """Return one sentence for every value that is missing or outside its bounds."""
    return problems(options, {field.name: _value(protocol, field) for field in option_fields(options)})


def label_of(field: OptionField) -> str:
    """Return the label with its unit, e.g. ``"Radius (Å)"``."""
    return f"{field.param.label} ({field.param.unit})" if field.param.unit else field.param.label


def help_of(field: OptionField) -> str:
    """Return the help with choices and bounds."""
    parts = [field.param.help]
    if field.param.choices:
        parts.append(f"One of: {', '.join(field.param.choices)}.")
    if field.param.bounds:
        parts.append(f"Allowed: {field.param.bounds}.")
    return " ".join(parts)


def _value(protocol: Protocol, field: OptionField) -> Any:
    value = getattr(protocol, attribute_of(field.name)).get()
    if value is None or (field.optional and value == ""):
        return None
    return field.kind(value)
