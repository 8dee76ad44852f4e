"""Verbs that tell what there is to run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import BooleanParam, FloatParam, IntParam, PathParam, PointerParam

from emtomo.cli.output import result, result_json
from emtomo.engine.cluster import ClusterOptions
from emtomo.engine.form import INPUT, input_classes, may_be_empty, plain_type
from emtomo.engine.parameters import INTERNAL, protocol_named, protocols_by_name, public_name
from emtomo.engine.templates import find_shipped, read_template
from emtomo.options import OptionField, option_fields

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def protocols(as_json: Json = False) -> None:
    """List the protocols and the shipped templates."""
    rows = [
        {"name": name, "label": cls._label, "help": (cls.__doc__ or "").strip().split("\n")[0]}
        for name, cls in protocols_by_name().items()
    ]
    templates = [
        {"name": name, "description": read_template(path).description} for name, path in find_shipped().items()
    ]
    if as_json:
        result_json({"protocols": rows, "templates": templates})
        return
    for row in rows:
        result(f"{row['name']:<24} {row['help']}")
    result("\nTemplates (emtomo workflow NAME --set ...):")
    for one in templates:
        result(f"{one['name']:<24} {one['description'].splitlines()[0]}")


def templates(as_json: Json = False) -> None:
    """List the shipped templates and the variables that each needs."""
    rows = []
    for name, path in find_shipped().items():
        template = read_template(path)
        needed = [v.alias for v in template.variables.values() if v.needed]
        rows.append({"name": name, "description": template.description, "needs": needed})
    if as_json:
        result_json(rows)
        return
    for row in rows:
        result(f"{row['name']:<24} {str(row['description']).splitlines()[0]}")
        result(f"{'':<24} needs: {', '.join(row['needs']) or 'nothing'}")


def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Protocol or template.")],
    as_json: Json = False,
    everything: Annotated[bool, typer.Option("--all", help="With the parameters of Dask clusters.")] = False,
) -> None:
    """List every parameter of a protocol, or every variable of a template."""
    if name in find_shipped() or Path(name).is_file():
        template = read_template(name)
        rows = [{**asdict(v), "needed": v.needed} for v in template.variables.values()]
        if as_json:
            result_json({"name": name, "description": template.description, "variables": rows})
            return
        result(template.description + "\n")
        for row in rows:
            known = f"default: {row['default']}" if row["default"] else "must be given" if row["needed"] else ""
            result(f"  {row['alias']:<22} {row['title']}{f' ({known})' if known else ''}")
        return
    cls = protocol_named(name)
    shown = description(cls)
    if as_json:
        result_json(shown)
        return
    result(f"{shown['name']}: {shown['label']}\n\n{shown['help']}\n")
    where = {field.name: field.param.label for field in option_fields(ClusterOptions)}
    spread = [row["name"] for row in shown["parameters"] if row["name"] in where]
    for row in shown["parameters"]:
        if row["name"] in where and not everything:
            continue
        kind = " ".join(p for p in (type_in_words(row["type"]), row["unit"]) if p)
        result(f"  {row['name']:<22} {row['label']} [{kind}] {_default(row)}")
        if row["bounds"]:
            result(f"  {'':<22} allowed: {row['bounds']}")
        if row["choices"]:
            result(f"  {'':<22} one of: {', '.join(row['choices'])}")
        result(f"  {'':<22} {row['help']}")
    if spread and not everything:
        result(f"  {', '.join(spread)}: where the work is done (docs/clusters.md); --all describes them.")
    outputs = shown["outputs"]
    if not outputs:
        return
    result("\nOutputs: " + ", ".join(f"{k} ({plain_type([v])})" for k, v in outputs.items()))


def _default(row: dict[str, Any]) -> str:
    """Return what a parameter is where nothing is given, in words."""
    default = row["default"]
    if default is None or default == "":
        return "optional" if row["optional"] or row["default"] == "" else "must be given"
    return "default: " + (("yes" if default else "no") if isinstance(default, bool) else str(default))


def description(cls: type[Protocol]) -> dict[str, Any]:
    """Return name, help, parameters and outputs of a protocol."""
    run = cls()
    options: dict[str, OptionField] = {
        field.name: field for one in getattr(cls, "option_classes", tuple)() for field in option_fields(one)
    }
    rows = []
    for name, param in run.getDefinition().iterParams():
        if name in INTERNAL:
            continue
        field = options.get(name.removeprefix(INPUT))
        pointer = isinstance(param, PointerParam)
        rows.append(
            {
                "name": public_name(name),
                "label": field.param.label if field else str(param.label),
                "type": field.kind.__name__ if field else _kind(param),
                "unit": field.param.unit if field else "",
                "default": field.default if field else (None if pointer else param.default.get()),
                "bounds": field.param.bounds if field else "",
                "choices": list(field.param.choices) if field else [],
                "expert": bool(field and field.param.expert),
                "optional": field.optional if field else may_be_empty(param),
                "help": field.param.help if field else str(param.help),
            }
        )
    return {
        "name": cls.NAME,
        "label": cls._label,
        "help": "\n".join(line.strip() for line in (cls.__doc__ or "").strip().split("\n")),
        "parameters": rows,
        "outputs": {name: kind.__name__ for name, kind in cls._possibleOutputs.items()},
        "citations": list(cls.CITATIONS),
    }


def type_in_words(kind: str) -> str:
    """Return the type of a parameter as people say it: ``"average or volume"``, ``"number"``."""
    words = {"bool": "yes or no", "int": "whole number", "float": "number", "str": "text", "path": "file"}
    return words.get(kind) or plain_type(kind.split(", "))


def _kind(param: Any) -> str:
    """Return the type of a parameter that no options dataclass declares: the classes, for an input."""
    if isinstance(param, PointerParam):
        return ", ".join(input_classes(param))
    kinds = ((BooleanParam, "bool"), (IntParam, "int"), (FloatParam, "float"), (PathParam, "path"))
    return next((name for kind, name in kinds if isinstance(param, kind)), "str")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(protocols)
    app.command()(templates)
    app.command()(describe)
