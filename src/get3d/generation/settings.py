"""What all commands that make objects can be told, and the model made ready for it."""

from importlib.util import find_spec

from get3d.checkpoints.model import load
from get3d.devices import free_memory, keep_memory
from get3d.export.formats import require_savable
from get3d.files import InputError, require_writable
from get3d.generation.config import PSI, Settings
from get3d.generator import Generator
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.ranges import require_ranges

__all__ = ["PSI", "Settings", "at_once", "open_generator", "set_grid", "validated_generator"]

AT_ONCE = 4
"""Shapes that are made together on a GPU, where memory allows it."""


def open_generator(settings: Settings) -> Generator:
    """The model, when all options are in their ranges and the folder can be written to; on the grid that is asked for.

    Raises:
        InputError: one of this is not so, or the grid does not fit into memory.
    """
    generator = validated_generator(settings)
    set_grid(generator, settings.grid)
    return generator


def validated_generator(settings: Settings) -> Generator:
    """As `open_generator`, on the grid of training: another takes its time to be built.

    The process keeps memory from now on.

    Raises:
        InputError: an option is out of its range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(settings)
    if settings.video == "mp4" and find_spec("av") is None:
        raise InputError("--video mp4 needs PyAV; pip install 'get3d[video]', or use gif")
    require_savable(f".{settings.format}", settings.size, "--format" if settings.size is None else "--size")
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
    taken = grid_memory(generator.config.isosurface, generator.config.synthesis)
    require_grid_fits("--grid", grid, taken, generator.mapping_geometry.w_avg.device)
    generator.use_grid(grid)


def at_once(generator: Generator) -> int:
    """How many shapes to make together on the generator's grid.

    On a CPU one by one: what a matrix product rounds to depends on how many rows it has, and a seed is to give the same
    bytes whatever else is made. On a GPU as many as memory allows, for speed.
    """
    device = generator.mapping_geometry.w_avg.device
    if device.type == "cpu":
        return 1
    each = grid_memory(generator.config.isosurface, generator.config.synthesis).shape
    return max(1, min(AT_ONCE, free_memory(device) // 2 // (each * generator.isosurface.grid.resolution**3)))
