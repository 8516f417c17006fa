"""Size of objects from their silhouettes."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn.functional import adaptive_max_pool2d, grid_sample

from get3d.cameras import Cameras
from get3d.color import bytes_to_unit

__all__ = ["hull_size"]

_CELLS = 64
_SILHOUETTE = 128
_FAINT = 8 / 255
_MARGIN = 1.25
"""Images show so much at the centre; beyond it they show more."""


@torch.no_grad()
def hull_size(alpha: UInt8[np.ndarray, "v r r"], degrees: Float[np.ndarray, "v 2"], radius: float, fov: float) -> float:
    """Longest side of the visual hull: of all points of a grid that are inside the object in every image.

    It is at least as large as the object, up to the resolution of the grid, and larger with fewer views. It is smaller
    only if images cut off the object.

    Args:
        alpha: the silhouettes.
        degrees: azimuth and polar angle of the cameras.
        radius: camera distance.
        fov: vertical field of view in degrees.

    Returns:
        The size; 0 if the silhouettes have no common point.
    """
    side = _MARGIN * 2 * radius * math.tan(math.radians(fov) / 2)
    axis = ((torch.arange(_CELLS) + 0.5) / _CELLS - 0.5) * side
    points = torch.cartesian_prod(axis, axis, axis)
    angles = torch.from_numpy(np.radians(degrees)).float()
    cameras = Cameras.orbit(angles[:, 0], angles[:, 1], radius, math.radians(fov))
    for view in range(len(alpha)):
        silhouette = bytes_to_unit(torch.from_numpy(alpha[view])[None, None])
        silhouette = adaptive_max_pool2d(silhouette, min(_SILHOUETTE, alpha.shape[-1]))
        screen = cameras.project(points, torch.full((len(points),), view), 2) - 1
        points = points[grid_sample(silhouette, screen[None, None, :, :2], align_corners=False)[0, 0, 0] > _FAINT]
    return float((points.amax(dim=0) - points.amin(dim=0)).max()) + side / _CELLS if len(points) else 0.0
