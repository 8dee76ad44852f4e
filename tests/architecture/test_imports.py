"""What tests, benchmarks and scripts import of emtomo exists: a renamed name fails here, not in the middle of a run."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [folder for folder in ("tests", "benchmarks", "docs", "examples") if (ROOT / folder).exists()]


def file_of(module):
    """Return the file of a module of this repository, None if there is none."""
    path = ROOT.joinpath(*module.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.exists()), None)


def names_in(body):
    """Return the names that statements define."""
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "handlers", "finalbody"):
                found |= names_in(getattr(node, part, []))
        elif isinstance(node, ast.ExceptHandler):
            found |= names_in(node.body)
        else:
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found


def defined_in(module, seen={}):  # noqa: B006  read once
    """Return the names that a module defines, None if it makes them when asked."""
    if module not in seen:
        found = names_in(ast.parse(file_of(module).read_text(encoding="utf8")).body)
        seen[module] = None if "__getattr__" in found else found
    return seen[module]


def missing_in(text):
    """Return what a module imports of this repository that is not there."""
    missing = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in ("emtomo", "tests")]
            missing += [name for name in names if file_of(name) is None]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("emtomo", "tests"):
            if file_of(node.module) is None:
                missing.append(node.module)
                continue
            there = defined_in(node.module)
            for alias in node.names:
                if there is not None and alias.name not in there and file_of(f"{node.module}.{alias.name}") is None:
                    missing.append(f"{node.module}.{alias.name}")
    return missing


@pytest.mark.parametrize("place", PLACES)
def test_what_is_imported_is_there(place):
    files = sorted((ROOT / place).rglob("*.py"))
    assert files
    missing = {str(file.relative_to(ROOT)): missing_in(file.read_text(encoding="utf8")) for file in files}
    assert not {file: names for file, names in missing.items() if names}


def test_a_missing_name_would_be_found():
    text = "import emtomo.nothing\ndef f():\n    from emtomo.errors import EmtomoError, Gone\nfrom tests import peers\n"
    assert missing_in(text) == ["emtomo.nothing", "emtomo.errors.Gone"]
