"""From sets of shapes to matrices of distances, and from those to the numbers of the tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from get3d.metrics.blocks import Arrays, digest, in_blocks
from get3d.metrics.config import DistanceName
from get3d.metrics.lightfield import LightFieldDescriptors, light_field_distance
from get3d.metrics.shape_sets import ShapeSet
from get3d.metrics.shapes import chamfer_distance, coverage, minimum_matching_distance, nearest_neighbour_accuracy
from get3d.ranks import ALONE, Ranks

__all__ = ["DistanceName", "Value", "compare_sets", "distances", "mean_distance"]


_PAIRS_IN_BLOCK = 20_000
_GROUPS = 10


@dataclass(frozen=True)
class Value:
    """A number of a table.

    Attributes:
        value: the number.
        spread: standard error, as the subsets of the generated set scatter; None where there is no telling.
    """

    value: float
    spread: float | None = None


def distances(
    a: ShapeSet,
    b: ShapeSet,
    name: DistanceName,
    path: Path,
    device: torch.device,
    progress: Callable[[int], None],
    ranks: Ranks = ALONE,
) -> Float64[Tensor, "a b"]:
    """The distance of each shape of `a` from each of `b`, in blocks of rows, going on with what is stored at `path`.

    Of a set and itself only one triangle is computed.

    Args:
        a: the rows.
        b: the columns.
        name: "cd" is 10³ times the Chamfer distance, the unit of the published tables; "lfd" the light field distance.
        path: .npz file for the matrix.
        device: where to compute.
        progress: is told how many rows are done, by this process or before.
        ranks: processes that share the rows.

    Raises:
        InputError: the file cannot be written.
    """
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


def compare_sets(
    gg: Float64[Tensor, "g g"], gr: Float64[Tensor, "g r"], rr: Float64[Tensor, "r r"]
) -> dict[str, Value]:
    """What the distances between generated shapes and references tell.

    Coverage ("cov") and minimum matching distance ("mmd") of all generated shapes together, as published; the accuracy
    of nearest neighbours ("1nna") of as many generated shapes as there are references, since chance is 50 % only then,
    as the mean over all such parts; and the mean distance between two generated shapes ("variety").
    """
    count, references = gr.shape
    size = min(count, references)
    starts = range(0, count - size + 1, size)
    told = [nearest_neighbour_accuracy(gg[i : i + size, i : i + size], gr[i : i + size], rr) for i in starts]
    several = len(told) > 1
    return {
        "cov": Value(coverage(gr), _jackknife(gr, coverage)),
        "mmd": Value(minimum_matching_distance(gr), _jackknife(gr, minimum_matching_distance)),
        "1nna": Value(float(np.mean(told)), float(np.std(told, ddof=1) / len(told) ** 0.5) if several else None),
        "variety": Value(mean_distance(gg)),
    }


def mean_distance(own: Float64[Tensor, "n n"]) -> float:
    """The mean distance between two different shapes of a set; 0 where there is but one."""
    return float(own.sum() / max(1, len(own) * (len(own) - 1)))


def _jackknife(gr: Float64[Tensor, "g r"], metric: Callable[[Tensor], float]) -> float | None:
    """The standard error of a metric, from leaving out a tenth of the generated shapes at a time."""
    if len(gr) < 2 * _GROUPS:
        return None
    group = torch.arange(len(gr)) % _GROUPS
    found = np.array([metric(gr[group != left_out]) for left_out in range(_GROUPS)])
    return float(((_GROUPS - 1) * found.var()) ** 0.5)
