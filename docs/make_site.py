"""Assemble the pages of the documentation site, and check the site that was built from them.

``python docs/make_site.py FOLDER`` writes Markdown and mkdocs.yml; ``--check SITE`` looks for anything remote.
``make docs`` does both.
"""

import ast
import importlib
import json
import re
import shutil
import sys
from dataclasses import is_dataclass
from pathlib import Path

from emtomo.options import option_fields
from emtomo.version import __version__

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGE = ROOT / "emtomo"
INSIDE = ("compute", "io", "synthetic", "objects", "engine")  # folders whose modules are in the reference
FROM_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
_REMOTE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)\s*=\s*["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*rel=["']?(?:stylesheet|icon|preload|preconnect|dns-prefetch|modulepreload))"""
    r"""[^>]*href\s*=\s*["']?(?:https?:)?//""",
    re.IGNORECASE,
)
_REMOTE_STYLE = re.compile(r"""(?:@import\s+["']|url\(\s*["']?)(?:https?:)?//""", re.IGNORECASE)

API = """`import emtomo` loads nothing until it is used. Arrays are `(z, y, x)`, lengths Å, angles degrees
([conventions](conventions.md)); a mistake raises `EmtomoError` with one sentence."""
API_IO = "Which programs' files are read and written: [formats](formats.md)."
GUIDE = ["windows.md", "command_line.md", "formats.md", "clusters.md", "conventions.md", "glossary.md"]
SETTINGS = """\
site_name: emtomo
site_description: From tilt series, tomograms or micrographs to oriented particles, a refined average and its resolution
copyright: emtomo developers, version {version}
docs_dir: pages
site_dir: {site}
use_directory_urls: false
strict: true
theme:
  name: material
  font: false
  icon:
    logo: material/cube-scan
  features: [navigation.indexes, navigation.top, navigation.tracking, content.code.copy, search.highlight]
  palette:
    - media: "(prefers-color-scheme: light)"
      scheme: default
      toggle: {{ icon: material/weather-night, name: Dark }}
    - media: "(prefers-color-scheme: dark)"
      scheme: slate
      toggle: {{ icon: material/weather-sunny, name: Light }}
extra_css: [tables.css]
plugins:
  - search
  - autorefs
  - mkdocstrings:
      handlers:
        python:
          paths: [{root}]
          options:
            docstring_style: numpy
            docstring_options: {{ warn_unknown_params: false, warn_missing_types: false }}
            show_source: false
            show_root_heading: true
            show_signature_annotations: true
            separate_signature: true
            line_length: 100
            members_order: source
            merge_init_into_class: true
            filters: ["!^_"]
            heading_level: 2
markdown_extensions:
  - admonition
  - tables
  - toc: {{ permalink: true }}
  - pymdownx.highlight
  - pymdownx.superfences
validation:
  nav: {{ omitted_files: warn, not_found: warn, absolute_links: warn }}
  links: {{ not_found: warn, anchors: warn, absolute_links: warn, unrecognized_links: warn }}
nav: {nav}
"""
# names of parameters stay in one line
STYLE = """\
.md-typeset table:not([class]) th { min-width: 0 }
.md-typeset table:not([class]) td:first-child code { white-space: nowrap }
"""


def title_of(text: str) -> str:
    """Return the first heading of a page."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), "emtomo")


def modules() -> list[str]:
    """Return the dotted names of all modules in the reference that have something public."""
    found = []
    for folder in INSIDE:
        for file in sorted((PACKAGE / folder).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not any(part.startswith("_") for part in name.split(".")):
                found.append(name)
    return found


def options_table(cls: type) -> list[str]:
    """Return what every field of an options dataclass means, as a Markdown table."""
    lines = ["", "| option | default | unit | allowed | meaning |", "|---|---|---|---|---|"]
    for field in option_fields(cls):
        param = field.param
        allowed = ", ".join(param.choices) or param.bounds or field.kind.__name__
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `{field.name}` | {default} | {param.unit} | {allowed} | {param.label}. {param.help} |")
    return [*lines, ""]


def public_page(module: str, heading: str, text: str) -> str:
    """Return the page about the public names of `emtomo` or `emtomo.io`: one entry for each."""
    package = importlib.import_module(module)
    lines = [f"# {heading}", "", text, ""]
    for name in sorted(package._HOME, key=lambda n: (n[0].isupper(), n.lower())):
        value = getattr(package, name)
        lines += [f"::: {value.__module__}.{value.__name__}", "    options:", "      heading_level: 2"]
        lines += [f"      heading: {module}.{name}", f"      toc_label: {name}", ""]
        for cls in [value] if is_dataclass(value) and name.endswith("Options") else getattr(value, "OPTIONS", ()):
            lines += [f"Options ({cls.__name__}):", *options_table(cls)]
    return "\n".join(lines) + "\n"


def examples_page() -> str:
    """Return the page of the scripts in examples/: what each does, its picture, its text."""
    lines = ["# Examples", "", "Each simulates its own data: `python examples/NAME.py FOLDER`.", ""]
    for file in sorted((ROOT / "examples").glob("*.py")):
        text = file.read_text(encoding="utf8")
        summary = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
        picture = f"pictures/example-{file.stem.replace('_', '-')}.png"
        lines += [f"## {file.name}", "", summary, "", f"![{file.stem}]({picture})", ""]
        lines += ["```python", text.rstrip(), "```", ""]
    return "\n".join(lines)


def module_pages() -> dict[str, str]:
    """Return the pages about the inside: one for each module."""
    return {
        f"reference/{name.removeprefix('emtomo.')}.md": f"# {name}\n\n::: {name}\n    options:\n"
        "      show_root_heading: false\n      show_root_toc_entry: false\n"
        for name in modules()
    }


def pages() -> dict[str, str]:
    """Return path → text of every page, with links as the site needs them."""
    found = {}
    for name, target in FROM_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf8")
        text = re.sub(r"(?<=[(\"'])docs/", "", text).replace("](examples)", "](examples.md)")
        found[target] = re.sub(r"\]\((LICENSE|CITATION.cff|requirements.lock)\)", r"", text)
    for file in sorted(DOCS.rglob("*.md")):
        path = file.relative_to(DOCS)
        if path.parts[:2] != ("protocols", "notes"):
            text = file.read_text(encoding="utf8")
            for name, target in FROM_ROOT.items():
                text = text.replace(f"](../{name}", f"]({target}")
            found[path.as_posix()] = text
    found["api.md"] = public_page("emtomo", "emtomo in Python", API)
    found["api_io.md"] = public_page("emtomo.io", "emtomo.io: reading and writing", API_IO)
    found["examples.md"] = examples_page()
    found |= module_pages()
    return found


def navigation(found: dict[str, str]) -> list[dict[str, object]]:
    """Return the menu: every page has its place."""

    def entries(names: list[str]) -> list[dict[str, str]]:
        return [{title_of(found[name]): name} for name in names if name in found]

    protocols = sorted(n for n in found if n.startswith("protocols/") and not n.endswith("README.md"))
    how_to = sorted(n for n in found if n.startswith("how_to_"))
    listed = {
        *GUIDE,
        "index.md",
        "changes.md",
        "contributing.md",
        "benchmarks.md",
        "api.md",
        "api_io.md",
        "examples.md",
        *how_to,
    }
    others = sorted(n for n in found if "/" not in n and n not in listed)
    return [
        {"Home": "index.md"},
        {"User guide": entries(GUIDE)},
        {"Tutorials": entries(sorted(n for n in found if n.startswith("tutorials/")))},
        {"Protocols": ["protocols/README.md", *entries(protocols)]},
        {"Notes": entries(sorted(n for n in found if n.startswith("notes/")))},
        {"Python": [*entries(["api.md", "api_io.md", "examples.md"]), {"All modules": _tree(found)}]},
        {"Developer guide": entries(["contributing.md", *how_to, *others])},
        {"Benchmarks": "benchmarks.md"},
        {"Changes": "changes.md"},
    ]


def _tree(found: dict[str, str]) -> list[dict[str, object]]:
    """Return the modules of the reference by their folders."""
    groups: dict[str, list[dict[str, str]]] = {}
    for name in sorted(n for n in found if n.startswith("reference/")):
        dotted = name.removeprefix("reference/").removesuffix(".md")
        groups.setdefault(dotted.split(".")[0], []).append({dotted: name})
    return [{folder: rows} for folder, rows in groups.items()]


def write(folder: Path) -> None:
    """Write pages, pictures and settings into `folder`."""
    target = folder / "pages"
    shutil.rmtree(target, ignore_errors=True)
    found = pages()
    for name, text in found.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf8")
    shutil.copytree(DOCS / "pictures", target / "pictures")
    for script in (DOCS / "tutorials").glob("*.py"):
        shutil.copy(script, target / "tutorials" / script.name)
    settings = SETTINGS.format(
        version=__version__, site=ROOT / "site", root=json.dumps(str(ROOT)), nav=json.dumps(navigation(found))
    )
    (target / "tables.css").write_text(STYLE, encoding="utf8")
    (folder / "mkdocs.yml").write_text(settings, encoding="utf8")


def remote(site: Path) -> list[str]:
    """Return where a page or style of a built site loads something from elsewhere."""
    found = []
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = file.read_text(encoding="utf8")
        pattern = _REMOTE if file.suffix == ".html" else _REMOTE_STYLE
        found += [f"{file.relative_to(site)}: {match.group()[:100]}" for match in pattern.finditer(text)]
        if file.suffix == ".html":
            styles = "".join(re.findall(r"<style.*?</style>", text, re.DOTALL | re.IGNORECASE))
            found += [f"{file.relative_to(site)}: {match.group()[:100]}" for match in _REMOTE_STYLE.finditer(styles)]
    return found


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        problems = remote(Path(sys.argv[2]))
        more = [f"… and {len(problems) - 20} more"] if len(problems) > 20 else []
        sys.exit("\n".join(["Loaded from elsewhere:", *problems[:20], *more]) if problems else 0)
    write(Path(sys.argv[1]))
