"""Options of the commands about models. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.options import Option
from get3d.ranges import Range

__all__ = ["ModelsConfig", "ReleaseConfig"]


@dataclass(frozen=True)
class ReleaseConfig:
    """A model to share, without what only training needs.

    Attributes:
        model: the folder of a training run, a checkpoint, or a model.
        out: folder for model.safetensors.
        title: what the model makes, in a few words; it is stored in the file and shown by `get3d models`.
        licence: licence of the model.
        bandwidth: new bandwidth of its random objects, of a model that had a warm-up: less brings them nearer to
            training objects, so that fewer are between kinds (default: that of its training).
    """

    model: Annotated[str, Option(positional="MODEL")]
    out: Path
    title: str
    licence: str
    bandwidth: Annotated[float | None, Range(0, 1, above=True, below=True)] = None


@dataclass(frozen=True)
class ModelsConfig:
    """The bundled models.

    Attributes:
        json: print the list as JSON.
    """

    json: bool = False
