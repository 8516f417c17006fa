"""A mask with smooth edges, and with a gradient in the vertices."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render.kernels import outline
from get3d.render.rasterize import Fragments, project

__all__ = ["mask_of", "render_mask"]


def render_mask(meshes: MeshBatch, cameras: Cameras, resolution: int) -> Float[Tensor, "b 1 r r"]:
    """How much of each pixel mesh b covers for camera b, in [0, 1]; differentiable in the vertices.

    Raises:
        ValueError: the numbers of meshes and cameras differ.
    """
    return _coverage(project(meshes, cameras, resolution), meshes, resolution)


def mask_of(meshes: MeshBatch, fragments: Fragments) -> Float[Tensor, "b 1 r r"]:
    """The same as `render_mask`, for meshes that have been rasterised already."""
    return _coverage(fragments.screen, meshes, fragments.resolution)


def _coverage(screen: Float[Tensor, "v 3"], meshes: MeshBatch, resolution: int) -> Float[Tensor, "b 1 r r"]:
    crossings = outline(screen.detach().float(), meshes.faces, meshes.face_offsets, resolution)
    line, column, a, b = crossings.unbind(2)
    along = torch.where(
        column[..., None] == 1, torch.tensor([1, 0], device=screen.device), torch.tensor([0, 1], device=screen.device)
    )
    a, b = screen[a].gather(2, along), screen[b].gather(2, along)
    y = line % resolution + 0.5
    run = b[..., 1] - a[..., 1]
    x = a[..., 0] + (y.to(screen.dtype) - a[..., 1]) / run * (b[..., 0] - a[..., 0])
    x = x.clamp(0, resolution)
    cell = x.detach().long()
    sign = torch.tensor([[1.0], [-1.0]], dtype=screen.dtype, device=screen.device)
    lines = 2 * len(meshes) * resolution
    width = resolution + 1
    slot = (line * width + cell).flatten()
    inside = screen.new_zeros(lines * width).index_add(0, slot, sign.expand_as(x).flatten()).view(lines, width)
    inside = inside.cumsum(1) - inside
    part = screen.new_zeros(lines * width).index_add(0, slot, (sign * (cell + 1 - x)).flatten()).view(lines, width)
    covered = (inside + part)[:, :resolution].view(2, len(meshes), 1, resolution, resolution)
    rows, columns = covered[0], covered[1].transpose(2, 3)
    weight = _steepness((rows + columns).detach())
    return weight * rows + (1 - weight) * columns


def _steepness(coverage: Float[Tensor, "b 1 r r"]) -> Float[Tensor, "b 1 r r"]:
    """How much more the silhouette runs along y than along x near each pixel, in [0, 1]."""
    smooth = coverage.new_tensor([1.0, 2.0, 1.0])
    difference = coverage.new_tensor([-1.0, 0.0, 1.0])
    sobel = torch.stack([smooth[:, None] * difference, difference[:, None] * smooth])[:, None]
    squared = functional.conv2d(coverage, sobel, padding=1).square()
    across, down = functional.avg_pool2d(squared, 3, stride=1, padding=1).split(1, dim=1)
    return torch.where(across + down > 0, across / (across + down).clamp_min(1e-12), 0.5)
