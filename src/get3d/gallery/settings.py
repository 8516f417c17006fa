"""What all commands that make objects can be told, and the model made ready for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from get3d.devices import free_memory, keep_memory
from get3d.files import InputError, require_writable
from get3d.gallery.config import PSI, Settings
from get3d.generator import Generator, GeneratorConfig, load
from get3d.isosurface import IsosurfaceName
from get3d.networks import SeparateConfig, UnifiedConfig

__all__ = ["PSI", "Settings", "at_once", "opened", "proved", "require_ranges", "set_grid"]


AT_ONCE = 4
"""Shapes that are made together, where memory allows it."""


_RANGES = {
    "psi": (0.0, 2.0),
    "grid": (4, 1024),
    "resolution": (16, 4096),
    "debris": (0.0, 1.0),
    "faces": (4, 10_000_000),
    "texture": (16, 8192),
}


@dataclass(frozen=True)
class _Bytes:
    """Memory that grids and fields on them take, divided by the cube of the grid's resolution; measured, rounded up.

    Attributes:
        built: while the grid is built, which is always done on the CPU.
        held: by the grid afterwards.
        shape: by each shape while its surface is extracted.
    """

    built: int
    held: int
    shape: int


_BYTES: dict[tuple[IsosurfaceName, type], _Bytes] = {
    ("tetrahedra", UnifiedConfig): _Bytes(1000, 160, 120),
    ("flexicubes", UnifiedConfig): _Bytes(350, 130, 450),
    ("tetrahedra", SeparateConfig): _Bytes(1000, 160, 600),
    ("flexicubes", SeparateConfig): _Bytes(350, 130, 2200),
}


def require_ranges(settings: object, ranges: Mapping[str, tuple[float | int, float | int]]) -> None:
    """Sees to it that options lie in their ranges; those that are None always do.

    Raises:
        InputError: one does not.
    """
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is {value}; it must be from {low} to {high}")


def opened(settings: Settings) -> Generator:
    """The model, when all options are in their ranges and the folder can be written to; on the grid that is asked for.

    Raises:
        InputError: one of this is not so, or the grid does not fit into memory.
    """
    generator = proved(settings)
    set_grid(generator, settings.grid)
    return generator


def proved(settings: Settings) -> Generator:
    """As `opened`, on the grid of training: another takes its time to be built. The process keeps memory from now on.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(settings, _RANGES)
    if settings.film == "mp4" and find_spec("av") is None:
        raise InputError("--film mp4 needs PyAV; pip install 'get3d[video]', or take gif")
    keep_memory()
    generator = load(settings.model, settings.device)
    require_writable(settings.out)
    return generator


def set_grid(generator: Generator, grid: int | None) -> None:
    """Extracts surfaces on a grid of this resolution from now on; None keeps the grid there is.

    Raises:
        InputError: it does not fit into memory.
    """
    if grid is None or grid == generator.isosurface.grid.resolution:
        return
    device, taken = generator.mapping_geometry.w_avg.device, _taken(generator.config)
    needs = ((torch.device("cpu"), taken.built), (device, taken.held + taken.shape))
    for place, each in needs:
        needed, free = each * grid**3, free_memory(place)
        if needed > free:
            largest = int((free / each) ** (1 / 3))
            raise InputError(
                f"--grid is {grid}, which takes about {needed / 1e9:.1f} GB on the {place.type}, where "
                f"{free / 1e9:.1f} GB are free; take at most {largest}"
            )
    generator.use_grid(grid)


def at_once(generator: Generator, sharers: int) -> int:
    """How many shapes to make together on the generator's grid, where so many processes share the CPU's memory."""
    device = generator.mapping_geometry.w_avg.device
    free = free_memory(device) // (sharers if device.type == "cpu" else 1)
    each = _taken(generator.config).shape * generator.isosurface.grid.resolution**3
    return max(1, min(AT_ONCE, free // 2 // each))


def _taken(config: GeneratorConfig) -> _Bytes:
    return _BYTES[config.isosurface, type(config.synthesis)]
