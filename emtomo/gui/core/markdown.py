"""Pages of the documentation as pieces of text for a window: as much of Markdown as they use."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

_INLINE = re.compile(
    r"!\[(?P<alt>[^\]]*)\]\((?P<picture>[^)\s]+)\)|\[(?P<words>[^\]]+)\]\((?P<link>[^)\s]+)\)"
    r"|`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|(?<!\w)[*_](?P<italic>[^*_]+)[*_](?!\w)"
)
_STARTS = re.compile(r"(#+ |```|\||[*-] |\d+\. |$)")


@dataclass(frozen=True)
class PagePiece:
    """A piece of a page.

    Attributes
    ----------
    text : str
    kind : str
        title, heading, text, bold, italic, code, block, item, table, link or picture.
    target : str
        Page of a link, file of a picture, relative to the page.
    """

    text: str
    kind: str = "text"
    target: str = ""


def read_pieces(page: str) -> Iterator[PagePiece]:
    """Yield the pieces of a page in Markdown; lines that were broken for the editor are joined.

    Parameters
    ----------
    page : str
    """
    lines, k = page.splitlines(), 0
    while k < len(lines):
        line, start = lines[k], k
        k += 1
        if line.lstrip().startswith("```"):
            while k < len(lines) and not lines[k].lstrip().startswith("```"):
                k += 1
            yield PagePiece(dedent("\n".join(lines[start + 1 : k])) + "\n\n", "block")
            k += 1
        elif line.startswith("#"):
            kind = "title" if line.startswith("# ") else "heading"
            yield PagePiece(re.sub(r"[`*]", "", line.lstrip("# ")) + "\n", kind)
        elif line.startswith("|"):
            while k < len(lines) and lines[k].startswith("|"):
                k += 1
            yield from _table(lines[start:k])
        elif line.strip():
            while k < len(lines) and not _STARTS.match(lines[k].lstrip()):
                k += 1
            words = " ".join(part.strip() for part in lines[start:k])
            item = re.match(r"([*-]|\d+\.) ", words)
            if item is not None:
                yield PagePiece("• " if item[1] in "*-" else item[0], "item")
                words = words[item.end() :]
            yield from _inline(words)
            following = lines[k].lstrip() if k < len(lines) else ""
            yield PagePiece("\n" if item is not None and re.match(r"([*-]|\d+\.) ", following) else "\n\n")


def _inline(text: str) -> Iterator[PagePiece]:
    end = 0
    for found in _INLINE.finditer(text):
        if found.start() > end:
            yield PagePiece(text[end : found.start()])
        end = found.end()
        if found["picture"]:
            yield PagePiece(found["alt"], "picture", found["picture"])
        elif found["link"]:
            yield PagePiece(found["words"].replace("`", ""), "link", found["link"])
        else:
            kind = next(name for name in ("code", "bold", "italic") if found[name])
            yield PagePiece(found[kind], kind)
    if end < len(text):
        yield PagePiece(text[end:])


def _table(lines: list[str]) -> Iterator[PagePiece]:
    """Yield a table as lists, a row a line: a window need not be as wide as all columns."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    head, body = rows[0], [row for row in rows[1:] if not all(set(cell) <= set(":-") for cell in row)]
    for row in body:
        yield PagePiece("• ", "item")
        for n, cell in enumerate(row):
            name = head[n] if n < len(head) else ""
            if n and cell:
                yield PagePiece("  ·  " + (f"{name}: " if name else ""), "italic" if name else "text")
            yield from _inline(cell.replace("\\|", "|"))
        yield PagePiece("\n")
    yield PagePiece("\n")
