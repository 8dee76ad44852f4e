"""Write docs/protocols/*.md from the protocols themselves and the notes beside them.

``python docs/make_pages.py`` writes; a test fails when a page is not what this would write.
"""

from pathlib import Path

from emtomo.cli.protocols import description
from emtomo.engine.parameters import protocols_by_name

FOLDER = Path(__file__).parent / "protocols"


def page(name: str) -> str:
    """Return the page of a protocol: what it does, a picture, parameters, outputs, notes."""
    told = description(protocols_by_name()[name])
    lines = [f"# {name}", "", f"*{told['label']}*", "", told["help"], ""]
    picture = f"{name}.png"
    if (FOLDER.parent / "pictures" / picture).exists():
        lines += [f"![{told['label']}](../pictures/{picture})", ""]
    lines += ["| parameter | label | unit | default | allowed | meaning |", "|---|---|---|---|---|---|"]
    for row in told["parameters"]:
        allowed = ", ".join(row["choices"]) or row["bounds"] or row["type"]
        default = "" if row["default"] in (None, "") else row["default"]
        label = row["label"] + (" (expert)" if row["expert"] else "")
        lines.append(f"| `{row['name']}` | {label} | {row['unit']} | {default} | {allowed} | {row['help']} |")
    lines += ["", "Outputs: " + ", ".join(f"`{k}` ({v})" for k, v in told["outputs"].items()) + "."]
    if told["citations"]:
        lines += ["", "Cite: " + "; ".join(told["citations"]) + "."]
    notes = FOLDER / "notes" / f"{name}.md"
    if notes.exists():
        lines += ["", notes.read_text(encoding="utf8").rstrip()]
    return "\n".join(lines) + "\n"


def index() -> str:
    """Return the list of all protocols."""
    lines = ["# Protocols", "", "| protocol | what it does |", "|---|---|"]
    for name, cls in protocols_by_name().items():
        lines.append(f"| [{name}]({name}.md) | {(cls.__doc__ or '').strip().splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return file name → text of all pages."""
    return {"README.md": index(), **{f"{name}.md": page(name) for name in protocols_by_name()}}


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf8")
