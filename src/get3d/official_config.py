"""What one can ask of `get3d convert`. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from get3d.options import Option

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
        to_published: convert one of our models back.
    """

    file: Annotated[Path, Option(positional="FILE")]
    out: Path
    kind: Annotated[PublishedClass, Option(flag="class")] = "car"
    grid: int = 90
    to_published: bool = False
