"""What particles are, where a file says so: contrast, weights, hand; carried in one comment line."""

import math
from dataclasses import dataclass, fields, replace
from urllib.parse import quote, unquote


@dataclass
class Tags:
    """What particles are, where a file says so; ``None`` is unknown.

    Attributes
    ----------
    white : bool
        Particles are brighter than their surroundings.
    weights : str
        What the CTF volumes are: ctf or ctf_squared.
    multiplicity : bool
        The CTF volumes have the multiplicity in as many slices more.
    premultiplied : bool
        Images were multiplied with their CTF.
    hand : int
        1 or -1: RELION's rlnTomoHand, which way the defocus changes with z.
    reconstruction : str
        The tomogram's file or program that the positions belong to.
    centre : tuple of three floats
        x, y, z in Å from the first voxel to the centre of the tomograms in which positions count. Tomograms binned by
        a whole number have another first voxel where their odd size has no half; the centre is the same.
    half : tuple of three floats
        x, y, z in Å from the centre voxel to the point from which RELION 5 counts, half the tomogram's size.
    pixel_size : float
        Å per voxel of the positions, in formats that have no place for it.
    """

    white: bool | None = None
    weights: str | None = None
    multiplicity: bool | None = None
    premultiplied: bool | None = None
    hand: int | None = None
    reconstruction: str | None = None
    centre: tuple[float, float, float] | None = None
    half: tuple[float, float, float] | None = None
    pixel_size: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the tags that are known, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def as_text(self) -> str:
        """Return ``emtomo: white=1 hand=-1``, the comment in which text files carry tags; empty when none is known."""
        known = {k: int(v) if isinstance(v, bool) else v for k, v in self.as_dict().items()}
        known |= {k: ",".join(f"{x:.10g}" for x in v) for k, v in known.items() if isinstance(v, tuple)}
        words = " ".join(f"{k}={quote(str(v), safe='/,')}" for k, v in known.items())
        return f"emtomo: {words}" if words else ""

    def take_text(self, comment: str) -> None:
        """Set the tags that a comment of :meth:`as_text` holds; anything else in it is passed over."""
        if not comment.startswith("emtomo:"):
            return
        words = dict(word.split("=", 1) for word in comment[7:].split() if "=" in word)
        for name in ("white", "multiplicity", "premultiplied"):
            if words.get(name) in ("0", "1"):
                setattr(self, name, words[name] == "1")
        if words.get("hand") in ("1", "-1"):
            self.hand = int(words["hand"])
        if words.get("weights") in ("ctf", "ctf_squared"):
            self.weights = words["weights"]
        if "reconstruction" in words:
            self.reconstruction = unquote(words["reconstruction"])
        for name in ("centre", "half"):
            if name in words:
                setattr(self, name, _three_numbers(words[name]))
        size = _three_numbers(f"{words.get('pixel_size', '')},0,0")
        if size is not None and size[0] > 0:
            self.pixel_size = size[0]


def common_tags(tags: list[Tags]) -> Tags:
    """Return the tags of several files: the places that are the same, all others only together."""
    places = {name: getattr(tags[0], name) for name in ("centre", "half")}
    same = {name: place for name, place in places.items() if all(getattr(one, name) == place for one in tags)}
    without = [replace(one, centre=None, half=None) for one in tags]
    return replace(without[0] if all(one == without[0] for one in without) else Tags(), **same)


def _three_numbers(text: str) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(word) for word in text.split(","))
    except ValueError:
        return None
    return (x, y, z) if all(math.isfinite(v) and v >= 0 for v in (x, y, z)) else None
