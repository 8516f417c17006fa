"""Options of `get3d convert`. This module imports nothing heavy."""

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
    """Converting a published checkpoint to a get3d model, or back.

    Attributes:
        file: the published checkpoint; with --to-published, a get3d model or checkpoint.
        out: folder for the model; with --to-published, the file to write.
        kind: class of the published model, which sets the size of its grid.
        grid: resolution of the grid for extracting surfaces.
        grid_size: side of the grid, instead of the one set by --class; for checkpoints trained with other settings.
        to_published: convert a get3d model back.
    """

    file: Annotated[Path, Option(positional="FILE")]
    out: Path
    kind: Annotated[PublishedClass, Option(flag="class")] = "car"
    grid: Annotated[int, Range(4, 1024)] = 90
    grid_size: Annotated[float | None, Option(default="by --class"), Range(0.01, 2)] = None
    to_published: bool = False

    def __post_init__(self) -> None:
        if self.to_published and self.grid_size is not None:
            raise InputError("--grid-size is only for a published file, which does not contain it; leave it out")
