"""From fields to surfaces: two methods behind one interface.

Each method evaluates a geometry field on the lattices of its grid, which needs only one sampling per plane, moves the
vertices of the grid by the deformation of the field, and extracts a batch of meshes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.profiler import record_function

from get3d import spans
from get3d.generator_config import REGULARIZERS, IsosurfaceName
from get3d.isosurface.flexicubes import CubeGrid, extract
from get3d.isosurface.grid import Grid
from get3d.isosurface.surfaces import Surfaces
from get3d.isosurface.tetrahedra import TetrahedralGrid, marching_tetrahedra, sdf_sign_loss, solid_where_empty
from get3d.networks import GeometryField, GeometryValues

__all__ = [
    "ISOSURFACES",
    "FlexibleCubes",
    "GridMemory",
    "Isosurface",
    "IsosurfaceName",
    "MarchingTetrahedra",
]


@dataclass(frozen=True)
class GridMemory:
    """Memory of a grid in bytes, divided by the cube of its resolution; measured, rounded up.

    Attributes:
        built: while the grid is built, always on the CPU.
        held: by the grid after that.
        shape: for each shape while its surface is extracted from tri-planes.
    """

    built: int
    held: int
    shape: int


class Isosurface(nn.Module):
    """A grid and the extraction of surfaces from fields on it: all that the rest of the package knows of a method.

    A new method is a subclass, a row of `ISOSURFACES`, and an entry in `generator_config.py`, from which options are
    made, with its name and the weights of its regularisers.

    Args:
        resolution: resolution of the grid.
        size: side of the grid.
        trained: resolution of the grid in training, which sets how far the deformation moves vertices. It is the same
            on every other grid, so that all grids show the same surface.

    Attributes:
        cell_values: number of values that it needs from the field for each cubic cell of its first lattice, in addition
            to signed distance and deformation at the vertices; 0 for none.
        memory: memory of its grid.
        regularizers: its regularisers by name, with their default weights in training
            (`--objective.regularizers.NAME`).
    """

    cell_values: ClassVar[int] = 0
    memory: ClassVar[GridMemory]
    regularizers: ClassVar[Mapping[str, float]]
    grid: Grid

    def __init__(self, resolution: int, size: float, trained: int) -> None:
        super().__init__()

    def forward(self, field: GeometryField) -> Surfaces:
        """Extracts the surfaces of a batch of fields, positive inside; differentiable."""
        raise NotImplementedError

    def _values(self, field: GeometryField) -> tuple[Float[Tensor, "n v"], Float[Tensor, "n v 3"]]:
        """SDF and raw deformation at the grid's vertices."""
        with record_function(spans.FIELDS):
            parts: list[GeometryValues] = field.on_lattices(self.grid.lattices)
        sdf = torch.cat([part.sdf[..., 0] for part in parts], dim=1)
        return sdf, torch.cat([part.deformation for part in parts], dim=1)

    def _solid(self, sdf: Float[Tensor, "n v"]) -> tuple[Float[Tensor, "n v"], Bool[Tensor, " n"]]:
        """The field that is extracted, and which shapes are empty. All surfaces are closed: the hull is outside."""
        boundary = self.grid.boundary
        solid, empty = solid_where_empty(sdf, self.grid.centre, boundary)
        return torch.where(boundary & (solid > 0), -solid.detach(), solid), empty

    def _sign_loss(self, sdf: Float[Tensor, "n v"], empty: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
        return torch.where(empty, sdf.abs().mean(1), sdf_sign_loss(sdf, self.grid.edges)).mean()


class MarchingTetrahedra(Isosurface):
    """Marching tetrahedra on a body-centred cubic lattice (GET3D, section 3.1.1).

    Vertices move by at most 1 / resolution. The regulariser "sdf" penalises sign changes along the edges of the grid,
    and the mean |SDF| of empty shapes.
    """

    memory = GridMemory(built=1000, held=160, shape=120)
    regularizers: ClassVar[Mapping[str, float]] = REGULARIZERS["tetrahedra"]

    def __init__(self, resolution: int, size: float, trained: int) -> None:
        super().__init__(resolution, size, trained)
        self.grid: TetrahedralGrid = TetrahedralGrid(resolution, size)
        self.reach = 1 / trained

    def forward(self, field: GeometryField) -> Surfaces:
        """Extracts the surfaces of a batch of fields, positive inside; differentiable."""
        grid = self.grid
        sdf, raw = self._values(field)
        solid, empty = self._solid(sdf)
        vertices = grid.vertices + self.reach * torch.tanh(raw)
        meshes = marching_tetrahedra(vertices, solid, grid.tetrahedra, grid.topology)
        regularizers = {"sdf": self._sign_loss(sdf, empty)}
        return Surfaces(replace(meshes, placeholder=empty), regularizers, solid, grid.edges)


class FlexibleCubes(Isosurface):
    """FlexiCubes (Shen et al. 2023) on cubes.

    Vertices move by at most 1 / (2 · resolution). Quads are split smoothly during training. The values of a cube are 12
    raw edge weights β, 8 raw corner weights α and a raw quad weight γ. Regularisers: "sdf" as for tetrahedra,
    "deviation" (L_dev) and "weights" (mean square of the raw weights).
    """

    cell_values = 21
    memory = GridMemory(built=350, held=130, shape=450)
    regularizers: ClassVar[Mapping[str, float]] = REGULARIZERS["flexicubes"]

    def __init__(self, resolution: int, size: float, trained: int) -> None:
        super().__init__(resolution, size, trained)
        self.grid: CubeGrid = CubeGrid(resolution, size)
        self.reach = 0.5 / trained

    def forward(self, field: GeometryField) -> Surfaces:
        """Extracts the surfaces of a batch of fields, positive inside; differentiable."""
        grid = self.grid
        sdf, raw = self._values(field)
        with record_function(spans.FIELDS):
            weights = field.cell_values(grid.axis)
        solid, empty = self._solid(sdf)
        vertices = grid.vertices + self.reach * torch.tanh(raw)
        meshes, deviation = extract(vertices, -solid, grid.cubes, weights, grid.resolution, self.training)
        flat = weights.flatten()
        regularizers = {
            "sdf": self._sign_loss(sdf, empty),
            "deviation": deviation.mean(),
            "weights": flat.dot(flat) / len(flat),
        }
        return Surfaces(replace(meshes, placeholder=empty), regularizers, solid, grid.edges)


ISOSURFACES: dict[IsosurfaceName, type[Isosurface]] = {
    "tetrahedra": MarchingTetrahedra,
    "flexicubes": FlexibleCubes,
}
