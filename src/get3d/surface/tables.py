"""What is fixed about cells whatever the field: which edges they have, and which faces each pattern of signs makes."""

from itertools import permutations

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["TETRAHEDRON_EDGES", "TETRAHEDRON_TRIANGLES", "unique_edges"]

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
