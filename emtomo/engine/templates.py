"""Workflow templates: a description, then the engine's JSON with ``~title|default|type|alias~`` variables.

The engine substitutes in the text, so that a quote or a per cent sign in a
value breaks the JSON; here the JSON is parsed first and values are put in
afterwards. Nothing in a template is evaluated.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import BooleanParam, FloatParam, IntParam, MultiPointerParam, PathParam, PointerParam

from emtomo.engine.form import INPUT, may_be_empty
from emtomo.engine.identity import path_in_project
from emtomo.engine.parameters import (
    FALSE,
    INTERNAL,
    ONE_FILE,
    ONE_VALUE,
    TRUE,
    attribute_name,
    protocol_named,
    set_parameters,
)
from emtomo.engine.project import EmtomoProject, clear_messages
from emtomo.engine.run_reading import check_known
from emtomo.errors import FormatError, ProjectError, hint, one_line

SUFFIX = ".json.template"
OPTIONAL = "(optional)"  # at the end of a variable's title
_VARIABLE = re.compile(r"~([^|~]*)\|([^|~]*)\|([0-6])\|([^|~]+)~")
WHEN = "object.when"  # of a protocol: yes or no, usually a variable
_TYPES: dict[str, type] = {"0": str, "1": bool, "2": str, "3": int, "4": float, "5": str, "6": str}
_PATH_TYPES = {"2", "5", "6"}


@dataclass
class Variable:
    """One value that the user of a template may set; one whose title ends with ``(optional)`` may be empty."""

    alias: str
    title: str
    default: str
    code: str

    @property
    def needed(self) -> bool:
        """Whether a value must be given."""
        return self.default == "" and not self.title.rstrip().endswith(OPTIONAL)


@dataclass
class Template:
    """A parsed template: what it does, its variables, its protocols as the engine's dictionaries.

    Relative names of files in it count from its `folder`.
    """

    name: str
    description: str
    protocols: list[dict[str, Any]]
    variables: dict[str, Variable] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)

    def way_to_give(self, name: str) -> str:
        """Return how several values of a variable are given, in words.

        Raises
        ------
        ProjectError
            If there is no such variable.
        """
        self.check_names([name])
        return ONE_FILE if self.variables[name].code in _PATH_TYPES else ONE_VALUE

    def check_names(self, names: Iterable[str]) -> None:
        """Check that the template has these variables.

        Raises
        ------
        ProjectError
            If it has not.
        """
        unknown = sorted(set(names) - set(self.variables))
        if unknown:
            raise ProjectError(
                f"The template {self.name} has no variable {', '.join(unknown)}{hint(unknown[0], self.variables)}; "
                f"{'its variables are ' if self.variables else ''}{', '.join(self.variables) or 'it has no variables'}."
            )

    def steps(self, values: dict[str, str]) -> list[dict[str, Any]]:
        """Return the protocols that these values ask for, variables as they stand.

        One with ``object.when`` is left out where that is no; whatever takes its output takes its input of the same
        name instead.
        """
        kept: list[dict[str, Any]] = []
        instead: dict[str, Any] = {}
        for one in self.protocols:
            step = {k: instead.get(v, v) if isinstance(v, str) else v for k, v in one.items() if k != WHEN}
            if WHEN not in one or self._fill(one[WHEN], values, self.folder):
                kept.append(step)
            else:
                instead |= {f"{one['object.id']}.{name}": source for name, source in step.items() if "." not in name}
        return kept

    def fill_in(self, values: dict[str, str], folder: Path) -> list[dict[str, Any]]:
        """Return the protocols with `values` in the places of the variables.

        Relative file names among `values` are taken from `folder`.
        """
        self.check_names(values)
        missing = [v for v in self.variables.values() if v.alias not in values and v.needed]
        if missing:
            listed = ", ".join(f"{v.alias} ({v.title})" for v in missing)
            raise ProjectError(f"The template {self.name} needs {listed}: give --set NAME=VALUE.")
        return [{k: self._fill(v, values, folder) for k, v in one.items()} for one in self.steps(values)]

    def _fill(self, value: Any, values: dict[str, str], folder: Path) -> Any:
        match = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return value
        variable = self.variables[match.group(4)]
        text = values.get(variable.alias, variable.default)
        kind = _TYPES[variable.code]
        if text == "" and not variable.needed:
            return None
        if variable.code in _PATH_TYPES and variable.alias in values:
            return str(folder / Path(text).expanduser())
        if kind is bool:
            if text.lower() not in TRUE | FALSE:
                raise ProjectError(f"{variable.alias} must be yes or no, got {text!r}.")
            return text.lower() in TRUE
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ProjectError(f"{variable.alias} must be {what}, got {text!r}.") from None


def find_shipped() -> dict[str, Path]:
    """Return the templates that came with emtomo, by name."""
    here = Path(__file__).resolve().parents[1]
    folders = [here / "templates", here.parent / "templates"]
    return {p.name.removesuffix(SUFFIX): p for f in folders for p in sorted(f.glob(f"*{SUFFIX}"))}


def read_template(name: str | Path) -> Template:
    """Read the template `name`: a file, or the name of a shipped one."""
    path, known = Path(name), find_shipped()
    if str(name) in known:  # a file of that name may be anybody's
        path = known[str(name)]
    elif not path.is_file():
        raise ProjectError(f"There is no template {name!s}{hint(str(name), known)}; shipped ones: {', '.join(known)}.")
    from emtomo.io.text import read_text

    lines = read_text(path).split("\n")
    first = next((k for k, line in enumerate(lines) if line.strip().startswith("[")), None)
    if first is None:
        raise FormatError(path, "a template holds a JSON list of protocols; there is none.")
    try:
        protocols = json.loads("\n".join(lines[first:]))
    except json.JSONDecodeError as error:
        raise FormatError(path, f"not JSON: {error.msg}.", first + error.lineno) from None
    except (RecursionError, ValueError):
        raise FormatError(path, "not a template: brackets stand too deep, or a number is too long.") from None
    if not isinstance(protocols, list) or not all(isinstance(p, dict) for p in protocols):
        raise FormatError(path, "a template is a JSON list of protocols.", first + 1)
    template = Template(
        path.name.removesuffix(SUFFIX), "\n".join(lines[:first]).strip(), protocols, folder=path.absolute().parent
    )
    for one in protocols:
        for needed in ("object.className", "object.id"):
            if needed not in one:
                raise FormatError(path, f"a protocol without {needed!r}.")
        for match in (_VARIABLE.fullmatch(v) for v in one.values() if isinstance(v, str)):
            if match:
                title, default, code, alias = match.groups()
                template.variables[alias] = Variable(alias, title, default, code)
    return template


def check_template(template: Template) -> None:
    """Check what a template asks for, before a project is changed for it.

    Raises
    ------
    ProjectError
        For a protocol or a parameter that there is not, a label of more than one line, or a value of another kind than
        the parameter's.
    """
    for one in template.protocols:
        cls = protocol_named(str(one["object.className"]))
        blank = cls()
        for key in one:
            if "." not in key and not key.startswith("_") and key not in INTERNAL:
                _check_value(template, key, one[key], blank.getDefinition().getParam(attribute_name(blank, key)))
        waits = one.get("_prerequisites")
        texts = [*(waits if isinstance(waits, list) else [waits]), one.get("object.comment"), one.get("_queueParams")]
        if not isinstance(one["object.id"], str | int) or any(v is not None and not isinstance(v, str) for v in texts):
            raise ProjectError(f"The template {template.name} has an id, a comment or a list of runs that is no text.")
        label = one.get("object.label", cls._label)
        if not isinstance(label, str) or one_line(label) != " ".join(label.split(" ")):
            raise ProjectError(f"The template {template.name} has a label that is not one line of text.")


def _check_value(template: Template, key: str, value: Any, param: Any) -> None:
    """Check that a value has the kind that a parameter takes, a variable aside."""
    kinds: Any = str if isinstance(param, PointerParam | PathParam) else str | bool | int | float
    several = value if isinstance(value, list) and isinstance(param, MultiPointerParam) else [value]
    number = isinstance(param, IntParam) and isinstance(value, int | float) and not abs(value) < 2**63
    number |= isinstance(param, IntParam) and isinstance(value, float) and not value.is_integer()
    zero = any(isinstance(one, str) and "\0" in one for one in several)
    if number or zero or not all(one is None or isinstance(one, kinds) for one in several):
        what = "inputs" if kinds is str and isinstance(param, PointerParam) else "values"
        raise ProjectError(f"The template {template.name} has {what} of {key} that are not of the kind that it takes.")


def add_workflow(project: EmtomoProject, template: Template, values: dict[str, str], folder: Path) -> list[Protocol]:
    """Save the template's protocols as runs of `project` and return them in the template's order.

    Labels that the project has already get a number behind them.
    """
    check_template(template)
    filled = template.fill_in(values, folder)
    for one in filled:
        cls = protocol_named(one["object.className"])
        one["object.className"] = cls.__name__
        blank = project.newProtocol(cls)
        for key in [k for k in one if "." not in k and not k.startswith("_")]:
            value = one.pop(key)
            if key not in INTERNAL and value is not None:  # how a run was carried out stays with that run
                attribute = attribute_name(blank, key)
                _check_value(template, key, value, blank.getDefinition().getParam(attribute))
                path = isinstance(blank.getDefinition().getParam(attribute), PathParam) and isinstance(value, str)
                one[attribute] = (
                    path_in_project(project.path, Path(template.folder, value)) if path and value else value
                )
        one.setdefault("object.label", cls._label)
    labels = [one["object.label"] for one in filled]
    with clear_messages(project.path):
        loaded = project.loadProtocols(jsonStr=json.dumps(filled))
        runs = [loaded[one["object.id"]] for one in filled]
        for run in runs:  # the engine gives them no label of their own
            run.setObjLabel(f"\0{run.strId()}")
            project.saveProtocol(run)
        for run, label in zip(runs, labels, strict=True):
            run.setObjLabel(project.free_label(label))
            project.saveProtocol(run)
    return runs


def runs_of_template(project: EmtomoProject, template: Template, values: dict[str, str]) -> list[Protocol]:
    """Return the runs that this template gave `project` before, in its order; none unless all of them are there."""
    known = {run.getObjLabel(): run for run in project.runs_now()}
    found = []
    for one in template.steps(values):
        cls = protocol_named(str(one["object.className"]))
        run = known.get(str(one.get("object.label", cls._label)))
        if run is None or run.getClassName() != cls.__name__:
            return []
        found.append(run)
    return found


def update_workflow(
    project: EmtomoProject, template: Template, values: dict[str, str], folder: Path, runs: list[Protocol]
) -> list[Protocol]:
    """Give the runs of :func:`runs_of_template` the template's parameters again, and return them.

    Raises
    ------
    ProjectError
        If one of them is active, or a value cannot be.
    """
    check_template(template)
    filled = template.fill_in(values, folder)
    active = [run.getObjLabel() for run in runs if run.isActive()]
    if active:
        raise ProjectError(f"{', '.join(active)} is running; stop it first, or add the runs a second time (--again).")
    ids = {str(one["object.id"]): run.strId() for one, run in zip(filled, runs, strict=True)}
    for one, run in zip(filled, runs, strict=True):
        given = {k: v for k, v in one.items() if "." not in k and not k.startswith("_") and k not in INTERNAL}
        set_parameters(project, run, {k: _text(run, k, v, ids) for k, v in given.items()}, template.folder)
    for run in runs:
        project.amend(run)
    return runs


def _text(run: Protocol, key: str, value: Any, ids: dict[str, str]) -> str:
    """Return a template's value as the command line has it; inputs point at the runs `ids` of the template's."""
    param = run.getDefinition().getParam(attribute_name(run, key))
    if isinstance(param, PointerParam) and value:
        targets = value if isinstance(value, list) else [value]
        parts = [str(target).partition(".") for target in targets]
        return ",".join(f"{ids.get(parent, parent)}.{output}" for parent, _, output in parts)
    if value is None:
        return ""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def export_workflow(
    project: EmtomoProject,
    runs: list[Protocol],
    path: Path,
    *,
    relative: bool = False,
    variables: dict[str, tuple[Protocol, str]] | None = None,
) -> None:
    """Write `runs` as a template that :func:`read_template` reads.

    Parameters
    ----------
    project : EmtomoProject
    runs : list of Protocol
    path : Path
    relative : bool
        Write files relative to the template's folder, so that both can be moved together; else their whole names.
    variables : dict, optional
        Name → run and parameter that become a variable of the template, with the present value as default.

    Raises
    ------
    ProjectError
        If a variable is no parameter of one of the runs, or an input.
    """
    chosen = {run.strId() for run in runs}
    with clear_messages(project.path):
        mine = [run for run in project.runs_now() if run.strId() in chosen]
        for run in mine:
            check_known(run)
        protocols = json.loads(project.getProtocolsJson(mine))
    _take_paths(project, protocols, path.absolute().parent if relative else None)
    for alias, (run, name) in (variables or {}).items():
        if re.search(r"[~|\s]", alias) or not alias:
            raise ProjectError(f"The name of a variable must be one word without ~ and |, got {alias!r}.")
        if run.strId() not in chosen:
            raise ProjectError(f"{run.getObjLabel()} is not among the runs that are written.")
        one = next(p for p in protocols if str(p["object.id"]) == run.strId())
        attribute = attribute_name(run, name)
        one[attribute] = _variable(alias, run, attribute, one.get(attribute))
    part = path.with_name(path.name + ".part")
    text = json.dumps(protocols, indent=4, ensure_ascii=False)
    part.write_text(f"Workflow of {project.getShortName()}\n{text}\n", encoding="utf8")
    part.replace(path)


def _take_paths(project: EmtomoProject, protocols: list[dict[str, Any]], folder: Path | None) -> None:
    """Give files, which a project keeps relative to itself where it can, their whole names, or those from `folder`."""
    for one in protocols:
        for name, param in project.newProtocol(protocol_named(one["object.className"])).getDefinition().iterParams():
            if isinstance(param, PathParam) and isinstance(one.get(name), str) and one[name]:
                whole = Path(project.path, one[name])
                one[name] = str(whole) if folder is None else os.path.relpath(whole, folder)


def _variable(alias: str, run: Protocol, attribute: str, value: Any) -> str:
    """Return a parameter as a variable of a template."""
    param = run.getDefinition().getParam(attribute)
    if isinstance(param, PointerParam):
        raise ProjectError(f"{attribute.removeprefix(INPUT)} is an input of {run.getObjLabel()}, no value to be set.")
    kinds = ((BooleanParam, "1"), (IntParam, "3"), (FloatParam, "4"), (PathParam, "2"))
    code = next((code for kind, code in kinds if isinstance(param, kind)), "0")
    title = re.sub(r"[~|]", " ", str(param.label))
    text = ("yes" if value else "no") if isinstance(value, bool) or code == "1" else str("" if value is None else value)
    if re.search(r"[~|]", text):
        text = ""  # cannot be written as a default: it must be given
    elif text == "" and may_be_empty(param):
        title = f"{title} {OPTIONAL}"
    return f"~{title}|{text}|{code}|{alias}~"
