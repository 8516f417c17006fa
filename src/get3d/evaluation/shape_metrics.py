"""Distance matrices of sets of shapes, and metrics computed from them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.evaluation.config import DistanceName
from get3d.evaluation.resumable import Arrays, digest, in_blocks
from get3d.evaluation.shape_sets import ShapeSet
from get3d.metrics.lightfield import LightFieldDescriptors, light_field_distance
from get3d.metrics.point_clouds import chamfer_distance, coverage, minimum_matching_distance, nearest_neighbour_accuracy

__all__ = [
    "DistanceName",
    "Distances",
    "Value",
    "accuracy",
    "covered",
    "distances",
    "matching_distance",
    "to_training",
    "variety",
]


_PAIRS_IN_BLOCK = 20_000
_GROUPS = 10


@dataclass(frozen=True)
class Value:
    """A value of a metric.

    Attributes:
        value: the number.
        spread: standard error, from subsets of the generated set; None if it is not known.
    """

    value: float
    spread: float | None = None


@dataclass(frozen=True)
class Distances:
    """Distances of one kind between g generated shapes and r references, without empty shapes.

    Attributes:
        own: [g, g] between generated shapes.
        across: [g, r] from each generated shape to each reference.
        references: [r, r] between references.
        to_train: [n] from each shape to the nearest training object; None if not computed.
    """

    own: Float64[Tensor, "g g"]
    across: Float64[Tensor, "g r"]
    references: Float64[Tensor, "r r"]
    to_train: Float64[Tensor, " n"] | None = None


def distances(
    a: ShapeSet,
    b: ShapeSet,
    name: DistanceName,
    path: Path,
    device: torch.device,
    progress: Callable[[int], None],
    ranks: Ranks = SINGLE_PROCESS,
) -> Float64[Tensor, "a b"]:
    """Distances from each shape of `a` to each of `b`, in blocks of rows, resuming from stored results at `path`.

    For a set and itself, only one triangle is computed.

    Args:
        a: shapes of the rows.
        b: shapes of the columns.
        name: "cd" is 10³ times the Chamfer distance, the unit of the published tables; "lfd" the light field distance.
        path: .npz file for the matrix.
        device: device for the computation.
        progress: called with the number of finished rows.
        ranks: processes that divide the rows.

    Raises:
        InputError: the file cannot be written.
    """
    if not len(a) or not len(b):
        return torch.zeros(len(a), len(b), dtype=torch.float64)
    key = digest(name, *_described(a, name), *_described(b, name))

    def compute(start: int, end: int) -> Arrays:
        first = start if a is b else 0
        found = torch.zeros(end - start, len(b), dtype=torch.float64)
        if name == "cd":
            found[:, first:] = (
                1000 * chamfer_distance(a.points[start:end].to(device), b.points[first:].to(device)).cpu()
            )
        else:
            rows, columns = _descriptors(a)[start:end], _descriptors(b)[first:]
            found[:, first:] = light_field_distance(rows.to(device), columns.to(device)).cpu().double()
        progress(end)
        return {"distances": found.numpy()}

    size = max(1, _PAIRS_IN_BLOCK // len(b))
    whole = in_blocks(path, key, len(a), size, compute, _mirrored if a is b else dict, ranks)
    return torch.from_numpy(whole["distances"])


def _mirrored(matrix: Arrays) -> Arrays:
    upper = np.triu(matrix["distances"], 1)
    return {"distances": upper + upper.T}


def _described(shapes: ShapeSet, name: DistanceName) -> list[Tensor]:
    return [shapes.points] if name == "cd" else list(_descriptors(shapes).tensors().values())


def _descriptors(shapes: ShapeSet) -> LightFieldDescriptors:
    if shapes.descriptors is None:
        raise ValueError("the set was measured without light field descriptors")
    return shapes.descriptors


def covered(found: Distances) -> Value:
    """Coverage of all generated shapes together, as published; 0 if all are empty."""
    if not len(found.across):
        return Value(0.0)
    return Value(coverage(found.across), _jackknife(found.across, coverage))


def matching_distance(found: Distances) -> Value | None:
    """Minimum matching distance of all generated shapes together, as published."""
    if not len(found.across):
        return None
    return Value(minimum_matching_distance(found.across), _jackknife(found.across, minimum_matching_distance))


def accuracy(found: Distances) -> Value | None:
    """1-nearest-neighbour accuracy with as many generated shapes as references.

    Only then is chance 50 %. The result is the mean over all such parts of the generated set.
    """
    gg, gr, rr = found.own, found.across, found.references
    count, references = gr.shape
    if not count:
        return None
    size = min(count, references)
    starts = range(0, count - size + 1, size)
    told = [nearest_neighbour_accuracy(gg[i : i + size, i : i + size], gr[i : i + size], rr) for i in starts]
    several = len(told) > 1
    return Value(float(np.mean(told)), float(np.std(told, ddof=1) / len(told) ** 0.5) if several else None)


def variety(found: Distances) -> Value | None:
    """Mean distance between two different generated shapes; None if there is only one."""
    count = len(found.own)
    return Value(float(found.own.sum() / (count * (count - 1)))) if count > 1 else None


def to_training(found: Distances) -> Value | None:
    """Median distance from a shape to the nearest training object."""
    if found.to_train is None or not len(found.to_train):
        return None
    return Value(float(found.to_train.median()))


def _jackknife(gr: Float64[Tensor, "g r"], metric: Callable[[Tensor], float]) -> float | None:
    """The standard error of a metric, from leaving out a tenth of the generated shapes at a time."""
    if len(gr) < 2 * _GROUPS:
        return None
    group = torch.arange(len(gr)) % _GROUPS
    found = np.array([metric(gr[group != left_out]) for left_out in range(_GROUPS)])
    return float(((_GROUPS - 1) * found.var()) ** 0.5)
