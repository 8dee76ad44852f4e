"""Every shipped template: its protocols, parameters and the outputs that its inputs name are there."""

import pytest
from pyworkflow.protocol.params import PointerParam

from emtomo.engine.form import input_classes
from emtomo.engine.parameters import attribute_name, protocol_named
from emtomo.engine.templates import Template, check_template, find_shipped, read_template
from emtomo.errors import ProjectError


@pytest.mark.parametrize("name", sorted(find_shipped()))
def test_parameters_and_outputs_are_there(name):
    template = read_template(name)
    check_template(template)
    assert template.description and template.description.splitlines()[0].endswith((".", ")"))
    runs = {str(p["object.id"]): protocol_named(p["object.className"])() for p in template.protocols}
    assert len(runs) == len(template.protocols)
    for one in template.protocols:
        run = runs[str(one["object.id"])]
        for key, value in one.items():
            param = None if "." in key else run.getDefinition().getParam(attribute_name(run, key))
            if not isinstance(param, PointerParam):
                continue
            for target in value if isinstance(value, list) else [value]:
                parent, _, output = str(target).partition(".")
                kind = runs[parent].plan_outputs()[output]
                accepted = input_classes(param)
                if isinstance(param, PointerParam) and not isinstance(value, list):
                    getattr(run, attribute_name(run, key)).set(runs[parent])  # what is planned depends on inputs
                assert any(base.__name__ in accepted for base in kind.__mro__), (one["object.label"], key)


@pytest.mark.parametrize("name", sorted(find_shipped()))
def test_one_variable_has_one_default(name):
    found: dict[str, set[str]] = {}
    for one in read_template(name).protocols:
        for value in one.values():
            if isinstance(value, str) and value.startswith("~") and value.endswith("~"):
                _, default, kind, alias = value.strip("~").split("|")
                found.setdefault(alias, set()).add(f"{default}|{kind}")
    assert {alias: defaults for alias, defaults in found.items() if len(defaults) > 1} == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("coordinates", 5), ("coordinates", True), ("coordinates", ["1.tomograms"]), ("coordinates", {"a": 1}),
        ("box_size", 2**70), ("box_size", 1e308), ("box_size", float("nan")), ("box_size", 2.5), ("box_size", ["2"]),
        ("object.id", ["1"]), ("object.id", None), ("object.comment", 5),
        ("_prerequisites", True), ("_queueParams", [1]),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_before_a_run_is_made(key, value):
    run = {"object.className": "ExtractSubtomograms", "object.id": "2", "coordinates": "1.coordinates"}
    check_template(Template("received", "", [run]))
    with pytest.raises(ProjectError, match="The template received has "):
        check_template(Template("received", "", [{**run, key: value}]))
