"""What one can ask of the commands about models. This module imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from get3d.options import Option

__all__ = ["ModelsConfig", "ReleaseConfig"]


@dataclass(frozen=True)
class ReleaseConfig:
    """A model by itself, without what only training needs.

    Attributes:
        model: the folder of a training run, a checkpoint, or a model.
        out: folder for model.safetensors.
        title: what it makes, in a few words; `get3d models` and whoever reads the file see it.
        licence: of the model.
    """

    model: Annotated[str, Option(positional="MODEL")]
    out: Path
    title: str
    licence: str


@dataclass(frozen=True)
class ModelsConfig:
    """The models that come with the package.

    Attributes:
        json: print the list as JSON, for programs.
    """

    json: bool = False
