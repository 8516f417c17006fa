"""Components of objects: the share of the largest one, and removal of small ones."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from get3d.meshes import MeshBatch
from get3d.topology import vertex_components

__all__ = ["main_share", "without_small_components"]


@dataclass(frozen=True)
class _Parts:
    """What hangs together by vertices.

    Attributes:
        part: of each vertex.
        shape: the mesh that each part is of.
        area: of each part.
        total: area of each mesh.
        largest: area of the largest part of each mesh.
    """

    part: Int[Tensor, " v"]
    shape: Int[Tensor, " p"]
    area: Float[Tensor, " p"]
    total: Float[Tensor, " n"]
    largest: Float[Tensor, " n"]


def main_share(meshes: MeshBatch) -> Float[Tensor, " n"]:
    """Share of the area of each mesh in its largest component; faces that share a vertex belong together.

    NaN for a mesh without area.
    """
    parts = _parts(meshes)
    return parts.largest / parts.total


def without_small_components(meshes: MeshBatch, share: float) -> MeshBatch:
    """Removes components with less than a share of the area of their mesh. The largest component always stays.

    Args:
        meshes: the meshes; faces that share a vertex belong to one component.
        share: share of the area of the complete mesh, from 0 (keeps everything) to 1.
    """
    if share <= 0:
        return meshes
    parts = _parts(meshes)
    kept = (parts.area >= share * parts.total[parts.shape]) | (parts.area == parts.largest[parts.shape])

    vertices, faces = kept[parts.part], kept[parts.part[meshes.faces[:, 0]]]
    number = vertices.cumsum(0) - 1
    vertex_offsets, face_offsets = (
        torch.nn.functional.pad(torch.bincount(of_shape[chosen], minlength=len(meshes)).cumsum(0), (1, 0))
        for of_shape, chosen in ((meshes.vertex_shape, vertices), (meshes.face_mesh, faces))
    )
    packed = meshes.vertices[vertices], number[meshes.faces[faces]]
    return MeshBatch(*packed, vertex_offsets, face_offsets, meshes.placeholder)


def _parts(meshes: MeshBatch) -> _Parts:
    device, count = meshes.vertices.device, len(meshes.vertices)
    found = vertex_components(meshes.faces.cpu().numpy(), count)
    part = torch.from_numpy(found.label).to(device)
    face_area = meshes.face_crosses().detach().norm(dim=1).double() / 2
    area = face_area.new_zeros(found.count).index_add(0, part[meshes.faces[:, 0]], face_area)
    total = area.new_zeros(len(meshes)).index_add(0, meshes.face_mesh, face_area)
    shape = meshes.vertex_shape.new_zeros(found.count).index_copy(0, part, meshes.vertex_shape)
    largest = area.new_zeros(len(meshes)).scatter_reduce(0, shape, area, "amax")
    return _Parts(part, shape, area, total, largest)
