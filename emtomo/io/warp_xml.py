"""XML as Warp and M write it: nodes called Param with a name and a value."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

from emtomo.errors import FormatError
from emtomo.io.limits import read_plain


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
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw or "<!D".encode("utf-16-le") in raw:
        raise FormatError(path, "declares entities, which no Warp file has.")
    try:
        root = ET.fromstring(raw)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FormatError(path, f"not XML: {error}.", getattr(error, "position", (None,))[0]) from None
    if root.tag != tag:
        raise FormatError(path, f"{what} starts with {tag}, this with {root.tag[:40]}.")
    return root


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
