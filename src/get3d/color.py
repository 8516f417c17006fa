"""Colour: its representation in networks, light and files, and all conversions between them.

- **Networks** use sRGB-encoded colour in [−1, 1], like their images, and masks in [0, 1].
- **Light** is added, filtered and averaged in linear light in [0, 1].
- **Files** hold bytes, 0 to 255: sRGB-encoded for colours, linear for data (roughness, alpha).

The curve between encoded and linear is that of IEC 61966-2-1. Every function takes tensors or NumPy arrays and
returns the same type.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = [
    "bytes_to_linear",
    "bytes_to_unit",
    "linear_to_bytes",
    "linear_to_srgb",
    "signed_to_bytes",
    "signed_to_unit",
    "srgb_to_linear",
    "unit_to_bytes",
    "unit_to_signed",
]

Values = TypeVar("Values", Tensor, np.ndarray)

# The curve's straight part ends here. Powers are taken of nothing below it, so that gradients are finite everywhere.
_ENCODED_END, _LINEAR_END = 0.04045, 0.0031308


def srgb_to_linear(color: Values) -> Values:
    """Encoded colour in [0, 1] as linear light in [0, 1] (IEC 61966-2-1); differentiable."""
    if isinstance(color, Tensor):
        curve = ((color.clamp(min=_ENCODED_END) + 0.055) / 1.055) ** 2.4
        return torch.where(color <= _ENCODED_END, color / 12.92, curve)
    curve = ((np.maximum(color, _ENCODED_END) + 0.055) / 1.055) ** 2.4
    return np.where(color <= _ENCODED_END, color / 12.92, curve)


def linear_to_srgb(light: Values, *, clamp: bool = True) -> Values:
    """Linear light, clamped to [0, 1], as encoded colour in [0, 1] (IEC 61966-2-1); differentiable.

    Args:
        light: linear.
        clamp: False continues the curve outside of [0, 1], where it keeps a gradient; for tensors only.
    """
    if isinstance(light, Tensor):
        light = light.clamp(0, 1) if clamp else light
        curve = 1.055 * light.clamp(min=_LINEAR_END) ** (1 / 2.4) - 0.055
        return torch.where(light <= _LINEAR_END, light * 12.92, curve)
    light = np.clip(light, 0, 1)
    curve = 1.055 * np.maximum(light, _LINEAR_END) ** (1 / 2.4) - 0.055
    return np.where(light <= _LINEAR_END, light * 12.92, curve)


def unit_to_signed(color: Values) -> Values:
    """[0, 1] as [−1, 1]."""
    return color * 2 - 1


def signed_to_unit(color: Values) -> Values:
    """[−1, 1] as [0, 1]."""
    return color * 0.5 + 0.5


def bytes_to_unit(values: Values) -> Values:
    """Bytes as [0, 1], in single precision."""
    return values.float() / 255 if isinstance(values, Tensor) else values.astype(np.float32) / np.float32(255)


def unit_to_bytes(values: Values) -> Values:
    """[0, 1], clamped, as the nearest bytes."""
    if isinstance(values, Tensor):
        return (values * 255).round().clamp(0, 255).to(torch.uint8)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def signed_to_bytes(values: Values) -> Values:
    """[−1, 1], clamped, as the nearest bytes."""
    if isinstance(values, Tensor):
        return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.rint((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8)


def bytes_to_linear(values: UInt8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Encoded bytes as linear light in [0, 1]. It uses a table, because images are large."""
    return srgb_to_linear(np.arange(256) / 255)[values]


def linear_to_bytes(light: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Linear light, clamped to [0, 1], as encoded bytes."""
    return unit_to_bytes(linear_to_srgb(light))
