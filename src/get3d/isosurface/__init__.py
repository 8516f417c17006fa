"""From fields to triangle meshes: the isosurface methods behind one interface, and their parts."""

from get3d.isosurface.flexicubes import CubeGrid, flexicubes
from get3d.isosurface.grid import Grid
from get3d.isosurface.methods import (
    ISOSURFACES,
    FlexibleCubes,
    GridMemory,
    Isosurface,
    IsosurfaceName,
    MarchingTetrahedra,
)
from get3d.isosurface.regularizers import SURFACE_REGULARIZERS, floaters, gaps, normal_consistency, regularizers_of
from get3d.isosurface.surfaces import Surfaces
from get3d.isosurface.tetrahedra import (
    TetrahedralGrid,
    TetrahedraTopology,
    marching_tetrahedra,
    sdf_sign_loss,
    solid_where_empty,
)

__all__ = [
    "ISOSURFACES",
    "SURFACE_REGULARIZERS",
    "CubeGrid",
    "FlexibleCubes",
    "Grid",
    "GridMemory",
    "Isosurface",
    "IsosurfaceName",
    "MarchingTetrahedra",
    "Surfaces",
    "TetrahedraTopology",
    "TetrahedralGrid",
    "flexicubes",
    "floaters",
    "gaps",
    "marching_tetrahedra",
    "normal_consistency",
    "regularizers_of",
    "sdf_sign_loss",
    "solid_where_empty",
]
