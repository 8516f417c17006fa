"""Waves of the position, of which patterns of textures are made."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from get3d.networks.layers import Dense

__all__ = ["WaveNetwork", "frequencies", "wave_basis"]

PER_FREQUENCY = 6
"""Waves of a frequency: sine and cosine along three axes."""


class WaveNetwork(nn.Module):
    """Makes the amplitudes of waves of the position from styles, linearly: see `wave_basis`. New ones are 0.

    Args:
        count: number of frequencies.
        outputs: number of values of a texture.
        style: size of the style code.
    """

    def __init__(self, count: int, outputs: int, *, style: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.dense = Dense(style, (1 + PER_FREQUENCY * count) * outputs)
        nn.init.zeros_(self.dense.weight)

    @torch.no_grad()
    def set_colors(self, weight: Float[Tensor, "f 3 s"], bias: Float[Tensor, "f 3"]) -> None:
        """Makes the amplitudes of base colours weight · style + bias."""
        self.dense.weight.unflatten(0, (-1, self.outputs))[:, :3] = weight / self.dense.weight_gain
        self.dense.bias.unflatten(0, (-1, self.outputs))[:, :3] = bias / self.dense.bias_gain

    def forward(self, style: Float[Tensor, "n s"]) -> Float[Tensor, "n f k"]:
        """The amplitudes for given styles."""
        return self.dense(style).unflatten(1, (-1, self.outputs))


def wave_basis(points: Float[Tensor, "*b p 3"], size: float, count: int) -> Float[Tensor, "*b p f"]:
    """One, and sine and cosine of positions, of 1 to `count` cycles over the side of the cube along each axis.

    Any pattern along an axis is a sum of them, a Fourier series. Networks learn high frequencies slowly from positions
    themselves (Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
    Domains").

    Args:
        points: positions.
        size: side of the cube.
        count: number of frequencies; there are six waves of each, the longest first.
    """
    cycles = torch.arange(1, count + 1, device=points.device, dtype=points.dtype)
    angles = points[..., None, :] * (2 * math.pi / size * cycles)[:, None]
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return torch.cat([torch.ones_like(waves[..., :1]), waves], dim=-1)


def frequencies(waves: int) -> int:
    """Of a basis of so many waves."""
    return (waves - 1) // PER_FREQUENCY
