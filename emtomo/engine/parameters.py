"""Values of a protocol's form from text, as the command line and templates give them."""

from pathlib import Path
from typing import Any

from pyworkflow.object import Pointer, PointerList
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import (
    BooleanParam,
    FloatParam,
    IntParam,
    MultiPointerParam,
    PathParam,
    PointerParam,
)

from emtomo.engine.form import INPUT
from emtomo.engine.identity import stored_path
from emtomo.engine.plugin import Domain
from emtomo.engine.project import EmtomoProject
from emtomo.errors import ProjectError

# public name -> attribute of a parameter that the engine itself has
ALIASES = {"steps_at_once": "numberOfThreads"}
INTERNAL = {"runName", "runMode", "hostName", "numberOfMpi"}
TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def protocols_by_name() -> dict[str, type[Protocol]]:
    """Return emtomo's protocols by command-line name, e.g. ``"import-tomograms"``."""
    found = Domain.getProtocols().values()
    return {cls.NAME: cls for cls in sorted(found, key=lambda c: c.__name__) if hasattr(cls, "NAME")}


def protocol_named(name: str) -> type[Protocol]:
    """Return the protocol with the command-line name or class name `name`."""
    known = protocols_by_name()
    for key, cls in known.items():
        if name in (key, cls.__name__):
            return cls
    raise ProjectError(f"There is no protocol {name!r}; the protocols are {', '.join(known)}.")


def set_parameters(project: EmtomoProject, run: Protocol, values: dict[str, str], folder: Path) -> None:
    """Set parameters of `run` from text.

    Parameters
    ----------
    project : EmtomoProject
    run : Protocol
    values : dict
        Parameter name → text; an input is ``RUN.output``, several are separated by commas.
    folder : Path
        What relative file names are relative to; a file in the project is kept relative to the project.

    Raises
    ------
    ProjectError
        One sentence that names the parameter, for an unknown name, a bad value or an unknown run.
    """
    params = dict(run.getDefinition().iterParams())
    for key, text in values.items():
        name = attribute_name(run, key)
        param, attribute = params[name], getattr(run, name)
        if isinstance(param, MultiPointerParam):
            parts = [part.strip() for part in text.split(",") if part.strip()]
            _point_all(attribute, [output_target(project, part) for part in parts])
        elif isinstance(param, PointerParam) and not text:
            attribute.set(None)
            attribute.setExtended("")
        elif isinstance(param, PointerParam):
            parent, output = output_target(project, text)
            attribute.set(parent)
            attribute.setExtended(output)
        elif isinstance(param, PathParam):
            attribute.set(stored_path(project.path, folder / Path(text).expanduser()) if text else "")
        else:
            attribute.set(_value(name, param, text))


def attribute_name(run: Protocol, name: str) -> str:
    """Return the attribute behind the parameter `name`: inputs have a prefix, since outputs share their names.

    Raises
    ------
    ProjectError
        If the protocol has no such parameter.
    """
    params = dict(run.getDefinition().iterParams())
    for attribute in (ALIASES.get(name, f"{INPUT}{name}"), name):
        if attribute in params:
            return attribute
    raise ProjectError(f"{run.NAME} has no parameter {name!r}; it has {', '.join(public_names(run))}.")


def public_names(run: Protocol) -> list[str]:
    """Return the names of the parameters as users write them."""
    params = dict(run.getDefinition().iterParams())
    return [public_name(name) for name in params if name not in INTERNAL]


def public_name(attribute: str) -> str:
    """Return the name of a parameter as users write it."""
    by_attribute = {value: key for key, value in ALIASES.items()}
    return by_attribute.get(attribute, attribute.removeprefix(INPUT))


def _point_all(attribute: PointerList, targets: list[tuple[Protocol, str]]) -> None:
    attribute.clear()
    for parent, output in targets:
        attribute.append(Pointer(parent, extended=output))


def output_target(project: EmtomoProject, text: str) -> tuple[Protocol, str]:
    """Return run and output name for ``RUN.output``."""
    name, dot, output = text.rpartition(".")
    if not dot:
        raise ProjectError(f"An input is written RUN.output (e.g. import.tomograms), got {text!r}.")
    parent = project.find(name)
    outputs = sorted({*dict(parent.iterOutputAttributes()), *parent._possibleOutputs})
    if output not in outputs:
        raise ProjectError(f"Run {name} has no output {output!r}; it has {', '.join(outputs)}.")
    return parent, output


def _value(name: str, param: Any, text: str) -> Any:
    if isinstance(param, BooleanParam):
        if text.lower() not in TRUE | FALSE:
            raise ProjectError(f"{name} must be yes or no, got {text!r}.")
        return text.lower() in TRUE
    for kind, cast, what in ((IntParam, int, "a whole number"), (FloatParam, float, "a number")):
        if isinstance(param, kind):
            if text == "":
                return None  # one that must not be empty is told by the protocol
            try:
                return cast(text)
            except ValueError:
                raise ProjectError(f"{name} must be {what}, got {text!r}.") from None
    return text
