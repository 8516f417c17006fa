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
    for signs, row in enumerate(TETRAHEDRON_TRIANGLES):
        table[signs, : len(row)] = torch.tensor(row, dtype=torch.long)
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


CUBE_EDGES = [(0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (0, 2), (1, 3), (5, 7), (4, 6)]

# The corners of a cube's faces, around each: -x, +x, -y, +y, -z, +z.
CUBE_FACES = [(0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6)]


def surface_loops(code: int) -> list[list[int]]:
    """The closed curves of edges where a surface leaves a cube with these inside corners (bit c: corner c).

    Round each face, the outline runs from where the corners turn inside to where they turn outside again, so inside
    corners that only meet across a face are apart.
    """
    following = {}
    for face in CUBE_FACES:
        turns = []
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            edge = CUBE_EDGES.index((min(a, b), max(a, b)))
            turns.append((edge, (code >> b & 1) - (code >> a & 1)))
        turns = [turn for turn in turns if turn[1]]
        for number, (edge, turn) in enumerate(turns):
            if turn > 0:
                following[edge] = turns[(number + 1) % len(turns)][0]
    loops = []
    while following:
        edge, loop = next(iter(following)), []
        while edge in following:
            loop.append(edge)
            edge = following.pop(edge)
        loops.append(loop)
    return loops


def cube_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Per code: the loop of each edge [256, 12], the number of loops, and the face that one crosses twice, or -1."""
    loop_of, counts = torch.full((256, 12), -1), torch.zeros(256, dtype=torch.long)
    pinched = torch.full((256,), -1)
    for code in range(256):
        loops = surface_loops(code)
        counts[code] = len(loops)
        for number, loop in enumerate(loops):
            loop_of[code, loop] = number
            for side, face in enumerate(CUBE_FACES):
                if sum(set(CUBE_EDGES[edge]) <= set(face) for edge in loop) == 4:
                    pinched[code] = side
    return loop_of, counts, pinched


def flexicubes(
    vertices: Tensor,
    sdf: Tensor,
    cubes: Tensor,
    beta: Tensor,
    alpha: Tensor,
    gamma: Tensor,
    resolution: int,
    training: bool,
    tables: tuple[Tensor, Tensor, Tensor],
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """One mesh and its L_dev. The grid is [V, 3] and [C, 8], the field [V] negative inside, the weights raw.

    `tables` are those of `cube_tables`.
    """
    loop_of, loop_counts, pinched = (table.to(sdf.device) for table in tables)
    inside = sdf < 0
    signs = (inside[cubes].long() * 2 ** torch.arange(8, device=sdf.device)).sum(1)
    codes = signs.clone()
    ring = torch.nn.functional.pad(signs.view(resolution, resolution, resolution), (1, 1, 1, 1, 1, 1))
    for side in range(6):
        there = ring.roll(1 if side % 2 == 0 else -1, dims=side // 2)[1:-1, 1:-1, 1:-1].flatten()
        codes[(pinched[signs] == side) & (pinched[there] >= 0)] ^= 255

    kept = (signs > 0) & (signs < 255)
    cubes, codes = cubes[kept], codes[kept]
    beta = torch.tanh(beta[kept]) * 0.5 + 1
    alpha = torch.tanh(alpha[kept]) * 0.5 + 1
    gamma = torch.sigmoid(gamma[kept]) * 0.5 + 0.25

    pairs = cubes[:, CUBE_EDGES]
    _, numbers, uses = torch.unique(
        pairs.reshape(-1, 2).sort(dim=1).values, dim=0, return_inverse=True, return_counts=True
    )
    numbers = numbers.view(-1, 12)

    ends, field = vertices[pairs], sdf[pairs]
    pulled = field * alpha[:, CUBE_EDGES]
    crossed = inside[pairs[:, :, 0]] != inside[pairs[:, :, 1]]
    cube, edge = crossed.nonzero(as_tuple=True)

    def zero(values: Tensor) -> Tensor:
        a, b = values[cube, edge].unbind(1)
        x, y = ends[cube, edge].unbind(1)
        return (a[:, None] * y - b[:, None] * x) / (a - b)[:, None]

    first = torch.cumsum(loop_counts[codes], 0) - loop_counts[codes]
    dual_of = first[:, None] + loop_of[codes]
    owner = dual_of[cube, edge]
    total = int(loop_counts[codes].sum())
    weight = beta[cube, edge]
    empty = torch.zeros(total, dtype=sdf.dtype, device=sdf.device)
    duals = empty[:, None].repeat(1, 3).index_add(0, owner, zero(pulled) * weight[:, None])
    duals = duals / empty.index_add(0, owner, weight)[:, None]

    distance = (duals[owner] - zero(field)).norm(dim=1)
    mean = empty.index_add(0, owner, distance) / empty.index_add(0, owner, torch.ones_like(distance))
    l_dev = (distance - mean[owner]).abs().mean()

    # Four cubes meet at an edge inside the grid. Around it, they come in the order of where the edge lies in them.
    around = torch.empty(12, dtype=torch.long)
    for local, (low, high) in enumerate(CUBE_EDGES):
        axis = (high - low).bit_length() - 1
        u, v = low >> (axis + 1) % 3 & 1, low >> (axis + 2) % 3 & 1
        around[local] = {(1, 1): 0, (0, 1): 1, (0, 0): 2, (1, 0): 3}[u, v]
    around = around.to(sdf.device)
    shared = uses[numbers[cube, edge]] == 4
    cube, edge = cube[shared], edge[shared]
    order = torch.argsort(numbers[cube, edge] * 4 + around[edge])
    cube, edge = cube[order].view(-1, 4), edge[order].view(-1, 4)
    quads = dual_of[cube, edge]
    backward = ~inside[pairs[cube[:, 0], edge[:, 0], 0]]
    quads[backward] = quads[backward].flip(1)
    pull = gamma[cube]
    pull[backward] = pull[backward].flip(1)
    along, across = pull[:, 0] * pull[:, 2], pull[:, 1] * pull[:, 3]
    if not training:
        halves = torch.where((along > across)[:, None], quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 1, 2, 3]])
        return (duals, halves.view(-1, 3)), l_dev
    a, b, c, d = duals[quads].unbind(1)
    centres = (along[:, None] * (a + c) + across[:, None] * (b + d)) / (2 * (along + across)[:, None])
    middle = total + torch.arange(len(quads), device=sdf.device)
    sides = [torch.stack([quads[:, i], quads[:, (i + 1) % 4], middle], dim=1) for i in range(4)]
    return (torch.cat([duals, centres]), torch.cat(sides)), l_dev
