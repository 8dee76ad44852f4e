"""Names are the field's: no private coinage in a public name, and a function is called by a verb."""

import ast
import re
from pathlib import Path

import emtomo

PACKAGE = Path(emtomo.__file__).parent
HERE = Path(__file__).parent
# words that mean something to one author only, or nothing in this field
_BANNED = """
told tell climb climbs climbed tops turned unturned weighed placed joined sitting sittings litter asked handed stranger
strangers spoken said lain strewn packing outcome outcomes sayings whereabouts
"""
_IRREGULAR = """
begun bound bought brought built chosen done drawn driven fed fallen felt forbidden found given gone grown held hidden
kept known laid left lost made meant met paid seen sent shown sought spent sprung stood struck sung sunk swum taken
taught thought told torn understood won worn written
"""
BANNED, IRREGULAR = frozenset(_BANNED.split()), frozenset(_IRREGULAR.split())
NO_PARTICIPLES = frozenset(("bed", "eed", "embed", "exceed", "feed", "need", "proceed", "red", "seed", "speed"))


def allowed() -> set[str]:
    """Return the names that may stay: each line is a name, and why."""
    lines = (HERE / "allowed_names.txt").read_text(encoding="utf8").splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def words(name: str) -> list[str]:
    """Return the words of snake_case or CamelCase."""
    return [w.lower() for part in name.split("_") for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", part)]


def is_property(node: ast.FunctionDef) -> bool:
    return any(getattr(d, "id", getattr(d, "attr", "")) in ("property", "cached_property") for d in node.decorator_list)


def public_names(tree: ast.Module) -> list[tuple[str, bool]]:
    """Return the public classes, functions, methods, arguments, fields and constants; True for what is called."""
    found = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.append((node.name, False))
                waiting.append(node)
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found.append((node.name, not is_property(node)))
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                found += [(a.arg, False) for a in arguments if not a.arg.startswith("_")]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.append((node.target.id, False))
            elif isinstance(node, ast.Assign):
                found += [(t.id, False) for t in node.targets if isinstance(t, ast.Name)]
    return [(name, called) for name, called in found if not name.startswith("_")]


def coined(name: str) -> bool:
    return bool(BANNED & set(words(name)))


def bare_participle(name: str) -> bool:
    """Return whether a function's name begins with a participle: `solved`, `wanted_workers`."""
    first = (words(name) or [""])[0]
    return first in IRREGULAR or (first.endswith("ed") and first not in NO_PARTICIPLES)


def offending(files: list[Path]) -> dict[str, str]:
    found = {}
    for file in files:
        for part in file.relative_to(PACKAGE).with_suffix("").parts:
            if coined(part):
                found[part] = str(file)
        for name, called in public_names(ast.parse(file.read_text(encoding="utf8"))):
            if coined(name) or (called and bare_participle(name)):
                found.setdefault(name, str(file))
    return found


def test_public_names_are_the_fields():
    found = offending(sorted(PACKAGE.rglob("*.py")))
    new = {name: file for name, file in found.items() if name not in allowed()}
    assert not new, "rename, or write the name with a reason into tests/architecture/allowed_names.txt"


def test_such_names_are_found():
    tree = ast.parse(
        "def solved(x, told): ...\ndef seed(x): ...\nclass Sitting:\n    placed: int = 0\n"
        "    @property\n    def finished(self): ...\n    def written_files(self): ...\n"
    )
    names = public_names(tree)
    assert {n for n, called in names if coined(n)} == {"told", "Sitting", "placed"}
    assert {n for n, called in names if called and bare_participle(n)} == {"solved", "written_files"}
