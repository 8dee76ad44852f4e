from dataclasses import dataclass
from typing import Annotated

import pytest

from emtomo.engine.parameters import protocols_by_name
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options, option_fields, problems


@dataclass(frozen=True, kw_only=True)
class Example:
    radius: Annotated[float, Param("Radius", "How far.", unit="Å", gt=0, le=10)] = 1.0
    kind: Annotated[str, Param("Kind", "Which.", choices=("a", "b"))] = "a"
    number: Annotated[int | None, Param("Number", "How many.", ge=2)] = None


def test_a_violation_names_label_bound_unit_and_value():
    assert Param("Radius", "", unit="Å", gt=0).problem(-3.0) == "Radius must be > 0 Å, got -3 Å."
    assert Param("Count", "", le=1000000).problem(1000001) == "Count must be <= 1000000, got 1000001."
    assert Param("Share", "", le=0.5).problem(0.50000001) == "Share must be <= 0.5, got 0.50000001."


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value):
    assert "finite" in Param("Radius", "").problem(value)


def test_all_violations_are_reported_at_once():
    with pytest.raises(EmtomoError) as caught:
        check_options(Example(radius=11.0, kind="c", number=1))
    assert all(word in str(caught.value) for word in ("Radius", "Kind", "Number"))


def test_empty_is_allowed_only_where_the_type_says_so():
    assert problems(Example, {"radius": 1.0, "kind": "a", "number": None}) == []
    assert problems(Example, {"radius": None, "kind": "a", "number": None}) == ["Radius must not be empty."]


def test_fields_know_kind_and_default():
    fields = {f.name: f for f in option_fields(Example)}
    assert fields["number"].kind is int and fields["number"].optional and fields["radius"].default == 1.0


def test_every_pixel_size_has_bounds():
    options = {kind for protocol in protocols_by_name().values() for kind in protocol.OPTIONS}
    sizes = [(kind, f) for kind in options for f in option_fields(kind) if f.name.endswith("pixel_size")]
    assert len(sizes) >= 12
    for kind, field in sizes:
        given = {f.name: f.default for f in option_fields(kind)}
        for value in (1e-9, 1e9, -3.0):
            assert len(problems(kind, {**given, field.name: value})) == 1, (kind, field.name, value)
        assert not problems(kind, {**given, field.name: 2.7}) and not problems(kind, given)
