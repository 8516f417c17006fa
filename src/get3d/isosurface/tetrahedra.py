"""Marching tetrahedra on a body-centred cubic lattice, for a complete batch at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from get3d.isosurface.grid import Grid
from get3d.isosurface.signs import find, look_up, offsets, pack
from get3d.isosurface.tables import TETRAHEDRON_EDGES, TETRAHEDRON_TRIANGLES, unique_edges
from get3d.meshes import MeshBatch
from get3d.tensors import constant_on

__all__ = [
    "TetrahedraTopology",
    "TetrahedralGrid",
    "marching_tetrahedra",
    "sdf_sign_loss",
    "solid_where_empty",
]


@dataclass(frozen=True)
class TetrahedraTopology:
    """Topology of tetrahedra for marching tetrahedra, independent of the field.

    Attributes:
        edges: [E, 2] vertices of each edge, the smaller index first.
        tetrahedron_edges: [T, 6] edges of each tetrahedron, between its corners 01, 02, 03, 12, 13, 23.
    """

    edges: Int[Tensor, "e 2"]
    tetrahedron_edges: Int[Tensor, "t 6"]

    @classmethod
    def of(cls, tetrahedra: Int[Tensor, "t 4"]) -> "TetrahedraTopology":
        """Finds the edges. This sorts, so do it once for a grid."""
        return cls(*unique_edges(tetrahedra, TETRAHEDRON_EDGES))


class TetrahedralGrid(Grid):
    """A cube around the origin, filled with the tetrahedra of a body-centred cubic lattice.

    The cube has ceil(resolution / 2) cubic cells on a side. Vertices are the corners of the cells and, after them,
    their centres; corner or centre (i, j, k) along x, y, z has the number (i·n + j)·n + k among its own, with n corners
    or centres on a side. Two neighbouring centres and two neighbouring corners of the square between them make a
    tetrahedron; the pyramids left at the hull are cut in two.

    Attributes:
        resolution: vertices' coordinates are all even or all odd on a lattice of about this many steps on a side.
        tetrahedra: [T, 4] vertices of each tetrahedron; the last lies where the first three run counter-clockwise
            seen from the other side, so that all have a positive volume.
        tetrahedron_edges: [T, 6] edges of each tetrahedron.
        corner_axis: [n] coordinates of the corners along an axis, the same for x, y and z.
        centre_axis: [m] those of the centres.
    """

    tetrahedra: Int[Tensor, "t 4"]
    tetrahedron_edges: Int[Tensor, "t 6"]
    corner_axis: Float[Tensor, " n"]
    centre_axis: Float[Tensor, " m"]

    def __init__(self, resolution: int, size: float = 1.0) -> None:
        """Builds the lattice.

        Raises:
            ValueError: resolution is below 1 or size is not positive.
        """
        super().__init__(resolution, size)
        cells = -(-resolution // 2)
        corner_axis = torch.linspace(-0.5 * size, 0.5 * size, cells + 1)
        centre_axis = 0.5 * (corner_axis[1:] + corner_axis[:-1])
        tetrahedra = _lattice_tetrahedra(cells)
        edges, tetrahedron_edges = unique_edges(tetrahedra, TETRAHEDRON_EDGES)
        vertices = torch.cat([torch.cartesian_prod(axis, axis, axis) for axis in (corner_axis, centre_axis)])
        rim = torch.arange(cells + 1) % cells == 0
        hull = rim[:, None, None] | rim[:, None] | rim
        self._set(
            vertices=vertices,
            tetrahedra=tetrahedra,
            edges=edges,
            tetrahedron_edges=tetrahedron_edges,
            boundary=torch.cat([hull.flatten(), torch.zeros(cells**3, dtype=torch.bool)]),
            corner_axis=corner_axis,
            centre_axis=centre_axis,
        )
        side = cells if cells % 2 else cells + 1
        self.centre = (0 if cells % 2 == 0 else (cells + 1) ** 3) + (side**3 - 1) // 2

    @property
    def lattices(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
        """The coordinates of the corners and of the centres along an axis, the same for x, y and z."""
        return self.corner_axis, self.centre_axis

    @property
    def topology(self) -> TetrahedraTopology:
        """The edges, as `marching_tetrahedra` takes them."""
        return TetrahedraTopology(self.edges, self.tetrahedron_edges)


def _lattice_tetrahedra(cells: int) -> Int[Tensor, "t 4"]:
    n = cells + 1
    corner = torch.arange(n**3).view(n, n, n)
    centre = n**3 + torch.arange(cells**3).view(cells, cells, cells)
    tetrahedra = []
    for axis in range(3):
        # With the other two axes in cyclic order, the corners of a square run counter-clockwise about this axis.
        order = [axis, (axis + 1) % 3, (axis + 2) % 3]
        c, m = corner.permute(order), centre.permute(order)
        square = torch.stack([c[:, :-1, :-1], c[:, 1:, :-1], c[:, 1:, 1:], c[:, :-1, 1:]])
        for k in range(4):
            tetrahedra.append(torch.stack([m[:-1], m[1:], square[k, 1:-1], square[(k + 1) % 4, 1:-1]], dim=-1))
        for k in (1, 2):
            tetrahedra.append(torch.stack([square[0, 0], square[k, 0], square[k + 1, 0], m[0]], dim=-1))
            tetrahedra.append(torch.stack([square[0, -1], square[k + 1, -1], square[k, -1], m[-1]], dim=-1))
    # Stored column by column, since passes over the grid read whole columns.
    return torch.cat([t.reshape(-1, 4) for t in tetrahedra]).t().contiguous().t()


def marching_tetrahedra(
    vertices: Float[Tensor, "v 3"] | Float[Tensor, "b v 3"],
    sdf: Float[Tensor, "b v"],
    tetrahedra: Int[Tensor, "t 4"],
    topology: TetrahedraTopology | None = None,
) -> MeshBatch:
    """Extracts the zero level of a batch of fields that are linear in every tetrahedron.

    The topology of the grid is fixed, so nothing is sorted: signs are compared edge by edge, crossings numbered in the
    order of (shape, edge), and faces looked up by the signs of a tetrahedron's corners. A shape's mesh does not depend
    on the batch it is in. Method: Doi and Koide, "An Efficient Method of Triangulating Equi-Valued Surfaces by Using
    Tetrahedral Cells" (1991); its use for learning: Shen et al., "Deep Marching Tetrahedra" (2021).

    Args:
        vertices: [V, 3] grid for all shapes, or [B, V, 3] deformed for each.
        sdf: [B, V] signed distances, positive inside. Exactly 0 counts as outside.
        tetrahedra: [T, 4] vertices of each tetrahedron, with positive volumes before any deformation.
        topology: `TetrahedraTopology.of(tetrahedra)`, computed if it is not given.

    Returns:
        Meshes with outward faces, closed if the field does not cross the border of the grid. Gradients flow
        to `vertices` and `sdf`. A field of one sign gives a mesh without vertices.

    Raises:
        ValueError: the numbers of shapes or vertices do not agree.
    """
    shapes, count = sdf.shape
    if vertices.shape[-2] != count or (vertices.ndim == 3 and vertices.shape[0] != shapes):
        raise ValueError(f"vertices {tuple(vertices.shape)} do not fit the field {tuple(sdf.shape)}")
    if topology is None:
        topology = TetrahedraTopology.of(tetrahedra)
    ends, edges_of = topology.edges, topology.tetrahedron_edges
    inside = sdf > 0
    packed = pack(inside)
    crosses = look_up(packed, ends[:, 0]) ^ look_up(packed, ends[:, 1])
    crossing = find(crosses)
    # A tetrahedron has both signs when one of the three edges at its first corner is crossed.
    first, second, third = (look_up(crosses, edges_of[:, i]) for i in range(3))
    mixed = find(first | second | third)

    # From here on column by column: on a CPU, looking up three or four numbers at a time is several times slower.
    low, high = (end.index_select(0, crossing.element) for end in ends.unbind(1))
    points = _cross_points(vertices, sdf, crossing.shape, low, high)
    # Only the crossed edges' numbers are ever read, so the rest need no value.
    number = torch.empty(shapes * len(ends), dtype=torch.int64, device=sdf.device)
    number[crossing.shape * len(ends) + crossing.element] = torch.arange(len(points), device=sdf.device)

    signs, first_vertex = inside.flatten().byte(), mixed.shape * count
    code = torch.zeros_like(mixed.element, dtype=torch.uint8)
    for i, corner in enumerate(tetrahedra.unbind(1)):
        code |= signs.index_select(0, first_vertex + corner.index_select(0, mixed.element)) << i
    triangles = constant_on(TETRAHEDRON_TRIANGLES, sdf.device)
    place = torch.repeat_interleave((triangles[:, :, 0] >= 0).sum(1).index_select(0, code.int()))
    second = place.diff(prepend=place.new_full((1,), -1)) == 0
    kind = 2 * code.index_select(0, place).int() + second
    shape, element = mixed.shape.index_select(0, place), mixed.element.index_select(0, place)
    edges_by_column, first_edge = edges_of.t().flatten(), shape * len(ends)
    corners = [
        number.index_select(
            0, first_edge + edges_by_column.index_select(0, edge.index_select(0, kind) * len(edges_of) + element)
        )
        for edge in triangles.flatten(0, 1).unbind(1)
    ]
    faces = torch.stack(corners, dim=1)
    return MeshBatch(points, faces, offsets(crossing.shape, shapes), offsets(shape, shapes))


def _cross_points(
    vertices: Float[Tensor, "v 3"] | Float[Tensor, "b v 3"],
    sdf: Float[Tensor, "b v"],
    shape: Int[Tensor, " k"],
    low: Int[Tensor, " k"],
    high: Int[Tensor, " k"],
) -> Float[Tensor, "k 3"]:
    """Where the field, linear along each edge, is zero."""
    count = sdf.shape[1]
    ends = torch.cat([low, high])
    at = ends + (shape * count).repeat(2)
    values = sdf.reshape(-1).index_select(0, at)
    positions = vertices.reshape(-1, 3).index_select(0, ends if vertices.ndim == 2 else at)
    start, end = positions.chunk(2)
    value_start, value_end = values.chunk(2)
    return torch.lerp(start, end, (value_start / (value_start - value_end))[:, None])


def sdf_sign_loss(sdf: Float[Tensor, "b v"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, " b"]:
    """Penalises sign changes of a field: a regulariser that removes stray surfaces.

    The mean, over the edges between vertices of different sign, of the binary cross-entropy between the sigmoid of each
    end's value and the sign of the other end, summed over the two ends (Munkberg et al., "Extracting Triangular 3D
    Models, Materials, and Lighting From Images" (2022)). Zero counts as a third sign.

    Args:
        sdf: [B, V] signed distances, positive inside.
        edges: [E, 2] vertices of the edges of the grid.

    Returns:
        [B] the loss of each shape, 0 if no sign changes.
    """
    shapes, count = sdf.shape
    low, high = edges.unbind(1)
    positive, negative = pack(sdf > 0), pack(sdf < 0)
    differs = (look_up(positive, low) ^ look_up(positive, high)) | (look_up(negative, low) ^ look_up(negative, high))
    found = find(differs)
    at = torch.stack([found.shape * count + end.index_select(0, found.element) for end in (low, high)])
    values = sdf.reshape(-1).index_select(0, at.flatten()).view(2, -1)
    target = (values.detach().flip(0) > 0).to(sdf.dtype)
    losses = nn.functional.binary_cross_entropy_with_logits(values, target, reduction="none").sum(0)
    summed = sdf.new_zeros(shapes).index_add(0, found.shape, losses)
    return summed / offsets(found.shape, shapes).diff().clamp(min=1)


def solid_where_empty(
    sdf: Float[Tensor, "b v"], centre: int, boundary: Bool[Tensor, " v"]
) -> tuple[Float[Tensor, "b v"], Bool[Tensor, " b"]]:
    """Gives shapes without a surface a placeholder, so that they can be rendered and extracted like the others.

    If the field of a shape has one sign everywhere, its value becomes 1 at the centre of the grid and -1 at the border.
    No gradient flows from such a shape to its field.

    Args:
        sdf: [B, V] signed distances, positive inside.
        centre: index of the vertex at the origin.
        boundary: [V] whether a vertex lies on the hull.

    Returns:
        The fields [B, V], and [B] which shapes had no surface.
    """
    inside = sdf > 0
    empty = inside.all(1) | ~inside.any(1)
    solid = sdf.detach().masked_fill(boundary, -1.0)
    solid[:, centre] = 1.0
    return torch.where(empty[:, None], solid, sdf), empty
