"""Images of shapes, and sheets of images for people to look at."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from get3d.color import bytes_to_unit, signed_to_unit, unit_to_bytes
from get3d.tensors import TensorDataclass

__all__ = ["Images", "contact_sheet"]


@dataclass(frozen=True)
class Images(TensorDataclass):
    """Images of shapes.

    Attributes:
        rgb: [n, 3, r, r] in about [−1, 1]; black where nothing is seen.
        mask: [n, 1, r, r] in [0, 1], how much of a pixel is covered.
        empty: [n] whether the shape has no surface, so that a placeholder is seen.
    """

    rgb: Float[Tensor, "n 3 r r"]
    mask: Float[Tensor, "n 1 r r"]
    empty: Bool[Tensor, " n"]


def contact_sheet(
    images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"], columns: int, background: float = 0.93
) -> Image.Image:
    """Lays images side by side, row by row.

    Args:
        images: RGB or RGBA; bytes, or numbers with colours in [−1, 1] and alpha in [0, 1].
        columns: images in a row.
        background: grey from 0 to 1 behind what is transparent, and where the last row has no image.

    Raises:
        ValueError: there is no image, or its channels are not three or four.
    """
    count, channels, height, width = images.shape
    if count == 0 or channels not in (3, 4):
        raise ValueError(f"a sheet needs images of 3 or 4 channels, not {list(images.shape)}")
    images = images.detach().cpu()
    encoded = images.dtype == torch.uint8
    values = bytes_to_unit(images) if encoded else images.float()
    color, alpha = values[:, :3] if encoded else signed_to_unit(values[:, :3]), values[:, 3:]
    if channels == 4:
        color = color * alpha + background * (1 - alpha)
    rows = -(-count // columns)
    filled = torch.full((rows * columns, 3, height, width), background)
    filled[:count] = color
    sheet = filled.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2).reshape(rows * height, -1, 3)
    return Image.fromarray(unit_to_bytes(sheet).numpy())
