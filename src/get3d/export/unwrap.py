"""Laying a surface flat: charts cut from a mesh and packed into the unit square."""

from dataclasses import dataclass

import numpy as np
import torch
import xatlas
from jaxtyping import Float, Int
from torch import Tensor

from get3d.meshes import Mesh

__all__ = ["UnwrappedMesh", "unwrap"]

# Texels between two charts: reading bilinearly at a border must not reach the neighbour (some are lost in packing).
_PADDING = 3
# xatlas leaves faces of less than about 1e-7 squared units out of its charts: the mesh is unwrapped at this size.
_EXTENT = np.float32(100)


@dataclass(frozen=True)
class UnwrappedMesh:
    """A mesh with a place in a texture for every vertex. Vertices on the seams come once for each chart.

    Attributes:
        vertices: [V, 3] positions.
        faces: [F, 3] vertex numbers, face by face those of the mesh it was made from.
        uv: [V, 2] in [0, 1], (0, 0) the lower left corner of the texture. Charts do not overlap.
        source: [V] the number each vertex has in the mesh it was made from.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    uv: Float[Tensor, "v 2"]
    source: Int[Tensor, " v"]


def unwrap(mesh: Mesh, resolution: int = 1024) -> UnwrappedMesh:
    """Cuts the mesh into charts of little distortion and packs them, with gaps made for a texture of `resolution`.

    Raises:
        ValueError: the mesh has no face.
    """
    if mesh.faces.shape[0] == 0:
        raise ValueError("a mesh without faces cannot be unwrapped; check the mesh first")
    atlas = xatlas.Atlas()
    points = mesh.vertices.detach().cpu().float().numpy()
    extent = max(np.ptp(points, axis=0).max(), np.finfo(np.float32).tiny)
    atlas.add_mesh(points * (_EXTENT / extent), mesh.faces.cpu().numpy().astype(np.uint32))
    charts = xatlas.ChartOptions()
    charts.max_cost = 1.0
    charts.normal_deviation_weight = 4.0
    packing = xatlas.PackOptions()
    packing.resolution = resolution
    packing.padding = _PADDING
    packing.bilinear = True
    atlas.generate(charts, packing)
    source, faces, uv = atlas[0]
    # xatlas stretches what it packed, width and height, to the unit square; one scale for both keeps circles round.
    size = np.array([atlas.width, atlas.height], dtype=np.float32)
    device = mesh.vertices.device
    kept = torch.from_numpy(source.astype(np.int64)).to(device)
    return UnwrappedMesh(
        vertices=mesh.vertices[kept],
        faces=torch.from_numpy(faces.astype(np.int64)).to(device),
        uv=torch.from_numpy(uv * (size / size.max())).to(mesh.vertices),
        source=kept,
    )
