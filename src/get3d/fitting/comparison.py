"""Target, fit and difference side by side, and how similar they are in numbers."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from get3d.color import signed_to_unit, unit_to_signed
from get3d.files import writing
from get3d.images import Images, contact_sheet

__all__ = ["comparison", "mask_iou", "on_white", "psnr", "write_comparison"]

SHOWN = 128
"""Least side of an image in a comparison in pixels."""


def on_white(rgb: Float[Tensor, "n 3 r r"], mask: Float[Tensor, "n 1 r r"]) -> Float[Tensor, "n 3 r r"]:
    """Colours in [0, 1] over white, of colours in [−1, 1]."""
    return signed_to_unit(rgb.clamp(-1, 1)) * mask + (1 - mask)


def mask_iou(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, " n"]:
    """Intersection over union of the masks above one half, of each image; 1 where both are empty."""
    a, b = drawn.mask > 0.5, real[:, 3:] > 0.5
    union = (a | b).sum((1, 2, 3))
    return torch.where(union > 0, (a & b).sum((1, 2, 3)) / union.clamp(min=1), 1.0)


def psnr(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio in dB of each image on white, over all pixels, at most 100."""
    difference = on_white(drawn.rgb, drawn.mask) - on_white(real[:, :3], real[:, 3:])
    return -10 * difference.square().mean((1, 2, 3)).clamp(min=1e-10).log10()


def comparison(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Image.Image:
    """A row for each image: target, fit, and their absolute difference, from white to black."""
    a, b = on_white(real[:, :3], real[:, 3:]), on_white(drawn.rgb, drawn.mask)
    shown = torch.stack([a, b, 1 - (a - b).abs()], dim=1).flatten(0, 1)
    scale = math.ceil(SHOWN / shown.shape[-1])
    shown = shown.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    return contact_sheet(unit_to_signed(shown), columns=3)


def write_comparison(path: Path, drawn: Images, real: Float[Tensor, "n 4 r r"]) -> None:
    """Writes a comparison as PNG."""
    with writing(path) as temporary:
        comparison(drawn, real).save(temporary)
