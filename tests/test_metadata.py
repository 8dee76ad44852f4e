"""What the package says of itself is said in one place."""

import tomllib
from pathlib import Path

import emtomo
from emtomo.version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))


def names(requirements: list[str]) -> set[str]:
    import re

    return {re.split(r"[\s<>=;\[]", one)[0].lower() for one in requirements}


def test_the_version_is_written_once():
    assert emtomo.__version__ == __version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "emtomo.version.__version__"}
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")


def test_core_is_part_of_the_whole():
    core = names(PROJECT["dependency-groups"]["core"]) - {"pytest", "pytest-xdist", "hypothesis"}
    assert core <= names(PROJECT["project"]["dependencies"])
    assert not core & {"scipion-pyworkflow", "ttkbootstrap", "matplotlib", "typer"}


def test_every_requirement_of_the_product_is_locked():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf8")
    locked = {line.split("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")}
    assert names(PROJECT["project"]["dependencies"]) <= locked
