"""Where the runs of a workflow are drawn: layers from inputs to results, edges that pass no node.

Layered drawing after Sugiyama, Tagawa & Toda (IEEE Trans. SMC 11, 1981): longest-path layers, a lane for every edge
that passes a layer, and sweeps that order each layer by the mean place of its neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SWEEPS = 4


@dataclass
class Place:
    """A node of the drawing, or (``node`` is None) the lane that an edge takes through a layer that it passes.

    ``x`` is the left edge, in the units of the widths that were asked for.
    """

    layer: int
    width: float
    node: int | None = None
    above: list["Place"] = field(default_factory=list)
    below: list["Place"] = field(default_factory=list)
    x: float = 0.0

    @property
    def middle(self) -> float:
        """The middle of the place, from the left."""
        return self.x + self.width / 2


def depths(parents: Mapping[int, set[int]]) -> dict[int, int]:
    """Return the layer of every node: one below the lowest of its parents; a circle is cut where it is met."""
    found: dict[int, int] = {}
    for start in parents:
        stack = [start]
        while stack:
            node = stack[-1]
            found.setdefault(node, 0)
            waiting = [p for p in parents[node] if p in parents and p not in found]
            if waiting:
                stack += waiting
                continue
            stack.pop()
            known = [found[p] for p in parents[node] if p in parents and p != node]
            found[node] = 1 + max(known, default=-1)
    return found


def arrange(parents: Mapping[int, set[int]], width: float, gap: float, lane: float) -> list[list[Place]]:
    """Return the places of all layers, from left to right, each layer centred on x = 0.

    Parameters
    ----------
    parents : mapping
        Node → the nodes above it; those that are not nodes themselves are left out.
    width, gap, lane : float
        Of a node, between places, of a lane.
    """
    depth = depths(parents)
    rows: list[list[Place]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    by_node: dict[int, Place] = {}
    for node in parents:
        by_node[node] = Place(depth[node], width, node)
        rows[depth[node]].append(by_node[node])
    for node, place in by_node.items():
        for parent in sorted(parents[node]):
            if parent not in by_node or by_node[parent].layer >= place.layer:
                continue
            last = by_node[parent]
            for k in range(last.layer + 1, place.layer):
                step = Place(k, lane)
                rows[k].append(step)
                _join(last, step)
                last = step
            _join(last, place)
    for row in rows:
        _space(row, gap)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            row.sort(key=lambda p, down=down: _mean(p.above if down else p.below, p.middle))  # type: ignore[misc]
            _space(row, gap)
    if SWEEPS % 2:
        return rows
    for row in rows:
        row.sort(key=lambda p: _mean(p.above, p.middle))
        _space(row, gap)
    return rows


def _join(above: Place, below: Place) -> None:
    below.above.append(above)
    above.below.append(below)


def _mean(neighbours: list[Place], otherwise: float) -> float:
    return sum(p.middle for p in neighbours) / len(neighbours) if neighbours else otherwise


def _space(row: list[Place], gap: float) -> None:
    x = 0.0
    for place in row:
        place.x = x
        x += place.width + gap
    for place in row:
        place.x -= (x - gap) / 2
