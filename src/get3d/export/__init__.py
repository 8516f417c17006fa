"""Export of meshes with materials: simplify, unwrap, bake textures, write files."""

from get3d.export.bake import RESOLUTIONS, bake
from get3d.export.formats import FORMATS
from get3d.export.material_mesh import MaterialMesh, sample_texture
from get3d.export.repair import repair, weld
from get3d.export.report import MeshReport, mesh_report
from get3d.export.simplify import simplify
from get3d.export.small_components import main_share, without_small_components
from get3d.export.textured import textured_mesh
from get3d.export.unwrap import UnwrappedMesh, unwrap
from get3d.export.write import TexturedMesh

__all__ = [
    "FORMATS",
    "RESOLUTIONS",
    "MaterialMesh",
    "MeshReport",
    "TexturedMesh",
    "UnwrappedMesh",
    "bake",
    "main_share",
    "mesh_report",
    "repair",
    "sample_texture",
    "simplify",
    "textured_mesh",
    "unwrap",
    "weld",
    "without_small_components",
]
