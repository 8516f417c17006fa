"""How much memory grids and fields on them take, told before one is built."""

from dataclasses import dataclass

import torch

from get3d.devices import free_memory
from get3d.files import InputError
from get3d.isosurface import IsosurfaceName
from get3d.networks import SeparateConfig, UnifiedConfig

__all__ = ["GridBytes", "grid_bytes", "require_grid_fits"]


@dataclass(frozen=True)
class GridBytes:
    """Memory that grids and fields on them take, divided by the cube of the grid's resolution; measured, rounded up.

    Attributes:
        built: while the grid is built, which is always done on the CPU.
        held: by the grid afterwards.
        shape: by each shape while its surface is extracted.
    """

    built: int
    held: int
    shape: int


_BYTES: dict[tuple[IsosurfaceName, type], GridBytes] = {
    ("tetrahedra", UnifiedConfig): GridBytes(1000, 160, 120),
    ("flexicubes", UnifiedConfig): GridBytes(350, 130, 450),
    ("tetrahedra", SeparateConfig): GridBytes(1000, 160, 600),
    ("flexicubes", SeparateConfig): GridBytes(350, 130, 2200),
}


def grid_bytes(isosurface: IsosurfaceName, synthesis: UnifiedConfig | SeparateConfig) -> GridBytes:
    """What grids take, by how surfaces are extracted and by what makes the fields."""
    return _BYTES[isosurface, type(synthesis)]


def require_grid_fits(what: str, grid: int, taken: GridBytes, device: torch.device, remedy: str = "take") -> None:
    """Sees to it that a grid fits into memory, before it is built.

    Args:
        what: says the grid's resolution: the option, or the file and the field.
        grid: its resolution.
        taken: see `grid_bytes`.
        device: where it will be, with the fields of one shape.
        remedy: what to do with at most how large a grid.

    Raises:
        InputError: it does not.
    """
    for place, each in ((torch.device("cpu"), taken.built), (device, taken.held + taken.shape)):
        needed, free = each * grid**3, free_memory(place)
        if needed > free:
            largest = int((free / each) ** (1 / 3))
            raise InputError(
                f"{what} is {grid}, which takes about {needed / 1e9:.1f} GB on the {place.type}, where "
                f"{free / 1e9:.1f} GB are free; {remedy} at most {largest}"
            )
