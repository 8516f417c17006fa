"""From signed distances on a fixed grid to triangle meshes. No networks in here."""

from get3d.surface.flexicubes import CubeGrid, flexicubes
from get3d.surface.tetrahedra import (
    TetrahedralGrid,
    TetrahedraTopology,
    marching_tetrahedra,
    sdf_sign_loss,
    solid_where_empty,
)

__all__ = [
    "CubeGrid",
    "TetrahedraTopology",
    "TetrahedralGrid",
    "flexicubes",
    "marching_tetrahedra",
    "sdf_sign_loss",
    "solid_where_empty",
]
