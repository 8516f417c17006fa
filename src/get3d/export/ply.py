"""Objects as .ply, with the base colour as vertex colours."""

from pathlib import Path

import trimesh

from get3d.color import unit_to_bytes
from get3d.export.material_mesh import MaterialMesh, sample_texture
from get3d.export.repair import weld
from get3d.files import writing

__all__ = ["write_ply"]


def write_ply(textured: MaterialMesh, path: Path) -> None:
    """Writes a binary .ply of welded vertices with normals and colours."""
    welded, source = weld(textured.mesh)
    shape = trimesh.Trimesh(
        vertices=welded.vertices.numpy(),
        faces=welded.faces.numpy(),
        vertex_normals=textured.normals[source].numpy(),
        vertex_colors=unit_to_bytes(sample_texture(textured.texture, textured.uv[source])).numpy(),
        process=False,
        validate=False,
    )
    with writing(path) as temporary:
        temporary.write_bytes(trimesh.exchange.ply.export_ply(shape, vertex_normal=True))
