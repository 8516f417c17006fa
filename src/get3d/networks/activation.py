"""Bias, leaky ReLU and clamp after a convolution, in place; plain operations when compiled.

torch.compile fuses plain operations by itself and cannot trace in-place writes to views.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["SLOPE", "bias_act", "clamped", "clamped_lrelu", "write_bias_act"]

SLOPE = 0.2
"""Negative slope of the leaky ReLU."""

BAND = 2**18
"""Number of features in a band of rows on CPUs."""

CLAMP = 256.0
"""Activations of convolutions are kept within ±CLAMP, so that half precision cannot overflow."""


class _Activation(torch.autograd.Function):
    """In place. Saves only the output, whose sign and range give the derivative."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        y = F.hardtanh_(F.leaky_relu_(x, SLOPE), -CLAMP, CLAMP)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        y = ctx.saved_tensors[0].detach()  # type: ignore[attr-defined]
        gradient = torch.ops.aten.hardtanh_backward(gradient, y, -CLAMP, CLAMP)
        return torch.ops.aten.leaky_relu_backward(gradient, y, SLOPE, True)


def clamped_lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, clamped to ±256, in place. Twice differentiable.

    The gain of √2, which keeps the variance of a unit normal input about one, belongs to the layer before it: scaling
    weights is cheaper than scaling features.
    """
    if torch.compiler.is_compiling():
        return F.hardtanh(F.leaky_relu(x, SLOPE), -CLAMP, CLAMP)
    return _Activation.apply(x)


class _Finish(torch.autograd.Function):
    """In place. Saves only the output, from which the input is recovered; works in bands that fit in the cache."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, factor: Tensor, bias: Tensor, image: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, factor, bias, image)
        by_pixel, scale = x.permute(0, 2, 3, 1), factor[:, None, None]
        for band in _bands(x):
            part = by_pixel[:, band]
            write_bias_act(part, scale, bias, image[band], out=part)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, ...]:
        y, factor, bias, image = ctx.saved_tensors  # type: ignore[attr-defined]
        d_x, d_image = torch.empty_like(y), torch.empty_like(image)
        sums, products = torch.zeros_like(factor), torch.zeros_like(factor)
        outputs, inputs, gradients = (t.permute(0, 2, 3, 1) for t in (y, d_x, gradient))
        for band in _bands(y):
            part, noise = outputs[:, band], image[band, :, None]
            d_part = torch.ops.aten.hardtanh_backward(gradients[:, band], part, -CLAMP, CLAMP)
            d_part = torch.ops.aten.leaky_relu_backward(d_part, part, SLOPE, True)
            d_image[band] = d_part.sum((0, 3))
            sums += d_part.sum((1, 2))
            products += (F.leaky_relu(part, 1 / SLOPE).sub_(noise).mul_(d_part)).sum((1, 2))
            torch.mul(d_part, factor[:, None, None], out=inputs[:, band])
        return d_x, (products - bias * sums) / factor, sums.sum(0), d_image


def write_bias_act(
    x: Float[Tensor, "*s c"],
    factor: Float[Tensor, "*k c"],
    bias: Float[Tensor, " c"],
    image: Float[Tensor, "*p"],
    *,
    out: Float[Tensor, "*s c"],
) -> None:
    """clamped_lrelu(x · factor + bias + image), channels last, written to `out`."""
    torch.addcmul(image[..., None] + bias, x, factor, out=out)
    F.hardtanh_(F.leaky_relu_(out, SLOPE), -CLAMP, CLAMP)


def _bands(x: Float[Tensor, "n c h w"]) -> list[slice]:
    """Ranges of rows with about BAND numbers on CPUs, to stay in the cache; all rows on other devices."""
    n, c, h, w = x.shape
    rows = max(BAND // (n * c * w), 1) if x.device.type == "cpu" else h
    return [slice(start, start + rows) for start in range(0, h, rows)]


def bias_act(
    x: Float[Tensor, "n c h w"], factor: Float[Tensor, "n c"], bias: Float[Tensor, " c"], image: Float[Tensor, "h w"]
) -> Float[Tensor, "n c h w"]:
    """clamped_lrelu(x · factor + bias + image), in place. Differentiable once."""
    if torch.compiler.is_compiling():
        return clamped_lrelu(torch.addcmul(image + bias[:, None, None], x, factor[:, :, None, None]))
    return _Finish.apply(x, factor, bias, image)


def clamped(x: Tensor) -> Tensor:
    """Clamps `x` to ±256, in place."""
    if torch.compiler.is_compiling():
        return F.hardtanh(x, -CLAMP, CLAMP)
    return F.hardtanh_(x, -CLAMP, CLAMP)
