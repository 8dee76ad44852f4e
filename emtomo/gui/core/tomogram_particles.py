"""How many particles of an output lie in each of its tomograms."""

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown


def counts(shown: Shown) -> list[tuple[str, str]]:
    """Return the tomograms of an output with their numbers of particles, as text.

    Raises
    ------
    EmtomoError
        If there are none.
    """
    frame = shown.value.frame(["tomogram_id"])
    if not len(frame):
        raise EmtomoError(f"{shown.title} is an empty set: there is nothing to show.")
    return [(str(name), f"{count}") for name, count in frame["tomogram_id"].value_counts(sort=False).items()]
