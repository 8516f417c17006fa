"""The layers that all networks are made of: equalised, style-modulated, and low-pass resampling.

All weights are drawn from a unit normal distribution and scaled when used ("equalised learning rate", Karras et al.
2018, section 4.1), so that one learning rate suits every layer. Images and planes are [n, channels, height, width] in
channels-last memory, which the convolutions of CPUs and GPUs are fastest with.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.networks import winograd
from get3d.networks.activation import SLOPE, bias_act, clamped, clamped_lrelu, write_bias_act
from get3d.networks.config import channels_per_resolution
from get3d.networks.resampling import blur, downsample, upsample

__all__ = [
    "SLOPE",
    "Conv",
    "Dense",
    "Linear",
    "ModulatedConv",
    "ModulatedDense",
    "ModulatedOutput",
    "bias_act",
    "blur",
    "channels_per_resolution",
    "clamped",
    "clamped_lrelu",
    "demodulation",
    "downsample",
    "energy",
    "upsample",
]


class WeightCache:
    """A value computed from only the weights. It is recomputed when they change or gradients are needed.

    It is made of ordinary tensors whatever mode PyTorch is in, so that what is kept serves every later mode.

    Args:
        make: makes it of the weights.
    """

    def __init__(self, make: Callable[[Tensor], Tensor]) -> None:
        self._make = make
        # The weights are referenced, so that no other tensor can get their address.
        self._of: Tensor | None = None
        self._version = 0
        self._made = torch.empty(0)

    def __call__(self, weight: Tensor) -> Tensor:
        """The value for these weights."""
        # Tensors made in inference mode have no version counter, and compiled code caches nothing.
        traced = torch.compiler.is_compiling()
        if traced or (torch.is_grad_enabled() and weight.requires_grad) or weight.is_inference():
            return self._make(weight)
        of = self._of
        if of is None or of.data_ptr() != weight.data_ptr() or self._version != weight._version:
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
                self._of, self._version, self._made = weight.detach(), weight._version, self._make(weight)
        return self._made

    def __reduce__(self) -> tuple[type["WeightCache"], tuple[Callable[[Tensor], Tensor]]]:
        """Copies start empty, because their weights are other tensors."""
        return WeightCache, (self._make,)


def energy(weight: Float[Tensor, "o i *taps"]) -> Float[Tensor, "o i"]:
    """Sum of squares over the taps of each filter and input channel."""
    return weight.square().flatten(2).sum(2) if weight.ndim > 2 else weight.square()


def _swapped(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 3 3"]:
    """Filters in the layout of a transposed convolution, in its fastest memory format."""
    return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)


def demodulation(energy: Float[Tensor, "o i"], style: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
    """The factor per sample and filter that normalises a modulated filter to unit length.

    Karras et al. 2020 ("Analyzing and improving the image quality of StyleGAN"), equation 3:
    1 / √(Σ (weight · style)² + 1e-8), summed over input channels and taps.

    Args:
        energy: of the filters.
        style: factors of the input channels.
    """
    with torch.autocast(style.device.type, enabled=False):
        return torch.rsqrt(style.square() @ energy.T + 1e-8)


class Dense(nn.Module):
    """y = act(x · (W·m/√in)ᵀ + b·m), in full precision also where autocast lowers that of convolutions.

    Args:
        inputs: number of input features.
        outputs: number of output features.
        active: leaky ReLU (times √2) after it, else linear.
        lr_multiplier: m, which slows learning of this layer down (0.01 in mapping networks).
        bias: what every bias starts at.
    """

    def __init__(
        self, inputs: int, outputs: int, *, active: bool = False, lr_multiplier: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.active = active
        self.bias_gain = lr_multiplier * (math.sqrt(2) if active else 1)
        self.weight_gain = self.bias_gain / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """Applies the layer to the last axis."""
        weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
        with torch.autocast(x.device.type, enabled=False):
            y = F.linear(x.to(weight.dtype), weight, bias)
        return F.leaky_relu(y, SLOPE) if self.active else y


class Conv(nn.Module):
    """A discriminator's convolution: equalised weights, leaky ReLU (times √2), clamped to ±256.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        kernel: side of the filters, 1 or 3.
        down: low-pass filter the input and halve the resolution.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = math.sqrt(2 / (inputs * kernel**2))
        self.down = down

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Convolves; the resolution stays or is halved."""
        weight, bias = self.weight * self.gain, self.bias * math.sqrt(2)
        if self.down:
            return clamped_lrelu(F.conv2d(blur(x, padding=2), weight, bias, stride=2))
        return clamped_lrelu(F.conv2d(x, weight, bias, padding=weight.shape[2] // 2))


class ModulatedConv(nn.Module):
    """A synthesis network's 3×3 convolution; a style modulates its filters per sample, which are then demodulated.

    Scaling the input by the style and the output by the demodulation factor is the same as scaling the filters, and
    lets the whole batch share one convolution. A fixed noise image, times a learned strength, is added; then bias,
    leaky ReLU (times √2), and the clamp to ±256.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        style: size of the style code.
        resolution: of the output.
        up: double the resolution: zeros put between the pixels, true convolution, low-pass filter of gain 4.
    """

    noise_image: Tensor

    def __init__(self, inputs: int, outputs: int, *, style: int, resolution: int, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_image", torch.randn(resolution, resolution))
        self.affine = Dense(style, inputs, bias=1.0)
        self.up = up
        self._energy, self._filters, self._swapped = (
            WeightCache(energy),
            WeightCache(winograd.transformed),
            WeightCache(_swapped),
        )

    def forward(self, x: Float[Tensor, "n i h w"], style: Float[Tensor, "n s"]) -> Float[Tensor, "n o h2 w2"]:
        """Convolves; the resolution stays or is doubled."""
        scale = self.affine(style)
        factor = demodulation(self._energy(self.weight), scale) * math.sqrt(2)
        bias, image = self.bias * math.sqrt(2), self.noise_image * (self.noise_strength * math.sqrt(2))
        if not self.up and winograd.worthwhile(x, self.weight, scale):

            def finish(images: slice, rows: slice, convolved: Tensor, part: Tensor) -> None:
                tiled = image[rows].view(part.shape[1:5])
                write_bias_act(convolved, factor[images, None, None, None, None], bias, tiled, out=part)

            return winograd.convolve(x, self._filters(self.weight), scale, finish)
        x = x * scale.to(x.dtype)[:, :, None, None]
        if self.up:
            x = blur(F.conv_transpose2d(x, self._swapped(self.weight), stride=2), padding=1)
            factor = 4 * factor
        else:
            x = F.conv2d(x, self.weight, padding=1)
        return bias_act(x, *(t.to(x.dtype) for t in (factor, bias, image)))


class ModulatedOutput(nn.Module):
    """A 1×1 convolution from features to outputs; a style modulates its weights, without demodulation.

    Linear, clamped to ±256.

    Args:
        inputs: number of features.
        outputs: number of outputs.
        style: size of the style code.
        initial: the biases at first; None for zeros.
    """

    def __init__(self, inputs: int, outputs: int, *, style: int, initial: Sequence[float] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs) if initial is None else torch.tensor(initial))
        self.affine = Dense(style, inputs, bias=1.0)
        self.gain = 1 / math.sqrt(inputs)

    def at(self, style: Float[Tensor, "n s"]) -> "Linear":
        """The layer for given styles."""
        return Linear(self.weight.flatten(1) * (self.affine(style) * self.gain)[:, None], self.bias)

    def forward(
        self,
        x: Float[Tensor, "n i h w"],
        style: Float[Tensor, "n s"],
        onto: Float[Tensor, "n o h w"] | None = None,
    ) -> Float[Tensor, "n o h w"]:
        """Applies the layer to every pixel.

        Args:
            x: features.
            style: of each image.
            onto: what the result is added to, in place, and returned.
        """
        n, _, h, w = x.shape
        layer, pixels = self.at(style), x.permute(0, 2, 3, 1).reshape(n, h * w, -1)
        by_sample = not torch.is_grad_enabled() and x.device.type == "cpu" and not torch.compiler.is_compiling()
        if onto is not None and by_sample:
            # A batched product would first copy the bias to all of its result.
            for total, features, weights in zip(onto.permute(0, 2, 3, 1), pixels, layer.weights, strict=True):
                total.add_(clamped(F.linear(features, weights, layer.bias)).view(h, w, -1))
            return onto
        y = clamped(layer(pixels)).view(n, h, w, -1).permute(0, 3, 1, 2)
        if onto is None:
            return y
        return onto + y if torch.compiler.is_compiling() else onto.add_(y)


class ModulatedDense(nn.Module):
    """A dense layer of a field; a style modulates its weights per sample, which are then demodulated.

    Called with styles, it gives the layer as it is for them: fields keep that, to be evaluated where points come up.
    """

    def __init__(self, inputs: int, outputs: int, *, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Dense(style, inputs, bias=1.0)

    def forward(self, style: Float[Tensor, "n s"]) -> "Linear":
        """The layer for given styles."""
        scale = self.affine(style)
        return Linear(self.weight * scale[:, None] * demodulation(energy(self.weight), scale)[:, :, None], self.bias)


@dataclass(frozen=True)
class Linear:
    """A dense layer that differs between n samples.

    Attributes:
        weights: of each sample.
        bias: of all.
    """

    weights: Float[Tensor, "n o i"]
    bias: Float[Tensor, " o"]

    def __call__(self, x: Float[Tensor, "n p i"]) -> Float[Tensor, "n p o"]:
        """Applies each sample's layer to its features."""
        return torch.baddbmm(self.bias.to(x.dtype), x, self.weights.transpose(1, 2).to(x.dtype))

    def scaled(self, gain: float) -> "Linear":
        """The layer with its output multiplied."""
        return Linear(self.weights * gain, self.bias * gain)

    def select(self, sample: Int[Tensor, " b"]) -> "Linear":
        """The layers of some samples, by their indices."""
        return Linear(self.weights[sample], self.bias)
