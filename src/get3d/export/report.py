"""What a mesh is worth to a program that needs a solid: whether it is closed, manifold, in one part, inside in."""

from dataclasses import dataclass

import numpy as np
import torch

from get3d.export.repair import weld
from get3d.meshes import Mesh
from get3d.topology import edge_components

__all__ = ["MeshReport", "mesh_report"]


@dataclass(frozen=True)
class MeshReport:
    """Facts about how the faces of a mesh hang together, vertices at the very same position taken as one.

    Attributes:
        closed: it has faces, and along every edge as many run one way as the other, so that it bounds a volume.
        manifold: every edge has exactly two faces, or one at a border.
        components: how many parts are not joined by any edge.
        volume: the volume enclosed, in cubed units; negative when the faces look inward. Without meaning if not closed.
    """

    closed: bool
    manifold: bool
    components: int
    volume: float

    @property
    def watertight(self) -> bool:
        """Closed, every edge between two faces, and facing outward: fit for printing and for culling back faces."""
        return self.closed and self.manifold and self.volume > 0


def mesh_report(mesh: Mesh) -> MeshReport:
    """Examines a mesh, as programs see it that join equal positions: the seams of a texture are no borders."""
    mesh, _ = weld(mesh)
    faces = mesh.faces.cpu().numpy()
    count = mesh.vertices.shape[0]
    if len(faces) == 0:
        return MeshReport(closed=False, manifold=False, components=0, volume=0.0)
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    low, high = np.minimum(start, end), np.maximum(start, end)
    _, edge, around = np.unique(low * count + high, return_inverse=True, return_counts=True)
    forward = np.bincount(edge, weights=np.where(start < end, 1, -1))
    a, b, c = mesh.vertices.detach().cpu().double()[torch.from_numpy(faces)].unbind(1)
    return MeshReport(
        closed=bool((forward == 0).all()),
        manifold=bool((around <= 2).all()),
        components=edge_components(edge, len(forward)).count,
        volume=float((a * torch.linalg.cross(b, c)).sum() / 6),
    )
