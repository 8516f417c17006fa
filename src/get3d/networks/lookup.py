"""Features of planes and volumes at points: weighted sums of table rows, forward and backward without atomics."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from get3d.networks.layers import SLOPE

__all__ = ["Corners", "linear_corners", "separable_head", "weighted_rows"]

SLAB = 2**18
"""Hidden features of a lattice in memory at once, as a count of numbers: what fits in a processor's cache."""
GPU_SLAB = 2**27
"""The same on GPUs, where starting the kernels of a small slab takes longer than the kernels."""


@dataclass(frozen=True)
class Corners:
    """The two texels around coordinates, for linear interpolation. Points are the last axis, because they are many.

    Attributes:
        texel: low and high.
        weight: of each; nothing for a texel outside.
    """

    texel: Int[Tensor, "2 *c p"]
    weight: Float[Tensor, "2 *c p"]


def linear_corners(position: Float[Tensor, "*c p"], resolution: int) -> Corners:
    """The texels on both sides of positions.

    Args:
        position: in texels; texel i has its centre at i.
        resolution: number of texels.
    """
    low = position.floor()
    above = position - low
    low = low.int()
    texel = torch.stack([low, low + 1])
    clamped = texel.clamp(0, resolution - 1)
    return Corners(clamped, torch.stack([1 - above, above]) * (texel == clamped))


class _WeightedRows(torch.autograd.Function):
    """Embedding bags; the gradient of the table is an embedding bag too, over the same entries ordered by row."""

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        # The table is large, and only the weights' gradient needs it.
        ctx.save_for_backward(rows, weights, *([table] if ctx.needs_input_grad[2] else []))  # type: ignore[attr-defined]
        ctx.table_rows = table.shape[0]  # type: ignore[attr-defined]
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        rows, weights, *saved = ctx.saved_tensors  # type: ignore[attr-defined]
        of_weights = None
        if saved:
            # Column by column, so that at most one table row per point is in memory.
            columns = [(saved[0].index_select(0, column) * gradient).sum(1) for column in rows.unbind(1)]
            of_weights = torch.stack(columns, dim=1)
        if not ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            return None, None, of_weights
        flat = rows.flatten()
        order = flat.argsort(stable=True)
        counts = _counts(flat, ctx.table_rows)  # type: ignore[attr-defined]
        starts, weights = counts.cumsum(0) - counts, weights.flatten().index_select(0, order)
        table = F.embedding_bag(order // rows.shape[1], gradient, starts, mode="sum", per_sample_weights=weights)
        return table, None, of_weights


def _counts(numbers: Int[Tensor, " n"], limit: int) -> Int[Tensor, " k"]:
    """How often each number below `limit` comes up."""
    if numbers.device.type == "cpu":
        return torch.bincount(numbers, minlength=limit)
    # `bincount` makes the host wait for the GPU, because it first needs the largest number.
    zero = torch.zeros(limit, dtype=torch.int64, device=numbers.device)
    return zero.index_add(0, numbers, torch.ones_like(numbers, dtype=torch.int64))


def weighted_rows(
    table: Float[Tensor, "t c"], rows: Int[Tensor, "p k"], weights: Float[Tensor, "p k"]
) -> Float[Tensor, "p c"]:
    """For each point, the weighted sum of k rows of a table: Σ_k weights[p, k] · table[rows[p, k]].

    Differentiable once, in the table and in the weights; deterministic, forward and backward.
    """
    return _WeightedRows.apply(table, rows, weights)


class _SeparableHead(torch.autograd.Function):
    """Computes the lattice in slabs that fit in the cache; the backward pass recomputes them."""

    @staticmethod
    def forward(ctx: FunctionCtx, xy: Tensor, yz: Tensor, xz: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(xy, yz, xz, weight)
        n, m, _, hidden = xy.shape
        xy, yz, xz = _u_first(xy), _u_first(yz), _u_first(xz)
        values = xy.new_empty(n, m**3, weight.shape[1])
        for slab in _slabs(n, m, hidden, xy.device):
            h = F.leaky_relu_(_hidden(xy, yz, xz, slab), SLOPE).flatten(1, 3)
            torch.bmm(h, weight.mT, out=values[:, slab.start * m * m : slab.stop * m * m])
        return values.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, ...]:
        xy, yz, xz, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        n, m, _, hidden = xy.shape
        xy, yz, xz = _u_first(xy), _u_first(yz), _u_first(xz)
        d_xy, d_yz, d_xz, d_weight = (torch.zeros_like(t) for t in (xy, yz, xz, weight))
        for slab in _slabs(n, m, hidden, xy.device):
            g = gradient[:, slab.start * m * m : slab.stop * m * m]
            h = _hidden(xy, yz, xz, slab)
            d_h = (g @ weight).view_as(h)
            torch.ops.aten.leaky_relu_backward.grad_input(d_h, h, SLOPE, False, grad_input=d_h)
            d_weight.baddbmm_(g.mT, F.leaky_relu_(h, SLOPE).flatten(1, 3))
            d_xy[:, slab] = d_h.sum(3)
            d_yz += d_h[:, 0] if d_h.shape[1] == 1 else d_h.sum(1)
            d_xz[:, slab] = d_h.sum(2)
        return d_xy.transpose(1, 2), d_yz.transpose(1, 2), d_xz.transpose(1, 2), d_weight, gradient.sum((0, 1))


def _u_first(plane: Float[Tensor, "n v u h"]) -> Float[Tensor, "n u v h"]:
    """A plane with its first coordinate as the first axis, as lattice points are numbered."""
    return plane.transpose(1, 2).contiguous()


def _hidden(
    xy: Float[Tensor, "n m m h"], yz: Float[Tensor, "n m m h"], xz: Float[Tensor, "n m m h"], slab: slice
) -> Float[Tensor, "n s m m h"]:
    """The sum over the planes for some x: [n, x, y, z, h]."""
    return (yz[:, None] + xz[:, slab, None]).add_(xy[:, slab, :, None])


def _slabs(n: int, m: int, hidden: int, device: torch.device) -> list[slice]:
    """Ranges of x whose hidden features take about that many numbers."""
    step = max((SLAB if device.type == "cpu" else GPU_SLAB) // (n * m * m * hidden), 1)
    return [slice(start, min(start + step, m)) for start in range(0, m, step)]


def separable_head(
    xy: Float[Tensor, "n m m h"],
    yz: Float[Tensor, "n m m h"],
    xz: Float[Tensor, "n m m h"],
    weight: Float[Tensor, "n o h"],
    bias: Float[Tensor, " o"],
) -> Float[Tensor, "n m*m*m o"]:
    """A dense layer on the leaky ReLU of a sum over three planes, at every point of a lattice.

    value[(i·m + j)·m + k] = weight · lrelu(xy[j, i] + yz[k, j] + xz[k, i]) + bias, where lrelu has slope 0.2 and no
    gain. The hidden features of the lattice are never held all at once. Differentiable once.
    """
    return _SeparableHead.apply(xy, yz, xz, weight, bias)
