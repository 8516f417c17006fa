"""Components by vertices and by edges, against a search by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from get3d.topology import edge_components, joined, vertex_components


def search(nodes, pairs):
    """Labels by spreading the lowest number until nothing changes."""
    label = list(range(nodes))
    changed = True
    while changed:
        changed = False
        for a, b in pairs:
            low = min(label[a], label[b])
            changed |= label[a] != low or label[b] != low
            label[a] = label[b] = low
    return label


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


@given(st.integers(1, 12), st.data())
def test_components_are_those_of_a_search(nodes, data):
    node = st.integers(0, nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=20))
    start, end = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found = joined(nodes, start, end)
    assert same_partition(found.label.tolist(), search(nodes, pairs))
    assert found.count == len(set(found.label.tolist()))


def test_two_triangles_that_touch_at_a_vertex_are_one_by_vertices_and_two_by_edges():
    faces = np.array([[0, 1, 2], [2, 3, 4]])
    assert vertex_components(faces, 6).label.tolist() == [0, 0, 0, 0, 0, 1]
    assert edge_components(np.arange(6), 6).count == 2
    shared = np.array([0, 1, 2, 2, 3, 4])
    assert edge_components(shared, 5).count == 1
