"""Surface extraction as a textbook tells it, one shape at a time: what the package's own is checked and timed against.

Nothing of the package is used here, so that an error there cannot hide in both.
"""

import torch
from torch import Tensor

TETRAHEDRON_EDGES = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]

# For the inside corners of a tetrahedron (bit i: corner i), the edges that one or two triangles connect.
TETRAHEDRON_TRIANGLES = [
    [],
    [0, 1, 2],
    [0, 4, 3],
    [1, 2, 4, 1, 4, 3],
    [1, 3, 5],
    [0, 3, 5, 0, 5, 2],
    [0, 4, 5, 0, 5, 1],
    [2, 4, 5],
    [2, 5, 4],
    [0, 1, 5, 0, 5, 4],
    [0, 2, 5, 0, 5, 3],
    [1, 5, 3],
    [1, 3, 4, 1, 4, 2],
    [0, 3, 4],
    [0, 2, 1],
    [],
]


def marching_tetrahedra(vertices: Tensor, sdf: Tensor, tetrahedra: Tensor) -> tuple[Tensor, Tensor]:
    """One mesh, vertices [N, 3] and faces [F, 3], from a grid [V, 3], [T, 4] and a field [V], positive inside."""
    inside = sdf > 0
    corners = inside[tetrahedra]
    mixed = corners.any(1) & ~corners.all(1)
    tetrahedra, corners = tetrahedra[mixed], corners[mixed]
    pairs = tetrahedra[:, TETRAHEDRON_EDGES].reshape(-1, 2).sort(dim=1).values
    edges, numbers = torch.unique(pairs, dim=0, return_inverse=True)
    crossed = inside[edges[:, 0]] != inside[edges[:, 1]]
    number = torch.full((len(edges),), -1, dtype=torch.long, device=sdf.device)
    number[crossed] = torch.arange(int(crossed.sum()), device=sdf.device)
    edge_points = number[numbers].view(-1, 6)

    start, end = edges[crossed].unbind(1)
    weight = sdf[start] / (sdf[start] - sdf[end])
    points = vertices[start] * (1 - weight[:, None]) + vertices[end] * weight[:, None]

    table = torch.full((16, 6), -1, dtype=torch.long)
    for code, row in enumerate(TETRAHEDRON_TRIANGLES):
        table[code, : len(row)] = torch.tensor(row, dtype=torch.long)
    table = table.to(sdf.device)
    code = (corners.long() * torch.tensor([1, 2, 4, 8], device=sdf.device)).sum(1)
    triangles = table[code]
    one, two = triangles[:, 3] < 0, triangles[:, 3] >= 0
    faces = torch.cat(
        [
            torch.gather(edge_points[one], 1, triangles[one][:, :3]),
            torch.gather(edge_points[two], 1, triangles[two]).reshape(-1, 3),
        ]
    )
    return points, faces
