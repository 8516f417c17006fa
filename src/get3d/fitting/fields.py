"""Fields whose values are parameters, for fits without a generator.

Geometry is free at every vertex of a grid, as in DMTet (Shen et al. 2021), nvdiffrec (Munkberg et al. 2022) and
FlexiCubes (Shen et al. 2023); texture is a tri-plane with a small head.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from get3d.isosurface import Isosurface
from get3d.materials import initial_outputs
from get3d.networks import Fields, GeometryValues
from get3d.networks.fields import Head, PlaneTexture, TriPlanes
from get3d.networks.layers import Linear

__all__ = ["FreeTexture", "LatticeGeometry", "fields_of"]

FEATURES, HIDDEN = 16, 32
"""Of the texture field: features of a point, and of its hidden layers."""
_BAND = 3
"""Steps of the lattice around the surface in which the SDF is regularised."""


class LatticeGeometry(nn.Module):
    """Signed distance and deformation at the vertices of a grid, and the values of its cells.

    Attributes:
        sdf: [1, v] of the grid's lattices, one after the other, positive inside.
        deformation: [1, v, 3] before tanh.
        cells: [1, c, k] of the first lattice's cells.
    """

    def __init__(self, sdf: Float[Tensor, "1 v"], isosurface: Isosurface) -> None:
        super().__init__()
        lattices = isosurface.grid.lattices
        count = (len(lattices[0]) - 1) ** 3 if isosurface.cell_values else 0
        self.sdf = nn.Parameter(sdf.clone())
        self.deformation = nn.Parameter(sdf.new_zeros(1, sdf.shape[1], 3))
        self.cells = nn.Parameter(sdf.new_zeros(1, count, isosurface.cell_values))
        self._sides, self._extents = [len(axis) for axis in lattices], [float(axis[-1]) for axis in lattices]
        self._sizes = [side**3 for side in self._sides]

    def at(self, points: Float[Tensor, "1 p 3"]) -> GeometryValues:
        """Trilinear values at points: the mean over the lattices."""
        values = torch.cat([self.sdf[..., None], self.deformation], dim=2)
        found = points.new_zeros(1, points.shape[1], 4)
        for volume, extent in zip(_volumes(values, self._sides), self._extents, strict=True):
            # The last of a volume's axes is the first of a grid's coordinates.
            place = (points / extent).flip(2)[:, :, None, None]
            read = grid_sample(volume, place, padding_mode="border", align_corners=True)
            found = found + read[:, :, :, 0, 0].mT / len(self._sides)
        return GeometryValues(found[..., :1], found[..., 1:])

    def on_lattices(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[GeometryValues]:
        """The parameters; the lattices must be those of the grid."""
        if [len(axis) for axis in axes] != self._sides:
            raise ValueError(f"lattices of {[len(axis) for axis in axes]} points a side; the grid's have {self._sides}")
        parts = zip(self.sdf[..., None].split(self._sizes, 1), self.deformation.split(self._sizes, 1), strict=True)
        return [GeometryValues(*part) for part in parts]

    def cell_values(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "1 c k"]:
        """The parameters of the cells."""
        return self.cells

    def field_losses(self) -> dict[str, Float[Tensor, ""]]:
        """Regularisers of the SDF near the surface.

        "eikonal": the mean square of |∇| − 1 (Gropp et al. 2020); "smoothness": the mean square of the SDF's Laplacian
        in units of the spacing, which keeps normals consistent.
        """
        eikonal, smoothness = self.sdf.new_zeros(()), self.sdf.new_zeros(())
        for sdf, side, extent in zip(self.sdf[0].split(self._sizes), self._sides, self._extents, strict=True):
            step, strides = 2 * extent / (side - 1), (side**2, side, 1)
            inner = torch.zeros(side, side, side, dtype=torch.bool, device=sdf.device)
            inner[1:-1, 1:-1, 1:-1] = True
            (near,) = (inner.flatten() & (sdf.detach().abs() < _BAND * step)).nonzero(as_tuple=True)
            ahead, behind = (
                sdf.index_select(0, torch.cat([near + sign * stride for stride in strides])).view(3, -1)
                for sign in (1, -1)
            )
            slope = ((ahead - behind) / (2 * step)).square().sum(0)
            bent = (ahead.sum(0) + behind.sum(0) - 6 * sdf.index_select(0, near)) / step
            share = max(len(near), 1) * len(self._sides)
            eikonal = eikonal + ((slope + 1e-8).sqrt() - 1).square().sum() / share
            smoothness = smoothness + bent.square().sum() / share
        return {"eikonal": eikonal, "smoothness": smoothness}


def _volumes(values: Float[Tensor, "1 v c"], sides: list[int]) -> list[Float[Tensor, "1 c _m _m _m"]]:
    """Values of lattices' points, each lattice as a volume."""
    parts = values.split([side**3 for side in sides], 1)
    return [part.mT.reshape(1, -1, side, side, side) for part, side in zip(parts, sides, strict=True)]


class FreeTexture(nn.Module):
    """A texture field of one object: tri-planes and two dense layers.

    Args:
        resolution: of the planes.
        size: side of the cube that they span.
        channels: of the material.
        generator: draws the first values, on the CPU.
    """

    def __init__(self, resolution: int, size: float, channels: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.size, self.channels = size, channels

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(*shape, generator=generator))

        self.planes = drawn(1, 3, FEATURES, resolution, resolution, scale=0.1)
        self.hidden = drawn(1, HIDDEN, FEATURES, scale=math.sqrt(2 / FEATURES))
        self.features = drawn(1, HIDDEN, HIDDEN, scale=math.sqrt(2 / HIDDEN))
        last = torch.tensor(initial_outputs(channels))
        self.output = drawn(1, len(last), HIDDEN, scale=0.1)
        self.biases = nn.ParameterList([torch.zeros(HIDDEN), torch.zeros(HIDDEN), last])

    def forward(self) -> PlaneTexture:
        """The field."""
        first, second, last = self.biases
        return PlaneTexture(
            TriPlanes(self.planes, self.size),
            Head((Linear(self.hidden, first), Linear(self.features, second))),
            Linear(self.output, last),
            self.channels,
        )


def fields_of(geometry: LatticeGeometry, texture: FreeTexture) -> Fields:
    """Geometry and texture as fields, from which surfaces are extracted and rendered."""
    return Fields(geometry, texture())
