"""A mask with smooth edges, right also where triangles are smaller than a pixel, with a gradient in the vertices.

The mask is measured on the lines through pixel centres, rows and columns: how much of each pixel's piece of line lies
in the union of the triangles. Rows measure steep silhouettes well and columns flat ones, so each pixel takes a mean of
both, weighted by how the silhouette runs near it.

The gradient is that of the covered area. When the boundary ∂S of a covered region moves with velocity v, an integral
over the region changes by the boundary integral (Reynolds' transport theorem)

    d/dt ∫_S g dA = ∫_∂S g (n · v) ds,

and the places where lines enter or leave the union are samples of that boundary: a row meets a piece ds with
frequency |n_x| ds, a column with |n_y| ds. With weights |n_x| for rows and |n_y| for columns each piece is counted
n_x² + n_y² = 1 times, however small or jagged it is, and no sample weighs more than 1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render.rasterize import Fragments, project

__all__ = ["mask_of", "render_mask"]

_SUBPIXELS = 2**20
"""Crossings are ordered by place in these parts of a pixel."""


def render_mask(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Float[Tensor, "b 1 r r"]:
    """How much of each pixel mesh b covers for camera b, in [0, 1]; differentiable in the vertices.

    Faces are left out as in `rasterize`. No gradient reaches a silhouette outside the picture.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    return _mask(project(meshes, cameras, resolution), meshes, resolution)


def mask_of(meshes: MeshBatch, fragments: Fragments) -> Float[Tensor, "b 1 r r"]:
    """The same as `render_mask`, for meshes that have been rasterised already."""
    return _mask(fragments.screen, meshes, fragments.resolution)


@dataclass(frozen=True)
class _Edges:
    """Edges of triangles, k of them.

    Attributes:
        vertices: [k, 2] first and second in the order of the triangle's corners.
        picture: [k] which picture shows them.
        turn: [k] on the screen, 1 where the triangle lies in the direction (−Δy, Δx) of the edge, −1 where opposite.
    """

    vertices: Int[Tensor, "k 2"]
    picture: Int[Tensor, " k"]
    turn: Int[Tensor, " k"]


@dataclass(frozen=True)
class _Crossings:
    """Places where lines through pixel centres, rows and columns, cross edges of triangles; n of them.

    Attributes:
        line: [n] the line's number: rows of picture 0, 1, …, B − 1, then columns of picture 0, ….
        place: [n] where on the line, in pixels.
        step: [n] 1 where the line enters a triangle, −1 where it leaves one.
        edge: [n, 2] the vertices at the edge's ends.
        part: [n] where on the edge, 0 at the first vertex and 1 at the second.
        outward: [n, 2] the edge's normal away from the triangle, a unit vector of x and y.
    """

    line: Int[Tensor, " n"]
    place: Float[Tensor, " n"]
    step: Int[Tensor, " n"]
    edge: Int[Tensor, "n 2"]
    part: Float[Tensor, " n"]
    outward: Float[Tensor, "n 2"]


def _mask(screen: Float[Tensor, "v 3"], meshes: MeshBatch, resolution: int) -> Float[Tensor, "b 1 r r"]:
    pictures, r = len(meshes), resolution
    with torch.no_grad():
        ends = _union_ends(_crossings(screen, meshes, r))
        rows, columns = _covered_parts(ends, pictures, r, screen.dtype)
        is_column = ends.line >= pictures * r
        across, along = ends.line % r, ends.place.long().clamp_max(r - 1)
        picture, i, j = (
            ends.line // r % pictures,
            torch.where(is_column, along, across),
            torch.where(is_column, across, along),
        )
        in_sight = (ends.place > 0) & (ends.place < r)
        weight = torch.where(is_column, ends.outward[:, 1], ends.outward[:, 0]).abs() * in_sight
        steepness = _local_mean(ends.outward[:, 0].square(), weight, torch.stack([picture, i, j], dim=1), rows)
        value = (columns + steepness * (rows - columns)).clamp(0, 1)
        outward = (ends.outward * weight[:, None]).to(screen.dtype)
        part = ends.part[:, None].to(screen.dtype)
    start, end = screen.index_select(0, ends.edge.T.flatten())[:, :2].chunk(2)
    moved = (outward * torch.lerp(start, end, part)).sum(1)
    change = torch.zeros_like(value).view(-1).index_add(0, (picture * r + i) * r + j, moved - moved.detach())
    return (value + change.view_as(value))[:, None]


def _contour(points: Float[Tensor, "v 2"], meshes: MeshBatch) -> _Edges:
    """The edges that do not have as many triangles on one side as on the other: all that can bound the union.

    They are found without sorting. Each edge has a random odd number, which every triangle adds to the edge's place in
    a table, or subtracts, by the side on which it lies. An edge is left out where the sum is zero. Edges that share a
    place may let a balanced edge through, whose crossings then cancel each other; that two edges hide each other is
    as rare as equal random numbers of 31 bits.
    """
    corners = meshes.faces.flatten()
    a, b, c = points.index_select(0, corners).view(-1, 3, 2).unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    # Comparisons, unlike a sign, make nothing of NaN.
    turn = (area > 0).int() - (area < 0).int()
    start = _random_numbers(len(points), corners.device).index_select(0, corners).view(-1, 3)
    end = start.roll(-1, 1)
    side = torch.where(start < end, turn[:, None], -turn[:, None])
    bits = (2 * len(turn)).bit_length()
    place = (((start ^ end) >> max(0, 31 - bits)) & (2**bits - 1)).flatten()
    table = place.new_zeros(2**bits).index_add(0, place, (start * end * side).flatten())
    unbalanced = table.index_select(0, place).view(-1, 3) * turn[:, None]
    face, corner = torch.nonzero(unbalanced, as_tuple=True)
    vertices = torch.stack([meshes.faces[face, corner], meshes.faces[face, (corner + 1) % 3]], dim=1)
    return _Edges(vertices, meshes.face_shape[face], turn[face])


def _random_numbers(count: int, device: torch.device) -> Int[Tensor, " n"]:
    """The same odd 32-bit numbers each time, without a pattern: a count, mixed by multiplications and shifts."""
    number = torch.arange(1, count + 1, device=device)
    for factor in (-0x61C8864680B583EB, -0x4B47D0C5A1B0F4B5):
        number = number * factor
        number = number ^ (number >> 31)
    return number.int() | 1


def _crossings(screen: Float[Tensor, "v 3"], meshes: MeshBatch, resolution: int) -> _Crossings:
    """All crossings of edges of the contour."""
    drawn = screen.isfinite().all(1, keepdim=True) & (screen[:, 2:] > 0)
    points = torch.where(drawn, screen[:, :2], torch.nan).double()
    contour = _contour(points, meshes)
    # Columns are rows of the mirrored picture, where triangles turn the other way round.
    ends = points[contour.vertices]
    ends, vertices = torch.cat([ends, ends.flip(2)]), contour.vertices.repeat(2, 1)
    picture = torch.cat([contour.picture, contour.picture + len(meshes)])
    # Always from the upper vertex, so that all triangles of an edge find the same place.
    down = ends[:, 0, 1] < ends[:, 1, 1]
    step = torch.where(down, 1, -1) * torch.cat([-contour.turn, contour.turn])
    ends = torch.where(down[:, None, None], ends, ends.flip(1))
    vertices = torch.where(down[:, None], vertices, vertices.flip(1))
    along, across = (ends[:, 1] - ends[:, 0]).unbind(1)
    normal = step[:, None] * torch.nn.functional.normalize(torch.stack([-across, along], dim=1), dim=1)
    of_rows, of_columns = normal.chunk(2)
    normal = torch.cat([of_rows, of_columns.flip(1)])
    first, after = (ends[..., 1] - 0.5).ceil().clamp(0, resolution).long().unbind(1)
    count = after - first
    edge = torch.repeat_interleave(count)
    row = torch.arange(len(edge), device=edge.device) - (count.cumsum(0) - count - first)[edge]
    part = (row + 0.5 - ends[edge, 0, 1]) / across[edge]
    place = (ends[edge, 0, 0] + part * along[edge]).clamp(0, resolution)
    return _Crossings(picture[edge] * resolution + row, place, step[edge], vertices[edge], part, normal[edge])


def _union_ends(crossings: _Crossings) -> _Crossings:
    """Those where the line enters or leaves the union of its picture's triangles.

    Balanced edges left out, the steps up to a place still sum to the number of triangles that lie there.
    """
    # At one place, entering comes first: triangles that touch leave no gap.
    key = crossings.line * 2**40 + (crossings.place * _SUBPIXELS).long() * 2 + (crossings.step < 0)
    order = key.argsort()
    after = crossings.step[order].cumsum(0)
    before = after - crossings.step[order]
    chosen = order[((before == 0) & (after > 0)) | ((before > 0) & (after == 0))]
    return _Crossings(**{name: value[chosen] for name, value in vars(crossings).items()})


def _covered_parts(ends: _Crossings, pictures: int, resolution: int, dtype: torch.dtype) -> Float[Tensor, "2 b r r"]:
    """How much of each pixel's piece of row, and of column, lies in the union."""
    lines, cells = 2 * pictures * resolution, resolution + 1
    cell = ends.place.long()
    slot = ends.line * cells + cell
    zero = ends.place.new_zeros(lines * cells, dtype=dtype)
    entered = zero.index_add(0, slot, ends.step.to(dtype)).view(lines, cells)
    part = zero.index_add(0, slot, (ends.step * (cell + 1 - ends.place)).to(dtype)).view(lines, cells)
    covered = (entered.cumsum(1) - entered + part)[:, :resolution].view(2, pictures, resolution, resolution)
    return torch.stack([covered[0], covered[1].mT])


def _local_mean(
    values: Float[Tensor, " n"], weights: Float[Tensor, " n"], pixels: Int[Tensor, "n 3"], like: Float[Tensor, "b r r"]
) -> Float[Tensor, "b r r"]:
    """Weighted means of the values in the 3 × 3 pixels around each pixel, 0 where there are none.

    Args:
        values: of samples.
        weights: of samples.
        pixels: [n, 3] picture, row and column of each sample.
        like: gives the pictures' shape.
    """
    size = like.shape[-1] + 2
    around = torch.arange(3, device=pixels.device)
    rows = pixels[:, 0, None] * size + pixels[:, 1, None] + around
    slots = (rows[:, :, None] * size + (pixels[:, 2, None] + around)[:, None]).flatten(1)
    zero = like.new_zeros(like.shape[0] * size * size)
    total, weight = (
        zero.index_add(0, slots.flatten(), v.to(like.dtype).repeat_interleave(9)) for v in (values * weights, weights)
    )
    mean = total / weight.clamp_min(torch.finfo(like.dtype).tiny)
    return mean.view(-1, size, size)[:, 1:-1, 1:-1]
