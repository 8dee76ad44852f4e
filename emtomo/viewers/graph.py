"""The workflow as a drawing: layers from inputs to results, as SVG."""

from html import escape

from pyworkflow.protocol import Protocol

from emtomo.engine.runner import parents_of

WIDTH, HEIGHT, GAP_X, GAP_Y, BESIDE = 190, 46, 40, 44, 90
COLOURS = {"finished": "#2e7d32", "failed": "#c62828", "aborted": "#ef6c00", "running": "#1565c0"}
GLYPHS = {"finished": "✓", "failed": "✗", "aborted": "■", "running": "▶"}


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


def workflow_svg(runs: list[Protocol]) -> str:
    """Return the workflow as an SVG element."""
    rows = layers(runs)
    widest = max((len(row) for row in rows), default=1)
    total = widest * (WIDTH + GAP_X) + GAP_X + BESIDE
    place: dict[int, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        left = (total - BESIDE - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for j, run in enumerate(row):
            place[run.getObjId()] = (left + j * (WIDTH + GAP_X), 20 + k * (HEIGHT + GAP_Y))
    parts = [_edge(place[p], place[run.getObjId()]) for run in runs for p in sorted(parents_of(run)) if p in place]
    parts += [_node(run, *place[run.getObjId()]) for run in runs]
    height = 40 + len(rows) * (HEIGHT + GAP_Y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height}" '
        f'style="max-width:{total:.0f}px" role="img" aria-label="workflow">{"".join(parts)}</svg>'
    )


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a line from one node to one below; past other layers it runs beside the nodes."""
    (x0, y0), (x1, y1) = start, end
    if y1 - y0 > HEIGHT + GAP_Y + 1:
        x0, y0, x1, y1 = x0 + WIDTH, y0 + HEIGHT / 2, x1 + WIDTH, y1 + HEIGHT / 2
        side = max(x0, x1) + BESIDE
        curve = f"C{side:.0f} {y0:.0f} {side:.0f} {y1:.0f}"
    else:
        x0, y0, x1 = x0 + WIDTH / 2, y0 + HEIGHT, x1 + WIDTH / 2
        middle = (y0 + y1) / 2
        curve = f"C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f}"
    return f'<path d="M{x0:.0f} {y0:.0f} {curve} {x1:.0f} {y1:.0f}" fill="none" stroke="#90a4ae" stroke-width="1.5"/>'


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
