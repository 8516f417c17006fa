"""Waves of the position, of which patterns of textures are made."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["FOURIER_GAIN", "fourier_features"]

FOURIER_GAIN = 6.0
"""Scale of Fourier features. The larger, the faster their part of a texture learns at the same learning rate."""


def fourier_features(points: Float[Tensor, "b p 3"], size: float, count: int) -> Float[Tensor, "b p f"]:
    """Sine and cosine of positions, of 1 to `count` cycles over the side of the cube along each axis.

    Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains". A
    style weighs each of them, so that any band-limited pattern along an axis is a sum of them.

    Args:
        points: positions.
        size: side of the cube.
        count: number of frequencies; there are six features of each, the lowest first.
    """
    cycles = torch.arange(1, count + 1, device=points.device, dtype=points.dtype)
    angles = points[:, :, None] * (2 * math.pi / size * cycles)[:, None]
    return FOURIER_GAIN * torch.cat([angles.sin(), angles.cos()], dim=3).flatten(2)
