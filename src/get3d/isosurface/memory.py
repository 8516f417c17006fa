"""Memory of a grid and of the fields on it, estimated before it is built."""

from dataclasses import replace

import torch

from get3d.devices import free_memory
from get3d.files import InputError
from get3d.isosurface.methods import ISOSURFACES, GridMemory, IsosurfaceName
from get3d.networks import SeparateConfig, UnifiedConfig

__all__ = ["grid_memory", "require_grid_fits"]


def grid_memory(isosurface: IsosurfaceName, synthesis: UnifiedConfig | SeparateConfig) -> GridMemory:
    """Memory of a grid, by isosurface method and by the network that makes the fields."""
    memory = ISOSURFACES[isosurface].memory
    return replace(memory, shape=memory.shape * synthesis.memory_factor)


def require_grid_fits(what: str, grid: int, taken: GridMemory, device: torch.device, remedy: str = "take") -> None:
    """Checks that a grid fits into memory, before it is built.

    Args:
        what: the option, or the file and the field, with the resolution.
        grid: resolution of the grid.
        taken: memory of the grid, see `grid_memory`.
        device: device of the grid and of the fields of one shape.
        remedy: the fix, followed by the largest resolution that fits.

    Raises:
        InputError: it does not fit.
    """
    for place, each in ((torch.device("cpu"), taken.built), (device, taken.held + taken.shape)):
        needed, free = each * grid**3, free_memory(place)
        if needed > free:
            largest = int((free / each) ** (1 / 3))
            raise InputError(
                f"{what} is {grid}, which takes about {needed / 1e9:.1f} GB on the {place.type}, where "
                f"{free / 1e9:.1f} GB are free; {remedy} at most {largest}"
            )
