"""Mesh quality: closed, connected, without self-intersections, slivers or thin sheets."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.export import TexturedMesh, main_share, mesh_report, weld
from get3d.meshes import Mesh, MeshBatch
from get3d.metrics.kernel_ops import examine_solid
from get3d.metrics.sampling import in_unit_cube, sample_surface
from get3d.render import visible_faces
from get3d.topology import joined

__all__ = ["MAIN", "THIN", "VERSION", "MeshQuality", "TextureQuality", "mesh_quality", "texture_quality"]

VERSION = 4
"""Version of the examination: numbers of another version are measured again."""

THIN = 0.01
"""A sheet is thin below this share of the shape's longest side."""

MAIN = 0.9
"""An object counts as a single body if its largest part has at least this share of the area."""

BLACK = 2
"""Largest value of a channel that counts as black."""

_SAMPLES = 4096
_START = 1e-5
_DIAGONAL = 2.0


@dataclass(frozen=True)
class MeshQuality:
    """Quality of a mesh as a solid, with vertices at equal positions merged.

    Attributes:
        faces: number of faces.
        watertight: closed, two faces at every edge, facing outward.
        manifold: no edge has more than two faces.
        components: number of parts that share no edge.
        largest_component_area: share of the area in the largest part; faces that share a vertex belong together.
        genus: total number of handles; None if the mesh is not closed and manifold.
        intersecting: share of the faces that intersect a face with which they share no vertex.
        thin: share of the area behind which the shape is thinner than 1 % of its longest side.
        roughness: total change of direction of the surface along a path of 1 % of the longest side, in degrees.
        smallest_angle: [F] smallest angle of each face in degrees; 60 is best.
        aspect: [F] longest side divided by smallest height of each face, scaled so that 1 is best.
    """

    faces: int
    watertight: bool
    manifold: bool
    components: int
    largest_component_area: float
    genus: int | None
    intersecting: float
    thin: float
    roughness: float
    smallest_angle: Float[Tensor, " f"]
    aspect: Float[Tensor, " f"]


def mesh_quality(mesh: Mesh) -> MeshQuality:
    """Examines a mesh.

    Raises:
        ValueError: the mesh has no face, no area, or a vertex that is not finite.
    """
    welded, _ = weld(mesh)
    unit = in_unit_cube(MeshBatch.from_meshes([welded]))
    report = mesh_report(welded)
    closed = report.closed and report.manifold
    angle, aspect = _face_shapes(unit.vertices[unit.faces])
    solid = _solid(unit)
    return MeshQuality(
        faces=len(unit.faces),
        watertight=report.watertight,
        manifold=report.manifold,
        components=report.components,
        largest_component_area=float(main_share(unit)),
        genus=_genus(unit.faces, report.components) if closed else None,
        intersecting=float(solid.intersecting.float().mean()),
        thin=float((solid.thickness < THIN).float().mean()),
        roughness=_roughness(unit),
        smallest_angle=angle,
        aspect=aspect,
    )


def _genus(faces: Int[Tensor, "f 3"], components: int) -> int:
    """From Euler's formula V − E + F = 2 (components − genus); in a closed mesh three faces share two edges.

    Where parts touch at a vertex each has one of its own: a vertex is a ring of corners, joined across edges.
    """
    corners = np.arange(faces.numel()).reshape(-1, 3)
    start, end = faces.cpu().numpy(), faces.roll(-1, 1).cpu().numpy()
    # The corners at both ends of each half-edge, the end of lower number first: equal for the two faces of an edge.
    swap = start > end
    ends = np.where(swap[..., None], np.stack([end, start], -1), np.stack([start, end], -1)).reshape(-1, 2)
    own = np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1)
    own = np.where(swap[..., None], own[..., ::-1], own).reshape(-1, 2)
    own = own[np.lexsort(ends.T)].reshape(-1, 2, 2)
    vertices = joined(corners.size, own[:, 0].ravel(), own[:, 1].ravel()).count
    return int(components - (vertices - len(faces) // 2) // 2)


def _face_shapes(corners: Float[Tensor, "f 3 3"]) -> tuple[Float[Tensor, " f"], Float[Tensor, " f"]]:
    """The smallest angle of each triangle in degrees, and its aspect."""
    sides = corners.roll(-1, dims=1) - corners
    length = sides.norm(dim=2)
    twice_area = torch.linalg.cross(sides[:, 0], sides[:, 1]).norm(dim=1)
    # At each corner two sides meet: tan = |cross| / dot.
    dot = -(sides * sides.roll(1, dims=1)).sum(dim=2)
    angle = torch.rad2deg(torch.atan2(twice_area[:, None].expand_as(dot), dot)).amin(dim=1)
    longest = length.amax(dim=1)
    return angle, 0.75**0.5 * longest.square() / twice_area.clamp_min(torch.finfo(corners.dtype).tiny)


def _roughness(unit: MeshBatch) -> float:
    """The mean sum of angles between neighbouring faces along a path of 1 % of the longest side, in degrees.

    A straight path of length t crosses 2/π · t · (length of edges) / area edges on average (Buffon), so this is
    2/π · t · Σ angle · length / area. Faces that are cut finer do not change it, unlike the plain mean of the angles:
    the objects of people have few, large faces, and those of a grid many small ones.
    """
    ends = torch.stack([unit.faces, unit.faces.roll(-1, 1)], dim=-1).flatten(0, 1)
    forward = ends[:, 0] < ends[:, 1]
    edges, edge, count = ends.sort(dim=1).values.unique(dim=0, return_inverse=True, return_counts=True)
    order = edge.argsort(stable=True)
    pairs = order[(count == 2)[edge[order]]].view(-1, 2)
    normals = unit.face_crosses().double()
    first, second = (normals[pairs[:, side] // 3] for side in (0, 1))
    # Where two faces run along their edge in the same direction, one of them is turned over.
    second = torch.where((forward[pairs[:, 0]] == forward[pairs[:, 1]])[:, None], -second, second)
    angle = torch.rad2deg(torch.atan2(torch.linalg.cross(first, second).norm(dim=1), (first * second).sum(dim=1)))
    start, end = unit.vertices.double()[edges[edge[pairs[:, 0]]]].unbind(1)
    turned = (angle * (end - start).norm(dim=1)).sum()
    return float(0.01 * 2 / math.pi * turned / (0.5 * normals.norm(dim=1).sum()))


@dataclass(frozen=True)
class _Solid:
    """What a mesh tells about the space it encloses.

    Attributes:
        intersecting: which faces cut a face that is no neighbour.
        thickness: how far the other side is at points spread evenly over the area; at most the diagonal.
    """

    intersecting: Bool[Tensor, " f"]
    thickness: Float[Tensor, " n"]


def _solid(batch: MeshBatch) -> _Solid:
    drawn = sample_surface(batch, _SAMPLES, torch.Generator().manual_seed(0))
    inward = -torch.nn.functional.normalize(batch.face_crosses().double(), dim=1)[drawn.faces[0]].float()
    marked, thickness = examine_solid(
        batch.vertices.float().contiguous(),
        batch.faces.to(torch.int32).flatten().contiguous(),
        drawn.positions[0].float().contiguous(),
        inward.contiguous(),
        _START,
        _DIAGONAL,
    )
    return _Solid(marked.bool(), thickness)


@dataclass(frozen=True)
class TextureQuality:
    """Quality of a texture.

    Attributes:
        used: share of the texels that are used by faces.
        black: share of the used texels that are black.
        seam: share of the used texels at the border of a chart.
    """

    used: float
    black: float
    seam: float


def texture_quality(textured: TexturedMesh) -> TextureQuality:
    """Examines the texels with their centres in a face."""
    height, width = textured.texture.shape[:2]
    screen = torch.stack(
        [textured.uv[:, 0] * width, (1 - textured.uv[:, 1]) * height, torch.ones_like(textured.uv[:, 0])], dim=1
    ).float()
    faces = textured.faces.long()
    used = visible_faces(screen, faces, torch.tensor([0, len(faces)]), height, width)[0] >= 0
    count = max(1, int(used.sum()))
    padded = torch.nn.functional.pad(used, (1, 1, 1, 1))
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    black = (textured.texture <= BLACK).all(dim=2)
    return TextureQuality(
        used=float(used.float().mean()),
        black=float((used & black).sum()) / count,
        seam=float((used & ~inner).sum()) / count,
    )
