"""Rasterisation the slow ways: what the package's own is checked and timed against.

Nothing of the package is used here, so that an error there cannot hide in both.
"""

import numpy as np
import torch
import trimesh
from torch import Tensor


def visible_faces(screen: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """The face [height, width] seen at each pixel centre, −1 where none: face after face, in 64 bits.

    A centre lies in a triangle when an odd number of its edges lie to the left, on the centre's row; where, is rounded
    to 32 bits, so that an edge that leads through the centre does so exactly.
    """
    y, x = (torch.arange(size, dtype=torch.float64) + 0.5 for size in (height, width))
    nearest = torch.zeros(height, width, dtype=torch.float64)
    seen = torch.full((height, width), -1)
    for number, face in enumerate(faces):
        a, b, c = corners = screen[face].double()
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if not corners.isfinite().all() or corners[:, 2].min() <= 0 or area == 0:
            continue
        inside = torch.zeros(height, width, dtype=torch.bool)
        for p, q in ((a, b), (b, c), (c, a)):
            upper, lower = (p, q) if p[1] <= q[1] else (q, p)
            rows = (upper[1] <= y) & (y < lower[1])
            crossing = upper[0] + (y - upper[1]) * ((lower[0] - upper[0]) / (lower[1] - upper[1]))
            inside ^= rows[:, None] & (crossing.float()[:, None] <= x)
        v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1])[:, None] * (c[0] - a[0])) / area
        w = ((y - a[1])[:, None] * (b[0] - a[0]) - (x - a[0]) * (b[1] - a[1])) / area
        depth = a[2] + v * (b[2] - a[2]) + w * (c[2] - a[2])
        nearer = inside & (depth > nearest)
        nearest = torch.where(nearer, depth, nearest)
        seen[nearer] = number
    return seen


def pixel_rays(position: Tensor, rotation: Tensor, fov: float, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions [r · r, 3] of the rays through the pixel centres.

    Args:
        position: [3] of the camera.
        rotation: [3, 3], its rows are the camera's right, up and backward axes.
        fov: vertical field of view in radians.
        resolution: r.
    """
    centre = (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution * 2 - 1
    up, right = torch.meshgrid(-centre, centre, indexing="ij")
    tangent = np.tan(fov / 2)
    local = torch.stack([right * tangent, up * tangent, -torch.ones_like(right)], dim=-1).view(-1, 3)
    directions = (local @ rotation.double()).numpy()
    return np.broadcast_to(position.double().numpy(), directions.shape), directions


def first_hits(scene: trimesh.Trimesh, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The face that each ray hits first, −1 where none: through Embree, whose tree is built on the first call."""
    return scene.ray.intersects_first(origins, directions)
