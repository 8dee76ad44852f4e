"""Keep Python's garbage collection from stopping the window.

A look at a project of 500 runs makes some hundred thousand objects, most of them in circles; the collector would walk
all of them, again and again, and the window stands still for a third of a second each time. Here it rests while the
project is worked on, and what a look leaves behind is taken apart by hand.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyworkflow.protocol.params import ElementGroup


@contextmanager
def pause_gc() -> Iterator[None]:
    """Let the collector rest."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def settle() -> None:
    """Leave all that lives now out of later collections: modules and windows stay as long as the program."""
    gc.collect()
    gc.freeze()


def forget_runs(project: Any) -> None:
    """Take the engine's run objects apart, so that they are freed without the collector; the next look makes others."""
    for run in project.runs or ():
        form = run.__dict__.get("_definition")
        run.closeMappers()
        if form is not None:
            for element in list(getattr(form, "_paramsDict", {}).values()):
                if isinstance(element, ElementGroup):
                    element.__dict__.clear()
            for section in list(getattr(form, "_sectionList", ())):
                section.__dict__.clear()
            form.__dict__.clear()
        run.__dict__.clear()
    project.runs = None
    project._runsGraph = None
    for cache in ("objDict", "_objDict", "updateDict", "_updateDict"):
        held = getattr(project.mapper, cache, None)
        if isinstance(held, dict):
            held.clear()
