"""Values of a protocol's form from text, as the command line and templates give them."""

from collections.abc import Mapping
from importlib import import_module
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

from emtomo.engine.form import INPUT, attribute_of
from emtomo.engine.identity import path_in_project
from emtomo.engine.plugin import Domain
from emtomo.engine.project import EmtomoProject
from emtomo.errors import ProjectError, hint
from emtomo.options import option_fields

# public name -> attribute of a parameter that the engine itself has
ALIASES = {"steps_at_once": "numberOfThreads"}
# how several values of a parameter are given
SEVERAL = "several inputs of one parameter are separated by commas"
ONE_INPUT = "it takes one input"
ONE_FILE = "it takes one file or folder: put the files into one folder and give that"
ONE_VALUE = "it takes one value"
INTERNAL = {"runName", "runMode", "hostName", "numberOfMpi"}
TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def protocols_by_name() -> dict[str, type[Protocol]]:
    """Return emtomo's protocols by command-line name, e.g. ``"import-tomograms"``."""
    found = Domain.getProtocols().values()
    if not found:  # the engine goes on without what it cannot import
        try:
            import_module("emtomo.protocols")
        except ImportError as error:
            raise ProjectError(f"emtomo's protocols cannot be loaded: {error}. Install emtomo again.") from error
    return {cls.NAME: cls for cls in sorted(found, key=lambda c: c.__name__) if hasattr(cls, "NAME")}


def protocol_named(name: str) -> type[Protocol]:
    """Return the protocol with the command-line name or class name `name`."""
    known = protocols_by_name()
    for key, cls in known.items():
        if name in (key, cls.__name__):
            return cls
    raise ProjectError(f"There is no protocol {name!r}{hint(name, known)}; the protocols are {', '.join(known)}.")


def set_parameters(project: EmtomoProject, run: Protocol, values: dict[str, str], folder: Path) -> None:
    """Set parameters of `run` from text.

    Parameters
    ----------
    project : EmtomoProject
    run : Protocol
    values : dict
        Parameter name → text; an input is ``RUN.output``, several are separated by commas.
    folder : Path
        What relative file names are relative to; or else, as messages of runs write them, to the project. A file in
        the project is kept relative to it.

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
            attribute.set(path_in_project(project.path, _given_path(project, folder, text)) if text else "")
        else:
            attribute.set(_chosen(run, name, _value(name, param, text)))


def _chosen(run: Protocol, attribute: str, value: Any) -> Any:
    """Return the choice that a text means, as the command line or the form writes it; another text as it is."""
    fields = (field for options in getattr(run, "OPTIONS", ()) for field in option_fields(options))
    choices = next((f.param.choices for f in fields if attribute_of(f.name) == attribute), ())
    if not choices or not isinstance(value, str) or value in choices:
        return value
    labels = dict(choices) if isinstance(choices, Mapping) else dict(zip(choices, choices, strict=True))
    meant = (key for key, label in labels.items() if _plain(value) in (_plain(key), _plain(label)))
    return next(meant, value)


def _plain(text: str) -> str:
    return text.casefold().replace("-", "_").replace(" ", "_")


def _given_path(project: EmtomoProject, folder: Path, text: str) -> Path:
    given, inside = folder / Path(text).expanduser(), Path(project.path, text)
    return inside if inside.exists() and not given.exists() else given


def attribute_name(run: Protocol, name: str) -> str:
    """Return the attribute behind the parameter `name`: inputs have a prefix, since outputs share their names.

    Raises
    ------
    ProjectError
        If the protocol has no such parameter.
    """
    params = dict(run.getDefinition().iterParams())
    name = getattr(run, "OTHER_NAMES", {}).get(name, name)
    for attribute in (ALIASES.get(name, f"{INPUT}{name}"), name):
        if attribute in params:
            return attribute
    known = public_names(run)
    raise ProjectError(f"{run.NAME} has no parameter {name!r}{hint(name, known)}; it has {', '.join(known)}.")


def public_names(run: Protocol) -> list[str]:
    """Return the names of the parameters as users write them."""
    params = dict(run.getDefinition().iterParams())
    return [public_name(name) for name in params if name not in INTERNAL]


def public_name(attribute: str) -> str:
    """Return the name of a parameter as users write it."""
    by_attribute = {value: key for key, value in ALIASES.items()}
    return by_attribute.get(attribute, attribute.removeprefix(INPUT))


def way_to_give(run: Protocol, name: str) -> str:
    """Return how several values of the parameter `name` are given, in words.

    Raises
    ------
    ProjectError
        If the protocol has no such parameter.
    """
    param = run.getDefinition().getParam(attribute_name(run, name))
    if isinstance(param, MultiPointerParam):
        return SEVERAL
    if isinstance(param, PathParam):
        return ONE_FILE
    return ONE_INPUT if isinstance(param, PointerParam) else ONE_VALUE


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
    outputs = sorted({*dict(parent.iterOutputAttributes()), *(parent._possibleOutputs or {})})
    if not outputs:
        why = "" if hasattr(parent, "outputs") else "; its protocol is not installed"
        raise ProjectError(f"Run {name} has no outputs{why}.")
    if output not in outputs:
        raise ProjectError(f"Run {name} has no output {output!r}{hint(output, outputs)}; it has {', '.join(outputs)}.")
    return parent, output


def _value(name: str, param: Any, text: str) -> Any:
    if isinstance(param, BooleanParam):
        if text.lower() not in TRUE | FALSE:
            raise ProjectError(f"{name} must be yes or no, got {text!r}.")
        return text.lower() in TRUE
    for kind, cast, what in ((IntParam, int, "a whole number"), (FloatParam, float, "a number")):
        if isinstance(param, kind):
            if text == "":
                return None  # one that must not be empty is reported by the protocol
            try:
                return cast(text)
            except ValueError:
                raise ProjectError(f"{name} must be {what}, got {text!r}.") from None
    return text
