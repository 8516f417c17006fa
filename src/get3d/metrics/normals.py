"""How the directions of surfaces are distributed, and whether textures still contain the light that fell on them."""

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.meshes import MeshBatch
from get3d.render.lights import even_directions

__all__ = ["histogram_distance", "light_correlation", "normal_histograms"]

BINS, SHARPNESS = 128, 30.0
"""Directions of a histogram, as far apart as the kernel is wide: a border between two would split flat surfaces."""


def normal_histograms(meshes: MeshBatch) -> Float[Tensor, "n bins"]:
    """The share of each mesh's area that faces each of 128 directions, spread over the sphere; the sum is 1.

    Faces count in neighbouring directions by the kernel exp(30 · (n · d − 1)), about 10° wide.

    Raises:
        ValueError: a mesh has no area.
    """
    crosses = meshes.face_crosses().double()
    area = crosses.norm(dim=1, keepdim=True)
    weights = torch.exp(SHARPNESS * (crosses / area.clamp(min=1e-30) @ even_directions(BINS).to(crosses).T - 1))
    shares = area * weights / weights.sum(1, keepdim=True)
    counts = shares.new_zeros(len(meshes), BINS).index_add(0, meshes.face_mesh, shares)
    total = counts.sum(1, keepdim=True)
    if not bool((total > 0).all()):
        raise ValueError(f"mesh {int((total[:, 0] <= 0).nonzero()[0])} has no area, so no direction either")
    return counts / total


def histogram_distance(some: Float[Tensor, "n bins"], others: Float[Tensor, "m bins"]) -> float:
    """Total variation distance of the mean histograms of two sets: 0 for equal ones, 1 for ones without overlap."""
    return float((some.mean(0) - others.mean(0)).abs().sum()) / 2


def light_correlation(
    base_color: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], direction: Float[Tensor, " 3"]
) -> float:
    """Correlation of the brightness of a texture with n · l, over points of one object: 0 if it contains no light.

    Args:
        base_color: linear colours at the points.
        normals: unit normals there.
        direction: unit vector to the light.

    Returns:
        Pearson's correlation of the relative luminance (ITU-R BT.709) with n · l; 0 where one of them is constant.
    """
    brightness = base_color @ base_color.new_tensor([0.2126, 0.7152, 0.0722])
    facing = normals @ direction.to(normals)
    a, b = (values.double() - values.double().mean() for values in (brightness, facing))
    spread = a.norm() * b.norm()
    return float(a @ b / spread) if spread > 1e-6 * len(a) else 0.0
