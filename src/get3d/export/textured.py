"""From a mesh and a material to a textured object."""

import torch

from get3d.export.bake import bake, require_resolution
from get3d.export.normal_map import normal_map as normals_of
from get3d.export.repair import repair
from get3d.export.simplify import simplify
from get3d.export.unwrap import unwrap
from get3d.export.write import TexturedMesh
from get3d.materials import Material
from get3d.meshes import Mesh, MeshBatch

__all__ = ["textured_mesh"]


def textured_mesh(
    mesh: Mesh,
    material: Material,
    texture_resolution: int = 1024,
    faces: int | None = None,
    normal_map: bool = False,
) -> TexturedMesh:
    """Simplifies a mesh, unwraps it and bakes its textures.

    Args:
        mesh: the extracted surface.
        material: a function of points [P, 3] on the device of the mesh that returns the values of each channel in the
            network's range. Only `{"base_color": [P, 3]}`, sRGB-encoded in [-1, 1], is required.
        texture_resolution: side of the textures in texels.
        faces: maximum number of faces, at least 4; None keeps all.
        normal_map: also bakes the normals of the mesh as it was before faces were collapsed.

    Raises:
        InputError: `texture_resolution` or `faces` is out of range.
        ValueError: the mesh is empty, or positions or values of the material are not finite.
    """
    require_resolution(texture_resolution)
    if mesh.faces.shape[0] == 0:
        raise ValueError("a mesh without faces cannot be textured; this shape is empty, try another seed")
    if not mesh.vertices.isfinite().all():
        raise ValueError("the mesh has positions that are not finite; check the model")
    bare = repair(mesh) if faces is None else simplify(mesh, faces)
    unwrapped = unwrap(bare, texture_resolution)
    normals = MeshBatch.from_meshes([bare]).vertex_normals()
    # Where only faces without area meet there is none, but files must hold unit normals.
    normals = torch.where(normals.norm(dim=1, keepdim=True) < 0.5, normals.new_tensor([0.0, 1.0, 0.0]), normals)
    normals = normals[unwrapped.source]
    further = normals_of(mesh, unwrapped, normals) if normal_map else None
    return TexturedMesh(
        vertices=unwrapped.vertices.cpu(),
        faces=unwrapped.faces.cpu(),
        normals=normals.cpu(),
        uv=unwrapped.uv.cpu(),
        textures=bake(unwrapped, material, texture_resolution, further),
    )
