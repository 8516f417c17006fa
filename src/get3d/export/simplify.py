"""Simplification: fewer faces, by collapsing the edges with the least error."""

import fast_simplification
import numpy as np
import torch

from get3d.export.repair import repair
from get3d.files import InputError
from get3d.meshes import Mesh
from get3d.topology import vertex_components

__all__ = ["simplify"]

# How fast the error allowed to a collapse rises. Slow is nearer to the shape and folds fewer faces over, but stops
# early; a faster one then goes on from there.
_HASTE = (3, 5, 7)


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Simplifies a mesh to at most `faces` faces. A closed, outward mesh stays closed and outward, and is manifold.

    Edges are collapsed in the order of their quadric errors (Garland and Heckbert, "Surface Simplification Using
    Quadric Error Metrics", 1997). Non-manifold results are repaired; see `repair`. If the limit is
    too small for all parts of a shape, the smallest parts are left out.

    Raises:
        InputError: `faces` is less than 4, or nothing of the mesh is left with so few.
    """
    if faces < 4:
        raise InputError(f"faces: {faces} is too few; a closed mesh needs 4 or more")
    if mesh.faces.shape[0] > faces:
        points = mesh.vertices.detach().cpu().float().numpy()
        triangles = mesh.faces.cpu().numpy().astype(np.int32)
        for haste in _HASTE:
            if len(triangles) > faces:
                points, triangles = fast_simplification.simplify(points, triangles, target_count=faces, agg=haste)
        device = mesh.vertices.device
        mesh = Mesh(torch.from_numpy(points).to(mesh.vertices), torch.from_numpy(triangles).to(device, torch.int64))
    mesh = _largest_parts(repair(mesh), faces)
    if mesh.faces.shape[0] == 0:
        raise InputError(f"faces: with {faces} nothing is left of this shape; ask for more")
    return mesh


def _largest_parts(mesh: Mesh, faces: int) -> Mesh:
    """The parts of the largest surfaces that have at most so many faces together; all of them where they fit."""
    if mesh.faces.shape[0] <= faces:
        return mesh
    corners = mesh.faces.cpu().numpy()
    part = vertex_components(corners, mesh.vertices.shape[0]).label[corners[:, 0]]
    a, b, c = mesh.vertices.detach().cpu()[mesh.faces.cpu()].unbind(1)
    area = np.bincount(part, weights=torch.linalg.cross(b - a, c - a).norm(dim=1).numpy())
    order = np.argsort(-area, kind="stable")
    chosen = order[np.cumsum(np.bincount(part)[order]) <= faces]
    kept = torch.from_numpy(np.isin(part, chosen)).to(mesh.faces.device)
    used, numbers = mesh.faces[kept].unique(return_inverse=True)
    return Mesh(mesh.vertices[used], numbers)
