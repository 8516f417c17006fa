"""Points on the surfaces of shapes, uniform by area."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from get3d.meshes import MeshBatch
from get3d.render import visible_faces
from get3d.sampling import SurfacePoints, sample_surface

__all__ = ["SurfacePoints", "in_unit_cube", "sample_outer_surface", "sample_surface"]

OUTER_VIEWS = 64
OUTER_RESOLUTION = 1024
FACING = 0.1
"""Least cosine between a face's normal and a view that says where the face is: pixels of edge-on faces are long."""
OUTER_TRIES = 8
"""Points drawn for each one wanted; interiors of cars take up to three quarters of the area."""


def in_unit_cube(meshes: MeshBatch, first: int = 0, *, centred: bool = True) -> MeshBatch:
    """Moves and scales each mesh: centred bounding box, longest side 1. Unused vertices do not count.

    Args:
        meshes: the shapes.
        first: index of the first mesh, for error messages.
        centred: False only scales.

    Raises:
        ValueError: a mesh has no face, no extent, or a vertex that is not finite.
    """
    corner = meshes.vertices[meshes.faces].flatten(0, 1)
    shape = meshes.face_mesh.repeat_interleave(3)[:, None].expand(-1, 3)
    empty = corner.new_zeros(len(meshes), 3)
    low = empty.scatter_reduce(0, shape, corner, "amin", include_self=False)
    high = empty.scatter_reduce(0, shape, corner, "amax", include_self=False)
    longest = (high - low).amax(dim=1)
    unusable = torch.nonzero(~((longest > 0) & torch.isfinite(longest))).flatten()
    if len(unusable):
        raise ValueError(
            f"mesh {first + int(unusable[0])} has no face or an extent that is not positive and finite, as have "
            f"{len(unusable) - 1} more"
        )
    of_vertex = meshes.vertex_shape
    middle = (low + high) / 2 if centred else torch.zeros_like(low)
    vertices = (meshes.vertices - middle[of_vertex]) / longest[of_vertex][:, None]
    return MeshBatch(vertices, meshes.faces, meshes.vertex_offsets, meshes.face_offsets)


def sample_outer_surface(meshes: MeshBatch, count: int, generator: torch.Generator) -> SurfacePoints:
    """Samples points uniformly on the part of each mesh that is visible from outside, such as a car without its seats.

    A point counts as visible if it is nearest to the camera, to within 1/1024, in one of 64 parallel views from all
    sides. Points are drawn until there are enough; if little of a shape is visible, points repeat.

    Args:
        meshes: shapes with faces of positive area, about as large as the unit cube around the origin.
        count: number of points for each mesh.
        generator: random generator.

    Raises:
        ValueError: a mesh has no area.
    """
    drawn = sample_surface(meshes, OUTER_TRIES * count, generator)
    seen = _seen(meshes, drawn.positions.flatten(0, 1), drawn.faces.flatten()).view(drawn.faces.shape)
    found = seen.sum(dim=1).clamp_min(1)
    # Seen points come first, in the order they were drawn; where they are too few they start again.
    order = torch.argsort((~seen).to(torch.uint8), dim=1, stable=True)
    turn = torch.arange(count, device=seen.device)[None] % found[:, None]
    chosen = order.gather(1, turn)
    positions = drawn.positions.gather(1, chosen[:, :, None].expand(-1, -1, 3))
    return SurfacePoints(positions, drawn.faces.gather(1, chosen))


def _seen(meshes: MeshBatch, points: Float[Tensor, "p 3"], face: Int[Tensor, " p"]) -> Bool[Tensor, " p"]:
    """Which points, each on its face, are seen from outside."""
    seen = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    half = OUTER_RESOLUTION / 2
    # The unit cube's diagonal fits whichever way it is turned.
    scale = half / math.sqrt(0.75)
    tolerance = 1 / OUTER_RESOLUTION
    shape = meshes.face_mesh[face]
    normals = normalize(meshes.face_crosses(), dim=1)
    for axes in _directions().to(points):
        # x and y in pixels, then nearness: positive, larger is nearer.
        screen = meshes.vertices @ axes.T
        screen = torch.stack(
            [half + scale * screen[:, 0], half - scale * screen[:, 1], 2 + screen[:, 2]], dim=1
        ).float()
        # Most of the image is empty, so only what the shapes cover is drawn. Unused vertices may lie anywhere.
        covered = screen[:, :2].nan_to_num().clamp(0, OUTER_RESOLUTION)
        left, top = covered.amin(0).floor().int().tolist()
        right, bottom = covered.amax(0).ceil().int().tolist()
        columns, rows = max(right - left, 1), max(bottom - top, 1)
        screen[:, :2] -= screen.new_tensor([left, top])
        first = visible_faces(screen, meshes.faces, meshes.face_offsets, rows, columns)
        hidden = torch.nonzero(~seen)[:, 0]
        place = points[hidden] @ axes.T
        column, row = half + scale * place[:, 0] - left, half - scale * place[:, 1] - top
        hit = first[shape[hidden], row.long().clamp(0, rows - 1), column.long().clamp(0, columns - 1)].long()
        nearness = _nearness(screen[meshes.faces[hit.clamp_min(0)]], column, row)
        facing = (normals[hit.clamp_min(0)] @ axes[2]).abs() > FACING
        nearest = (hit == face[hidden]) | (2 + place[:, 2] > nearness - tolerance)
        seen[hidden] = (hit < 0) | (facing & nearest)
    return seen


def _nearness(triangle: Float[Tensor, "p 3 3"], x: Tensor, y: Tensor) -> Float[Tensor, " p"]:
    """How near the planes of triangles on the screen are at (x, y); no nearer than their nearest corner."""
    a, ab, ac = triangle[:, 0], triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    normal = torch.linalg.cross(ab, ac)
    steep = normal[:, 2].abs() < 1e-12
    offset = normal[:, 0] * (x - a[:, 0]) + normal[:, 1] * (y - a[:, 1])
    nearness = a[:, 2] - torch.where(steep, 0, offset / torch.where(steep, 1, normal[:, 2]))
    depths = triangle[:, :, 2]
    return torch.minimum(torch.maximum(nearness, depths.amin(dim=1)), depths.amax(dim=1))


def _directions() -> Float[Tensor, "views 3 3"]:
    """Axes to the right, up and towards the eye, for directions spread evenly over the sphere along a spiral."""
    number = torch.arange(OUTER_VIEWS, dtype=torch.float64) + 0.5
    height = 1 - 2 * number / OUTER_VIEWS
    angle = math.pi * (1 + math.sqrt(5)) * number
    ring = torch.sqrt(1 - height * height)
    towards = torch.stack([ring * torch.cos(angle), height, ring * torch.sin(angle)], dim=1)
    right = torch.linalg.cross(towards.new_tensor([[0.0, 1, 0]]).expand_as(towards), towards)
    right = normalize(right, dim=1)
    return torch.stack([right, torch.linalg.cross(towards, right), towards], dim=1)
