"""The distribution of cameras of a dataset, in numbers alone: options are made from it before PyTorch is imported."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from get3d.ranges import Range

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from get3d.cameras import Cameras


__all__ = ["DEFAULT_FOV", "DEFAULT_RADIUS", "CameraPrior"]

DEFAULT_RADIUS = 1.2


DEFAULT_FOV = 2 * math.atan(16 / 35)
"""Vertical field of view in radians: a 35 mm lens on a 32 mm sensor."""


@dataclass(frozen=True)
class CameraPrior:
    """The distribution of cameras of a dataset: azimuth and polar angle uniform in a range, the rest fixed.

    Attributes:
        azimuth: lowest and highest azimuth in degrees.
        polar: lowest and highest polar angle from +Y in degrees.
        radius: distance from the origin.
        fov: vertical field of view in degrees.
    """

    azimuth: tuple[float, float] = (0.0, 360.0)
    polar: tuple[float, float] = (60.0, 90.0)
    radius: Annotated[float, Range(0, 1e6, above=True)] = DEFAULT_RADIUS
    fov: Annotated[float, Range(1, 179)] = math.degrees(DEFAULT_FOV)

    def sample_angles(self, count: int, generator: "torch.Generator") -> "Float[Tensor, 'n 2']":
        """Draws (azimuth, polar) of `count` cameras in radians, on the generator's device."""
        import torch

        uniform = torch.rand(count, 2, generator=generator, device=generator.device)
        angles = [
            torch.deg2rad(low + (high - low) * uniform[:, i])
            for i, (low, high) in enumerate((self.azimuth, self.polar))
        ]
        return torch.stack(angles, dim=1)

    def at(self, angles: "Float[Tensor, 'n 2']") -> "Cameras":
        """The cameras at (azimuth, polar) in radians."""
        from get3d.cameras import Cameras

        azimuth, polar = angles.T.contiguous()
        return Cameras.orbit(azimuth, polar, self.radius, math.radians(self.fov))

    def sample(self, count: int, generator: "torch.Generator") -> "Cameras":
        """Draws `count` cameras, on the generator's device."""
        return self.at(self.sample_angles(count, generator))

    def orbit(self, count: int, polar: float | None = None) -> "Cameras":
        """`count` cameras evenly around the object, at one polar angle in degrees (default: the range's middle)."""
        import torch

        from get3d.cameras import Cameras

        low, high = self.azimuth
        azimuth = torch.deg2rad(low + (high - low) * torch.arange(count) / count)
        middle = math.radians(sum(self.polar) / 2 if polar is None else polar)
        return Cameras.orbit(azimuth, torch.full((count,), middle), self.radius, math.radians(self.fov))
