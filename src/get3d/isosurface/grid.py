"""What the grids of all isosurface methods share."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = ["Grid"]


class Grid(nn.Module):
    """A cube around the origin, filled with cells whose vertices carry a field.

    Attributes:
        resolution: cells per side, or about as many steps of a lattice.
        size: side of the cube.
        vertices: [V, 3] positions, lattice after lattice, each with x slowest and z fastest.
        edges: [E, 2] vertices of each edge, the smaller index first.
        boundary: [V] whether a vertex lies on the hull of the cube.
        centre: index of a vertex nearest to the origin.
    """

    vertices: Float[Tensor, "v 3"]
    edges: Int[Tensor, "e 2"]
    boundary: Bool[Tensor, " v"]
    centre: int

    def __init__(self, resolution: int, size: float = 1.0) -> None:
        """Sets the resolution and the size; the tensors are set by each method's grid.

        Raises:
            ValueError: resolution is below 1 or size is not positive.
        """
        super().__init__()
        if resolution < 1 or not size > 0:
            raise ValueError(f"a grid of resolution {resolution} and size {size} is empty; both must be positive")
        self.resolution = resolution
        self.size = size

    @property
    def lattices(self) -> tuple[Float[Tensor, " n"], ...]:
        """Coordinates along an axis, the same for x, y and z, of each lattice that makes up the vertices."""
        raise NotImplementedError

    def _set(self, **tensors: Tensor) -> None:
        """Holds tensors by name; they move with the module, and files leave them out."""
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
