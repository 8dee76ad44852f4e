"""The drawing of workflows: laws that hold for any graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emtomo.gui.core.layout import arrange, depths


def random_graph(n, seed):
    rng = np.random.default_rng(seed)
    return {i: set(rng.choice(i, min(i, 2), replace=False).tolist()) if i else set() for i in range(n)}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000))
def test_children_lie_below_their_parents_and_no_edge_runs_through_a_node(n, seed):
    graph = random_graph(n, seed)
    rows = arrange(graph, 100, 10, 8)
    layer = {p.node: p.layer for row in rows for p in row if p.node is not None}
    assert set(layer) == set(graph)
    assert all(layer[i] > layer[k] for i, parents in graph.items() for k in parents)
    for row in rows:
        spans = sorted((p.x, p.x + p.width) for p in row)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))  # lanes and nodes side by side
        assert all(a.layer == p.layer - 1 for p in row for a in p.above)  # every piece spans one gap


def test_a_circle_and_unknown_parents_are_survived():
    assert set(depths({1: {2}, 2: {1}, 3: {99}})) == {1, 2, 3}
    assert [p.node for row in arrange({1: {1}}, 1, 1, 1) for p in row] == [1]


def test_crossings_are_removed_where_they_can_be():
    # two chains that cross in the order of their numbers
    graph = {1: set(), 2: set(), 3: {2}, 4: {1}}
    rows = arrange(graph, 100, 10, 8)
    above, below = ([p.node for p in row] for row in rows)
    assert [{2: 3, 1: 4}[i] for i in above] == below


def test_five_hundred_runs_are_laid_out():
    """In 0.2 s; what a test may cost bounds what grows faster than it should."""
    rows = arrange(random_graph(500, 3), 190, 26, 14)
    assert sorted(p.node for row in rows for p in row if p.node is not None) == list(range(500))
