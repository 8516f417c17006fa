"""What one can ask of the commands that make, check and pack datasets. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.camera_prior import CameraPrior
from get3d.data.description import Assumed, require_prior
from get3d.files import InputError
from get3d.options import Option

__all__ = ["RESOLUTIONS", "CheckConfig", "Light", "PackConfig", "SynthConfig", "require_pictures"]

RESOLUTIONS = tuple(2**power for power in range(4, 12))
"""Sides of pictures that networks can be built for."""


Light = Literal["studio", "even"]
"""A key light and the sky, or light from all sides alike, in which colours are those of the texture."""


def require_pictures(resolution: int, prior: CameraPrior) -> None:
    """Sees to it that a command can draw pictures as it is told.

    Args:
        resolution: side of the pictures in pixels.
        prior: where the cameras are drawn from.

    Raises:
        InputError: an option is out of its range.
    """
    if resolution not in RESOLUTIONS:
        raise InputError(f"--resolution is {resolution}, but it must be a power of two from 16 to 2048")
    try:
        require_prior(prior)
    except ValueError as error:
        raise InputError(f"--prior: {error}; see --help for what each means") from error
    if prior.radius <= 1:
        raise InputError(f"--prior.radius is {prior.radius}, but it must be more than 1, outside the objects")


@dataclass(frozen=True)
class SynthConfig:
    """A dataset of procedural objects: pictures with cameras, and the meshes they show.

    Attributes:
        kind: what to make; "all" makes as many of each kind, labelled, for a model of several classes.
        out: folder of the dataset. An unfinished one is gone on with, a finished one is enlarged by more shapes.
        shapes: how many objects of a kind; of ten, seven are for training, one for validation and two for testing.
        views: pictures of each object.
        resolution: side of the pictures in pixels, a power of two.
        seed: another seed, other objects and cameras; an object depends on the seed and its number only.
        scale: longest side of the objects; the camera stands 1.2 away.
        texture: side of the objects' textures in texels.
        prior: where the cameras are drawn from.
        workers: processes that work side by side; 0: one for each processor core.
    """

    kind: Annotated[Literal["chair", "car", "vase", "all"], Option(positional="KIND")]
    out: Path
    shapes: int = 200
    views: int = 24
    resolution: int = 128
    seed: int = 0
    scale: Annotated[float | None, Option(default="chair 0.7, car 0.9, vase 0.8")] = None
    texture: int = 512
    prior: CameraPrior = field(default_factory=CameraPrior)
    workers: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("shapes", 1, 10**6), ("views", 1, 1000), ("texture", 256, 8192), ("workers", 0, 1024)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"--{name} is {value}, but it must lie between {low} and {high}")
        if self.scale is not None and not 0.01 <= self.scale <= 1.0:
            raise InputError(f"--scale is {self.scale}, but it must lie between 0.01 and 1")
        require_pictures(self.resolution, self.prior)


@dataclass(frozen=True)
class PackConfig:
    """Packing.

    Attributes:
        data: dataset folder, in our layout or the published one, or packed before.
        out: folder for the shards; repeat the command to go on.
        shard_size: most MiB of a shard, unless a single picture is larger.
        meshes: also copy the meshes, which only evaluation and `get3d check` read.
        assumed: what the dataset is taken to be where it does not say so itself.
    """

    data: Annotated[Path, Option(positional="DATA")]
    out: Path
    shard_size: float = 256.0
    meshes: bool = True
    assumed: Assumed = field(default_factory=Assumed)


@dataclass(frozen=True)
class CheckConfig:
    """Read a whole dataset and say what is wrong with each file; exits with 1 when it cannot be trained on.

    Attributes:
        data: the dataset's folder.
        report: also write a page for a browser to this .html file, and the diagram of its cameras to a .png beside it.
        splits: folder with train.txt, val.txt and test.txt, in place of the dataset's own splits.
    """

    data: Annotated[Path, Option(positional="DATA")]
    report: Path | None = None
    splits: Path | None = None
