"""Random points on the surfaces of meshes, uniform by area."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.meshes import MeshBatch

__all__ = ["SurfacePoints", "sample_surface"]


@dataclass(frozen=True)
class SurfacePoints:
    """n points on each of b meshes.

    Attributes:
        positions: [b, n, 3].
        faces: [b, n], index of the packed face of each point.
    """

    positions: Float[Tensor, "b n 3"]
    faces: Int[Tensor, "b n"]


def sample_surface(meshes: MeshBatch, count: int, generator: torch.Generator) -> SurfacePoints:
    """Samples points uniformly on the surface of each mesh.

    Args:
        meshes: shapes with faces of positive area.
        count: number of points for each mesh.
        generator: random generator.

    Raises:
        ValueError: a mesh has no area.
    """
    device = meshes.vertices.device
    uniform = torch.rand(3, len(meshes), count, generator=generator, dtype=torch.float64, device=generator.device)
    uniform = uniform.to(device)
    area = meshes.face_crosses().double().norm(dim=1)
    below = torch.cat([area.new_zeros(1), area.cumsum(0)])
    start, end = below[meshes.face_offsets[:-1]], below[meshes.face_offsets[1:]]
    flat = torch.nonzero(~(end > start)).flatten()
    if len(flat):
        raise ValueError(f"mesh {int(flat[0])} has no area, as have {len(flat) - 1} more; no point can be drawn on it")
    # A face is as likely as it is large.
    target = torch.lerp(start[:, None], end[:, None], uniform[0])
    face = torch.searchsorted(below, target, right=True) - 1
    face = face.clamp(meshes.face_offsets[:-1, None], meshes.face_offsets[1:, None] - 1)
    root = uniform[1].sqrt()
    barycentric = torch.stack([1 - root, root * (1 - uniform[2]), root * uniform[2]], dim=2)
    corners = meshes.vertices[meshes.faces[face]]
    return SurfacePoints((corners * barycentric.to(corners)[..., None]).sum(dim=2), face)
