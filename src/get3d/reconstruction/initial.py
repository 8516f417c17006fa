"""Initial codes of objects: principal components of their visual hulls and colours.

Random codes do not say which objects are similar, so training must find out. Visual hulls and the colours seen in space
say so before the first step: similar objects begin with similar codes.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from get3d.cameras import Cameras
from get3d.color import bytes_to_unit
from get3d.datasets.loader import ImageDataset
from get3d.reconstruction.hulls import lattice, visual_hull

__all__ = ["initial_styles", "principal_codes", "seen_colors"]

SHAPE_STEPS, COLOR_STEPS = 12, 8
"""Steps along each side of the lattices on which hulls and colours are computed."""

MOST_VIEWS = 24
"""Maximum number of images of an object that are used, spread evenly over all that it has."""

SCALE = 0.3
"""Root mean square of the codes."""


@torch.no_grad()
def initial_styles(images: ImageDataset, size: float, w_dim: int) -> Float[Tensor, "n 2 w"]:
    """A style for the geometry and one for the texture of each object of a dataset.

    Args:
        images: of the objects.
        size: side of the generator's cube.
        w_dim: size of a style.
    """
    shape_points, color_points = lattice(size, SHAPE_STEPS), lattice(size, COLOR_STEPS)
    hulls, colors = [], []
    for rows in images.by_object():
        chosen = rows[torch.linspace(0, len(rows) - 1, min(MOST_VIEWS, len(rows))).long()]
        cameras = Cameras.of_prior(images.prior, images.angles[chosen])
        seen = bytes_to_unit(images.load(chosen))
        hulls.append(visual_hull(seen[:, 3:], cameras, shape_points))
        colors.append(seen_colors(seen, cameras, color_points).flatten())
    return torch.stack([principal_codes(torch.stack(features), w_dim) for features in (hulls, colors)], dim=1)


def seen_colors(seen: Float[Tensor, "k 4 r r"], cameras: Cameras, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """The mean colour of the pixels that points project to, over the images of an object.

    Args:
        seen: colours and masks in [0, 1].
        cameras: of the k images.
        points: in the world.
    """
    color, mask = seen[:, :3] * seen[:, 3:], seen[:, 3:]
    # Each point of a coarse lattice represents the volume around it.
    block = max(seen.shape[-1] // (2 * COLOR_STEPS), 1)
    coarse = avg_pool2d(torch.cat([color, mask], 1), block)
    camera = torch.arange(len(seen), device=points.device).repeat_interleave(len(points))
    screen = cameras.project(points.repeat(len(seen), 1), camera, 2)
    at = (screen[:, :2] - 1).view(len(seen), 1, -1, 2)
    found = grid_sample(coarse, at, align_corners=False)[:, :, 0].sum(0)
    mean = color.sum((0, 2, 3)) / mask.sum().clamp(min=1e-6)
    # Where no image shows the object, its mean colour is used.
    weight = 0.1
    return ((found[:3] + weight * mean[:, None]) / (found[3:] + weight)).T


def principal_codes(features: Float[Tensor, "n f"], size: int) -> Float[Tensor, "n s"]:
    """Coordinates along the principal axes of features, scaled so that their root mean square is SCALE.

    Each coordinate is divided by the square root of its standard deviation. Undivided, fine differences would be
    smaller than the noise of the codes; fully whitened, meaningless axes would be as large as the others.

    Args:
        features: of n objects.
        size: of a code; entries beyond the number of axes are 0.
    """
    # In double precision, so that the signs and the order of axes do not depend on rounding.
    centred = (features - features.mean(0)).double()
    count = min(size, len(features) - 1, features.shape[1])
    if len(features) <= features.shape[1]:
        # The products of the objects have the same variances; those of the features would have many that are 0.
        squares, axes = torch.linalg.eigh(centred @ centred.T)
        along = axes * squares.clamp(min=0).sqrt()
    else:
        squares, axes = torch.linalg.eigh(centred.T @ centred)
        along = centred @ axes
    variances, along = squares.flip(0) / max(len(features) - 1, 1), along.flip(1)[:, :count]
    known = variances[:count] > 1e-9 * variances.sum()
    scale = torch.where(known, variances[:count], 1.0).pow(-0.25) * known
    codes = torch.zeros(len(features), size, dtype=torch.float64)
    codes[:, :count] = along * scale
    return (SCALE * codes / codes.square().mean().sqrt().clamp(min=1e-12)).float()
