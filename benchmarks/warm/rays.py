"""A mask loss along camera rays: tried beside the visual hull, which reaches further in the same time."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from get3d.cameras import Cameras
from get3d.networks import GeometryField
from get3d.reconstruction.hulls import lattice_sdf

__all__ = ["lattice_volume", "ray_mask_loss", "ray_maximum"]


def lattice_volume(field: GeometryField, size: float, steps: int) -> Float[Tensor, "n 1 m m m"]:
    """SDF of n shapes on a lattice of m = steps + 1 points along each side of the cube; axes x, y, z."""
    return lattice_sdf(field, torch.linspace(-size / 2, size / 2, steps + 1))[:, None]


def ray_maximum(
    volume: Float[Tensor, "n 1 m m m"],
    size: float,
    cameras: Cameras,
    pixels: Float[Tensor, "v p 2"],
    resolution: int,
    samples: int,
    jitter: Float[Tensor, "v p s"] | float = 0.5,
    temperature: float = 0.0,
) -> tuple[Float[Tensor, "v p"], Tensor]:
    """The greatest SDF along the ray through each pixel: positive where the ray meets the shape.

    Unlike a silhouette of triangles, it has a gradient where there is no surface: at the place along the ray that is
    nearest to be inside (Yariv et al. 2020, "Multiview Neural Surface Reconstruction", equation 7).

    Args:
        volume: SDF of n shapes on a lattice.
        size: side of the cube the lattice spans.
        cameras: v = n·k cameras, k of each shape one after another.
        pixels: (x, y) in pixels, from the upper left corner.
        resolution: side of the image in pixels.
        samples: points along a ray, evenly in the part of the ray inside the cube.
        jitter: where in its interval each point lies, in [0, 1].
        temperature: 0 takes the greatest; otherwise the mean with the weights softmax(SDF / temperature).

    Returns:
        [v, p] the greatest SDF, and [v, p] whether the ray meets the cube.
    """
    scale = 0.5 * resolution / torch.tan(0.5 * torch.as_tensor(cameras.fov))
    offset = (pixels - 0.5 * resolution) / scale[:, None, None]
    local = torch.stack([offset[..., 0], -offset[..., 1], -torch.ones_like(offset[..., 0])], dim=-1)
    direction = local @ cameras.rotations
    origin = cameras.positions[:, None]
    inverse = 1 / torch.where(direction.abs() < 1e-8, 1e-8, direction)
    first, second = (-0.5 * size - origin) * inverse, (0.5 * size - origin) * inverse
    near, far = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
    meets = far > near
    steps = (torch.arange(samples) + jitter) / samples
    depth = near[..., None] + (far - near).clamp(min=0)[..., None] * steps
    points = origin[:, :, None] + depth[..., None] * direction[:, :, None]
    n = volume.shape[0]
    # The volume's axes are x, y, z; grid_sample takes the last axis first.
    at = (points.flip(-1) * (2 / size)).view(n, 1, -1, samples, 3)
    values = F.grid_sample(volume, at, align_corners=True, padding_mode="border").view(*pixels.shape[:2], samples)
    if temperature == 0:
        return values.amax(-1), meets
    weights = torch.softmax(values.detach() / temperature, dim=-1)
    return (weights * values).sum(-1), meets


def ray_mask_loss(
    maximum: Float[Tensor, "v p"],
    meets: Tensor,
    mask: Float[Tensor, "v p"],
    sharpness: float,
    weight: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Binary cross-entropy between sigmoid(sharpness · greatest SDF) and the mask, over rays that meet the cube."""
    loss = F.binary_cross_entropy_with_logits(sharpness * maximum, mask, reduction="none")
    counted = meets.to(loss.dtype) if weight is None else meets * weight
    return (loss * counted).sum() / counted.sum().clamp(min=1)
