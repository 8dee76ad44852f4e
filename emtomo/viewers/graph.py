"""The workflow as a drawing: layers from inputs to results, as SVG."""

from dataclasses import dataclass, field
from html import escape

from pyworkflow.protocol import Protocol

from emtomo.engine.runner import parents_of

WIDTH, HEIGHT, GAP_X, GAP_Y, LANE = 190, 46, 30, 44, 14
COLOURS = {"finished": "#2e7d32", "failed": "#c62828", "aborted": "#ef6c00", "running": "#1565c0"}
GLYPHS = {"finished": "✓", "failed": "✗", "aborted": "■", "running": "▶"}


@dataclass
class Place:
    """A node of the drawing, or the lane that an edge takes through a layer it passes."""

    layer: int
    width: float
    run: Protocol | None = None
    above: list["Place"] = field(default_factory=list)
    x: float = 0.0

    @property
    def middle(self) -> float:
        """The middle of the place, from the left."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """The upper edge of the layer."""
        return 20.0 + self.layer * (HEIGHT + GAP_Y)


def layers(runs: list[Protocol]) -> list[list[Protocol]]:
    """Return runs in layers: each below all runs whose outputs it takes."""
    by_id = {run.getObjId(): run for run in runs}
    depth: dict[int, int] = {}

    def depth_of(i: int) -> int:
        if i not in depth:
            depth[i] = 0  # a run never waits for itself
            above = [depth_of(k) for k in parents_of(by_id[i]) if k in by_id]
            depth[i] = 1 + max(above, default=-1)
        return depth[i]

    for i in by_id:
        depth_of(i)
    rows: list[list[Protocol]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for i, run in by_id.items():
        rows[depth[i]].append(run)
    return rows


def arrange(runs: list[Protocol]) -> list[list[Place]]:
    """Return the places of all layers, from left to right.

    An edge that passes a layer has a lane of its own there, so that no edge runs
    through a node; places are ordered by the mean of those above them (Sugiyama, Tagawa
    & Toda 1981).
    """
    rows = [[Place(k, WIDTH, run) for run in row] for k, row in enumerate(layers(runs))]
    by_id = {place.run.getObjId(): place for row in rows for place in row if place.run is not None}
    for place in list(by_id.values()):
        for parent in sorted(parents_of(place.run)):
            if parent not in by_id:
                continue
            last = by_id[parent]
            for k in range(last.layer + 1, place.layer):
                rows[k].append(Place(k, LANE, above=[last]))
                last = rows[k][-1]
            place.above.append(last)
    for row in rows:
        row.sort(key=lambda p: sum(a.middle for a in p.above) / len(p.above) if p.above else 0.0)
        x = 0.0
        for place in row:
            place.x = x
            x += place.width + GAP_X
        for place in row:
            place.x -= (x - GAP_X) / 2
    return rows


def workflow_svg(runs: list[Protocol]) -> str:
    """Return the workflow as an SVG element."""
    rows = arrange(runs)
    places = [place for row in rows for place in row]
    left = min((p.x for p in places), default=0) - 20
    total = max((p.x + p.width for p in places), default=0) + 20 - left
    for place in places:
        place.x -= left
    parts = [_edge(above, place) for place in places for above in place.above]
    parts += [_lane(place) for place in places if place.run is None]
    parts += [_node(place.run, place.x, place.top) for place in places if place.run is not None]
    height = 20 + len(rows) * (HEIGHT + GAP_Y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height}" '
        f'style="max-width:{total:.0f}px" role="img" aria-label="workflow">{"".join(parts)}</svg>'
    )


def _edge(above: Place, below: Place) -> str:
    x0, y0, x1, y1 = above.middle, above.top + HEIGHT, below.middle, below.top
    half = (y0 + y1) / 2
    return _line(f"M{x0:.0f} {y0:.0f} C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}")


def _lane(place: Place) -> str:
    return _line(f"M{place.middle:.0f} {place.top:.0f} V{place.top + HEIGHT:.0f}")


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#90a4ae" stroke-width="1.5"/>'


def _node(run: Protocol, x: float, y: float) -> str:
    status = run.getStatus() or "saved"
    colour = COLOURS.get(status, "#607d8b")
    label = escape(run.getObjLabel()[:26])
    return (
        f'<a href="#run-{run.getObjId()}"><rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="7" '
        f'fill="#ffffff" stroke="{colour}" stroke-width="2"/>'
        f'<text x="{x + 10:.0f}" y="{y + 19:.0f}" font-size="13" fill="#212121">{label}</text>'
        f'<text x="{x + 10:.0f}" y="{y + 36:.0f}" font-size="11" fill="{colour}">'
        f"{GLYPHS.get(status, '○')} {escape(status)}</text></a>"
    )
