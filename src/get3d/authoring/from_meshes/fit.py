"""The largest size of an object at which every camera of a prior sees all of it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.camera_prior import CameraPrior

__all__ = ["largest_fit"]

MARGIN = 0.02
"""Margin at the borders, as a share of half the image's side."""
_STEP = 6.0
"""Degrees between tested cameras; between two of them, an object extends by at most 0.2 % more."""


def largest_fit(points: Float[Tensor, "v 3"], prior: CameraPrior) -> float:
    """The largest factor, at most 1, for scaling points so that all stay in the image of every camera of the prior.

    A camera at distance r sees the point s·p at s·x / (r − s·z), where x and z are its coordinates across and along the
    optical axis. That is at most t, the tangent of half the field of view less a margin, as long as
    s ≤ t·r / (|x| + t·z).

    Args:
        points: points around the origin.
        prior: the distribution of the cameras.
    """
    half = math.tan(math.radians(prior.fov) / 2) * (1 - MARGIN)
    # Within this ball nothing leaves the image of any camera, so most objects are done here.
    ball = prior.radius * math.sin(math.atan(half))
    points = points[points.norm(dim=1) > ball].double()
    factor = 1.0
    for polar in _steps(prior.polar):
        for azimuth in _steps(prior.azimuth):
            if not len(points):
                return factor
            sine, cosine = math.sin(polar), math.cos(polar)
            back = points.new_tensor([-sine * math.sin(azimuth), cosine, -sine * math.cos(azimuth)])
            right = points.new_tensor([-math.cos(azimuth), 0.0, math.sin(azimuth)])
            axes = torch.stack([right, torch.linalg.cross(back, right), back], dim=1)
            x, y, z = (points @ axes).unbind(1)
            outward = torch.maximum(x.abs(), y.abs()) + half * z
            factor = min(factor, half * prior.radius / max(float(outward.max()), 1e-9))
    return factor


def _steps(bounds: tuple[float, float]) -> list[float]:
    low, high = map(math.radians, bounds)
    count = math.ceil((high - low) / math.radians(_STEP)) + 1
    return [low + (high - low) * number / max(count - 1, 1) for number in range(count)]
