"""The workflow as a drawing: layers from inputs to results, as SVG."""

from html import escape

from pyworkflow.protocol import Protocol

from emtomo.engine.runner import parents_of
from emtomo.gui.core.layout import Place, arrange

WIDTH, HEIGHT, GAP_X, GAP_Y, LANE = 190, 46, 30, 44, 14
COLOURS = {"finished": "#2e7d32", "failed": "#c62828", "aborted": "#ef6c00", "running": "#1565c0"}
GLYPHS = {"finished": "✓", "failed": "✗", "aborted": "■", "running": "▶"}


def top_of(place: Place) -> float:
    """Return the upper edge of a place's layer."""
    return 20.0 + place.layer * (HEIGHT + GAP_Y)


def workflow_svg(runs: list[Protocol]) -> str:
    """Return the workflow as an SVG element."""
    by_id = {run.getObjId(): run for run in runs}
    rows = arrange({i: parents_of(run) for i, run in by_id.items()}, WIDTH, GAP_X, LANE)
    places = [place for row in rows for place in row]
    left = min((p.x for p in places), default=0) - 20
    total = max((p.x + p.width for p in places), default=0) + 20 - left
    for place in places:
        place.x -= left
    parts = [_edge(above, place) for place in places for above in place.above]
    parts += [_lane(place) for place in places if place.node is None]
    parts += [_node(by_id[place.node], place.x, top_of(place)) for place in places if place.node is not None]
    height = 20 + len(rows) * (HEIGHT + GAP_Y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height}" '
        f'style="max-width:{total:.0f}px" role="img" aria-label="workflow">{"".join(parts)}</svg>'
    )


def _edge(above: Place, below: Place) -> str:
    x0, y0, x1, y1 = above.middle, top_of(above) + HEIGHT, below.middle, top_of(below)
    half = (y0 + y1) / 2
    return _line(f"M{x0:.0f} {y0:.0f} C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}")


def _lane(place: Place) -> str:
    return _line(f"M{place.middle:.0f} {top_of(place):.0f} V{top_of(place) + HEIGHT:.0f}")


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
