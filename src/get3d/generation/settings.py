"""What all commands that make objects can be told, and the model made ready for it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import tyro

from get3d.devices import free_memory, keep_memory
from get3d.export.formats import require_savable
from get3d.files import InputError, require_writable
from get3d.generator import Generator, load
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.ranges import Range, require_ranges

__all__ = ["PSI", "Settings", "at_once", "open_generator", "set_grid", "validated_generator"]

PSI = 0.7
"""Truncation where nothing else is said."""

AT_ONCE = 4
"""Shapes that are made together on a GPU, where memory allows it."""


@dataclass(frozen=True)
class Settings:
    """How objects are made and written.

    Attributes:
        model: a model's name, its folder, the folder of a training run, or a checkpoint.
        out: folder for the meshes and images; files of the same names are replaced.
        psi: truncation: 0 gives the mean object, 1 the full variety; below 1 fewer odd ones. Default 0.7.
        grid: steps along a side of the grid that surfaces are extracted on; default: as in training. A finer grid
            gives a finer mesh of the same shape.
        label: class of the objects, of a model of several; default: any.
        resolution: side in pixels of each image on sheets and in videos.
        small_components: parts that have less than this share of an object's area are left out; 0 keeps all.
        faces: at most this many triangles an object; None keeps all.
        texture: side of the texture in pixels.
        format: glb opens everywhere; obj brings an mtl and a png; ply has colours at its vertices; stl and 3mf are for
            printing; usdz is for Apple's viewers.
        size: longest side in millimetres, of stl and 3mf; default: 100.
        video: gif or mp4 for what moves, or none.
        device: "auto" takes a GPU where there is one.
    """

    model: tyro.conf.Positional[str]
    out: Path = Path("generated")
    psi: Annotated[float | None, Range(0, 2)] = None
    grid: Annotated[int | None, Range(4, 1024)] = None
    label: str | None = None
    resolution: Annotated[int, Range(16, 4096)] = 256
    small_components: Annotated[float, Range(0, 1)] = 0.01
    faces: Annotated[int | None, Range(4, 10_000_000)] = 20_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    format: Literal["glb", "obj", "ply", "stl", "3mf", "usdz"] = "glb"
    size: Annotated[float | None, Range(0, 100_000, above=True)] = None
    video: Literal["gif", "mp4", "none"] = "gif"
    device: str = "auto"


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
        raise InputError("--video mp4 needs PyAV; pip install 'get3d[video]', or take gif")
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
