"""Options of `get3d bench`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.options import Option
from get3d.ranges import Range

__all__ = ["BenchConfig"]


@dataclass(frozen=True)
class BenchConfig:
    """Measurements. Versions that are compared alternate, and the medians are shown.

    Attributes:
        preset: preset whose training step is timed, in a new run.
        model: model whose objects are timed, as for `get3d generate`; by default an untrained model of the preset.
        full: also time the full-size generator, and a compiled step, which takes minutes.
        ranks: only divide the training step among 1, 2, … up to this many processes, and measure their communication.
        repeats: number of repetitions of each measurement.
        warm: number of training steps before one is timed.
        json: also write the rows to this file.
        shapes: number of shapes in a batch for surfaces and fields.
        grid: resolution of the grid for surfaces and fields.
        image: side in pixels of the image for visibility.
        mesh_faces: number of faces of the mesh for visibility.
        faces: maximum number of faces of a generated object.
        texture: side in pixels of its texture.
        device: "auto" uses a GPU if there is one.
    """

    preset: str = "demo"
    model: Annotated[str | None, Option(default="the preset's, untrained")] = None
    full: bool = False
    ranks: Annotated[int, Range(1, 1024)] = 1
    repeats: Annotated[int, Range(1, 1000)] = 5
    warm: Annotated[int, Range(0, 10_000)] = 32
    json: Path | None = None
    shapes: Annotated[int, Range(1, 64)] = 4
    grid: Annotated[int, Range(2, 256)] = 64
    image: Annotated[int, Range(16, 8192)] = 512
    mesh_faces: Annotated[int, Range(100, 10_000_000)] = 60_000
    faces: Annotated[int, Range(4, 10_000_000)] = 20_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    device: str = "auto"
