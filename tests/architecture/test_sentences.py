"""What a sentence for users names exists: options of a protocol, protocols, verbs of the command line."""

import ast
import re
from pathlib import Path

import emtomo
from emtomo.engine.parameters import protocols_by_name
from emtomo.options import option_fields

PACKAGE = Path(emtomo.__file__).parent
_VERB = re.compile(r"\bemtomo ([a-z][a-z0-9-]+)\b")
_OPTION_OF = re.compile(r"(?:option|box|field) (?:of|in) ([a-z]+(?:-[a-z]+)+)")
_GROUPS = "import|export|pick|extract|create|match|bin|denoise|refine|select|clean"
_PROTOCOL = re.compile(rf"(?:^|[\s(])((?:{_GROUPS})-[a-z]+)\b")


def sentences():
    """Return (place, text) of every string in the package that is longer than a word."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield f"{file.relative_to(PACKAGE)}:{node.lineno}", node.value


def verbs():
    import typer.main

    from emtomo.cli import app

    return set(typer.main.get_command(app).commands)


def test_verbs_of_the_command_line_that_are_named_exist():
    known = verbs()
    wrong = [(place, verb) for place, text in sentences() for verb in _VERB.findall(text)
             if "-" in verb and verb not in known]  # fmt: skip
    assert not wrong


def test_protocols_that_are_named_exist():
    known = set(protocols_by_name()) | verbs()
    wrong = [(place, name) for place, text in sentences() for name in _PROTOCOL.findall(text) if name not in known]
    wrong = [(place, name) for place, name in wrong if any(k.startswith(name.split("-")[0] + "-") for k in known)]
    assert not wrong, wrong


def test_a_protocol_of_which_an_option_is_named_has_it():
    """match-template sends users to import-tomograms to say whether particles are white."""
    found = protocols_by_name()
    for place, text in sentences():
        for name in _OPTION_OF.findall(text):
            assert name in found, (place, name)
    fields = {f.name for options in found["import-tomograms"].OPTIONS for f in option_fields(options)}
    assert "white" in fields
    fields = {f.name for options in found["import-volume"].OPTIONS for f in option_fields(options)}
    assert "white" in fields
