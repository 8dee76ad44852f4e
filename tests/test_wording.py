"""Numbers with their nouns."""

import pytest

from emtomo.wording import (
    bytes_text,
    count_text,
    group_problems,
    list_text,
    no_match_text,
    pluralize,
    share_text,
    singular,
)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "run", "0 runs"),
        (1, "run", "1 run"),
        (2, "box", "2 boxes"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
        (2, "mesh", "2 meshes"),
        (1, "tilt series", "1 tilt series"),
        (5, "tilt series", "5 tilt series"),
        (2, "species", "2 species"),
        (2, "vertex", "2 vertices"),
        (4, "copy", "4 copies"),
        (2, "day", "2 days"),
        (2, "excluded image", "2 excluded images"),
    ],
)
def test_a_noun_follows_its_number(count, noun, text):
    assert count_text(count, noun) == text


def test_what_is_wrong_with_many_is_said_once():
    problems = [(f"m{k}", "too small.") for k in range(12)] + [("a", ValueError("empty.")), ("b", "empty.")]
    assert group_problems(problems) == [f"{list_text(f'm{k}' for k in range(12))}: too small.", "a, b: empty."]
    assert group_problems([]) == []


def test_a_verb_follows_as_well():
    assert [count_text(n, "particle lies", "particles lie") for n in (1, 2)] == ["1 particle lies", "2 particles lie"]


def test_the_singular_is_what_the_rule_makes_the_plural_of():
    nouns = "class", "particle", "micrograph", "box", "subtomogram", "tilt series", "point", "bay", "body"
    assert [singular(pluralize(noun)) for noun in nouns] == list(nouns)
    assert singular("data") == "data"


def test_the_verb_goes_with_the_part():
    assert share_text(1, 3, "particle", "has") == "1 of 3 particles has"
    assert share_text(2, 3, "particle", "has") == "2 of 3 particles have"
    assert share_text(0, 1, "tilt", "is") == "0 of 1 tilts are"


def test_lists_of_names_that_may_be_empty_or_long():
    assert list_text([], "nothing") == "nothing" and list_text(range(12)).endswith("8, 9 and 2 more")
    assert no_match_text("tomogram", ["a"], ["b", "c"]) == "No tomogram of the particles (a) is among b, c."
    assert no_match_text("tomogram", ["a"], []) == "There is no tomogram; the particles are in a."
    assert no_match_text("tomogram", [], ["b"]) == "There is no particle."


def test_bytes_have_the_unit_that_keeps_them_short():
    numbers = 0, 999, 1000, 999_499, 999_600, 10**7, 2 * 10**15
    assert [bytes_text(n) for n in numbers] == ["0 bytes", "999 bytes", "1 kB", "999 kB", "1 MB", "10 MB", "2e+03 TB"]
