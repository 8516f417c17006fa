"""The light of a dataset's images. This module imports nothing heavy: options are made from it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["LightChoice", "LightKind", "LightName", "LightPrior", "ShadingName"]

LightName = Literal["studio", "even"]
"""A key light and the sky, or equal light from all sides, in which colours are those of the texture."""

LightKind = Literal[LightName, "learnt"]
"""What lights the images of a model: those, or a light that it has learnt with the objects."""

LightChoice = Literal[LightName, "random"]
"""What a dataset can be drawn in: those, and the studio turned by an angle of its own in each image."""

ShadingName = Literal["matte", "pbr"]
"""Surfaces that mirror nothing, or as their roughness and metallic say."""


@dataclass(frozen=True)
class LightPrior:
    """What lights the objects of a dataset, or of a model; only a model's light can be learnt.

    Attributes:
        kind: the light.
        turned: whether it is turned about +Y in each image, by an angle that is drawn evenly.
        shading: how surfaces answer it.
    """

    kind: LightKind = "studio"
    turned: bool = False
    shading: ShadingName = "matte"

    @classmethod
    def of(cls, choice: LightChoice, shading: ShadingName) -> "LightPrior":
        """The light that a dataset is drawn in."""
        return cls("studio", True, shading) if choice == "random" else cls(choice, False, shading)
