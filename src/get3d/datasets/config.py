"""What one can ask of the commands that make, check and pack datasets. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.camera_prior import CameraPrior
from get3d.datasets.description import Assumed, require_prior
from get3d.files import InputError
from get3d.options import Option
from get3d.ranges import SEED, Range, require_ranges

__all__ = ["RESOLUTIONS", "CheckConfig", "PackConfig", "SynthConfig", "require_images"]

RESOLUTIONS = tuple(2**power for power in range(4, 12))
"""Sides of images that networks can be built for."""


def require_images(prior: CameraPrior) -> None:
    """Sees to it that a command can draw images as it is told.

    Args:
        prior: where the cameras are drawn from.

    Raises:
        InputError: an option is out of its range.
    """
    try:
        require_prior(prior)
    except ValueError as error:
        raise InputError(f"--prior: {error}; see --help for what each means") from error
    if prior.radius <= 1:
        raise InputError(f"--prior.radius is {prior.radius}, but it must be more than 1, outside the objects")


@dataclass(frozen=True)
class SynthConfig:
    """A dataset of procedural objects: images with cameras, and the meshes they show.

    Attributes:
        kind: what to make; "all" makes as many of each kind, labelled, for a model of several classes.
        out: folder of the dataset. An unfinished one is gone on with, a finished one is enlarged by more shapes.
        shapes: how many objects of a kind; of ten, seven are for training, one for validation and two for testing.
        views: images of each object.
        resolution: side of the images in pixels, a power of two.
        seed: another seed, other objects and cameras; an object depends on the seed and its number only.
        scale: longest side of the objects; the camera stands 1.2 away.
        texture: side of the objects' textures in texels.
        prior: where the cameras are drawn from.
        workers: processes that work side by side; 0: one for each processor core.
    """

    kind: Annotated[Literal["chair", "car", "vase", "all"], Option(positional="KIND")]
    out: Path
    shapes: Annotated[int, Range(1, 10**6)] = 200
    views: Annotated[int, Range(1, 1000)] = 24
    resolution: Annotated[int, Range(16, 2048, power_of_two=True)] = 128
    seed: Annotated[int, SEED] = 0
    scale: Annotated[float | None, Option(default="chair 0.7, car 0.9, vase 0.8"), Range(0.01, 1)] = None
    texture: Annotated[int, Range(256, 8192)] = 512
    prior: CameraPrior = field(default_factory=CameraPrior)
    workers: Annotated[int, Range(0, 1024)] = 0

    def __post_init__(self) -> None:
        require_ranges(self)
        require_images(self.prior)


@dataclass(frozen=True)
class PackConfig:
    """Packing.

    Attributes:
        data: dataset folder, in our layout or the published one, or packed before.
        out: folder for the shards; repeat the command to go on.
        shard_size: most MiB of a shard, unless a single image is larger.
        meshes: also copy the meshes, which only evaluation and `get3d check` read.
        assumed: what the dataset is taken to be where it does not say so itself.
    """

    data: Annotated[Path, Option(positional="DATA")]
    out: Path
    shard_size: Annotated[float, Range(0, 2**20, above=True)] = 256.0
    meshes: bool = True
    assumed: Assumed = field(default_factory=Assumed)


@dataclass(frozen=True)
class CheckConfig:
    """Read a whole dataset and say what is wrong with each file; exits with 1 when it cannot be trained on.

    Attributes:
        data: the dataset's folder.
        report: also write a page for a browser to this .html file, and the diagram of its cameras to a .png beside it.
        splits: folder with train.txt, val.txt and test.txt, in place of the dataset's own splits.
        json: print the report as JSON, and nothing else.
    """

    data: Annotated[Path, Option(positional="DATA")]
    report: Path | None = None
    splits: Path | None = None
    json: bool = False
