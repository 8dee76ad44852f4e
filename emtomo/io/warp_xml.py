"""XML as Warp and M write it: nodes called Param with a name and a value."""

import codecs
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

from emtomo.errors import FormatError
from emtomo.io.limits import read_plain

_CODES = ("utf-8", "utf-16-le", "utf-16-be")
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read_root(path: str | Path, tag: str, what: str) -> ET.Element:
    """Return the root of an XML file, which must be called `tag`; `what` it then is stands in the error.

    Raises
    ------
    FormatError
        If the file cannot be read, is no XML, declares entities, or starts with another tag.
    """
    try:
        raw = read_plain(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    source = _without_declaration(raw)
    if any(word.encode(code) in raw for word in ("<!DOCTYPE", "<!ENTITY") for code in _CODES):
        raise FormatError(path, "declares entities, which no Warp file has.")
    try:
        root = ET.fromstring(source)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FormatError(path, f"not XML: {error}.", getattr(error, "position", (None,))[0]) from None
    if root.tag != tag:
        raise FormatError(path, f"{what} starts with {tag}, this with {root.tag[:40]}.")
    return root


def _without_declaration(raw: bytes) -> bytes | str:
    """Return XML as text where its first bytes say the encoding: what the declaration says may be of another file."""
    code = next((code for mark, code in _MARKS.items() if raw.startswith(mark)), None)
    if code is None and not re.match(rb"(\xef\xbb\xbf)?<\?xml[^>]*encoding=.utf-?16", raw, re.IGNORECASE):
        return raw
    text = raw.decode(code or "utf-8", errors="replace").lstrip("\ufeff")
    return re.sub(r"^<\?xml[^>]*\?>", "", text)


def parameters_of(root: ET.Element) -> dict[str, str]:
    """Return the values of the Param nodes right below an element, by their names."""
    return {str(node.get("Name", "")): str(node.get("Value", "")) for node in root.findall("Param")}


def parameter_lines(values: Mapping[str, object]) -> list[str]:
    """Return lines of Param nodes, indented once."""
    return [f"\t<Param Name={quoteattr(name)} Value={quoteattr(_text(value))} />" for name, value in values.items()]


def element_lines(tag: str, child: str, rows: list[dict[str, object]]) -> list[str]:
    """Return lines of an element whose children have attributes only, indented once."""
    if not rows:
        return [f"\t<{tag} />"]
    lines = [
        f"\t\t<{child} " + " ".join(f"{name}={quoteattr(_text(value))}" for name, value in row.items()) + " />"
        for row in rows
    ]
    return [f"\t<{tag}>", *lines, f"\t</{tag}>"]


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
