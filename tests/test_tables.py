import torch

from get3d.benchmarks import plain_surface as plain
from get3d.isosurface.tables import (
    CUBE_EDGES,
    CUBE_PATCHES,
    CUBE_PINCHES,
    TETRAHEDRON_EDGES,
    TETRAHEDRON_TRIANGLES,
    unique_edges,
)


def test_triangles_part_inside_from_outside():
    """In a unit tetrahedron, each triangle has the inside corners behind it and the others before it."""
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    middles = corners[torch.tensor(TETRAHEDRON_EDGES)].mean(1)
    for code in range(16):
        inside = torch.tensor([bool(code >> corner & 1) for corner in range(4)])
        triangles = [row for row in TETRAHEDRON_TRIANGLES[code].tolist() if row[0] >= 0]
        crossed = {edge for edge, (a, b) in enumerate(TETRAHEDRON_EDGES) if inside[a] != inside[b]}
        assert {edge for row in triangles for edge in row} == crossed
        assert len(triangles) == max(0, len(crossed) - 2)
        for a, b, c in triangles:
            normal = torch.linalg.cross(middles[b] - middles[a], middles[c] - middles[a])
            before = (corners - middles[a]) @ normal > 0
            assert torch.equal(before, ~inside)


def test_patches_are_the_loops_of_the_surface():
    loop_of, counts, pinched = plain.cube_tables()
    for code in range(256):
        ours, theirs = CUBE_PATCHES[code], loop_of[code]
        assert torch.equal(ours[:, None] == ours, theirs[:, None] == theirs)
        assert torch.equal(ours >= 0, theirs >= 0)
        assert int(ours.max()) + 1 == counts[code]
    assert torch.equal(CUBE_PINCHES, pinched)


def test_patches_do_not_depend_on_how_a_cube_is_turned():
    position = {corner: (corner & 1, corner >> 1 & 1, corner >> 2) for corner in range(8)}
    turns = [lambda p: (p[1], p[2], p[0]), lambda p: (p[1], 1 - p[0], p[2]), lambda p: (1 - p[0], p[1], p[2])]
    for turn in turns:
        to = {c: next(d for d in range(8) if position[d] == turn(position[c])) for c in range(8)}
        edge_to = [CUBE_EDGES.index(tuple(sorted((to[a], to[b])))) for a, b in CUBE_EDGES]
        for code in range(256):
            turned = sum(1 << to[corner] for corner in range(8) if code >> corner & 1)
            before, after = CUBE_PATCHES[code], CUBE_PATCHES[turned][edge_to]
            assert torch.equal(before[:, None] == before, after[:, None] == after)


def test_pinches_are_the_two_cases_of_the_paper():
    pinched = (CUBE_PINCHES >= 0).nonzero()[:, 0].tolist()
    outside = [8 - code.bit_count() for code in pinched]
    # C16: three corners outside; C19: two. 24 turns of the one, 12 of the other.
    assert sorted(outside) == [2] * 12 + [3] * 24
    assert all(CUBE_PINCHES[255 ^ code] == -1 for code in pinched)


def test_unique_edges_numbers_shared_edges_once():
    edges, of_cell = unique_edges(torch.tensor([[4, 1, 2], [2, 1, 0]]), ((0, 1), (1, 2), (0, 2)))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 4], [2, 4]]
    assert of_cell.tolist() == [[3, 2, 4], [2, 0, 1]]
