"""What particles are, where a file says so: contrast, weights, hand; carried in one comment line."""

from dataclasses import dataclass, fields
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
    """

    white: bool | None = None
    weights: str | None = None
    multiplicity: bool | None = None
    premultiplied: bool | None = None
    hand: int | None = None
    reconstruction: str | None = None

    def known(self) -> dict[str, object]:
        """Return the tags that are known, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def as_text(self) -> str:
        """Return ``emtomo: white=1 hand=-1``, the comment in which text files carry tags; empty when none is known."""
        known = {k: int(v) if isinstance(v, bool) else v for k, v in self.known().items()}
        told = " ".join(f"{k}={quote(str(v), safe='/')}" for k, v in known.items())
        return f"emtomo: {told}" if told else ""

    def take_text(self, comment: str) -> None:
        """Set the tags that a comment of :meth:`as_text` holds; anything else in it is passed over."""
        if not comment.startswith("emtomo:"):
            return
        told = dict(word.split("=", 1) for word in comment[7:].split() if "=" in word)
        for name in ("white", "multiplicity", "premultiplied"):
            if told.get(name) in ("0", "1"):
                setattr(self, name, told[name] == "1")
        if told.get("hand") in ("1", "-1"):
            self.hand = int(told["hand"])
        if told.get("weights") in ("ctf", "ctf_squared"):
            self.weights = told["weights"]
        if "reconstruction" in told:
            self.reconstruction = unquote(told["reconstruction"])
