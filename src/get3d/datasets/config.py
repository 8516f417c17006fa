"""Options of the commands that make, check and pack datasets. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.camera_prior import CameraPrior
from get3d.datasets.description import Assumed, require_prior
from get3d.files import InputError
from get3d.light_prior import LightChoice, ShadingName
from get3d.options import Option
from get3d.ranges import SEED, Range, require_ranges

__all__ = ["RESOLUTIONS", "CheckConfig", "PackConfig", "SynthConfig", "require_images"]

RESOLUTIONS = tuple(2**power for power in range(4, 12))
"""Sides of images that networks can be built for."""


def require_images(prior: CameraPrior) -> None:
    """Checks that images can be drawn with a prior.

    Args:
        prior: the distribution of the cameras.

    Raises:
        InputError: an option is out of its range.
    """
    try:
        require_prior(prior)
    except ValueError as error:
        raise InputError(f"--prior: {error}; see --help for the meaning of each option") from error
    if prior.radius <= 1:
        raise InputError(f"--prior.radius is {prior.radius}, but it must be more than 1, outside the objects")


@dataclass(frozen=True)
class SynthConfig:
    """A dataset of procedural objects: images with cameras, and the meshes they show.

    Attributes:
        kind: kind of objects; "all" makes the same number of each kind, labelled, for a model of several classes.
        out: folder of the dataset. An incomplete dataset is completed; more shapes enlarge a complete one.
        shapes: number of objects of each kind; 70 % are for training, 10 % for validation and 20 % for testing.
        views: number of images of each object.
        resolution: side of the images in pixels, a power of two.
        seed: seed of objects and cameras. An object depends only on the seed and on its number.
        scale: longest side of the objects; the default camera distance is 1.2.
        texture: side of the objects' textures in texels.
        prior: the distribution that cameras are drawn from.
        light: "studio" is a soft lamp and the sky; "even" shows the colours of the textures unchanged; "random" turns
            the studio about +Y by another angle in each image, which `cameras.csv` records.
        shading: "matte" shows only the base colour; "pbr" also roughness and metallic.
        workers: number of parallel processes; 0: one for each processor core.
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
    light: LightChoice = "studio"
    shading: ShadingName = "matte"
    workers: Annotated[int, Range(0, 1024)] = 0

    def __post_init__(self) -> None:
        require_ranges(self)
        require_images(self.prior)


@dataclass(frozen=True)
class PackConfig:
    """Packing a dataset into tar files.

    Attributes:
        data: dataset folder, in the own or the published layout, or packed.
        out: folder for the shards; the same command again resumes.
        shard_size: maximum size of a shard in MiB; a single larger image gets its own shard.
        meshes: also copy the meshes, which only evaluation and `get3d check` read.
        assumed: values for what the dataset does not specify.
    """

    data: Annotated[Path, Option(positional="DATA")]
    out: Path
    shard_size: Annotated[float, Range(0, 2**20, above=True)] = 256.0
    meshes: bool = True
    assumed: Assumed = field(default_factory=Assumed)


@dataclass(frozen=True)
class CheckConfig:
    """Checking all files of a dataset.

    Attributes:
        data: dataset folder.
        report: also write a report page to this .html file, and a diagram of the cameras to a .png file next to it.
        splits: folder with train.txt, val.txt and test.txt to use instead of the dataset's own splits.
        json: print only the report, as JSON.
    """

    data: Annotated[Path, Option(positional="DATA")]
    report: Path | None = None
    splits: Path | None = None
    json: bool = False
