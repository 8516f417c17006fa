"""What one can ask of `get3d bench`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.options import Option

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
        picture: side in pixels of the picture for visibility.
        mesh_faces: faces of the mesh for visibility.
        faces: most faces of a generated object.
        texture: side of its texture.
        device: "auto" takes a GPU where there is one.
    """

    preset: str = "demo"
    model: Annotated[str | None, Option(default="the preset's, untrained")] = None
    full: bool = False
    ranks: int = 1
    repeats: int = 5
    warm: int = 32
    json: Path | None = None
    shapes: int = 4
    grid: int = 64
    picture: int = 512
    mesh_faces: int = 60_000
    faces: int = 20_000
    texture: int = 1024
    device: str = "auto"
