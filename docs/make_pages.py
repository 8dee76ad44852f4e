"""Write docs/protocols/*.md from the protocols and the notes beside them, and the tables of docs/formats.md.

``python docs/make_pages.py`` writes; a test fails when a page is not what this would write.
"""

from pathlib import Path
from typing import Any

from emtomo.cli.protocols import description, type_in_words
from emtomo.engine.form import plain_type
from emtomo.engine.parameters import protocols_by_name
from emtomo.io import images, particle_formats, tilt_formats

FOLDER = Path(__file__).parent / "protocols"


def page(name: str) -> str:
    """Return the page of a protocol: what it does, a picture, parameters, outputs, notes."""
    protocol = description(protocols_by_name()[name])
    lines = [f"# {name}", "", f"*{protocol['label']}*", "", protocol["help"], ""]
    picture = f"{name}.png"
    if (FOLDER.parent / "pictures" / picture).exists():
        lines += [f"![{protocol['label']}](../pictures/{picture})", ""]
    lines += ["| parameter | label | unit | default | allowed | meaning |", "|---|---|---|---|---|---|"]
    for row in protocol["parameters"]:
        allowed = ", ".join(row["choices"]) or row["bounds"] or type_in_words(row["type"])
        default = "" if row["default"] in (None, "") else row["default"]
        default = {True: "yes", False: "no"}.get(default, default) if isinstance(default, bool) else default
        label = row["label"] + (" (expert)" if row["expert"] else "")
        lines.append(f"| `{row['name']}` | {label} | {row['unit']} | {default} | {allowed} | {row['help']} |")
    lines += ["", "Outputs: " + ", ".join(f"`{k}` ({plain_type([v])})" for k, v in protocol["outputs"].items()) + "."]
    if protocol["citations"]:
        lines += ["", "Cite: " + "; ".join(protocol["citations"]) + "."]
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


def _yes(flag: object) -> str:
    return "yes" if flag else "–"


def particle_table() -> str:
    """Return the table of formats of particles."""
    lines = ["| format (`--from`, `--to`) | read | written | positions | angles → R | centre | lost when written |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for known in particle_formats.PARTICLES:
        lost = [
            text
            for word, text in particle_formats.WORDS.items()
            if word not in known.holds | {"z_axis", "role", "model"}
        ]
        protocol = "" if known.write is None else ", ".join(lost) or "–"
        cells = [f"{known.label} (`{known.name}`)", _yes(known.read), _yes(known.write), *known.described, protocol]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tilt_table() -> str:
    """Return the table of formats of tilt series."""
    lines = ["| format | read | written | what it holds |", "|---|---|---|---|"]
    for known in tilt_formats.TILTS:
        cells = [f"{known.label} (`{known.name}`)", _yes(known.read), _yes(known.write), *known.described]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def image_table() -> str:
    """Return the table of formats of images."""
    lines = ["| format | read | written as | remarks |", "|---|---|---|---|"]
    for known in images.IMAGES:
        cells = [known.label, _yes(known.read), ", ".join(known.endings) if known.write else "–", *known.described]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Return the page of formats with what stands between its marks replaced by the tables of today."""
    for name, table in (("particles", particle_table), ("tilts", tilt_table), ("images", image_table)):
        start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        head, rest = text.split(start)
        text = head + start + table() + end + rest.split(end)[1]
    return text


def command_line() -> str:
    """Return the page of the command line: every command with its arguments and options, as typer has them."""
    import typer

    from emtomo.cli import app

    group = typer.main.get_command(app)
    intro = (
        "Made from the commands themselves by `python docs/make_pages.py`; `emtomo COMMAND --help` prints the same.\n"
        "Results go to stdout, messages to stderr; the exit status is 0 where all is done, 1 where a run failed,\n"
        "2 for bad usage."
    )
    lines = ["# Command line", "", intro, ""]
    commands = dict(sorted(group.commands.items()))  # type: ignore[attr-defined]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| [{name}](#{name}) | {_first_sentence(one.help)} |" for name, one in commands.items()]
    for name, one in commands.items():
        arguments = [p for p in one.params if p.param_type_name == "argument"]
        usage = " ".join(["emtomo", name, *(f"[{_shown(p)}]" if not p.required else _shown(p) for p in arguments)])
        lines += ["", f"## {name}", "", " ".join((one.help or "").split()), "", "```", f"{usage} [OPTIONS]", "```", ""]
        rows = [(f"`{_shown(p)}`", p) for p in arguments]
        rows += [
            (", ".join(f"`{o}`" for o in [*p.opts, *p.secondary_opts]), p) for p in one.params if p not in arguments
        ]
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        lines += [f"| {text} | {_default_of(p)} | {getattr(p, 'help', '') or ''} |" for text, p in rows]
    return "\n".join(lines) + "\n"


def _shown(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("[]").replace("|", " or ")


def _default_of(param: Any) -> str:
    if param.required:
        return "must be given"
    if isinstance(param.default, bool):
        return "yes" if param.default else "no"
    return "" if param.default is None or callable(param.default) else f"{param.default}"


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split()).split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    (FOLDER.parent / "command_line.md").write_text(command_line(), encoding="utf8")
    page_of_formats = FOLDER.parent / "formats.md"
    page_of_formats.write_text(with_tables(page_of_formats.read_text(encoding="utf8")), encoding="utf8")
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf8")
