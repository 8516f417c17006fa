"""Small pieces that float beside an object, left out."""

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from get3d.meshes import MeshBatch

__all__ = ["without_debris"]


def without_debris(meshes: MeshBatch, share: float) -> MeshBatch:
    """The meshes without the parts that have less than a share of their mesh's area; the largest part always stays.

    Args:
        meshes: their parts are what hangs together by vertices.
        share: of the area of the whole mesh, from 0, which keeps everything, to 1.
    """
    if share <= 0:
        return meshes
    device, count = meshes.vertices.device, len(meshes.vertices)
    start, end = meshes.faces.flatten().cpu(), meshes.faces.roll(-1, dims=1).flatten().cpu()
    joined = coo_array((torch.ones(len(start), dtype=torch.bool), (start, end)), shape=(count, count))
    parts, part_of_vertex = connected_components(joined, directed=False)
    part = torch.from_numpy(part_of_vertex).long().to(device)
    face_part, face_shape = part[meshes.faces[:, 0]], meshes.face_shape
    area = meshes.face_crosses().detach().norm(dim=1).double()
    by_part = area.new_zeros(parts).index_add(0, face_part, area)
    whole = area.new_zeros(len(meshes)).index_add(0, face_shape, area)
    part_shape = meshes.vertex_shape.new_zeros(parts).index_copy(0, part, meshes.vertex_shape)
    largest = by_part.new_zeros(len(meshes)).scatter_reduce(0, part_shape, by_part, "amax")
    kept = (by_part >= share * whole[part_shape]) | (by_part == largest[part_shape])

    vertices, faces = kept[part], kept[face_part]
    number = vertices.cumsum(0) - 1
    offsets = [
        torch.nn.functional.pad(torch.bincount(of_shape[chosen], minlength=len(meshes)).cumsum(0), (1, 0))
        for of_shape, chosen in ((meshes.vertex_shape, vertices), (face_shape, faces))
    ]
    return MeshBatch(meshes.vertices[vertices], number[meshes.faces[faces]], *offsets)
