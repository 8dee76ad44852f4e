"""Every shipped template: its protocols, parameters and the outputs that its inputs name are there."""

import pytest
from pyworkflow.protocol.params import PointerParam

from emtomo.engine.form import input_classes
from emtomo.engine.parameters import attribute_name, protocol_named
from emtomo.engine.templates import check_template, find_shipped, read_template


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
