"""The discriminator: judges an image's colours and its silhouette, given its camera."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from get3d.networks.config import DiscriminatorConfig
from get3d.networks.layers import Conv, Dense, channels_per_resolution, downsample
from get3d.networks.mapping import LR_MULTIPLIER, normalized, one_hot

__all__ = ["Discriminator", "DiscriminatorConfig", "Logits", "camera_features", "minibatch_deviation"]

LARGEST_KEPT = 256
"""Side of the largest images whose features are saved for the backward pass; larger ones are recomputed."""


@dataclass(frozen=True)
class Logits:
    """How real images look; positive is real.

    Attributes:
        rgb: by their colours.
        mask: by their silhouettes; None where these were not judged.
    """

    rgb: Float[Tensor, "n 1"]
    mask: Float[Tensor, "n 1"] | None

    @property
    def branches(self) -> dict[str, Float[Tensor, "n 1"]]:
        """What was judged, by the name of the branch."""
        return {"rgb": self.rgb} if self.mask is None else {"rgb": self.rgb, "mask": self.mask}


def camera_features(angles: Float[Tensor, "n 2"]) -> Float[Tensor, "n 14"]:
    """The camera condition of the discriminator: [sin a, cos a, sin 2a, cos 2a, sin 4a, cos 4a, a].

    Args:
        angles: azimuth and polar angle from +Y, in radians.
    """
    waves = [wave(frequency * angles) for frequency in (1, 2, 4) for wave in (torch.sin, torch.cos)]
    return torch.cat([*waves, angles], dim=1)


def minibatch_deviation(x: Float[Tensor, "n c h w"], group: int) -> Float[Tensor, "n 1 h w"]:
    """The mean standard deviation of features within groups of images (Karras et al. 2018, section 3).

    Args:
        x: features of images; images next to each other are a group.
        group: images of a group; all of them where there are fewer.

    Raises:
        ValueError: the number of images is not divisible by the size of a group.
    """
    n, _, h, w = x.shape
    size = min(group, n)
    if n % size:
        raise ValueError(f"a batch of {n} images cannot be split into groups of {size}; change the batch or the group")
    grouped = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(n // size, size, -1)
    deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean(1)
    return deviation.to(x.dtype).repeat_interleave(size)[:, None, None, None].expand(n, 1, h, w)


class DiscriminatorBlock(nn.Module):
    """One resolution: the image read in, added to the features so far, convolved, and halved."""

    def __init__(self, channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.read = Conv(channels, inputs, kernel=1)
        self.conv0 = Conv(inputs, inputs)
        self.conv1 = Conv(inputs, outputs, down=True)

    def forward(self, x: Tensor | None, image: Tensor) -> Tensor:
        """Features of half the resolution, from those so far and the image at this resolution."""
        read = self.read(image)
        return self.conv1(self.conv0(read if x is None else x + read))


class DiscriminatorBranch(nn.Module):
    """One of the two discriminators: StyleGAN2's, "skip" architecture, with the condition projected onto its output.

    Args:
        config: sizes.
        channels: of the images: 3 for colours, 1 for masks.
        resolution: of the images.
        label_dim: number of classes; 0 for none.
    """

    def __init__(self, config: DiscriminatorConfig, *, channels: int, resolution: int, label_dim: int) -> None:
        super().__init__()
        self.group = config.group
        widths = channels_per_resolution(resolution, config.channel_base, config.channel_max)
        width = widths.pop(4)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(channels, inputs, widths.get(side // 2, width))
            for side, inputs in reversed(widths.items())
        )
        self.read = Conv(channels, width, kernel=1)
        self.conv = Conv(width + 1, width)
        self.dense = Dense(width * 16, width, active=True)
        self.out = Dense(width, config.condition)
        self.embed = Dense(14 + label_dim, config.condition)
        self.mapping = nn.Sequential(
            *(
                Dense(config.condition, config.condition, active=True, lr_multiplier=LR_MULTIPLIER)
                for _ in range(config.condition_layers)
            )
        )

    def forward(
        self, image: Float[Tensor, "n c r r"], condition: Float[Tensor, "n k"], *, recompute: bool = True
    ) -> Float[Tensor, "n 1"]:
        """Logits of images, given camera features and one-hot labels.

        Args:
            image: the images.
            condition: camera features and one-hot labels.
            recompute: compute the features of large images again in the backward pass, which needs less memory.
        """
        x = None
        # torch.compile decides by itself what to save.
        recompute = recompute and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        for block in self.blocks:
            if recompute and image.shape[-1] > LARGEST_KEPT:
                x = checkpoint(block, x, image, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, image)
            image = downsample(image)
        x = self.read(image) if x is None else x + self.read(image)
        x = self.conv(torch.cat([x, minibatch_deviation(x, self.group)], dim=1))
        x = self.out(self.dense(x.flatten(1)))
        mapped = self.mapping(normalized(self.embed(condition)))
        return (x.to(condition.dtype) * mapped).sum(1, keepdim=True) / math.sqrt(x.shape[1])


class Discriminator(nn.Module):
    """Judges colours and silhouettes separately, in two branches of the same architecture.

    Args:
        config: sizes.
        resolution: side of the images, a power of two, at least 4.
        label_dim: number of classes; 0 for none.
    """

    def __init__(self, config: DiscriminatorConfig, *, resolution: int, label_dim: int = 0) -> None:
        super().__init__()
        self.config = config
        self.resolution = resolution
        self.label_dim = label_dim
        self.rgb = DiscriminatorBranch(config, channels=3, resolution=resolution, label_dim=label_dim)
        self.mask = DiscriminatorBranch(config, channels=1, resolution=resolution, label_dim=label_dim)

    def forward(
        self,
        images: Float[Tensor, "n 4 r r"],
        angles: Float[Tensor, "n 2"],
        label: Int[Tensor, " n"] | None = None,
        *,
        masks: bool = True,
    ) -> Logits:
        """Logits of images.

        Args:
            images: RGB in [−1, 1] and mask in [0, 1].
            angles: azimuth and polar angle of their cameras, in radians.
            label: class numbers, for a discriminator of classes.
            masks: also judge silhouettes.

        Raises:
            ValueError: the images have another resolution; their number is not divisible by the size of a group; a
                label is missing, or given where there are no classes.
        """
        images, condition = self._inputs(images, angles, label)
        return Logits(
            rgb=self.rgb(images[:, :3], condition), mask=self.mask(images[:, 3:], condition) if masks else None
        )

    def branch(
        self,
        name: Literal["rgb", "mask"],
        images: Float[Tensor, "n 4 r r"],
        angles: Float[Tensor, "n 2"],
        label: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n 1"]:
        """The logits of one branch, never compiled and with all features kept, for second derivatives.

        Args:
            name: of the branch.
            images: as for `forward`, as are the others.
            angles: of their cameras.
            label: class numbers.

        Raises:
            ValueError: as `forward`.
        """
        images, condition = self._inputs(images, angles, label)
        if name == "rgb":
            logits: Tensor = self.rgb(images[:, :3], condition, recompute=False)
        else:
            logits = self.mask(images[:, 3:], condition, recompute=False)
        return logits

    def _inputs(self, images: Tensor, angles: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The images in the memory format of convolutions, and the condition."""
        if images.shape[-1] != self.resolution:
            raise ValueError(f"images of {images.shape[-1]}² given to a discriminator of {self.resolution}²")
        condition = torch.cat([camera_features(angles), one_hot(label, self.label_dim, angles)], dim=1)
        return images.contiguous(memory_format=torch.channels_last), condition
