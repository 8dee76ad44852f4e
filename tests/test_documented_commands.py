"""The commands that the README and the pages show can be typed: their protocols, parameters, outputs, options exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from emtomo.cli import app
from emtomo.engine.parameters import attribute_name, protocols_by_name
from emtomo.engine.templates import read_template

ROOT = Path(__file__).parents[1]
INVENTED = "invert-tomograms"  # of the how-to that adds it
GENERATED = ("command_line.md", "benchmarks.md")
PAGES = sorted(
    page
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if page.name not in GENERATED and "emtomo " in page.read_text(encoding="utf8")
)
COMMANDS = typer.main.get_command(app).commands


def shown(page):
    """Return the commands of a page as lists of words: those of its blocks, and those within lines that are whole."""
    text = page.read_text(encoding="utf8").replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"^ *```(?:\w*)\n(.*?)^ *```", text, re.M | re.S))
    lines = re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?emtomo ([a-z].*)$", blocks, re.M)
    lines += re.findall(r"`(?:\.venv/bin/)?emtomo ([a-z][^`]*)`", text)
    return [shlex.split(re.split(r"\s{3,}|…|\.\.\.", line)[0], comments=True) for line in lines]


def check_run(words, labels):
    """Check one ``emtomo run``; remember which protocol its label stands for."""
    cls = protocols_by_name()[words[2]]
    run = cls()
    for key, value in (word.split("=", 1) for word in words[3:] if re.match(r"[a-z]\w*=", word)):
        attribute_name(run, key)
        label, _, output = value.partition(".")
        if label in labels and output:
            known = set(labels[label]._possibleOutputs)
            assert re.sub(r"_\d+$", "", output) in known, f"{label} has no output {output}: {sorted(known)}"
    if "--label" in words:
        labels[words[words.index("--label") + 1]] = cls


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_exists(page):
    labels = {}
    for words in shown(page):
        if INVENTED in words:
            continue
        assert words[0] in COMMANDS, words
        options = {name for parameter in COMMANDS[words[0]].params for name in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}, words
        if words[0] == "run" and len(words) > 2:
            check_run(words, labels)
        if words[0] == "workflow" and len(words) > 1:
            template = read_template(words[1])
            given = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--set"]
            template.check_names(one.split("=", 1)[0] for one in given)


def test_commands_are_found_and_wrong_ones_are_refused():
    assert sum(len(shown(page)) for page in PAGES) > 100
    with pytest.raises(Exception, match="no parameter|There is no"):
        check_run(["run", "p", "bin-tomograms", "factr=2"], {})
    with pytest.raises(AssertionError, match="no output boxes"):
        check_run(["run", "p", "bin-tomograms", "tomograms=a.boxes"], {"a": protocols_by_name()["import-tomograms"]})
