"""Numbers with their nouns, for every sentence that a user reads."""

from collections.abc import Iterable

_IRREGULAR = {"vertex": "vertices", "axis": "axes", "half": "halves", "has": "have", "is": "are", "was": "were"}
SHOWN = 10  # names that a sentence lists
_UNCHANGED = ("series", "species")


def count_text(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 run``, ``2 runs``, ``1 tilt series``, ``3 boxes``.

    Parameters
    ----------
    count : int
    noun : str
        What is counted, singular; of several words the last one takes the plural.
    plural : str, optional
        Where the rule does not give it, e.g. with a verb: ``count_text(n, "particle lies", "particles lie")``.
    """
    return f"{count} {noun if count == 1 else plural or pluralize(noun)}"


def share_text(part: int, whole: int, noun: str, verb: str) -> str:
    """Return how many of a number, with the verb of the part: ``1 of 3 particles has``, ``2 of 3 particles have``."""
    return f"{part} of {whole} {pluralize(noun)} {verb if part == 1 else pluralize(verb)}"


def bytes_text(count: int) -> str:
    """Return a number of bytes with its unit: ``12 bytes``, ``3.4 MB``, up to TB."""
    number, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.5:  # as it is rounded
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"


def list_text(names: Iterable[object], none: str = "") -> str:
    """Return names with commas between, the first ten and how many more there are; `none` where there is no name."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more if texts else none


def group_problems(problems: Iterable[tuple[str, object]]) -> list[str]:
    """Return ``a, b: what is wrong`` once for everything that is wrong, of pairs of a name and a sentence."""
    names: dict[str, list[str]] = {}
    for name, sentence in problems:
        names.setdefault(str(sentence), []).append(name)
    return [f"{list_text(some)}: {sentence}" for sentence, some in names.items()]


def no_match_text(noun: str, wanted: Iterable[object], known: Iterable[object]) -> str:
    """Return that particles name no tomogram, tilt series or micrograph (`noun`) of those which are known."""
    wanted, known = list(wanted), list(known)
    if not wanted:
        return "There is no particle."
    if not known:
        return f"There is no {noun}; the particles are in {list_text(wanted)}."
    return f"No {noun} of the particles ({list_text(wanted)}) is among {list_text(known)}."


def singular(plural: str) -> str:
    """Return the noun whose plural, by :func:`pluralize`, is given; a word that is no plural stays."""
    if pluralize(plural) == plural or not plural.endswith("s"):
        return plural
    ends = (plural[:-3] + "y", plural[:-2], plural[:-1])
    return next((noun for noun in ends if pluralize(noun) == plural), plural)


def pluralize(noun: str) -> str:
    """Return the plural of a noun, regular or one of those that messages use."""
    before, _, last = noun.rpartition(" ")
    head = f"{before} " if before else ""
    if last in _UNCHANGED:
        return noun
    if last in _IRREGULAR:
        return head + _IRREGULAR[last]
    if last.endswith(("s", "x", "sh", "ch")):
        return f"{noun}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
