"""Masks with smooth edges, exact for triangles smaller than a pixel, and differentiable with respect to the vertices.

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
    """Share of each pixel that mesh b covers in camera b, in [0, 1]; differentiable with respect to the vertices.

    Faces are left out as in `rasterize`. No gradient reaches a silhouette outside the image.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    return _mask(project(meshes, cameras, resolution), meshes, resolution)


def mask_of(meshes: MeshBatch, fragments: Fragments) -> Float[Tensor, "b 1 r r"]:
    """`render_mask` for meshes that have already been rasterised."""
    return _mask(fragments.screen, meshes, fragments.resolution)


@dataclass(frozen=True)
class _Edges:
    """Edges of triangles as lines through pixel centres meet them, once for rows and once for columns; k of them.

    Columns are rows of the mirrored image, where x and y change places and triangles turn the other way round.

    Attributes:
        image: [k] number of the image that shows the edge; for columns, the number of images is added.
        vertices: [2, k] ends; the upper comes first, so that all triangles of an edge find the same crossings.
        along: [2, k] where the ends are in the direction of the lines, in pixels.
        across: [2, k] where the ends are across the lines, in pixels.
        step: [k] 1 where lines enter the triangle, −1 where they leave it.
    """

    image: Int[Tensor, " k"]
    vertices: Int[Tensor, "2 k"]
    along: Float[Tensor, "2 k"]
    across: Float[Tensor, "2 k"]
    step: Int[Tensor, " k"]


@dataclass(frozen=True)
class _Crossings:
    """Places where lines through pixel centres, rows and columns, cross edges of triangles; n of them.

    Attributes:
        line: [n] the line's number: rows of image 0, 1, …, B − 1, then columns of image 0, ….
        place: [n] where on the line, in pixels.
        step: [n] 1 where the line enters a triangle, −1 where it leaves one.
        edge: [n] number of the edge.
        part: [n] where on the edge, 0 at the first vertex and 1 at the second.
    """

    line: Int[Tensor, " n"]
    place: Float[Tensor, " n"]
    step: Int[Tensor, " n"]
    edge: Int[Tensor, " n"]
    part: Float[Tensor, " n"]


def _mask(screen: Float[Tensor, "v 3"], meshes: MeshBatch, resolution: int) -> Float[Tensor, "b 1 r r"]:
    images, r = len(meshes), resolution
    with torch.no_grad():
        edges = _contour(screen, meshes)
        ends = _union_ends(_crossings(edges, r))
        rows, columns = _covered_parts(ends, images, r, screen.dtype)
        is_column = ends.line >= images * r
        across, along = ends.line % r, ends.place.long().clamp_max(r - 1)
        image, i, j = (
            ends.line // r % images,
            torch.where(is_column, along, across),
            torch.where(is_column, across, along),
        )
        span = [ends_of_edge.index_select(1, ends.edge).diff(dim=0)[0] for ends_of_edge in (edges.along, edges.across)]
        normal = torch.nn.functional.normalize(torch.stack([-span[1], span[0]]), dim=0) * ends.step
        outward = torch.where(is_column, normal.flip(0), normal)
        weight = normal[0].abs() * ((ends.place > 0) & (ends.place < r))
        steepness = _local_mean(outward[0].square(), weight, torch.stack([image, i, j], dim=1), rows)
        value = (columns + steepness * (rows - columns)).clamp(0, 1)
        vertices, part = edges.vertices.index_select(1, ends.edge), ends.part.to(screen.dtype)
        growth = (outward * weight).to(screen.dtype)
    start, end = screen.index_select(0, vertices.flatten())[:, :2].chunk(2)
    moved = (growth.T * torch.lerp(start, end, part[:, None])).sum(1)
    change = torch.zeros_like(value).view(-1).index_add(0, (image * r + i) * r + j, moved - moved.detach())
    return (value + change.view_as(value))[:, None]


def _contour(screen: Float[Tensor, "v 3"], meshes: MeshBatch) -> _Edges:
    """The edges that do not have as many triangles on one side as on the other: all that can bound the union.

    They are found without sorting. Each edge has a random odd number, which every triangle adds to the edge's place in
    a table, or subtracts, by the side on which it lies. An edge is left out where the sum is zero. Edges that share a
    place may let a balanced edge through, whose crossings then cancel each other; that two edges hide each other is
    as rare as equal random numbers of 31 bits.
    """
    drawn = screen.isfinite().all(1) & (screen[:, 2] > 0)
    x, y = (torch.where(drawn, place, torch.nan).double() for place in (screen[:, 0], screen[:, 1]))
    # First corners of all faces, then second, third, and first again: PyTorch is quick along long rows.
    a, b, c = meshes.faces.unbind(1)
    corners = torch.cat([a, b, c, a])
    (xa, xb, xc, _), (ya, yb, yc, _) = (place.index_select(0, corners).view(4, -1) for place in (x, y))
    area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
    # Comparisons, unlike a sign, make nothing of NaN.
    turn = (area > 0).int() - (area < 0).int()
    number = _random_numbers(len(x), corners.device).index_select(0, corners).view(4, -1)
    start, end = number[:3], number[1:]
    # Not a choice by `where`: nobody can guess how it falls, and a processor waits for each.
    side = (2 * (start < end).int() - 1) * turn
    bits = (2 * len(turn)).bit_length()
    place = (((start ^ end) >> max(0, 31 - bits)) & (2**bits - 1)).flatten()
    table = place.new_zeros(2**bits).index_add(0, place, (start * end * side).flatten())
    unbalanced = table.index_select(0, place).view(3, -1) * turn
    (half_edge,) = torch.nonzero(unbalanced.flatten(), as_tuple=True)
    face = half_edge % max(len(turn), 1)
    first, second = (corners.index_select(0, half_edge + i * len(turn)) for i in (0, 1))
    turn, image = turn.index_select(0, face), meshes.face_mesh.index_select(0, face)
    rows = _edges(first, second, x, y, -turn, image)
    columns = _edges(first, second, y, x, turn, image + len(meshes))
    return _Edges(**{name: torch.cat([value, vars(columns)[name]], dim=-1) for name, value in vars(rows).items()})


def _random_numbers(count: int, device: torch.device) -> Int[Tensor, " n"]:
    """The same odd 32-bit numbers each time, without a pattern: a count, mixed by multiplications and shifts."""
    number = torch.arange(1, count + 1, device=device)
    for factor in (-0x61C8864680B583EB, -0x4B47D0C5A1B0F4B5):
        number = number * factor
        number = number ^ (number >> 31)
    return number.int() | 1


def _edges(
    first: Int[Tensor, " e"],
    second: Int[Tensor, " e"],
    along: Float[Tensor, " v"],
    across: Float[Tensor, " v"],
    turn: Int[Tensor, " e"],
    image: Int[Tensor, " e"],
) -> _Edges:
    """Edges as lines of one direction meet them.

    Args:
        first, second: vertices in the order of the triangle's corners.
        along: of all vertices.
        across: of all vertices.
        turn: 1 where lines enter the triangle when the first vertex is above the second, −1 where they leave it.
        image: the image that shows the edge.
    """
    down = (across.index_select(0, first) < across.index_select(0, second)).int()
    upper = second + down * (first - second)
    vertices = torch.stack([upper, first + second - upper])
    along, across = (place.index_select(0, vertices.flatten()).view(2, -1) for place in (along, across))
    return _Edges(image, vertices, along, across, turn * (2 * down - 1))


def _crossings(edges: _Edges, resolution: int) -> _Crossings:
    """All crossings of the edges."""
    (along, along_end), (across, across_end) = edges.along, edges.across
    first, after = ((end - 0.5).ceil().clamp(0, resolution).long() for end in (across, across_end))
    count = after - first
    edge = torch.repeat_interleave(count)
    row = torch.arange(len(edge), device=edge.device) - (count.cumsum(0) - count - first).index_select(0, edge)
    part = (row + 0.5 - across.index_select(0, edge)) / (across_end - across).index_select(0, edge)
    place = along.index_select(0, edge) + part * (along_end - along).index_select(0, edge)
    line = edges.image.index_select(0, edge) * resolution + row
    return _Crossings(line, place.clamp(0, resolution), edges.step.index_select(0, edge), edge, part)


def _union_ends(crossings: _Crossings) -> _Crossings:
    """Those where the line enters or leaves the union of its image's triangles.

    Balanced edges left out, the steps up to a place still sum to the number of triangles that lie there.
    """
    # At one place, entering comes first: triangles that touch leave no gap.
    key = crossings.line * 2**40 + (crossings.place * _SUBPIXELS).long() * 2 + (crossings.step < 0)
    order = key.argsort()
    step = crossings.step.index_select(0, order)
    after = step.cumsum(0)
    before = after - step
    chosen = order[((before == 0) & (after > 0)) | ((before > 0) & (after == 0))]
    return _Crossings(**{name: value[chosen] for name, value in vars(crossings).items()})


def _covered_parts(ends: _Crossings, images: int, resolution: int, dtype: torch.dtype) -> Float[Tensor, "2 b r r"]:
    """How much of each pixel's piece of row, and of column, lies in the union."""
    lines, cells = 2 * images * resolution, resolution + 1
    cell = ends.place.long()
    slot = ends.line * cells + cell
    zero = ends.place.new_zeros(lines * cells, dtype=dtype)
    entered = zero.index_add(0, slot, ends.step.to(dtype)).view(lines, cells)
    part = zero.index_add(0, slot, (ends.step * (cell + 1 - ends.place)).to(dtype)).view(lines, cells)
    covered = (entered.cumsum(1) - entered + part)[:, :resolution].view(2, images, resolution, resolution)
    return torch.stack([covered[0], covered[1].mT])


def _local_mean(
    values: Float[Tensor, " n"], weights: Float[Tensor, " n"], pixels: Int[Tensor, "n 3"], like: Float[Tensor, "b r r"]
) -> Float[Tensor, "b r r"]:
    """Weighted means of the values in the 3 × 3 pixels around each pixel, 0 where there are none.

    Args:
        values: of samples.
        weights: of samples.
        pixels: [n, 3] image, row and column of each sample.
        like: gives the images' shape.
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
