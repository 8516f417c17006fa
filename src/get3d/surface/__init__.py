"""From signed distances on a fixed grid to triangle meshes. No networks in here."""

from get3d.surface.tetrahedra import (
    TetrahedralGrid,
    TetrahedraTopology,
    marching_tetrahedra,
    sdf_sign_loss,
    solid_where_empty,
)

__all__ = [
    "TetrahedraTopology",
    "TetrahedralGrid",
    "marching_tetrahedra",
    "sdf_sign_loss",
    "solid_where_empty",
]
