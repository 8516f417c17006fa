import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from get3d.networks import lookup
from get3d.networks.lookup import linear_corners, separable_head, weighted_rows


def test_corners_are_the_texels_on_both_sides() -> None:
    corners = linear_corners(torch.tensor([-0.5, 0.0, 1.25, 3.0, 3.5]), 4)
    assert corners.texel.T.tolist() == [[0, 0], [0, 1], [1, 2], [3, 3], [3, 3]]
    expected = torch.tensor([[0, 0.5], [1, 0], [0.75, 0.25], [1, 0], [0.5, 0]])
    torch.testing.assert_close(corners.weight.T, expected)


def _rows(points: int, k: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(points)
    table = torch.randn(rows, 3, dtype=torch.float64, generator=draw)
    index = torch.randint(rows, (points, k), generator=draw).int()
    return table, index, torch.rand(points, k, dtype=torch.float64, generator=draw)


@given(points=st.integers(0, 20), k=st.integers(1, 12), rows=st.integers(1, 30))
@settings(max_examples=40)
def test_weighted_rows_and_their_gradient(points: int, k: int, rows: int) -> None:
    table, index, weights = _rows(points, k, rows)
    inputs = table.requires_grad_(), weights.requires_grad_()
    expected = (table[index.long()] * weights[..., None]).sum(1)
    found = weighted_rows(table, index, weights)
    torch.testing.assert_close(found, expected)
    outward = torch.randn(points, 3, dtype=torch.float64)
    gradients = (torch.autograd.grad((y * outward).sum(), inputs) for y in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def _planes(n: int, m: int, hidden: int, outputs: int) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(m)
    shapes = [*[(n, m, m, hidden)] * 3, (n, outputs, hidden), (outputs,)]
    return tuple(torch.randn(*shape, dtype=torch.float64, generator=draw).requires_grad_() for shape in shapes)


def _at_every_point(xy: Tensor, yz: Tensor, xz: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    hidden = torch.einsum("njih->nijh", xy)[:, :, :, None] + torch.einsum("nkjh->njkh", yz)[:, None]
    hidden = hidden + torch.einsum("nkih->nikh", xz)[:, :, None]
    return F.leaky_relu(hidden, 0.2).flatten(1, 3) @ weight.transpose(1, 2) + bias


@pytest.mark.parametrize("held", [1, 100, 10**9])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_separable_head_is_the_head_at_every_point(monkeypatch: pytest.MonkeyPatch, held: int, m: int) -> None:
    monkeypatch.setattr(lookup, "SLAB", held)
    inputs = _planes(2, m, 4, 3)
    found, expected = separable_head(*inputs), _at_every_point(*inputs)
    torch.testing.assert_close(found, expected)
    outward = torch.randn_like(found)
    gradients = (torch.autograd.grad((y * outward).sum(), inputs) for y in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
