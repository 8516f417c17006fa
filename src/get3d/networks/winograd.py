"""3×3 convolutions on the CPU by minimal filtering: a quarter of the multiplications.

F(4×4, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): 4×4 pixels of the output
follow from a tile of 6×6 of the input by 36 multiplications for each pair of channels instead of 144. Each of the 36 is
a matrix product over the tiles, and so are the transforms around it. A strip of tiles is taken at a time, of several
images where they are small, so that what is between the transforms stays in the cache.
"""

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["convolve", "transformed", "worthwhile"]

_LEAST_CHANNELS = 128
"""With fewer channels the transforms take longer than the convolution."""

STRIP = 65536
"""Approximate size of a strip per tile position: small enough for the cache, large enough for matrix products."""


def worthwhile(x: Float[Tensor, "n i h w"], weight: Float[Tensor, "o i 3 3"], scale: Float[Tensor, "n i"]) -> bool:
    """Whether `convolve` is possible and faster: on a CPU, without gradients."""
    differentiated = torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, scale))
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    tiled = all(side % 4 == 0 for side in x.shape[2:])
    wide = min(weight.shape[:2]) >= _LEAST_CHANNELS
    return plain and tiled and wide and not differentiated and not torch.compiler.is_compiling()


@functools.cache
@torch.inference_mode(False)
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Transforms of tiles [36, 36], filters [36, 9] and products [16, 36], for the points 0, ±1, ±2 and infinity."""
    tile = [
        *([4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]),
        *([0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]),
    ]
    filters = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    product = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    one = [torch.tensor(rows, dtype=torch.float64) for rows in (tile, filters, product)]
    one[1] /= 24
    b, g, a = (torch.kron(matrix, matrix).float() for matrix in one)
    return b, g, a


def transformed(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "36 i o"]:
    """Filters in the form that `convolve` takes."""
    _, of_filters, _ = _transforms()
    by_output = torch.bmm(of_filters.expand(len(weight), 36, 9), weight.flatten(2).transpose(1, 2))
    return by_output.permute(1, 2, 0)


def convolve(
    x: Float[Tensor, "n i h w"],
    filters: Float[Tensor, "36 i o"],
    scale: Float[Tensor, "n i"],
    finish: Callable[[slice, slice, Tensor, Tensor], object],
) -> Float[Tensor, "n o h w"]:
    """Convolves images, their channels scaled, with zeros around them; exact to some 1e-5 of the largest value.

    Args:
        x: the images, of sides that are multiples of 4.
        filters: transformed.
        scale: of each image's channels.
        finish: writes a part of the result while the cache has it: called with the numbers of its images and of its
            rows, with what was convolved, and with the part to be written, both [images, rows / 4, 4, w / 4, 4, o].
    """
    (n, inputs, height, width), outputs = x.shape, filters.shape[2]
    pixels, y = x.permute(0, 2, 3, 1), x.new_empty(n, height, width, outputs)
    together = max(1, STRIP // (width // 4 * inputs))
    for first in range(0, n, together):
        images = slice(first, min(first + together, n))
        _convolve(pixels[images], filters, scale[images], y[images], functools.partial(finish, images))
    return y.permute(0, 3, 1, 2)


def _convolve(
    pixels: Float[Tensor, "n h w i"],
    filters: Float[Tensor, "36 i o"],
    scale: Float[Tensor, "n i"],
    y: Float[Tensor, "n h w o"],
    finish: Callable[[slice, Tensor, Tensor], object],
) -> None:
    """Convolves a batch strip by strip; `finish` writes each strip to `y`."""
    (n, height, width, inputs), outputs = pixels.shape, filters.shape[2]
    across = width // 4
    most = max(1, STRIP // (n * across * inputs))
    down = next(rows for rows in range(min(most, height // 4), 0, -1) if height // 4 % rows == 0)
    lines, tiles = 4 * down, n * down * across
    of_tiles, _, of_products = _transforms()

    strip = pixels.new_zeros(n, lines + 2, width + 2, inputs)
    image, line, column, _ = strip.stride()
    overlapping = strip.as_strided((6, 6, n, down, across, inputs), (line, column, image, 4 * line, 4 * column, 1))
    gathered = pixels.new_empty(overlapping.shape)
    spread, products = pixels.new_empty(36, tiles, inputs), pixels.new_empty(36, tiles, outputs)
    result = pixels.new_empty(4, 4, n, down, across, outputs)
    for top in range(0, height, lines):
        first, last = max(top - 1, 0), min(top + lines + 1, height)
        inside = strip[:, first - top + 1 : last - top + 1, 1:-1]
        torch.mul(pixels[:, first:last], scale[:, None, None], out=inside)
        if top == 0:
            strip[:, 0].zero_()
        if last == height:
            strip[:, -1].zero_()
        gathered.copy_(overlapping)
        torch.mm(of_tiles, gathered.view(36, -1), out=spread.view(36, -1))
        torch.bmm(spread, filters, out=products)
        torch.mm(of_products, products.view(36, -1), out=result.view(16, -1))
        convolved, rows = result.permute(2, 3, 0, 4, 1, 5), slice(top, top + lines)
        finish(rows, convolved, y[:, rows].view(convolved.shape))
