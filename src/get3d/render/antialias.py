"""A mask with smooth edges, right also where triangles are smaller than a pixel, with a gradient in the vertices.

The mask is measured on the lines through pixel centres, rows and columns: how much of each pixel's piece of line lies
in the union of the triangles. Rows measure steep silhouettes well and columns flat ones, so each pixel takes a mean
of both, weighted by how the silhouette runs near it. Moving a vertex moves the places where lines enter and leave the
union; this is the boundary integral for the derivative of the covered area, by one sample per line.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render.rasterize import Fragments, project

__all__ = ["mask_of", "render_mask"]

_SUBPIXELS = 2**20


def render_mask(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Float[Tensor, "b 1 r r"]:
    """How much of each pixel mesh b covers for camera b, in [0, 1]; differentiable in the vertices.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    return _coverage(project(meshes, cameras, resolution), meshes, resolution)


def mask_of(meshes: MeshBatch, fragments: Fragments) -> Float[Tensor, "b 1 r r"]:
    """The same as `render_mask`, for meshes that have been rasterised already."""
    return _coverage(fragments.screen, meshes, fragments.resolution)


def _coverage(screen: Float[Tensor, "v 3"], meshes: MeshBatch, resolution: int) -> Float[Tensor, "b 1 r r"]:
    crossings = _union_ends(_crossings(_contour(screen, meshes), len(meshes), resolution))
    rows, columns = _covered_parts(crossings, 2 * len(meshes), resolution).view(2, -1, 1, resolution, resolution)
    columns = columns.transpose(2, 3)
    weight = _steepness((rows + columns).detach())
    return weight * rows + (1 - weight) * columns


@dataclass(frozen=True)
class _Edges:
    """Edges of triangles on the screen, along their triangle's circumference; n of them.

    Attributes:
        start: [n, 2] x and y.
        end: [n, 2] x and y.
        image: [n] in which picture.
        turn: [n] 1 where the triangle lies in the direction (−Δy, Δx), −1 where it lies opposite.
    """

    start: Float[Tensor, "n 2"]
    end: Float[Tensor, "n 2"]
    image: Int[Tensor, " n"]
    turn: Int[Tensor, " n"]


@dataclass(frozen=True)
class _Crossings:
    """Where lines cross edges; n of them.

    Attributes:
        line: [n] the line's number: rows of picture 0, picture 1, …, then columns of picture 0, ….
        place: [n] where on the line, in pixels; differentiable.
        step: [n] 1 where the edge's triangle lies after the crossing, −1 where it lies before.
    """

    line: Int[Tensor, " n"]
    place: Float[Tensor, " n"]
    step: Int[Tensor, " n"]


def _contour(screen: Float[Tensor, "v 3"], meshes: MeshBatch) -> _Edges:
    """The edges that do not have as many triangles on one side as on the other: all that can bound the union.

    Edges are matched without sorting: each has a random 64-bit number, which its triangles add to one place of a
    table, positive or negative by the side they lie on. Where the sum is zero, the edges of that place are balanced.
    """
    faces = meshes.faces
    with torch.no_grad():
        corners = screen[faces].double()
        a, b, c = corners.unbind(1)
        turned = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        drawn = corners.isfinite().all(2).all(1) & (corners[..., 2] > 0).all(1)
        turn = torch.where(drawn, turned.sign(), 0).long()[:, None].expand(-1, 3).flatten()
        start, end = faces.flatten(), faces.roll(-1, 1).flatten()
        number = _scrambled(torch.minimum(start, end) * len(screen) + torch.maximum(start, end))
        place = number & (2 ** (2 * len(faces)).bit_length() - 1)
        table = number.new_zeros(2 ** (2 * len(faces)).bit_length())
        table.index_add_(0, place, torch.where(start < end, turn, -turn) * number)
        (chosen,) = torch.nonzero((table[place] != 0) & (turn != 0), as_tuple=True)
    ends = screen[torch.stack([start[chosen], end[chosen]])][..., :2]
    return _Edges(ends[0], ends[1], meshes.face_shape[chosen // 3], turn[chosen])


def _scrambled(number: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The number's 64 bits, mixed so that no pattern is left; another number for each."""
    for factor in (-0x61C8864680B583EB, -0x4B47D0C5A1B0F4B5):
        number = number * factor
        number = number ^ (number >> 31)
    return number


def _crossings(edges: _Edges, images: int, resolution: int) -> _Crossings:
    """Where rows and columns through pixel centres cross the edges."""
    # Columns are rows of the mirrored picture, where triangles turn the other way round.
    start = torch.cat([edges.start, edges.start.flip(1)])
    end = torch.cat([edges.end, edges.end.flip(1)])
    image = torch.cat([edges.image, edges.image + images])
    step = torch.cat([-edges.turn, edges.turn])
    downward = (start[:, 1] < end[:, 1])[:, None]
    step = torch.where(downward[:, 0], step, -step)
    # Always from the upper end, so that the triangles of an edge find the same place.
    upper, lower = torch.where(downward, start, end), torch.where(downward, end, start)
    first, after = ((y.detach() - 0.5).ceil().clamp(0, resolution).long() for y in (upper[:, 1], lower[:, 1]))
    count = after - first
    edge = torch.repeat_interleave(count)
    row = torch.arange(len(edge), device=edge.device) - (count.cumsum(0) - count - first)[edge]
    upper, slope = upper[edge], ((lower - upper)[:, 0] / (lower - upper)[:, 1])[edge]
    place = upper[:, 0] + (row + 0.5 - upper[:, 1]) * slope
    return _Crossings(image[edge] * resolution + row, place.clamp(0, resolution), step[edge])


def _union_ends(crossings: _Crossings) -> _Crossings:
    """The crossings where a line enters or leaves the union of all triangles."""
    place = (crossings.place.detach() * _SUBPIXELS).long()
    # At one place, entering comes first: triangles that touch leave no gap.
    order = (crossings.line * 2**40 + place * 2 + (crossings.step < 0)).argsort()
    depth = crossings.step[order].cumsum(0)
    before = depth - crossings.step[order]
    chosen = order[((before == 0) & (depth > 0)) | ((before > 0) & (depth == 0))]
    return _Crossings(crossings.line[chosen], crossings.place[chosen], crossings.step[chosen])


def _covered_parts(ends: _Crossings, blocks: int, resolution: int) -> Float[Tensor, "l r"]:
    """How much of each pixel of each line lies in the union."""
    lines, width = blocks * resolution, resolution + 1
    cell = ends.place.detach().long()
    slot = ends.line * width + cell
    zero = ends.place.new_zeros(lines * width)
    step = ends.step.to(zero.dtype)
    steps = zero.index_add(0, slot, step).view(lines, width)
    part = zero.index_add(0, slot, step * (cell + 1 - ends.place)).view(lines, width)
    return (steps.cumsum(1) - steps + part)[:, :resolution]


def _steepness(coverage: Float[Tensor, "b 1 r r"]) -> Float[Tensor, "b 1 r r"]:
    """How much the silhouette runs along y rather than along x near each pixel, in [0, 1]: from its structure tensor."""
    smooth = coverage.new_tensor([1.0, 2.0, 1.0])
    difference = coverage.new_tensor([-1.0, 0.0, 1.0])
    sobel = torch.stack([smooth[:, None] * difference, difference[:, None] * smooth])[:, None]
    squared = functional.conv2d(coverage, sobel, padding=1).square()
    across, down = functional.avg_pool2d(squared, 3, stride=1, padding=1).split(1, dim=1)
    return torch.where(across + down > 0, across / (across + down).clamp_min(1e-12), 0.5)
