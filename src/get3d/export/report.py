"""Mesh reports for programs that need a solid: closed, manifold, number of components, volume."""

from dataclasses import dataclass

import numpy as np
import torch

from get3d.export.repair import weld
from get3d.meshes import Mesh
from get3d.topology import edge_components

__all__ = ["MeshReport", "mesh_report"]


@dataclass(frozen=True)
class MeshReport:
    """Connectivity of a mesh, with vertices at equal positions merged.

    Attributes:
        closed: the mesh has faces, and every edge has as many faces in one direction as in the other: it bounds a
            volume.
        manifold: every edge has two faces, or one at a border.
        components: number of parts that share no edge.
        volume: the enclosed volume in cubic units, negative if faces point inward. It is meaningless if not closed.
    """

    closed: bool
    manifold: bool
    components: int
    volume: float

    @property
    def watertight(self) -> bool:
        """Closed, two faces at every edge, and facing outward: suitable for printing and for back-face culling."""
        return self.closed and self.manifold and self.volume > 0


def mesh_report(mesh: Mesh) -> MeshReport:
    """Examines a mesh with equal positions merged: texture seams are not borders."""
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
