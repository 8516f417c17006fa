"""Minimal filtering gives PyTorch's convolution, and is left alone where gradients or other types are asked for."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.networks import winograd
from get3d.networks.layers import ModulatedConv

SIDES = st.integers(1, 9).map(lambda n: 4 * n)


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 5), SIDES, SIDES, st.integers(0, 2**31))
def test_it_is_the_convolution(n, inputs, outputs, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, height, width, generator=generator)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
    scale = torch.rand(n, inputs, generator=generator)
    seen = torch.zeros(n, height)

    def finish(images, rows, convolved, part):
        lines = rows.stop - rows.start
        assert part.shape == (images.stop - images.start, lines // 4, 4, width // 4, 4, outputs)
        seen[images, rows] += 1
        torch.mul(convolved, 2, out=part)

    found = winograd.convolve(x, winograd.transformed(weight), scale, finish)
    expected = 2 * F.conv2d(x.double() * scale[:, :, None, None], weight.double(), padding=1)
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max().clamp_min(1)
    assert (seen == 1).all()


@torch.no_grad()
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("n", "strip", "parts"), [(1, 4096, 4), (3, 4096, 12), (5, 8192, 10), (5, 2**20, 1)])
def test_strips_of_large_images_fit_together(n, strip, parts, channels_last, monkeypatch):
    monkeypatch.setattr(winograd, "STRIP", strip)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 128, 32, 64, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    weight, scale = torch.randn(128, 128, 3, 3, generator=generator), torch.rand(n, 128, generator=generator)
    assert winograd.worthwhile(x, weight, scale)
    written = []

    def finish(images, rows, convolved, part):
        written.append((images, rows))
        part.copy_(convolved)

    found = winograd.convolve(x, winograd.transformed(weight), scale, finish)
    expected = F.conv2d(x.double() * scale[:, :, None, None], weight.double(), padding=1)
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()
    assert len(written) == parts


def test_a_layer_gives_the_same_with_and_without_gradients_and_after_its_weights_changed():
    torch.manual_seed(0)
    layer = ModulatedConv(128, 128, style=8, resolution=32)
    x, style = torch.randn(2, 128, 32, 32), torch.randn(2, 8)
    with torch.no_grad():
        layer.noise_strength += 0.5
        layer.bias += torch.randn(128)
    for _ in range(2):
        expected = layer(x, style)
        with torch.no_grad():
            assert winograd.worthwhile(x, layer.weight, torch.ones(2, 128))
            found = layer(x, style)
            torch.testing.assert_close(found, expected, rtol=0.0, atol=2e-5 * float(expected.abs().max()))
            assert torch.equal(found, layer(x, style))
            torch.testing.assert_close(copy.deepcopy(layer)(x, style), found)
            layer.weight *= torch.rand(128, 1, 1, 1)


def test_where_it_is_of_no_use_it_is_not_taken():
    weight, scale = torch.randn(128, 128, 3, 3), torch.ones(1, 128)
    x = torch.randn(1, 128, 32, 32)
    assert winograd.worthwhile(x, weight, scale)
    assert not winograd.worthwhile(x, weight.requires_grad_(), scale)
    with torch.no_grad():
        assert winograd.worthwhile(x, weight, scale)
    assert not winograd.worthwhile(x.double(), weight.detach(), scale)
    assert not winograd.worthwhile(x[:, :, :30], weight.detach(), scale)
    assert not winograd.worthwhile(x[:, :64], weight.detach()[:, :64], scale[:, :64])
    assert winograd.worthwhile(x[:, :, :4, :4], weight.detach(), scale)
    with torch.autocast("cpu", torch.bfloat16):
        assert not winograd.worthwhile(x, weight.detach(), scale)
