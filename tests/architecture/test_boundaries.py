"""Rules of the house that no linter sees."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import emtomo

PACKAGE = Path(emtomo.__file__).parent
DOCS = PACKAGE.parent / "docs"
FILES = sorted(PACKAGE.rglob("*.py"))


def test_compute_loads_neither_engine_nor_window():
    code = (
        "import importlib, pkgutil, sys, emtomo.compute as c\n"
        "for m in pkgutil.walk_packages(c.__path__, 'emtomo.compute.'):\n"
        "    'cuda' in m.name or importlib.import_module(m.name)\n"
        "bad = [m for m in ('pyworkflow', 'tkinter', 'ttkbootstrap', 'matplotlib', 'pandas') if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_emtomo_loads_no_engine():
    code = "import emtomo, sys; sys.exit('pyworkflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_starts_without_what_takes_long_to_load():
    """Tables, kernels, clusters and terminal colours are loaded by what uses them."""
    code = (
        "import emtomo.cli, sys\n"
        "bad = [m for m in ('pandas', 'numba', 'scipy', 'dask', 'distributed', 'rich.progress') if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_protocols_load_neither_numba_nor_parts_of_scipy():
    """What a protocol computes is loaded when it computes: every command loads all protocols."""
    code = (
        "from emtomo.engine.parameters import protocols_by_name\n"
        "import sys\n"
        "protocols_by_name()\n"
        "parts = ('linalg', 'ndimage', 'optimize', 'spatial', 'sparse', 'stats', 'fft')\n"
        "bad = [m for m in ['numba', *('scipy.' + p for p in parts)] if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_and_functions_stay_small():
    long_files = [str(f) for f in FILES if len(f.read_text(encoding="utf8").splitlines()) > 400]
    long_functions = [
        f"{f}:{node.name}"
        for f in FILES
        for node in ast.walk(ast.parse(f.read_text(encoding="utf8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 80
    ]
    assert not long_files + long_functions


def test_every_option_says_label_and_help_and_has_a_valid_default():
    from emtomo.engine.parameters import protocols_by_name
    from emtomo.options import option_fields

    for name, cls in protocols_by_name().items():
        seen = set()
        for options in cls.OPTIONS:
            for field in option_fields(options):
                assert field.name not in seen, f"{name} has two parameters {field.name}"
                seen.add(field.name)
                assert field.param.label, (name, field.name)
                assert field.param.help.endswith("."), (name, field.name, field.param.help)
                known = {f.name: f for one in cls.OPTIONS for f in option_fields(one)}
                if field.param.when:  # another option, and values that it can have
                    assert set(field.param.when[1:]) <= set(known[field.param.when[0]].param.choices), field.name
                assert field.default is None or not field.param.problem(field.default), (name, field.name)


def test_protocols_have_names_labels_outputs_documents_and_pictures():
    from emtomo.engine.parameters import protocols_by_name

    found = protocols_by_name()
    assert len(found) >= 12
    for name, cls in found.items():
        assert cls._label and cls.__doc__, name
        assert cls._possibleOutputs or name.startswith("export-"), name
        assert (DOCS / "pictures" / f"{name}.png").exists(), f"no picture for {name}"


def test_pages_say_what_the_protocols_are_today():
    """``python docs/make_pages.py`` writes them again."""
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        assert (DOCS / "protocols" / name).read_text(encoding="utf8") == text, name
    formats = (DOCS / "formats.md").read_text(encoding="utf8")
    assert module.with_tables(formats) == formats
    assert (DOCS / "command_line.md").read_text(encoding="utf8") == module.command_line()


def test_links_and_pictures_in_documents_exist():
    """Notes become part of the page of their protocol, one folder above: their links hold from there."""
    notes = DOCS / "protocols" / "notes"
    found = [
        (page, target)
        for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf8"))
        if not target.startswith("http")
    ]
    assert len(found) > 50 and any(page.parent == notes for page, _ in found)
    missing = [
        f"{page}: {target}"
        for page, target in found
        if not ((notes.parent if page.parent == notes else page.parent) / target).exists()
    ]
    assert not missing


def imports_between(files):
    """Return which module of `files` (name: path) imports which; those inside functions and for types count too."""
    found = {}
    for name, path in files.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*up, *([node.module] if node.module else [])])
                targets |= {f"{base}.{a.name}" if f"{base}.{a.name}" in files else base for a in node.names}
        found[name] = {t for t in targets if t in files and t != name}
    return found


def circles_of(graph):
    """Return the groups of nodes that reach one another."""
    reach = {}
    for start in graph:
        reach[start], waiting = set(), list(graph[start])
        while waiting:
            node = waiting.pop()
            if node not in reach[start]:
                reach[start].add(node)
                waiting += graph[node]
    groups = {tuple(sorted(b for b in graph if a in reach[b] and b in reach[a])) for a in graph}
    return sorted(list(group) for group in groups if group)


def module_files():
    return {
        ".".join(("emtomo", *f.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): f for f in FILES
    }


def test_no_module_imports_itself_by_way_of_others():
    """Windows know the interface of what opened them (gui.tk.host), never its module: an import inside a function, or
    for types alone, would only hide the circle."""
    assert circles_of(imports_between(module_files())) == []


def test_a_hidden_circle_would_be_found(tmp_path):
    texts = {
        "p.a": "def f():\n    from p.b import g\n",
        "p.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.c import T\n",
        "p.c": "from .a import f\n",
        "p.d": "import p.a\n",
    }
    files = {name: tmp_path / f"{name}.py" for name in texts}
    for name, path in files.items():
        path.write_text(texts[name], encoding="utf8")
    assert circles_of(imports_between(files)) == [["p.a", "p.b", "p.c"]]
