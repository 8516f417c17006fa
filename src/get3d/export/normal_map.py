"""Normal maps: what a simplified mesh has lost of the surface, as a texture that light is bent by."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize

from get3d.export.bake import Spots
from get3d.export.tangents import vertex_tangents
from get3d.export.unwrap import UnwrappedMesh
from get3d.materials import NORMAL
from get3d.meshes import Mesh, MeshBatch

__all__ = ["normal_map"]

_CANDIDATES = 12
"""Faces of the full mesh that are compared for each texel: those with the nearest centres."""
_STEEPEST = 0.1
"""Cosine of the largest lean of a normal."""


def normal_map(
    full: Mesh, unwrapped: UnwrappedMesh, normals: Float[Tensor, "v 3"]
) -> Callable[[Spots], dict[str, Tensor]]:
    """What `bake` asks for the normals of a finer mesh, in the tangent space of the unwrapped one.

    x goes along u, y along v and z along the smooth normal (glTF 2.0, section 3.9.3). A texel takes the smooth normal
    of the nearest place on the finer mesh whose side faces the same way.

    Args:
        full: the finer mesh.
        unwrapped: the simplified one, with texture coordinates.
        normals: [v, 3] smooth unit normals of its vertices.
    """
    batch = MeshBatch.from_meshes([full])
    fine, sides = batch.vertex_normals(), normalize(batch.face_crosses(), dim=1)
    tree = cKDTree(full.vertices[full.faces].mean(1).cpu().numpy())
    count = min(_CANDIDATES, len(full.faces))
    tangents = vertex_tangents(unwrapped.vertices, unwrapped.faces, normals, unwrapped.uv)

    def further(spots: Spots) -> dict[str, Tensor]:
        smooth = normalize(spots.interpolate(normals, unwrapped.faces), dim=1)
        _, found = tree.query(spots.points.cpu().numpy(), k=count)
        candidates = torch.from_numpy(found).to(spots.face).view(-1, count)
        weights = _nearest_weights(full, candidates, spots.points)
        corners = full.faces[candidates]
        away = ((full.vertices[corners] * weights[..., None]).sum(2) - spots.points[:, None]).norm(dim=2)
        opposite = (sides[candidates] * smooth[:, None]).sum(2) <= 0
        best = (away + opposite * 1e3).argmin(1)[:, None]
        chosen = corners.gather(1, best[..., None].expand(-1, -1, 3))[:, 0]
        weight = weights.gather(1, best[..., None].expand(-1, -1, 3))[:, 0]
        wanted = normalize((fine[chosen] * weight[..., None]).sum(1), dim=1)
        along = spots.interpolate(tangents[:, :3], unwrapped.faces)
        along = normalize(along - (along * smooth).sum(1, keepdim=True) * smooth, dim=1)
        # A chart is mirrored as a whole, or not at all.
        across = torch.linalg.cross(smooth, along) * tangents[unwrapped.faces[spots.face, 0], 3:]
        local = torch.stack([(wanted * axis).sum(1) for axis in (along, across, smooth)], dim=1)
        local = torch.cat([local[:, :2], local[:, 2:].clamp(min=_STEEPEST)], dim=1)
        return {NORMAL: normalize(local, dim=1)}

    return further


def _nearest_weights(mesh: Mesh, faces: Int[Tensor, "p k"], points: Float[Tensor, "p 3"]) -> Float[Tensor, "p k 3"]:
    """Weights of the corners of faces at about the place of each that is nearest to a point.

    The foot of the perpendicular is exact; beyond an edge, weights below zero are cut.
    """
    a, b, c = mesh.vertices[mesh.faces[faces]].unbind(2)
    u, v, w = b - a, c - a, points[:, None] - a
    uu, uv, vv, wu, wv = ((x * y).sum(2) for x, y in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    area = (uu * vv - uv * uv).clamp(min=1e-20)
    second, third = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    weights = torch.stack([1 - second - third, second, third], dim=2).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)
