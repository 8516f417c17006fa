"""The starts of a fit: objects of a model, and cameras, whose images are most similar to the photos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.files import InputError
from get3d.fitting.photos import Window, window_of
from get3d.fitting.views import Views
from get3d.generator import Generator
from get3d.images import Images
from get3d.latents import Styles
from get3d.shapes import Shapes

__all__ = ["Candidates", "best_starts", "orbit_angles"]

_DRAWN, _COMPARED = 48, 32
"""Sides in pixels of the rendered images, and of the compared windows in them."""
_AZIMUTHS, _POLARS, _SECTORS = 24, 3, 4
_MASK, _COARSE = 5.0, 4
"""Weight of the masks relative to the colours, and side of the blocks in which masks are compared besides pixels."""


@dataclass(frozen=True)
class Candidates:
    """Objects and the cameras that see them.

    Attributes:
        styles: of m objects, W or W+.
        views: m · v cameras, those of the first object first.
        losses: of each object.
    """

    styles: Styles
    views: Views
    losses: Float[Tensor, " m"]

    def best(self, count: int) -> "Candidates":
        """Those with the smallest losses."""
        order = self.losses.argsort()[:count]
        views = len(self.views) // len(self.losses)
        rows = (order[:, None] * views + torch.arange(views, device=order.device)).flatten()
        return Candidates(self.styles[order], self.views[rows], self.losses[order])


def orbit_angles(prior: CameraPrior) -> Float[Tensor, "c 2"]:
    """Azimuths and polar angles over a prior, in radians."""
    low, high = prior.azimuth
    azimuth = low + (high - low) * torch.arange(_AZIMUTHS) / _AZIMUTHS
    start, end = prior.polar
    polar = start + (end - start) * (torch.arange(_POLARS) + 0.5) / _POLARS
    return torch.deg2rad(torch.cartesian_prod(azimuth, polar))


@torch.no_grad()
def best_starts(
    generator: Generator, styles: Styles, real: Float[Tensor, "v 4 r r"], known: Views | None, count: int
) -> Candidates:
    """The objects, with cameras for each, whose images are most similar to given ones.

    Args:
        generator: the model.
        styles: of s objects (W).
        real: the windows of photos.
        known: the cameras, if they are known.
        count: number of starts to return. With unknown cameras, one object can make several, seen from other sides.
    """
    seen = interpolate(real, (_COMPARED, _COMPARED), mode="bilinear", antialias=True, align_corners=False)
    angles = orbit_angles(generator.config.cameras).to(generator.device)
    found = []
    for number in range(len(styles.geometry)):
        shapes = generator.shapes(styles[number])
        if bool(shapes.empty):
            continue
        if known is not None:
            found.append(_Found(number, 0, float(_differences(shapes.draw(known(), _COMPARED), seen).mean()), known))
        else:
            found += _from_sides(number, shapes, seen, angles, generator.config.cameras)
    if not found:
        raise InputError("none of the model's objects that the search begins from has a surface; give more --starts")
    chosen: list[_Found] = []
    for one in sorted(found, key=lambda one: one.loss):
        same = sum(other.sector == one.sector for other in chosen)
        if len(chosen) < count and (known is not None or same < max(1, count // 2)):
            chosen.append(one)
    numbers = torch.tensor([one.number for one in chosen], device=generator.device)
    parts = [[getattr(one.views, name).detach() for one in chosen] for name in ("angles", "zoom", "pan", "distance")]
    views = Views(generator.config.cameras, *(torch.cat(part) for part in parts))
    return Candidates(styles[numbers], views, torch.tensor([one.loss for one in chosen], device=generator.device))


@dataclass(frozen=True)
class _Found:
    """An object by its number, the side that the first image sees, the loss, and the cameras of the images."""

    number: int
    sector: int
    loss: float
    views: Views


def _from_sides(
    number: int, shapes: Shapes, seen: Float[Tensor, "v 4 r r"], angles: Float[Tensor, "c 2"], prior: CameraPrior
) -> list[_Found]:
    """The best cameras of the images, for each sector that the first of them may see the object from."""
    drawn = shapes.draw(Cameras.of_prior(prior, angles), _DRAWN)
    visible = drawn.mask.amax((1, 2, 3)) > 0.5
    drawn, angles = drawn[visible], angles[visible]
    if not len(angles):
        return []
    windows = [window_of(mask[0] > 0.5) for mask in drawn.mask]
    around, cut = Views.of_windows(prior, angles, windows), _cut(drawn, windows)
    losses = torch.stack([_differences(cut, one[None].expand(len(angles), -1, -1, -1)) for one in seen])
    low, high = (math.radians(side) for side in prior.azimuth)
    sector = ((angles[:, 0] - low) / max(high - low, 1e-6) * _SECTORS).long().clamp(0, _SECTORS - 1)
    best = losses.argmin(1)
    found = []
    for side in sector.unique().tolist():
        first = losses[0].masked_fill(sector != side, torch.inf).argmin()
        rows = torch.cat([first[None], best[1:]])
        loss = float(losses.gather(1, rows[:, None]).mean())
        found.append(_Found(number, side, loss, around[rows]))
    return found


def _cut(drawn: Images, windows: Sequence[Window]) -> Images:
    """Windows of drawn images, resampled."""
    middle, side = (
        drawn.mask.new_tensor([(w.x, w.y) for w in windows]),
        drawn.mask.new_tensor([w.side for w in windows]),
    )
    scale = torch.eye(2, device=side.device) * side[:, None, None]
    grid = affine_grid(
        torch.cat([scale, (2 * middle - 1)[..., None]], 2), [len(side), 4, _COMPARED, _COMPARED], align_corners=False
    )
    # The background is black, like the area outside the image.
    seen = grid_sample(torch.cat([drawn.rgb + 1, drawn.mask], 1), grid, align_corners=False)
    return Images(seen[:, :3] - 1, seen[:, 3:], drawn.empty)


def _differences(drawn: Images, real: Float[Tensor, "n 4 r r"]) -> Float[Tensor, " n"]:
    """The difference of each image, independent of the others; the image losses are means over all."""
    mask = drawn.mask - real[:, 3:]
    both = ((drawn.mask > 0.5) & (real[:, 3:] > 0.5)).to(mask.dtype)
    color = ((drawn.rgb - real[:, :3]) * both).abs().sum((1, 2, 3)) / (3 * both.sum((1, 2, 3)).clamp(min=1))
    shape = mask.square().mean((1, 2, 3)) + avg_pool2d(mask, _COARSE).square().mean((1, 2, 3))
    return _MASK * shape + color
