"""New outputs of a part of a set: the selection is written with the identity of its set, and a protocol runs on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.gui.core.shown import Shown
from emtomo.objects.selection import write_selection
from emtomo.wording import count_text, singular


def leave_out(window: Any, shown: Shown, items: np.ndarray, say: Callable[[str], object]) -> None:
    """Make a new set, of the same kind and with all columns, without `items` (indices from 0)."""
    stay = len(shown.value) - len(items)
    given = {"items": f"{shown.run}.{shown.name}", "number": "0"}
    label = f"selected from {shown.label}"
    what = count_text(stay, singular(getattr(shown.value, "NOUN", "items")))
    run_on_selection(window, shown, items, ("select-subset", "left_out", given), label, what, say)


def run_on_selection(
    window: Any,
    shown: Shown,
    items: np.ndarray,
    protocol: tuple[str, str, dict[str, str]],
    label: str,
    what: str,
    say: Callable[[str], object],
) -> None:
    """Write a selection of an output's items, run a protocol on it and show its card.

    Parameters
    ----------
    window : ProjectWindow
    shown : Shown
    items : int array
        From 0.
    protocol : tuple
        Its name, the parameter that takes the file of the selection, and its other parameters.
    label : str
        Of the run.
    what : str
        What is kept, for the sentence at the end.
    say : callable
    """
    name, parameter, given = protocol

    def work(project: Any) -> tuple[int, str]:
        """Write the selection, create and launch the run that takes it; return its number and label."""
        folder = Path(project.path) / "Picking"
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob(f"{parameter}_{shown.run}_{shown.name}_*.txt"))) + 1
        path = folder / f"{parameter}_{shown.run}_{shown.name}_{number}.txt"
        shown.check_unchanged()
        write_selection(path, shown.value, items + 1)
        run = project.new_run(protocol_named(name), project.free_label(label.replace(".", " ")))
        set_parameters(project, run, given | {parameter: str(path)}, Path(project.path))
        project.saveProtocol(run)
        project.launch(run)
        return int(run.getObjId()), str(run.getObjLabel())

    def show(made: tuple[int, str]) -> None:
        """Select the new run's card and say which run keeps the selection."""
        window.select_later([made[0]])  # what comes next begins at its card
        say(f"{what} kept in {made[1]}.")

    window.service.ask(work, show, window.report_failure)
