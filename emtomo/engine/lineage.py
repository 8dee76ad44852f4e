"""Where data came from: look up the runs behind an input."""

from collections.abc import Iterator
from typing import TypeVar

from pyworkflow.object import Pointer
from pyworkflow.protocol import Protocol

T = TypeVar("T")


def upstream(pointer: Pointer, kind: type[T]) -> T | None:
    """Return the nearest object of class `kind` among what the runs behind `pointer` took as input.

    Parameters
    ----------
    pointer : Pointer
        An input of a run.
    kind : type
        Class of the object looked for.
    """
    return next(_walk(pointer, kind), None)


def list_upstream(pointer: Pointer, kind: type[T]) -> list[T]:
    """Return all objects of class `kind` behind `pointer`, the nearest first; parameters as of :func:`upstream`."""
    return list(_walk(pointer, kind))


def _walk(pointer: Pointer, kind: type[T]) -> Iterator[T]:
    waiting, seen = [pointer.getObjValue()], set()
    while waiting:
        run = waiting.pop(0)
        if not isinstance(run, Protocol) or run.getObjId() in seen:
            continue
        seen.add(run.getObjId())
        pointers = [p for _, p in run.iterInputAttributes()]
        for one in pointers:
            value = one.get()
            if isinstance(value, kind):
                yield value
        waiting += [p.getObjValue() for p in pointers]
        for _, output in run.iterOutputAttributes():
            if isinstance(output, kind):
                yield output
