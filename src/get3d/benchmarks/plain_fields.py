"""Fields on a grid the plain way, every vertex looked up: what the package's own is checked and timed against.

Nothing of the package is used here, so that an error there cannot hide in both.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

AXES = ([0, 1], [1, 2], [0, 2])


def sample(planes: Tensor, points: Tensor, size: float) -> Tensor:
    """Features [n, P, c] of points [P, 3], from planes [n, 3, c, r, r] over a cube of side `size` around the origin.

    The sum of what a point finds on the (x, y), (y, z) and (x, z) planes, bilinear, zeros outside.
    """
    n, _, channels, _, _ = planes.shape
    features = planes.new_zeros(n, channels, 1, len(points))
    for plane, axes in zip(planes.unbind(1), AXES, strict=True):
        place = (2 / size * points[:, axes]).expand(n, 1, -1, -1)
        features = features + F.grid_sample(plane, place, padding_mode="zeros", align_corners=False)
    return features.squeeze(2).mT


def evaluate(planes: Tensor, layers: list[tuple[Tensor, Tensor]], points: Tensor, size: float) -> Tensor:
    """Values [n, P, o] at points: dense layers on the features there, leaky ReLU of slope 0.2 between them.

    A layer is its weights [n, o, i] and bias [o].
    """
    x = sample(planes, points, size)
    for number, (weights, bias) in enumerate(layers):
        x = F.leaky_relu(x, 0.2) if number else x
        x = torch.bmm(x, weights.mT) + bias
    return x
