"""Surfaces of a batch of fields, as all isosurface methods give them."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.meshes import MeshBatch

__all__ = ["Surfaces"]


@dataclass(frozen=True)
class Surfaces:
    """The surfaces of n shapes.

    Attributes:
        meshes: the surfaces; a shape whose field has one sign gets a placeholder without gradient.
        regularizers: scalars by name that training keeps small, as in the `regularizers` of the method.
        sdf: what was extracted, at the vertices of the grid, positive inside.
        edges: vertices of the edges of the grid.
    """

    meshes: MeshBatch
    regularizers: dict[str, Float[Tensor, ""]]
    sdf: Float[Tensor, "n v"]
    edges: Int[Tensor, "e 2"]

    @property
    def empty(self) -> Bool[Tensor, " n"]:
        """[n] shapes without a surface."""
        return self.meshes.empty
