"""What one can ask of `get3d bench`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.options import Option
from get3d.ranges import Range

__all__ = ["BenchConfig"]


@dataclass(frozen=True)
class BenchConfig:
    """Measurements. What is compared takes turns, and the medians of a few turns are shown.

    Attributes:
        preset: whose training step is timed, on a fresh run.
        model: whose objects are timed, as `get3d generate` takes it; by default those of the preset, untrained.
        full: also time the full-size generator, which takes minutes.
        ranks: instead of all else, share the step among 1, 2, … up to so many processes, and tell how much of it is
            communication.
        repeats: turns of each measurement.
        warm: training steps before one is timed.
        json: also write the rows to this file.
        shapes: of a batch for surfaces and fields.
        grid: resolution of the grid for surfaces and fields.
        image: side in pixels of the image for visibility.
        mesh_faces: faces of the mesh for visibility.
        faces: most faces of a generated object.
        texture: side of its texture.
        device: "auto" takes a GPU where there is one.
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
