"""What one can ask of `get3d convert`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from get3d.files import InputError
from get3d.options import Option
from get3d.ranges import Range

__all__ = ["ConvertConfig", "PublishedClass"]

PublishedClass = Literal["car", "chair", "motorbike", "table"]


@dataclass(frozen=True)
class ConvertConfig:
    """A published checkpoint to one of our models, or back.

    Attributes:
        file: the published checkpoint; with --to-published one of our models or checkpoints.
        out: folder for the model; with --to-published the file to write.
        kind: what the published model makes, which sets the size of its grid.
        grid: resolution of the grid that surfaces are extracted on.
        grid_size: side of the grid, in place of the one that --class sets: for checkpoints of another training.
        to_published: convert one of our models back.
    """

    file: Annotated[Path, Option(positional="FILE")]
    out: Path
    kind: Annotated[PublishedClass, Option(flag="class")] = "car"
    grid: Annotated[int, Range(4, 1024)] = 90
    grid_size: Annotated[float | None, Option(default="by --class"), Range(0.01, 2)] = None
    to_published: bool = False

    def __post_init__(self) -> None:
        if self.to_published and self.grid_size is not None:
            raise InputError("--grid-size is for a published file, which does not hold it; leave it out")
