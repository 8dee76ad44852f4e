"""Pixel sizes of a run's inputs, compared with the headers of their files and with each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyworkflow.object import Pointer, Set

from emtomo.engine.fields import Extent, Fielded
from emtomo.engine.form import INPUT
from emtomo.engine.lineage import list_upstream
from emtomo.errors import EmtomoError
from emtomo.wording import count_text

DISAGREE = 0.02  # relative; pixel sizes that differ more are said
UNKNOWN = 1.0  # Å, what programs write that do not know the pixel size
MOST_HEADERS = 100  # files of a set that are looked at


@dataclass(frozen=True)
class _Sizes:
    """How wide tomograms or micrographs are by one input, or by what it was found in."""

    what: str
    extents: dict[str, Extent]


def size_remarks(inputs: Iterable[tuple[str, Pointer]]) -> list[str]:
    """Return sentences on pixel sizes of inputs that differ by more than 2 % from their headers or from each other.

    Parameters
    ----------
    inputs : iterable of (str, Pointer)
        The attribute of each input, and where it points.
    """
    given = [(name.removeprefix(INPUT).replace("_", " "), p) for name, p in inputs if p.get() is not None]
    out = [sentence for label, pointer in given for sentence in header_remarks(label, pointer.get())]
    sizes = [one for label, pointer in given for one in _sizes_of(label, pointer)]
    for k, first in enumerate(sizes):
        for second in sizes[k + 1 :]:
            out += _compare(first, second)
    return list(dict.fromkeys(out))


def header_remarks(label: str, given: Any) -> list[str]:
    """Return a sentence where headers of an object's files say another pixel size than the object.

    Parameters
    ----------
    label : str
        What it is called, in lower case.
    given : Fielded
    """
    out = []
    for part in getattr(given, "parts", lambda: [given])():
        size = float(getattr(getattr(part, "pixel_size", None), "get", lambda: None)() or 0)
        if not size > 0 or not hasattr(part, "header_files"):
            continue
        other = {file: header for file, header in _headers(part) if abs(header / size - 1) > DISAGREE}
        if not other:
            continue
        file, header = next(iter(other.items()))
        if isinstance(part, Set):
            more = f", and {len(other) - 1} more" if len(other) > 1 else ""
            out.append(
                f"Headers of the {label} say another pixel size than the set's {size:.4g} Å, which is taken: {file} "
                f"{header:.4g} Å{more}; check which is right."
            )
        else:
            out.append(
                f"The header of the {label} {file} says a pixel size of {header:.4g} Å; the project's, {size:.4g} Å, "
                "is taken."
            )
    return out


def _headers(part: Any) -> Iterator[tuple[str, float]]:
    """Yield the files of an object whose headers say a pixel size; those that cannot be read are left to the run."""
    from emtomo.io.images import describe

    for file in list(dict.fromkeys(filter(None, part.header_files())))[:MOST_HEADERS]:
        try:
            header = describe(file).pixel_size
        except (EmtomoError, OSError):
            continue
        if header > 0 and not (isinstance(part, Set) and header == UNKNOWN):
            yield file, header


def _sizes_of(label: str, pointer: Pointer) -> Iterator[_Sizes]:
    """Yield how wide tomograms or micrographs are by an input, else by what it was found in."""
    for part in getattr(pointer.get(), "parts", lambda: [pointer.get()])():
        own = part.extents() if isinstance(part, Fielded) else {}
        if own:
            yield _Sizes(f"the {label}", own)
            continue
        group = getattr(part, "GROUP", None)
        if not (isinstance(part, Set) and group):
            continue
        names, kinds = set(part.tomogram_ids()), set[type]()
        for found in list_upstream(pointer, Set):
            if getattr(found, "GROUP", None) != group or type(found) in kinds:
                continue  # the nearest of each kind
            extents = {name: extent for name, extent in found.extents().items() if name in names}
            if extents:
                kinds.add(type(found))
                yield _Sizes(f"the {found.NOUN} of the {label}", extents)


def _compare(first: _Sizes, second: _Sizes) -> list[str]:
    """Return a sentence where the same tomograms are wider by one input than by another, by one factor."""
    off = {}
    for name in first.extents.keys() & second.extents.keys():
        a, b = first.extents[name], second.extents[name]
        if not (min(a.x, a.y, b.x, b.y) > 0):
            continue
        # sizes are whole numbers of voxels; where both axes differ by one factor nothing was cropped
        rounding = max(a.step / min(a.x, a.y), b.step / min(b.x, b.y))
        along_x, along_y = a.x / b.x, a.y / b.y
        ratio = (along_x + along_y) / 2
        if abs(along_x / along_y - 1) <= rounding and abs(ratio - 1) > max(DISAGREE, rounding):
            off[name] = abs(ratio - 1)
    if not off:
        return []
    name = min(off)
    a, b = first.extents[name], second.extents[name]
    more = f" So {'is' if len(off) == 2 else 'are'} {count_text(len(off) - 1, 'other')}." if len(off) > 1 else ""
    return [
        f"{name} is {a.x:.0f} × {a.y:.0f} Å in {first.what} and {b.x:.0f} × {b.y:.0f} Å in {second.what}: unless it "
        f"was cropped, one pixel size is off by {100 * off[name]:.0f} %, and so are the positions.{more}"
    ]
