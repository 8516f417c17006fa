"""Initial codes of objects: principal components of their visual hulls, and of the waves in their colours.

Random codes do not say which objects are similar, so training must find out. Visual hulls and the colours seen on them
say so before the first step: similar objects begin with similar codes. Where textures have waves of the position, their
amplitudes begin as those of the images: they are linear in the code, and codes are linear in them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool3d, grid_sample, max_pool3d, normalize, pad

from get3d.cameras import Cameras
from get3d.color import bytes_to_unit, unit_to_signed
from get3d.datasets.loader import ImageDataset
from get3d.networks.waves import wave_basis
from get3d.reconstruction.hulls import lattice, visual_hull

__all__ = ["InitialCodes", "color_waves", "initial_codes", "principal_codes", "seen_colors"]

SHAPE_STEPS = 12
"""Steps along each side of the lattice on which hulls are computed."""

FREQUENCIES = 8
"""Of the colours that codes are made of, where textures have no waves of their own."""

STEPS_PER_CYCLE = 2
"""Of the lattice on which colours are looked for, for each cycle of the shortest wave."""

FACING = 0.25
"""Least cosine between a surface's normal and the direction to a camera that is taken to see it."""

RIDGE = 3e-3
"""Penalty of amplitudes, as a share of the number of points, which keeps those small that few points tell of."""

MOST_VIEWS = 24
"""Maximum number of images of an object that are used, spread evenly over all that it has."""

SCALE = 0.3
"""Root mean square of the codes."""


@dataclass(frozen=True)
class InitialCodes:
    """What a warm-up begins with.

    Attributes:
        styles: for the geometry and for the texture of each object.
        weight: with `bias`, from styles of textures to the amplitudes of waves in base colours; None for no waves.
        bias: amplitudes of the style 0.
    """

    styles: Float[Tensor, "n 2 w"]
    weight: Float[Tensor, "f 3 w"] | None = None
    bias: Float[Tensor, "f 3"] | None = None


@torch.no_grad()
def initial_codes(
    images: ImageDataset, size: float, w_dim: int, frequencies: int, device: torch.device
) -> InitialCodes:
    """Codes of the objects of a dataset, and the amplitudes that they stand for, on the CPU.

    Args:
        images: of the objects.
        size: side of the generator's cube.
        w_dim: size of a style.
        frequencies: of the waves of textures; 0 for none.
        device: that does the work.
    """
    shape_points, count = lattice(size, SHAPE_STEPS, device), frequencies or FREQUENCIES
    hulls, colors = [], []
    for rows in images.by_object():
        chosen = rows[torch.linspace(0, len(rows) - 1, min(MOST_VIEWS, len(rows))).long()]
        cameras = Cameras.of_prior(images.prior, images.angles[chosen].to(device))
        seen = bytes_to_unit(images.load(chosen).to(device))
        hulls.append(visual_hull(seen[:, 3:], cameras, shape_points).cpu())
        colors.append(color_waves(*seen_colors(seen, cameras, size, STEPS_PER_CYCLE * count), size, count).cpu())
    amplitudes = torch.stack(colors).flatten(1)
    styles = torch.stack([principal_codes(features, w_dim) for features in (torch.stack(hulls), amplitudes)], dim=1)
    if not frequencies:
        return InitialCodes(styles)
    with_one = pad(styles[:, 1], (0, 1), value=1.0).double()
    solved = torch.linalg.lstsq(with_one, amplitudes.double(), driver="gelsd").solution.float()
    weight, bias = solved[:-1].T.unflatten(0, (-1, 3)), solved[-1].view(-1, 3)
    return InitialCodes(styles, weight.contiguous(), bias)


def seen_colors(
    seen: Float[Tensor, "k 4 r r"], cameras: Cameras, size: float, steps: int
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """Points on the visual hull of an object, and the mean colour of the pixels that show them from in front.

    Args:
        seen: colours and masks in [0, 1].
        cameras: of the k images.
        size: side of the cube whose lattice is looked at.
        steps: of the lattice along each side.
    """
    side, points = steps + 1, lattice(size, steps, seen.device)
    inside = (visual_hull(seen[:, 3:], cameras, points) > 0.5).to(points.dtype).view(1, 1, side, side, side)
    eroded = -max_pool3d(pad(-inside, (1,) * 6), 3, 1)
    soft = avg_pool3d(pad(inside, (2,) * 6), 5, 1)[0, 0]
    outward = -torch.stack(torch.gradient(soft), dim=-1).view(-1, 3)
    (shell,) = ((inside - eroded).flatten() > 0).nonzero(as_tuple=True)
    points, normals = points[shell], normalize(outward[shell], dim=1)

    towards = normalize(cameras.positions[:, None] - points, dim=2)
    weight = ((towards * normals).sum(2) - FACING).clamp(min=0)
    camera = torch.arange(len(seen), device=points.device).repeat_interleave(len(points))
    at = (cameras.project(points.repeat(len(seen), 1), camera, 2)[:, :2] - 1).view(len(seen), 1, -1, 2)
    covered = torch.cat([seen[:, :3] * seen[:, 3:], seen[:, 3:]], dim=1)
    found = torch.einsum("kcp,kp->pc", grid_sample(covered, at, align_corners=False)[:, :, 0], weight)
    known = found[:, 3] > 1e-3
    return points[known], found[known, :3] / found[known, 3:]


def color_waves(
    points: Float[Tensor, "p 3"], colors: Float[Tensor, "p 3"], size: float, count: int
) -> Float[Tensor, "f 3"]:
    """The amplitudes of waves (`wave_basis`) that give points about their colours, by ridge regression.

    Args:
        points: positions, in any number.
        colors: in [0, 1].
        size: side of the cube.
        count: number of frequencies.
    """
    basis, signed = wave_basis(points, size, count), unit_to_signed(colors)
    share = 1 / max(len(points), 1)
    penalty = RIDGE * torch.eye(basis.shape[1], device=basis.device, dtype=basis.dtype)
    return torch.linalg.solve(share * basis.T @ basis + penalty, share * basis.T @ signed)


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
