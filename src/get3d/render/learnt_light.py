"""The light of images of which nothing says what lights them: learnt with the objects that they show."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from get3d.render.lights import SphericalGaussians, even_directions

__all__ = ["LOBES", "LearntLight"]

LOBES = 32
"""Spherical Gaussians of a learnt light, as in DIB-R++."""

_SHARPNESS, _SHARPNESS_RANGE = 5.0, (0.1, 1000.0)
"""Of each lobe at first, at which 32 of them are even; and in any case: nearly constant, and smaller than a lamp."""
_NORMALS = 128
"""Normals among which the brightest is looked for: irradiance is smooth, so it is found to about 1 %."""


class LearntLight(nn.Module):
    """Spherical Gaussians as the parameters of a network (Chen et al. 2021, "DIB-R++", section 3.2).

    Images show only the product of light and base colour, in each colour channel. So the light has a fixed scale: in
    each channel, a white matte surface reflects 1 where it is brightest, as in `Studio`. No base colour above 1 is
    then needed for images in [0, 1]. At first the light is even.

    Attributes:
        axes: [k, 3] towards the middle of each lobe, of any length.
        log_sharpness: [k] logarithm of each lobe's sharpness.
        log_amplitude: [k, 3] logarithm of its radiance, up to a constant for each channel.
    """

    normals: Tensor

    def __init__(self, lobes: int = LOBES) -> None:
        super().__init__()
        self.axes = nn.Parameter(even_directions(lobes).float())
        self.log_sharpness = nn.Parameter(torch.full((lobes,), math.log(_SHARPNESS)))
        self.log_amplitude = nn.Parameter(torch.zeros(lobes, 3))
        self.register_buffer("normals", even_directions(_NORMALS).float(), persistent=False)

    def forward(self) -> SphericalGaussians:
        """The light; differentiable in the parameters."""
        low, high = (math.log(bound) for bound in _SHARPNESS_RANGE)
        # The constant has no meaning: without it, no number can overflow.
        relative = (self.log_amplitude - self.log_amplitude.detach().amax(0)).exp()
        light = SphericalGaussians(normalize(self.axes, dim=1), self.log_sharpness.clamp(low, high).exp(), relative)
        brightest = light.diffuse(self.normals).amax(0)
        return SphericalGaussians(light.axes, light.sharpness, relative / brightest)
