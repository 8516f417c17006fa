"""Sizes of networks. This module imports nothing heavy, because options are made from it."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from get3d.options import Option
from get3d.ranges import Range

__all__ = [
    "DiscriminatorConfig",
    "PlanesConfig",
    "PriorConfig",
    "SeparateConfig",
    "SynthesisConfig",
    "UnifiedConfig",
    "VolumeConfig",
    "channels_per_resolution",
]


MOST_STYLES = 4096
"""Known styles that a model holds; more would make the file large and the flow slow."""


def channels_per_resolution(resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """The resolutions 4, 8, … of a network's blocks up to its own, and their channels: min(base / resolution, most).

    Raises:
        ValueError: the resolution is not a power of two, or less than 4.
    """
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"a network's resolution of {resolution} must be a power of two, at least 4")
    sides = [2**k for k in range(2, resolution.bit_length())]
    return {side: max(min(channel_base // side, channel_max), 1) for side in sides}


@dataclass(frozen=True)
class PlanesConfig:
    """Sizes of a tri-plane network.

    Attributes:
        resolution: side of a plane, a power of two, at least 4.
        channels: number of features per plane.
        channel_base: a block of resolution r has channel_base / r channels, up to channel_max.
        channel_max: maximum number of channels of a block.
    """

    resolution: Annotated[int, Range(4, 4096, power_of_two=True)] = 256
    channels: Annotated[int, Range(1, 65_536)] = 32
    channel_base: Annotated[int, Range(1, 2**24)] = 32768
    channel_max: Annotated[int, Range(1, 65_536)] = 512

    def widths(self) -> dict[int, int]:
        """The resolution of each block, and the number of channels inside it."""
        return channels_per_resolution(self.resolution, self.channel_base, self.channel_max)


@dataclass(frozen=True)
class SynthesisConfig:
    """What both generators have: tri-planes with a texture head."""

    planes: PlanesConfig = field(default_factory=PlanesConfig)
    texture_features: Annotated[int, Range(1, 65_536)] = 16
    texture_frequencies: Annotated[int, Range(0, 1024)] = 0
    channels: Annotated[tuple[str, ...], Option(hidden=True)] = ("base_color",)

    memory_factor: ClassVar[int]
    """Memory of a shape on a grid, as a multiple of what tri-planes take."""


@dataclass(frozen=True)
class UnifiedConfig(SynthesisConfig):
    """One network for both kinds of tri-planes, as in the paper's improved generator and its published checkpoints.

    Attributes:
        planes: sizes of the tri-plane network.
        texture_features: number of outputs of the texture head, which are inputs of the colour layer.
        texture_frequencies: textures also have waves of the position, of 1 to so many cycles over the cube along each
            axis, with amplitudes that are linear in the style; patterns are made of them. 0, as published: none.
        channels: channels of the texture field, rows of `get3d.materials.CHANNELS`.
    """

    memory_factor: ClassVar[int] = 1


@dataclass(frozen=True)
class VolumeConfig:
    """Sizes of a volume network.

    Attributes:
        resolution: side of a volume, a power of two, at least 4.
        channel_base: a block of resolution r has channel_base / r channels, up to channel_max.
        channel_max: maximum number of channels of a block.
        hidden: width of the following dense layers.
    """

    resolution: Annotated[int, Range(4, 512, power_of_two=True)] = 32
    channel_base: Annotated[int, Range(1, 2**24)] = 2048
    channel_max: Annotated[int, Range(1, 65_536)] = 256
    hidden: Annotated[int, Range(1, 65_536)] = 256

    def widths(self) -> dict[int, int]:
        """The resolution of each block, and its number of channels."""
        return channels_per_resolution(self.resolution, self.channel_base, self.channel_max)


@dataclass(frozen=True)
class SeparateConfig(SynthesisConfig):
    """Volumes for geometry and tri-planes for texture, as in the paper's first generator.

    Attributes:
        volume: sizes of each of the two volume networks.
        planes: sizes of the texture's tri-plane network.
        texture_features: number of outputs of the texture head, which are inputs of the colour layer.
        texture_frequencies: textures also have waves of the position, of 1 to so many cycles over the cube along each
            axis, with amplitudes that are linear in the style; patterns are made of them. 0, as published: none.
        channels: channels of the texture field, rows of `get3d.materials.CHANNELS`.
    """

    volume: VolumeConfig = field(default_factory=VolumeConfig)

    memory_factor: ClassVar[int] = 5


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of a discriminator.

    Attributes:
        channel_base: a block of resolution r has channel_base / r channels, up to channel_max.
        channel_max: maximum number of channels of a block.
        condition: size of the mapped condition.
        condition_layers: number of dense layers that map the condition.
        group: size of the groups of images for the minibatch standard deviation.
    """

    channel_base: Annotated[int, Range(1, 2**24)] = 32768
    channel_max: Annotated[int, Range(1, 65_536)] = 512
    condition: Annotated[int, Range(1, 65_536)] = 512
    condition_layers: Annotated[int, Range(1, 64)] = 8
    group: Annotated[int, Range(1, 65_536)] = 4


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a distribution of styles around known ones.

    Attributes:
        styles: number of known styles; 0: there are none, and mapping networks give random styles.
        components: maximum number of principal components along which random styles vary.
        bandwidth: how far random styles are from known ones, as a share of the spread of these: 1 for a Gaussian of
            all, less for many small ones around them.
    """

    styles: Annotated[int, Range(0, MOST_STYLES)] = 0
    components: Annotated[int, Range(1, 4096)] = 40
    bandwidth: Annotated[float, Range(0, 1, above=True)] = 0.4

    @classmethod
    def of(cls, objects: int, components: int, bandwidth: float) -> "PriorConfig":
        """Of that many objects, or of as many of them as a model holds."""
        return cls(min(objects, MOST_STYLES), components, bandwidth)
