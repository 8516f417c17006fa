"""Light that falls on surfaces: small models, differentiable in all their numbers. All light is linear.

A light says two things. `diffuse` is what a white, matte surface of a normal reflects: its irradiance over π.
`specular` is the mean of the light over a lobe, a spherical Gaussian, which `shade` multiplies by the share that the
surface mirrors. A light of radiance 1 from everywhere gives 1 for both.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from get3d.light_prior import LightKind
from get3d.tensors import TensorDataclass

__all__ = ["EVEN", "LIGHTS", "STUDIO", "Even", "Light", "SphericalGaussians", "Studio", "even_directions", "turned"]

DEGREE = 16
"""Of the Legendre series of a clamped cosine; its error is below 0.005 for a lamp without extent."""


@runtime_checkable
class Light(Protocol):
    """What a light can be asked."""

    def diffuse(self, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p _"]:
        """Irradiance over π at surfaces of unit normals; one number where it is grey, else three."""
        ...

    def specular(self, directions: Float[Tensor, "p 3"], sharpness: Float[Tensor, "p 1"]) -> Float[Tensor, "p _"]:
        """Mean of the light over lobes exp(sharpness · (direction · ω − 1)) around unit directions."""
        ...


def turned(directions: Float[Tensor, "p 3"], angle: Float[Tensor, " p"] | Float[Tensor, ""]) -> Float[Tensor, "p 3"]:
    """Directions turned about +Y by angles in radians, counter-clockwise seen from above."""
    x, y, z = directions.unbind(1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return torch.stack([cosine * x + sine * z, y, cosine * z - sine * x], dim=1)


def even_directions(count: int) -> Float[Tensor, "{count} 3"]:
    """Unit vectors, one for each of as many equal parts of the sphere (a Fibonacci lattice), in double precision."""
    step = torch.arange(count, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * step / count, step * math.pi * (3 - math.sqrt(5))
    across = (1 - height.square()).sqrt()
    return torch.stack([across * turn.cos(), height, across * turn.sin()], dim=1)


@dataclass(frozen=True)
class Even:
    """Light in which colours are seen as they are, whatever the surface: 1 from everywhere, and nothing mirrors."""

    def diffuse(self, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 1"]:
        """1."""
        return torch.ones_like(normals[:, :1])

    def specular(self, directions: Float[Tensor, "p 3"], sharpness: Float[Tensor, "p 1"]) -> Float[Tensor, "p 1"]:
        """1."""
        return torch.ones_like(sharpness)


@dataclass(frozen=True)
class Studio:
    """A soft key light, and light from sky and ground, fixed to the world. On a white matte surface at most 1.

    The key light reaches around the terminator, as a large lamp's does. Where it is mirrored it is a round lamp of
    the same strength, and sky and ground are two halves of a sphere, whose irradiance is exactly that of `diffuse`.

    Attributes:
        key_direction: where the key light stands.
        key: what a white surface that faces it reflects of it.
        sky: radiance of the upper half.
        ground: radiance of the lower half.
        wrap: how far the key light reaches around the terminator.
        lamp_sharpness: of the lamp as it is mirrored.
    """

    key_direction: tuple[float, float, float] = (-0.45, 0.75, -0.5)
    key: float = 0.52
    sky: float = 0.5
    ground: float = 0.24
    wrap: float = 0.35
    lamp_sharpness: float = 20.0

    def diffuse(self, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 1"]:
        """Wrapped key light, and a hemisphere's."""
        direction = normalize(normals.new_tensor(self.key_direction), dim=0)
        key = ((normals @ direction + self.wrap) / (1 + self.wrap)).clamp(min=0) ** 2
        sky = 0.5 + 0.5 * normals[:, 1]
        return (self.key * key + self.ground + (self.sky - self.ground) * sky)[:, None]

    def specular(self, directions: Float[Tensor, "p 3"], sharpness: Float[Tensor, "p 1"]) -> Float[Tensor, "p 1"]:
        """The lamp's and the two halves' means over the lobe."""
        # Across the horizon a lobe is as good as a Gaussian of the plane.
        sky = 0.5 + 0.5 * torch.erf(directions[:, 1:2] * (0.5 * sharpness).sqrt())
        lamp = _lobes_meet(
            normalize(directions.new_tensor([self.key_direction]), dim=1),
            directions.new_tensor([self.lamp_sharpness]),
            directions,
            sharpness,
        )
        # A lamp of irradiance key · π straight ahead.
        radiance = self.key * math.pi * self.lamp_sharpness / (2 * math.pi)
        return radiance * lamp + self.ground + (self.sky - self.ground) * sky


@dataclass(frozen=True)
class SphericalGaussians(TensorDataclass):
    """k lobes of light: Σ amplitude · exp(sharpness · (axis · ω − 1)) (Wang et al. 2009), as DIB-R++ has them.

    Attributes:
        axes: [k, 3] unit vectors towards the middle of each lobe.
        sharpness: [k] above 0.
        amplitude: [k, 3] radiance in the middle of each lobe.
    """

    axes: Float[Tensor, "k 3"]
    sharpness: Float[Tensor, " k"]
    amplitude: Float[Tensor, "k 3"]

    def __len__(self) -> int:
        return len(self.sharpness)

    def diffuse(self, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The clamped cosine and the lobes, convolved on the sphere: products of their Legendre coefficients."""
        cosine = normals @ self.axes.T
        ratios = _legendre_ratios(self.sharpness, DEGREE)
        of_lobe, total = torch.ones_like(self.sharpness), torch.zeros_like(cosine)
        before, now = torch.zeros_like(cosine), torch.ones_like(cosine)
        for degree, weight in enumerate(_clamped_cosine()):
            if weight:
                total = total + weight * of_lobe * now
            of_lobe = of_lobe * ratios[degree]
            before, now = now, ((2 * degree + 1) * cosine * now - degree * before) / (degree + 1)
        power = -torch.expm1(-2 * self.sharpness) / self.sharpness  # Over 2π.
        return (2 * power * total.clamp(min=0)) @ self.amplitude

    def specular(self, directions: Float[Tensor, "p 3"], sharpness: Float[Tensor, "p 1"]) -> Float[Tensor, "p 3"]:
        """The integral of the product of each lobe and that of the surface, which is a Gaussian as well."""
        met = _lobes_meet(self.axes, self.sharpness, directions, sharpness)
        return met @ self.amplitude

    def radiance(self, directions: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The light from directions."""
        return torch.exp(self.sharpness * (directions @ self.axes.T - 1)) @ self.amplitude


def _lobes_meet(
    axes: Float[Tensor, "k 3"],
    sharpness: Float[Tensor, " k"],
    directions: Float[Tensor, "p 3"],
    lobes: Float[Tensor, "p 1"],
) -> Float[Tensor, "p k"]:
    """∫ exp(λ(μ·ω − 1)) · g(ω) dω, g a normalised Gaussian around each direction: two Gaussians make one."""
    # |λμ + νr| − λ − ν, without the difference of large numbers.
    apart = 2 * sharpness * lobes * (1 - directions @ axes.T)
    whole = sharpness + lobes
    length = (whole.square() - apart).clamp(min=1e-12).sqrt()
    exponent = -apart / (length + whole)
    return torch.exp(exponent) * _mass(length) / _mass(lobes)


def _mass(sharpness: Float[Tensor, "*p"]) -> Float[Tensor, "*p"]:
    """The integral over the sphere of a Gaussian of amplitude 1, over 2π."""
    return -torch.expm1(-2 * sharpness) / sharpness


def _legendre_ratios(sharpness: Float[Tensor, " k"], degree: int) -> list[Float[Tensor, " k"]]:
    """i_{l+1}(λ) / i_l(λ) of the modified spherical Bessel functions, l = 0 to `degree`; stable from above.

    They are the ratios of a Gaussian's Legendre coefficients, and i_{l−1} − i_{l+1} = (2l + 1) / λ · i_l.
    """
    ratio = sharpness / (degree + 2.5 + torch.sqrt((degree + 2.5) ** 2 + sharpness.square()))
    ratios = []
    for order in range(degree + 1, 0, -1):
        ratio = 1 / ((2 * order + 1) / sharpness + ratio)
        ratios.append(ratio)
    return ratios[::-1]


@cache
def _clamped_cosine() -> tuple[float, ...]:
    """Coefficients of max(cos θ, 0) = Σ a_l P_l(cos θ); odd ones above 1 are zero."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x, weights = (nodes + 1) / 2, weights / 2
    values = [np.polynomial.legendre.legval(x, np.eye(DEGREE + 1)[degree]) for degree in range(DEGREE + 1)]
    return tuple(
        float((2 * degree + 1) / 2 * (weights * x * value).sum()) if degree < 2 or degree % 2 == 0 else 0.0
        for degree, value in enumerate(values)
    )


EVEN, STUDIO = Even(), Studio()
LIGHTS: dict[LightKind, Light] = {"studio": STUDIO, "even": EVEN}
"""The lights that have a name."""
