"""Comparing two sets of shapes: distances between shapes, and metrics of distance matrices.

Achlioptas et al. 2018, "Learning Representations and Generative Models for 3D Point Clouds" (coverage, minimum matching
distance); Yang et al. 2019, "PointFlow" (1-nearest-neighbour accuracy).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Float64, Shaped
from torch import Tensor

from get3d.metrics.distance_kernels import LEAF
from get3d.metrics.kernel_ops import sum_nearest

__all__ = ["chamfer_distance", "coverage", "minimum_matching_distance", "nearest_neighbour_accuracy"]


def chamfer_distance(a: Float[Tensor, "a p 3"], b: Float[Tensor, "b q 3"]) -> Float64[Tensor, "a b"]:
    """Chamfer distance of every point cloud of `a` to every one of `b`.

    It is the mean squared distance from the points of one cloud to the nearest point of the other, in both directions,
    added.

    Args:
        a: point clouds.
        b: other point clouds on the same device; the number of points may differ.

    Raises:
        ValueError: a cloud has no points, or a point that is not finite.
    """
    for name, points in (("a", a), ("b", b)):
        if points.shape[1] == 0:
            raise ValueError(f"the clouds of {name} have no points")
        if not torch.isfinite(points).all():
            raise ValueError(f"the clouds of {name} hold points that are not finite")
    tree_a, tree_b = _trees(a), _trees(b)
    return _mean_nearest(tree_a, tree_b, a.shape[1]) + _mean_nearest(tree_b, tree_a, b.shape[1]).T


@dataclass(frozen=True)
class Trees:
    """A balanced tree of boxes for each of n clouds: node i has the children 2 i and 2 i + 1; the last l are leaves.

    Attributes:
        leaves: [n, l, 3, 16] coordinates; some points are repeated, so that l is a power of two.
        weights: [n, l, 16], 1 for a point, 0 for a repeated one.
        low: [n, 2 l, 3], the lowest coordinates in each node; node 0 is not used.
        high: [n, 2 l, 3], the highest.
    """

    leaves: Float32[Tensor, "n l 3 16"]
    weights: Float32[Tensor, "n l 16"]
    low: Float32[Tensor, "n k 3"]
    high: Float32[Tensor, "n k 3"]


def _trees(clouds: Float[Tensor, "n p 3"]) -> Trees:
    """Halves every cloud along its longest side, again and again."""
    n, p, _ = clouds.shape
    depth = (-(-p // LEAF) - 1).bit_length()
    place = torch.arange(LEAF << depth, device=clouds.device)
    number = place.expand(n, -1)
    unsorted = points = clouds.float()[:, place % p]
    low, high = [torch.zeros_like(points[:, :1])], [torch.zeros_like(points[:, :1])]
    for level in range(depth + 1):
        groups = points.unflatten(1, (1 << level, -1))
        low.append(groups.amin(dim=2))
        high.append(groups.amax(dim=2))
        if level < depth:
            longest = (high[-1] - low[-1]).argmax(dim=2)[:, :, None, None].expand(-1, -1, groups.shape[2], -1)
            order = groups.gather(3, longest).squeeze(3).argsort(dim=2)
            number = number.unflatten(1, order.shape[1:]).gather(2, order).flatten(1)
            points = unsorted.gather(1, number[:, :, None].expand(-1, -1, 3))
    return Trees(
        leaves=points.unflatten(1, (-1, LEAF)).transpose(2, 3).contiguous(),
        weights=(number < p).float().unflatten(1, (-1, LEAF)),
        low=torch.cat(low, dim=1),
        high=torch.cat(high, dim=1),
    )


def _mean_nearest(a: Trees, b: Trees, points: int) -> Float64[Tensor, "a b"]:
    """The mean over the points of each cloud of `a` of the squared distance to the nearest of each cloud of `b`."""
    sums = sum_nearest(a.leaves, a.weights, a.low, a.high, b.leaves, b.low, b.high)
    return sums / points


def coverage(distances: Shaped[Tensor, "g r"]) -> float:
    """Per cent of the references that are nearest to some generated shape. It measures variety; higher is better.

    Args:
        distances: from each generated shape (row) to each reference (column).

    Raises:
        ValueError: a set is empty, or a distance is not a number.
    """
    _check(distances)
    return 100 * len(distances.argmin(dim=1).unique()) / distances.shape[1]


def minimum_matching_distance(distances: Shaped[Tensor, "g r"]) -> float:
    """Mean distance from each reference to its nearest generated shape. It measures fidelity; lower is better.

    Args:
        distances: from each generated shape (row) to each reference (column).

    Raises:
        ValueError: a set is empty, or a distance is not a number.
    """
    _check(distances)
    return float(distances.amin(dim=0).double().mean())


def nearest_neighbour_accuracy(
    gg: Shaped[Tensor, "g g"], gr: Shaped[Tensor, "g r"], rr: Shaped[Tensor, "r r"]
) -> float:
    """Per cent of shapes whose nearest other shape is of their own set; 50 is best, 100 means always told apart.

    The leave-one-out accuracy of a 1-nearest-neighbour classifier over both sets. Above 50 the sets differ; below 50
    shapes of one set are nearer to those of the other, as copies are. Ties between both sets count half.

    Args:
        gg: distances between generated shapes; the diagonal is not read.
        gr: from each generated shape to each reference.
        rr: distances between references.

    Raises:
        ValueError: a set is empty, or a distance is not a number.
    """
    correct = 0.0
    for own, other in ((gg, gr), (rr, gr.T)):
        _check(other)
        apart = own.double() + torch.diag(torch.full((len(own),), math.inf, dtype=torch.float64, device=own.device))
        _check(apart)
        nearest, farther = apart.amin(dim=1), other.double().amin(dim=1)
        correct += float((nearest < farther).sum()) + 0.5 * float((nearest == farther).sum())
    return 100 * correct / sum(gr.shape)


def _check(distances: Tensor) -> None:
    if 0 in distances.shape:
        raise ValueError(f"distances between {distances.shape[0]} and {distances.shape[1]} shapes are not enough")
    if torch.isnan(distances).any():
        raise ValueError("there are distances that are not numbers")
