"""FlexiCubes: dual marching cubes with learned weights, for a complete batch at once."""

from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.isosurface.grid import Grid
from get3d.isosurface.signs import find, look_up, offsets, pack
from get3d.isosurface.tables import CUBE_EDGES, CUBE_PATCHES, CUBE_PINCHES
from get3d.meshes import MeshBatch
from get3d.tensors import constant_on

__all__ = ["CubeGrid", "extract", "flexicubes"]

WEIGHT_SCALE = 0.5
"""How far the learned weights may move from those of plain dual marching cubes."""


class CubeGrid(Grid):
    """A cube around the origin, divided into resolution³ cubes.

    Vertex (i, j, k) along x, y, z has the number (i·n + j)·n + k with n = resolution + 1; cubes likewise with
    n = resolution.

    Attributes:
        cubes: [C, 8] vertices of each cube, x fastest, then y, then z.
        axis: [n] coordinates of the vertices along an axis, the same for x, y and z.
    """

    cubes: Int[Tensor, "c 8"]
    axis: Float[Tensor, " n"]

    def __init__(self, resolution: int, size: float = 1.0) -> None:
        """Builds the grid.

        Raises:
            ValueError: resolution is below 1 or size is not positive.
        """
        super().__init__(resolution, size)
        n = resolution + 1
        axis = torch.linspace(-0.5 * size, 0.5 * size, n)
        number = torch.arange(n**3).view(n, n, n)
        starts = number[:-1, :-1, :-1].flatten()
        corners = [starts + (c & 1) * n * n + (c >> 1 & 1) * n + (c >> 2) for c in range(8)]
        lines = [torch.stack([number.narrow(a, 0, resolution), number.narrow(a, 1, resolution)]) for a in range(3)]
        rim = torch.arange(n) % resolution == 0
        self._set(
            vertices=torch.cartesian_prod(axis, axis, axis),
            # Stored column by column, since passes over the grid read whole columns.
            cubes=torch.stack(corners).t(),
            edges=torch.cat([line.flatten(1) for line in lines], dim=1).t(),
            boundary=(rim[:, None, None] | rim[:, None] | rim).flatten(),
            axis=axis,
        )
        self.centre = ((n // 2) * n + n // 2) * n + n // 2

    @property
    def lattices(self) -> tuple[Float[Tensor, " n"]]:
        """Coordinates of the vertices along an axis: one lattice, while a tetrahedral grid has two."""
        return (self.axis,)


def _rings() -> list[list[list[int]]]:
    """For each axis, the four cubes around a grid edge along it, counter-clockwise: the steps x, y, z there, its edge.

    The steps start from the cube that lies before the edge along both other axes.
    """
    rings = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ring = []
        for step_u, step_v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            steps = {axis: 0, u: step_u, v: step_v}
            low = (1 - step_u) << u | (1 - step_v) << v
            ring.append([steps[0], steps[1], steps[2], CUBE_EDGES.index((low, low | 1 << axis))])
        rings.append(ring)
    return rings


_RINGS: Int[Tensor, "3 4 4"] = torch.tensor(_rings())
_CORNERS: Int[Tensor, "12 2"] = torch.tensor(CUBE_EDGES)


def flexicubes(
    vertices: Float[Tensor, "v 3"] | Float[Tensor, "b v 3"],
    sdf: Float[Tensor, "b v"] | Float[Tensor, " v"],
    cubes: Int[Tensor, "c 8"],
    beta: Float[Tensor, "b c 12"] | Float[Tensor, "c 12"],
    alpha: Float[Tensor, "b c 8"] | Float[Tensor, "c 8"],
    gamma: Float[Tensor, "b c"] | Float[Tensor, " c"],
    resolution: int,
    training: bool,
) -> tuple[MeshBatch, Float[Tensor, " shapes"]]:
    """Extracts the zero level of a batch of fields as dual meshes with a vertex for each surface patch in a cube.

    The vertex of a patch is the mean, weighted by β, of the points where it crosses the cube's edges, which α shifts.
    The four vertices around a crossed grid edge make a quad, which γ splits. Nothing is sorted, and floats are touched
    only in the cubes that the surface crosses. Source: Shen et al., "Flexible Isosurface Extraction for Gradient-Based
    Mesh Optimization" (2023), section 4.

    Args:
        vertices: [V, 3] grid for all shapes, or [B, V, 3] deformed for each.
        sdf: [B, V] signed distances, **negative inside**, unlike elsewhere in this package. Exactly 0 is outside.
            Without a batch, [V], the weights have none either, and the result is a batch of one.
        cubes: [C, 8] vertices of each cube, x fastest, then y, then z; cube (i, j, k) along x, y, z has the number
            (i · resolution + j) · resolution + k.
        beta: [B, C, 12] raw weights of the edges of each cube, in the order of `tables.CUBE_EDGES`.
        alpha: [B, C, 8] raw weights of the corners of each cube.
        gamma: [B, C] raw weights of the cubes.
        resolution: cubes on a side.
        training: splits each quad in four around a centre, smooth in γ, and not in two along the better diagonal.

    Returns:
        Meshes with outward faces, closed 2-manifolds if the field does not cross the border of the grid; and
        L_dev, for each shape [B] the mean over the points where patches cross edges, α left out, of how much a point's
        distance to its patch's vertex differs from that patch's mean distance, 0 without a surface. Gradients flow to
        all floats.

    Raises:
        ValueError: the numbers of shapes, vertices or cubes do not agree.
    """
    if sdf.ndim == 1:
        sdf, beta, alpha, gamma = sdf[None], beta[None], alpha[None], gamma[None]
    shapes, count = sdf.shape
    if vertices.shape[-2] != count or (vertices.ndim == 3 and vertices.shape[0] != shapes):
        raise ValueError(f"vertices {tuple(vertices.shape)} do not fit the field {tuple(sdf.shape)}")
    if len(cubes) != resolution**3 or {w.shape[:2] for w in (beta, alpha, gamma)} != {(shapes, len(cubes))}:
        raise ValueError(
            f"{len(cubes)} cubes and weights {tuple(beta.shape)}, {tuple(alpha.shape)} and {tuple(gamma.shape)} do not "
            f"fit {shapes} shapes on a grid of resolution {resolution}"
        )
    weights = torch.cat([beta, alpha, gamma[..., None]], dim=2)
    return extract(vertices, sdf, cubes, weights, resolution, training)


def extract(
    vertices: Float[Tensor, "v 3"] | Float[Tensor, "b v 3"],
    sdf: Float[Tensor, "b v"],
    cubes: Int[Tensor, "c 8"],
    weights: Float[Tensor, "b c 21"],
    resolution: int,
    training: bool,
) -> tuple[MeshBatch, Float[Tensor, " shapes"]]:
    """`flexicubes` with β, α and γ of each cube one after the other: only those of crossed cubes are ever touched."""
    shapes = len(sdf)
    crossed = _crossed_cubes(sdf < 0, cubes, resolution)
    beta, alpha, gamma = weights.flatten(0, 1).index_select(0, crossed.flat).split([12, 8, 1], dim=1)
    duals, l_dev = _dual_vertices(vertices, sdf, beta, alpha, crossed)
    quads = _quads(crossed, resolution)

    pull = WEIGHT_SCALE * gamma[:, 0].sigmoid() + (1 - WEIGHT_SCALE) / 2
    pull = pull.index_select(0, quads.place.flatten()).view(-1, 4)
    even, odd = pull[:, 0] * pull[:, 2], pull[:, 1] * pull[:, 3]
    a, b, c, d = quads.vertices.unbind(1)
    dual_offsets, quad_offsets = offsets(crossed.patch_shape, shapes), offsets(quads.shape, shapes)
    if not training:
        along_even = torch.stack([a, b, c, a, c, d], dim=1)
        along_odd = torch.stack([b, c, d, b, d, a], dim=1)
        faces = torch.where((even > odd)[:, None], along_even, along_odd).view(-1, 3)
        return MeshBatch(duals, faces, dual_offsets, 2 * quad_offsets), l_dev

    at = duals.index_select(0, quads.vertices.flatten()).view(-1, 4, 3)
    share = (even / (even + odd))[:, None]
    centres = 0.5 * torch.lerp(at[:, 1] + at[:, 3], at[:, 0] + at[:, 2], share)
    # In a batch, the centres of each shape follow its dual vertices.
    dual_number = torch.arange(len(duals), device=sdf.device) + quad_offsets[crossed.patch_shape]
    centre_number = torch.arange(len(centres), device=sdf.device) + dual_offsets[quads.shape + 1]
    order = torch.cat([dual_number, centre_number])
    order[order.clone()] = torch.arange(len(order), device=sdf.device)
    points = torch.cat([duals, centres]).index_select(0, order)
    a, b, c, d = dual_number[quads.vertices].unbind(1)
    m = centre_number
    faces = torch.stack([a, b, m, b, c, m, c, d, m, d, a, m], dim=1).view(-1, 3)
    return MeshBatch(points, faces, dual_offsets + quad_offsets, 4 * quad_offsets), l_dev


@dataclass(frozen=True)
class _Crossed:
    """The cubes that surfaces cross, ordered by shape, then by cube.

    Attributes:
        shape, cube: [K] numbers of the shape and of the cube on the grid.
        flat: [K] number of the cube among those of all shapes.
        corners: [K, 8] numbers of the cube's vertices among those of all shapes.
        place: [B·C] position in this list by `flat`; undefined for cubes that are not crossed.
        signs: [K] inside corners, bit c for corner c.
        patch: [K, 12] number of the patch that crosses each edge, among those of all shapes; -1 for none.
        patch_shape: [D] the shape that each patch belongs to.
    """

    shape: Int[Tensor, " k"]
    cube: Int[Tensor, " k"]
    flat: Int[Tensor, " k"]
    corners: Int[Tensor, "k 8"]
    place: Int[Tensor, " bc"]
    signs: Int[Tensor, " k"]
    patch: Int[Tensor, "k 12"]
    patch_shape: Int[Tensor, " d"]


def _crossed_cubes(inside: Bool[Tensor, "b v"], cubes: Int[Tensor, "c 8"], resolution: int) -> _Crossed:
    device = inside.device
    packed = pack(inside)
    signs_at = [look_up(packed, column) for column in cubes.unbind(1)]
    found = find(reduce(or_, signs_at) & ~reduce(and_, signs_at))
    flat = found.shape * len(cubes) + found.element
    # Only the crossed cubes' places are ever read, so the rest need no value.
    place = torch.empty(len(inside) * len(cubes), dtype=torch.int64, device=device)
    place[flat] = torch.arange(len(flat), device=device)
    corners = found.shape[:, None] * inside.shape[1] + cubes.index_select(0, found.element)
    signs = (inside.flatten()[corners] << torch.arange(8, device=device)).sum(1)

    # Where the patches of both cubes at a face would pinch, both take the other way to join that face's edges, which
    # is that of the opposite signs.
    pinches = constant_on(CUBE_PINCHES, device)
    face = pinches[signs]
    pinched = (face >= 0).nonzero()[:, 0]
    side = face[pinched] % 2
    stride = resolution ** (2 - face[pinched] // 2)
    has_neighbour = found.element[pinched] // stride % resolution != side * (resolution - 1)
    pinched, step = pinched[has_neighbour], ((2 * side - 1) * stride)[has_neighbour]
    pinched = pinched[pinches[signs[place[flat[pinched] + step]]] >= 0]
    code = signs.clone()
    code[pinched] ^= 255

    patch = constant_on(CUBE_PATCHES, device)[code]
    count = patch.amax(1) + 1
    ends = count.cumsum(0)
    patch = torch.where(patch >= 0, patch + (ends - count)[:, None], -1)
    patch_shape = found.shape.repeat_interleave(count)
    return _Crossed(found.shape, found.element, flat, corners, place, signs, patch, patch_shape)


def _dual_vertices(
    vertices: Float[Tensor, "v 3"] | Float[Tensor, "b v 3"],
    sdf: Float[Tensor, "b v"],
    beta: Float[Tensor, "k 12"],
    alpha: Float[Tensor, "k 8"],
    crossed: _Crossed,
) -> tuple[Float[Tensor, "d 3"], Float[Tensor, " b"]]:
    """The vertex of each patch and L_dev of each shape."""
    shapes, count = sdf.shape
    place, edge = (crossed.patch >= 0).nonzero(as_tuple=True)
    patch, shape = crossed.patch[place, edge], crossed.shape[place]
    corner = constant_on(_CORNERS, sdf.device)[edge]
    at = crossed.corners.flatten().index_select(0, (place[:, None] * 8 + corner).flatten())
    ends = vertices.reshape(-1, 3).index_select(0, at % count if vertices.ndim == 2 else at).view(-1, 2, 3)
    values = sdf.reshape(-1).index_select(0, at).view(-1, 2)
    pull = alpha.reshape(-1).index_select(0, (place[:, None] * 8 + corner).flatten()).tanh().view(-1, 2)
    crossings = _zeros(ends, values * (1 + WEIGHT_SCALE * pull))
    weights = 1 + WEIGHT_SCALE * beta.reshape(-1).index_select(0, place * 12 + edge).tanh()

    patches = len(crossed.patch_shape)
    summed = crossings.new_zeros(patches, 3).index_add(0, patch, weights[:, None] * crossings)
    duals = summed / weights.new_zeros(patches).index_add(0, patch, weights)[:, None]

    distance = torch.linalg.vector_norm(duals.index_select(0, patch) - _zeros(ends, values), dim=1)
    mean = distance.new_zeros(patches).index_add(0, patch, distance) / patch.bincount(minlength=patches)
    deviation = (distance - mean.index_select(0, patch)).abs()
    l_dev = deviation.new_zeros(shapes).index_add(0, shape, deviation)
    return duals, l_dev / offsets(shape, shapes).diff().clamp(min=1)


def _zeros(ends: Float[Tensor, "n 2 3"], values: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Where a value, linear between two ends, is zero."""
    (start, stop), (low, high) = ends.unbind(1), values.unbind(1)
    return torch.lerp(start, stop, (low / (low - high))[:, None])


@dataclass(frozen=True)
class _Quads:
    """The faces of the dual mesh, one around each crossed edge inside the grid, ordered by shape.

    Attributes:
        shape: [Q] the shape it belongs to.
        vertices: [Q, 4] its corners, counter-clockwise seen from outside.
        place: [Q, 4] the crossed cubes that these lie in.
    """

    shape: Int[Tensor, " q"]
    vertices: Int[Tensor, "q 4"]
    place: Int[Tensor, "q 4"]


def _quads(crossed: _Crossed, resolution: int) -> _Quads:
    device = crossed.cube.device
    rings, strides = constant_on(_RINGS, device), resolution ** torch.arange(2, -1, -1, device=device)
    edges, steps = rings[:, :, 3], rings[:, :, :3]
    position = crossed.cube[:, None] // strides % resolution
    fits = (position[:, None] + steps.amax(1) < resolution).all(2)
    first, axis = ((crossed.patch[:, edges[:, 0]] >= 0) & fits).nonzero(as_tuple=True)
    place = crossed.place[crossed.flat[first, None] + (steps * strides).sum(2)[axis]]
    vertices = crossed.patch[place, edges[axis]]
    low_inside = crossed.signs[first] >> constant_on(_CORNERS, device)[edges[axis, 0], 0] & 1
    outward = low_inside.bool()[:, None]
    # Backwards round the ring where the low end is outside.
    return _Quads(
        crossed.shape[first],
        torch.where(outward, vertices, vertices.flip(1)),
        torch.where(outward, place, place.flip(1)),
    )
