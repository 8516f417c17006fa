"""What is fixed about cells whatever the field: which edges they have, and which faces each pattern of signs makes."""

from itertools import permutations

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = [
    "CUBE_EDGES",
    "CUBE_PATCHES",
    "CUBE_PINCHES",
    "TETRAHEDRON_EDGES",
    "TETRAHEDRON_TRIANGLES",
    "unique_edges",
]

TETRAHEDRON_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The corners of a tetrahedron's six edges."""


def _tetrahedron_triangles() -> list[list[list[int]]]:
    """For each pattern of inside corners (bit i: corner i), the edges that up to two triangles connect, -1 for none.

    In a positively oriented tetrahedron the crossings of the edges ij, ik, il of corner i, for an even permutation
    (i, j, k, l), run counter-clockwise seen from the face jkl; so do those of ik, il, jl, jk seen from the edge kl.
    """

    def edge(a: int, b: int) -> int:
        return TETRAHEDRON_EDGES.index((min(a, b), max(a, b)))

    none = [-1, -1, -1]
    rows = [[none, none] for _ in range(16)]
    for i, j, k, m in permutations(range(4)):
        inversions = sum(a > b for a, b in ((i, j), (i, k), (i, m), (j, k), (j, m), (k, m)))
        if inversions % 2 == 0 and j < min(k, m):
            rows[1 << i] = [[edge(i, j), edge(i, k), edge(i, m)], none]
            rows[15 ^ 1 << i] = [[edge(i, j), edge(i, m), edge(i, k)], none]
        if inversions % 2 == 0 and i < j:
            quad = edge(i, k), edge(i, m), edge(j, m), edge(j, k)
            rows[1 << i | 1 << j] = [[quad[0], quad[1], quad[2]], [quad[0], quad[2], quad[3]]]
    return rows


TETRAHEDRON_TRIANGLES: Int[Tensor, "16 2 3"] = torch.tensor(_tetrahedron_triangles())
"""For each pattern of inside corners (bit i: corner i), the edges whose crossings up to two triangles connect, -1 for
none, counter-clockwise seen from outside in a positively oriented tetrahedron."""


CUBE_EDGES = ((0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (0, 2), (1, 3), (5, 7), (4, 6))
"""The corners of a cube's twelve edges, in the order of the published models' β weights. The bits of a corner's number
are its place along x, y and z."""

_CUBE_FACES = [[c for c in range(8) if c >> axis & 1 == side] for axis in range(3) for side in range(2)]


def _cube_patches(code: int) -> list[int]:
    """For each edge of a cube the surface patch that crosses it, -1 for none; bit c of the code: corner c is inside.

    On each face the crossed edges are joined in pairs, as the outline of the surface runs. Of the two ways to do so
    where all four are crossed, the one that cuts off the two inside corners from each other is taken. Edges that are
    joined, directly or not, are crossed by one patch.
    """
    inside = [code >> corner & 1 for corner in range(8)]
    crossed = [edge for edge, (a, b) in enumerate(CUBE_EDGES) if inside[a] != inside[b]]
    first = {edge: edge for edge in crossed}
    for face in _CUBE_FACES:
        on_face = [edge for edge in crossed if set(CUBE_EDGES[edge]) <= set(face)]
        if len(on_face) == 4:
            joined = [[edge for edge in on_face if corner in CUBE_EDGES[edge]] for corner in face if inside[corner]]
        else:
            joined = [on_face] if on_face else []
        for a, b in joined:
            low, high = sorted((first[a], first[b]))
            first = {edge: low if label == high else label for edge, label in first.items()}
    order = sorted(set(first.values()))
    return [order.index(first[edge]) if edge in first else -1 for edge in range(len(CUBE_EDGES))]


CUBE_PATCHES: Int[Tensor, "256 12"] = torch.tensor([_cube_patches(code) for code in range(256)])
"""For each pattern of inside corners (bit c: corner c) and each edge, the number of the surface patch that crosses it,
-1 for none: the table of dual marching cubes (Nielson, "Dual Marching Cubes" (2004)), found from how a cube is made."""


def _cube_pinch(code: int) -> int:
    """The face that one patch crosses twice, 2 · axis + side, -1 for none; there is never more than one."""
    for number, face in enumerate(_CUBE_FACES):
        on_face = [edge for edge, ends in enumerate(CUBE_EDGES) if set(ends) <= set(face)]
        patches = {int(CUBE_PATCHES[code, edge]) for edge in on_face}
        if len(patches) == 1 and -1 not in patches:
            return number
    return -1


CUBE_PINCHES: Int[Tensor, " 256"] = torch.tensor([_cube_pinch(code) for code in range(256)])
"""For each pattern of inside corners the face that one patch crosses twice, 2 · axis + side, -1 for none (cases C16 and
C19 of dual marching cubes). Where both cubes at a face do so, four faces of the dual mesh would meet in one edge. That
face is the only one of such a cube with two ways to join its edges, so a cube may take the other way by itself."""


def unique_edges(cells: Int[Tensor, "n c"], corners: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor]:
    """Numbers the edges of a grid.

    Args:
        cells: the vertices of each cell.
        corners: the two corners of each edge of a cell.

    Returns:
        edges [E, 2], the smaller vertex first, in ascending order; and the edges [n, len(corners)] of each cell. Both
        are stored column by column, since passes over the grid read whole columns.
    """
    pairs = cells[:, torch.tensor(corners, device=cells.device)].long()
    low, high = pairs.amin(2).t().contiguous(), pairs.amax(2).t().contiguous()
    count = int(cells.max()) + 1
    keys, numbers = torch.unique(low * count + high, return_inverse=True)
    return torch.stack([keys // count, keys % count]).t(), numbers.t()
