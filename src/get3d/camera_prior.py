"""The camera distribution of a dataset. It imports nothing heavy, because options are made from it."""

import math
from dataclasses import dataclass
from typing import Annotated

from get3d.ranges import Range

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

    @property
    def still_polar(self) -> float:
        """Polar angle of stills and turntables in degrees: the middle of the range from above, if there is any."""
        low, high = self.polar
        return (low + (min(high, 90.0) if low < 90 else high)) / 2
