"""Common settings of the commands that make objects, and loading the model with them."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from get3d.checkpoints.model import load
from get3d.devices import free_memory, keep_memory
from get3d.export.formats import require_savable
from get3d.files import InputError, require_writable
from get3d.generation.config import PSI, Settings
from get3d.generator import Generator
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.ranges import require_ranges
from get3d.render.environment import LIGHT_SUFFIXES, read_environment
from get3d.render.lights import LIGHTS, Light

__all__ = ["PSI", "Settings", "at_once", "chosen_light", "open_generator", "set_grid", "validated_generator"]

WITH_NORMALS = (".glb", ".obj", ".usdz")
"""Formats that a normal map can be written to."""
AT_ONCE = 4
"""Maximum number of shapes that are made together on a GPU."""


def open_generator(settings: Settings) -> Generator:
    """Validates the options and the folder, and loads the model on the requested grid.

    Raises:
        InputError: an option is out of range, the model cannot be read, the folder cannot be written to, or the grid
            does not fit into memory.
    """
    generator = validated_generator(settings)
    set_grid(generator, settings.grid)
    return generator


def validated_generator(settings: Settings) -> Generator:
    """As `open_generator`, but on the training grid, because building another one takes time.

    From then on, the process keeps freed memory.

    Raises:
        InputError: an option is out of range, the model cannot be read, or the folder cannot be written to.
    """
    require_ranges(settings)
    if settings.video == "mp4" and find_spec("av") is None:
        raise InputError("--video mp4 needs PyAV; pip install 'get3d[video]', or use gif")
    chosen_light(settings.light)
    if settings.normal_map and f".{settings.format}" not in WITH_NORMALS:
        fix = f"use {', '.join(WITH_NORMALS)}, or leave out --normal-map"
        raise InputError(f"--normal-map: --format {settings.format} has no texture for normals; {fix}")
    require_savable(f".{settings.format}", settings.size, "--format" if settings.size is None else "--size")
    keep_memory()
    generator = load(settings.model, settings.device)
    require_writable(settings.out)
    return generator


@cache
def chosen_light(light: str | None) -> Light | None:
    """The light of a name or of a file; None: that of the images that a model was learnt from.

    Raises:
        InputError: there is no such light, or the file cannot be read.
    """
    if light is None or light in LIGHTS:
        return None if light is None else LIGHTS[light]
    if Path(light).suffix.lower() not in LIGHT_SUFFIXES:
        suffixes = " or ".join(LIGHT_SUFFIXES)
        raise InputError(f"--light is {light}, but it must be {', '.join(LIGHTS)}, or an {suffixes} file")
    return read_environment(Path(light))


def set_grid(generator: Generator, grid: int | None) -> None:
    """Sets the grid for extracting surfaces; None keeps the current one.

    Raises:
        InputError: the grid does not fit into memory.
    """
    if grid is None or grid == generator.isosurface.grid.resolution:
        return
    taken = grid_memory(generator.config.isosurface, generator.config.synthesis)
    require_grid_fits("--grid", grid, taken, generator.mapping_geometry.w_avg.device)
    generator.use_grid(grid)


def at_once(generator: Generator) -> int:
    """Number of shapes to make together on the generator's grid.

    One on a CPU: the rounding of a matrix product depends on its number of rows, and a seed should give the same bytes
    independent of other shapes. On a GPU as many as memory allows, for speed.
    """
    device = generator.mapping_geometry.w_avg.device
    if device.type == "cpu":
        return 1
    each = grid_memory(generator.config.isosurface, generator.config.synthesis).shape
    return max(1, min(AT_ONCE, free_memory(device) // 2 // (each * generator.isosurface.grid.resolution**3)))
