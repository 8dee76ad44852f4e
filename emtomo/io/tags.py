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
    """

    white: bool | None = None
    weights: str | None = None
    multiplicity: bool | None = None
    premultiplied: bool | None = None
    hand: int | None = None
    reconstruction: str | None = None
    centre: tuple[float, float, float] | None = None

    def known(self) -> dict[str, object]:
        """Return the tags that are known, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def as_text(self) -> str:
        """Return ``emtomo: white=1 hand=-1``, the comment in which text files carry tags; empty when none is known."""
        known = {k: int(v) if isinstance(v, bool) else v for k, v in self.known().items()}
        if self.centre is not None:
            known["centre"] = ",".join(f"{v:.10g}" for v in self.centre)
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
        if "centre" in words:
            self.centre = _three_numbers(words["centre"])


def common_tags(tags: list[Tags]) -> Tags:
    """Return the tags of several files: the centre where it is the same, all others only together."""
    centre = tags[0].centre if len({one.centre for one in tags}) == 1 else None
    first = replace(tags[0], centre=None)
    return replace(first if all(replace(one, centre=None) == first for one in tags) else Tags(), centre=centre)


def _three_numbers(text: str) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(word) for word in text.split(","))
    except ValueError:
        return None
    return (x, y, z) if all(math.isfinite(v) and v >= 0 for v in (x, y, z)) else None
