"""How drawn images differ from real ones of the same cameras.

A loss is a function of the drawn and the real images, a row of `IMAGE_LOSSES`; its name and its default weight are in
`get3d.reconstruction.config`. Each is a mean over the images, so that losses of parts of a batch average to that of the
batch.
"""

from functools import cache
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from get3d.files import InputError
from get3d.images import Images
from get3d.metrics.feature_networks import EfficientNetLite

__all__ = [
    "IMAGE_LOSSES",
    "ImageLoss",
    "color_loss",
    "image_losses",
    "mask_loss",
    "perceptual_loss",
    "require_losses",
    "structure_loss",
]

MASK_SCALES = 4
PERCEPTUAL_SCALES, SMALLEST_PERCEIVED = 4, 32
STRUCTURE_SCALES, STRUCTURE_WINDOW, STRUCTURE_STRIDE = 3, 7, 3


class ImageLoss(Protocol):
    """A differentiable difference of images."""

    def __call__(self, drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
        """The mean over the images.

        Args:
            drawn: n images.
            real: what the same cameras saw: colours in [−1, 1] and the mask.
        """


def color_loss(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """Mean absolute difference of the colours, over the pixels that both images cover by more than half."""
    both = ((drawn.mask > 0.5) & (real[:, 3:] > 0.5)).to(drawn.rgb.dtype)
    difference = ((drawn.rgb - real[:, :3]) * both).abs().sum((1, 2, 3))
    return (difference / (3 * both.sum((1, 2, 3)).clamp(min=1))).mean()


def mask_loss(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """Mean squared difference of the antialiased masks, averaged over blocks of 1, 2, 4 and 8 pixels; the sum of these.

    A silhouette's gradient reaches one pixel far; that of coarser masks moves what is farther off.
    """
    difference = drawn.mask - real[:, 3:]
    total = difference.square().mean()
    for scale in range(1, MASK_SCALES):
        if difference.shape[-1] >= 2**scale:
            total = total + avg_pool2d(difference, 2**scale).square().mean()
    return total


def structure_loss(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """1 − structural similarity of the images on black, averaged over those of full, half and quarter size.

    Edges count here, also where colours are off (Wang et al. 2004, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", with square windows of 7 pixels every 3; over scales as Wang et al. 2003).
    """
    a, b = (((image[:, :3] + 1) / 2 * mask) for image, mask in ((drawn.rgb, drawn.mask), (real, real[:, 3:])))
    total, scales = a.new_zeros(()), 0
    while scales < STRUCTURE_SCALES and a.shape[-1] >= STRUCTURE_WINDOW:
        total, scales = total + 1 - _similarity(a, b), scales + 1
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
    return total / max(scales, 1)


def _similarity(a: Float[Tensor, "n 3 r r"], b: Float[Tensor, "n 3 r r"]) -> Float[Tensor, ""]:
    """Mean structural similarity of images in [0, 1]."""
    moments = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    means = avg_pool2d(moments, STRUCTURE_WINDOW, STRUCTURE_STRIDE)
    mean_a, mean_b, square_a, square_b, product = means.chunk(5, dim=1)
    both, c1, c2 = mean_a * mean_b, 0.01**2, 0.03**2
    covariance, variances = product - both, square_a + square_b - mean_a.square() - mean_b.square()
    light = (2 * both + c1) / (mean_a.square() + mean_b.square() + c1)
    return (light * (2 * covariance + c2) / (variances + c2)).mean()


@cache
def _network() -> EfficientNetLite:
    return EfficientNetLite()


def perceptual_loss(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, ""]:
    """Mean squared distance of the normalised features of a trained network, over images on grey and four resolutions.

    As in Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", with
    EfficientNet-Lite1 and without weights of channels.

    Raises:
        InputError: the network is not installed.
    """
    network, side = _network(), max(drawn.rgb.shape[-1], SMALLEST_PERCEIVED)

    def maps(rgb: Tensor, mask: Tensor) -> list[Tensor]:
        # Grey is 0 in [−1, 1].
        return network.maps(interpolate(rgb * mask, (side, side), mode="bilinear"), PERCEPTUAL_SCALES)

    a, b = maps(drawn.rgb, drawn.mask), maps(real[:, :3], real[:, 3:])
    parts = [(_normalized(one) - _normalized(other)).square().sum(1).mean() for one, other in zip(a, b, strict=True)]
    return torch.stack(parts).mean()


def _normalized(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return features / (features.square().sum(1, keepdim=True) + 1e-6).sqrt()


IMAGE_LOSSES: dict[str, ImageLoss] = {
    "color": color_loss,
    "mask": mask_loss,
    "structure": structure_loss,
    "perceptual": perceptual_loss,
}
"""The losses by name."""


def require_losses(weights: dict[str, float], option: str = "--losses") -> None:
    """Sees to it that losses with a weight can be computed.

    Raises:
        InputError: there is no such loss, or its network is not installed.
    """
    unknown = sorted(weights.keys() - IMAGE_LOSSES.keys())
    if unknown:
        raise InputError(f"{option} is {', '.join(unknown)}; it must be of {', '.join(IMAGE_LOSSES)}")
    if weights.get("perceptual"):
        _network()


def image_losses(
    drawn: Images, real: Float[Tensor, "n 4 r r"], weights: dict[str, float]
) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses by name, without those whose weight is 0."""
    return {name: weight * IMAGE_LOSSES[name](drawn, real) for name, weight in weights.items() if weight}
