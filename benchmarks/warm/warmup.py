"""The warm start: a generator trained as a multi-view auto-decoder, before it plays the adversarial game.

A dataset knows which images show the same object. So every training object gets a code, the generator makes its shape
from the code, and the shape is drawn by the object's own cameras and compared with its images directly (Bojanowski et
al. 2018, "Optimizing the Latent Space of Generative Networks"; Park et al. 2019, "DeepSDF"). Only 2D images are used.

Losses are pure functions of tensors; `warmup_step` puts them together.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.cameras import Cameras
from get3d.generator import Generator, Shapes
from get3d.latents import Styles
from get3d.render import interpolate, mask_of, rasterize

__all__ = [
    "Drawn",
    "at_lattice",
    "color_loss",
    "cosine_fade",
    "draw_views",
    "mask_loss",
    "stratified_axis",
    "styles_of",
    "thin_parts",
    "thin_voxels",
    "visual_hull",
]


@dataclass(frozen=True)
class Drawn:
    """Images of shapes, several views of each.

    Attributes:
        rgb: [m, 3, r, r] in about [−1, 1]; black where nothing is seen.
        mask: [m, 1, r, r] in [0, 1], antialiased.
        covered: [m, 1, r, r] whether the pixel's centre sees the shape.
    """

    rgb: Float[Tensor, "m 3 r r"]
    mask: Float[Tensor, "m 1 r r"]
    covered: Bool[Tensor, "m 1 r r"]


def draw_views(shapes: Shapes, index: Int[Tensor, " m"], cameras: Cameras, resolution: int) -> Drawn:
    """Draws shape `index[i]` by camera i; differentiable in shape and colour.

    A shape is made once however many views it gets.

    Args:
        shapes: n shapes.
        index: which shape each image shows, ascending.
        cameras: m cameras.
        resolution: side of the images in pixels.
    """
    meshes = shapes.surfaces.meshes.select(index)
    fragments = rasterize(meshes, cameras, resolution)
    with torch.no_grad():
        points = interpolate(meshes.vertices, meshes.faces, fragments)
    colors = shapes.fields.texture.at_packed(points, index[fragments.shape])["base_color"]
    return Drawn(fragments.scatter(colors, -1.0), mask_of(meshes, fragments), fragments.covered)


def color_loss(
    rgb: Float[Tensor, "m 3 r r"], real: Float[Tensor, "m 4 r r"], covered: Tensor, scales: int = 1
) -> Float[Tensor, ""]:
    """Mean absolute difference of colours where both images show the object.

    Args:
        rgb: drawn colours in [−1, 1].
        real: real images, colours in [−1, 1] and the mask.
        covered: [m, 1, r, r] where the drawn image shows the shape.
        scales: also compares both averaged over 2, 4, … 2^(scales − 1) pixels, the average taken over the common part.
    """
    both = (covered & (real[:, 3:] > 0)).to(rgb.dtype)
    difference = (rgb - real[:, :3]) * both
    total = rgb.new_zeros(())
    for scale in range(scales):
        size = 2**scale
        weight = F.avg_pool2d(both, size)
        total = total + F.avg_pool2d(difference, size).abs().sum() / (3 * weight.sum().clamp(min=1))
    return total / scales


def mask_loss(
    mask: Float[Tensor, "m 1 r r"], real: Float[Tensor, "m 1 r r"], weight: Tensor | None = None, scales: int = 4
) -> Float[Tensor, ""]:
    """Mean squared difference of masks averaged over 1, 2, 4, … pixels, summed over the scales.

    Args:
        mask: drawn.
        real: of the same views.
        weight: [m, 1, r, r] of each pixel; None weighs all alike.
        scales: how many.
    """
    total = mask.new_zeros(())
    difference = mask - real
    for scale in range(scales):
        size = 2**scale
        squared = F.avg_pool2d(difference, size).square()
        total = total + (squared if weight is None else squared * F.avg_pool2d(weight, size)).mean()
    return total


def thin_parts(mask: Float[Tensor, "m 1 r r"], width: int = 5) -> Float[Tensor, "m 1 r r"]:
    """1 where a mask is thinner than `width` pixels: what opening by a disc of that diameter removes, else 0."""
    solid = (mask > 0.5).to(mask.dtype)
    offset = torch.arange(width, device=mask.device) - (width - 1) / 2
    disc = (offset[:, None] ** 2 + offset**2 <= (width / 2) ** 2).to(mask.dtype)[None, None]
    eroded = (F.conv2d(solid, disc, padding=width // 2) > disc.sum() - 0.5).to(mask.dtype)
    opened = F.conv2d(eroded, disc.flip(2, 3), padding=width // 2) > 0.5
    return solid * (~opened)


def stratified_axis(count: int, size: float, generator: torch.Generator | None = None) -> Float[Tensor, " m"]:
    """Coordinates in the cube, one drawn in each of `count` equal intervals, ascending.

    A few random planes along each axis make a lattice that costs a tri-plane field count² look-ups, and all such
    lattices together see every point, thin parts too.
    """
    drawn = torch.arange(count) + torch.rand(count, generator=generator)
    return size * (drawn / count - 0.5)


def at_lattice(volume: Float[Tensor, "n m m m"], size: float, axis: Float[Tensor, " l"]) -> Float[Tensor, "n l l l"]:
    """Trilinear values of volumes that span the cube, at the points (axis[i], axis[j], axis[k])."""
    steps = volume.shape[1] - 1
    position = (axis / size + 0.5).clamp(0, 1) * steps
    first = position.floor().long().clamp(max=steps - 1)
    part = position - first
    for dimension in (1, 2, 3):
        shape = [1, 1, 1, 1]
        shape[dimension] = -1
        low, high = volume.index_select(dimension, first), volume.index_select(dimension, first + 1)
        volume = torch.lerp(low, high, part.view(shape))
    return volume


@torch.no_grad()
def visual_hull(
    masks: Float[Tensor, "k 1 r r"], cameras: Cameras, points: Float[Tensor, "p 3"], spared: int = 0
) -> Float[Tensor, " p"]:
    """How surely points lie in the visual hull of an object: the least of what its masks say, in [0, 1].

    All that silhouettes tell about where the object is, and without a mesh (Laurentini 1994).

    Args:
        masks: antialiased masks of one object.
        cameras: of the k images.
        points: in the world.
        spared: how many masks may disagree; one wrong mask then does not cut the object away.
    """
    k, resolution = masks.shape[0], masks.shape[-1]
    camera = torch.arange(k).repeat_interleave(len(points))
    screen = cameras.project(points.repeat(k, 1), camera, resolution)[:, :2]
    at = (screen * (2 / resolution) - 1).view(k, 1, -1, 2)
    # Outside an image nothing is known, so nothing is cut there.
    inside = (at.abs() <= 1).all(-1)[:, 0]
    seen = F.grid_sample(masks, at, align_corners=False, padding_mode="border").view(k, -1)
    seen = torch.where(inside, seen, 1.0)
    return seen.kthvalue(1 + spared, dim=0).values


def thin_voxels(occupancy: Float[Tensor, "n m m m"], width: int = 3) -> Float[Tensor, "n m m m"]:
    """1 at and around voxels that opening by a ball of `width` voxels removes: where an object is thin."""
    solid = (occupancy > 0.5).float()[:, None]
    eroded = -F.max_pool3d(-solid, width, 1, width // 2)
    opened = F.max_pool3d(eroded, width, 1, width // 2)
    return F.max_pool3d(solid * (1 - opened), 3, 1, 1)[:, 0]


def styles_of(generator: Generator, code: Float[Tensor, "n 2 w"]) -> Styles:
    """Codes in W as styles, the same for every layer."""
    counts = generator.synthesis.num_geometry_styles, generator.synthesis.num_texture_styles
    return Styles(*(code[:, kind, None].expand(-1, count, -1) for kind, count in enumerate(counts)))


def cosine_fade(progress: float, start: float, end: float) -> float:
    """1 before `start`, 0 after `end`, half a cosine between."""
    if progress <= start:
        return 1.0
    if progress >= end:
        return 0.0
    return 0.5 + 0.5 * math.cos(math.pi * (progress - start) / (end - start))
