"""Low-pass resampling of images by [1, 3, 3, 1]⊗[1, 3, 3, 1] / 64."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["blur", "downsample", "upsample"]


_TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
_KERNEL = torch.outer(_TAPS, _TAPS)


def _fir(x: Tensor) -> Tensor:
    """The low-pass kernel [1, 3, 3, 1]⊗[1, 3, 3, 1] / 64, once per channel: [c, 1, 4, 4]."""
    if torch.compiler.is_compiling():
        kernel = _KERNEL.to(x)
    else:
        kernel = _kernel_on(x.device, x.dtype)
    return kernel.expand(x.shape[1], 1, 4, 4)


@functools.cache
@torch.inference_mode(False)
def _kernel_on(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copied once, because the host waits for each copy. All values are exact in every precision."""
    return _KERNEL.to(device, dtype)


def _border(side: int, like: Tensor) -> Tensor:
    """Factors of an upsampled image's rows or columns: a quarter of the first and last comes from the padding."""
    place = torch.arange(side, device=like.device)
    return torch.where((place == 0) | (place == side - 1), 0.75, 1.0).to(like.dtype)


class _Blur(torch.autograd.Function):
    """The kernel is symmetric, so gradients of any order are blurs too. A depthwise convolution."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding  # type: ignore[attr-defined]
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, _fir(x), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return _Blur.apply(gradient, 3 - ctx.padding), None  # type: ignore[attr-defined]


class _Resize(torch.autograd.Function):
    """Downsampling and upsampling are each other's gradient, up to the gain."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, double: bool) -> Tensor:
        ctx.double = double  # type: ignore[attr-defined]
        # Autocast would turn a bilinear image into fp32 on GPUs.
        with torch.autocast(x.device.type, enabled=False):
            if not double:
                return F.conv2d(x, _fir(x), padding=1, stride=2, groups=x.shape[1])
            y = F.interpolate(x, scale_factor=2, mode="bilinear")
            if torch.compiler.is_compiling():
                rows, columns = (_border(side, x) for side in y.shape[2:])
                return y * rows[:, None] * columns
            for border in (y[:, :, 0], y[:, :, -1], y[..., 0], y[..., -1]):
                border *= 0.75
            return y

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        double = ctx.double  # type: ignore[attr-defined]
        return _Resize.apply(gradient, not double) * (4 if double else 0.25), None


def blur(x: Float[Tensor, "n c h w"], padding: int) -> Float[Tensor, "n c h2 w2"]:
    """Low-pass filters images with [1, 3, 3, 1]⊗[1, 3, 3, 1] / 64; `padding` zeros (0 to 3) lie around them."""
    return _Blur.apply(x, padding)


def downsample(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Halves the resolution of images, low-pass filtered; zeros lie outside."""
    return _Resize.apply(x, False)


def upsample(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Doubles the resolution of images: zeros put between the pixels, then the low-pass filter with gain 4.

    That is bilinear interpolation with half-pixel centres, but for the border, where a quarter comes from outside.
    """
    return _Resize.apply(x, True)
