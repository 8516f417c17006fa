"""From a mesh and a colour field to files that other programs open."""

from get3d.export.report import MeshReport, mesh_report, weld
from get3d.export.write import FORMATS, TexturedMesh, sample_texture

__all__ = ["FORMATS", "MeshReport", "TexturedMesh", "mesh_report", "sample_texture", "weld"]
