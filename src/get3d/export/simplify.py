"""Fewer faces for the same shape, by collapsing the edges that matter least."""

import fast_simplification
import numpy as np
import torch

from get3d.export.repair import repair
from get3d.files import InputError
from get3d.meshes import Mesh

__all__ = ["simplify"]


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """The mesh with at most so many faces, closed, manifold and outward where the mesh is closed and outward.

    Edges are collapsed in the order of their quadric errors (Garland and Heckbert, "Surface Simplification Using
    Quadric Error Metrics", 1997). What the collapses leave non-manifold is repaired; see `repair`.

    Raises:
        InputError: fewer than 4 faces are asked for, or nothing of the mesh is left with so few.
    """
    if faces < 4:
        raise InputError(f"faces: {faces} are too few; a closed mesh needs 4 or more")
    if mesh.faces.shape[0] > faces:
        points = mesh.vertices.detach().cpu().float().numpy()
        triangles = mesh.faces.cpu().numpy().astype(np.int32)
        points, triangles = fast_simplification.simplify(points, triangles, target_count=faces)
        device = mesh.vertices.device
        mesh = Mesh(torch.from_numpy(points).to(mesh.vertices), torch.from_numpy(triangles).to(device, torch.int64))
    mesh = repair(mesh)
    if mesh.faces.shape[0] == 0:
        raise InputError(f"faces: with {faces} nothing is left of this shape; ask for more")
    return mesh
