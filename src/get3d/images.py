"""Images of shapes, and contact sheets."""

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
        rgb: [n, 3, r, r] in about [−1, 1], not darkened where a pixel is partly covered; the background is black.
        mask: [n, 1, r, r] in [0, 1], the covered share of each pixel.
        empty: [n] whether the shape has no surface; the image then shows a placeholder.
    """

    rgb: Float[Tensor, "n 3 r r"]
    mask: Float[Tensor, "n 1 r r"]
    empty: Bool[Tensor, " n"]


def contact_sheet(
    images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"], columns: int, background: float = 0.93
) -> Image.Image:
    """Arranges images in rows and columns.

    Args:
        images: RGB or RGBA; bytes, or floats with colours in [−1, 1] and alpha in [0, 1].
        columns: images per row.
        background: grey from 0 to 1, behind transparent pixels and in empty places.

    Raises:
        ValueError: there is no image, or the number of channels is not 3 or 4.
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
