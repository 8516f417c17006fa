"""Options of fitting and reconstruction. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from get3d.generation.config import Settings
from get3d.options import Option
from get3d.ranges import SEED, Range
from get3d.reconstruction.config import LOSS_WEIGHTS

__all__ = ["FIT_LOSSES", "FitConfig"]

FIT_LOSSES = LOSS_WEIGHTS | {"structure": 0.3}
"""Weights of the image losses in a fit."""


@dataclass(frozen=True)
class FitConfig(Settings):
    """An object of a model that looks like images.

    Attributes:
        images: one or several images of the same object, with alpha, with --mask, or on a background of one colour.
        mask: a mask for each image, white is the object; replaces alpha.
        cameras: table of the images' cameras as in datasets (cameras.csv: image,azimuth,polar in degrees); by default
            the cameras are estimated.
        name: name of the object; by default that of the first image.
        starts: number of random objects that the search begins from, besides the mean object and training objects.
        steps: steps of the last stage, which fits a style for each layer; earlier stages take shares of them.
        tune: also tune the generator near the object (pivotal tuning). The changes are saved beside it.
        image_resolution: greatest side of the compared images in pixels.
        losses: weights of the image losses.
        prior: weight of the mean square of the styles, in standard deviations of the model's random styles.
        layer_prior: weight of the mean square of how far the styles of the layers are from one another.
        seed: seed of the random objects.
    """

    images: Annotated[tuple[Path, ...], Option(positional="IMAGE")] = ()
    mask: Annotated[tuple[Path, ...], Option(common=True)] = ()
    cameras: Annotated[Path | None, Option(common=True, default="estimated")] = None
    name: Annotated[str | None, Option(common=True, default="of the first image")] = None
    starts: Annotated[int, Option(common=True), Range(0, 10_000)] = 24
    steps: Annotated[int, Option(common=True), Range(1, 100_000)] = 200
    tune: Annotated[bool, Option(common=True)] = False
    image_resolution: Annotated[int, Range(16, 2048)] = 128
    losses: Annotated[dict[str, float], Range(0)] = field(default_factory=lambda: dict(FIT_LOSSES))
    prior: Annotated[float, Range(0)] = 0.01
    layer_prior: Annotated[float, Range(0)] = 0.1
    seed: Annotated[int, SEED] = 0
