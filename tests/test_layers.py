import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from get3d.networks import layers
from get3d.networks.layers import Conv, Dense, ModulatedConv, ModulatedDense, ModulatedOutput

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
KERNEL = torch.outer(TAPS, TAPS) / 64


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _filtered(x: Tensor, before: int, after: int) -> Tensor:
    """The low-pass filter on images with rings of zeros, one channel at a time."""
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x.flatten(0, 1)[:, None], KERNEL.to(x)[None, None]).unflatten(0, x.shape[:2])[:, :, 0]


def _spread(x: Tensor) -> Tensor:
    """Zeros put between pixels, and after the last."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return spread.view(n, c, 2 * h, 2 * w)


@given(channels=st.integers(1, 5), height=st.integers(2, 9), width=st.integers(2, 9), padding=st.integers(1, 3))
@settings(max_examples=25)
def test_resampling_is_zero_insertion_and_the_filter(channels: int, height: int, width: int, padding: int) -> None:
    x = _random(2, channels, height, width)
    torch.testing.assert_close(layers.blur(x, padding), _filtered(x, padding, padding))
    torch.testing.assert_close(layers.upsample(x), 4 * _filtered(_spread(x), 2, 1))
    torch.testing.assert_close(layers.downsample(x), _filtered(x, 1, 1)[:, :, ::2, ::2])


@pytest.mark.parametrize(
    "resample", [layers.upsample, layers.downsample, lambda x: layers.blur(x, 1), lambda x: layers.blur(x, 2)]
)
def test_resampling_has_gradients_of_both_orders(resample: object) -> None:
    x = _random(1, 2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(resample, x)
    assert torch.autograd.gradgradcheck(resample, x)


def test_resampling_keeps_its_precision_under_autocast(device: torch.device) -> None:
    x = torch.randn(2, 3, 8, 8, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        for resample in (layers.upsample, layers.downsample):
            assert resample(x).dtype == torch.float32
            assert resample(x.bfloat16()).dtype == torch.bfloat16


def test_activation_is_leaky_and_clamped_and_keeps_nothing_else() -> None:
    x = torch.tensor([-2000.0, -10.0, -1e-3, 0.5, 255.0, 300.0], dtype=torch.float64)
    y = layers.clamped_lrelu(x.clone())
    torch.testing.assert_close(y, torch.tensor([-256.0, -2.0, -2e-4, 0.5, 255.0, 256.0], dtype=torch.float64))
    leaf = x.clone().requires_grad_()
    layers.clamped_lrelu(leaf * 1).sum().backward()
    assert leaf.grad.tolist() == [0.0, 0.2, 0.2, 1.0, 1.0, 0.0]


def test_activation_has_gradients_of_both_orders() -> None:
    x = _random(3, 4).requires_grad_()

    def squared(x: Tensor) -> Tensor:
        return layers.clamped_lrelu(x * 1).square()

    assert torch.autograd.gradcheck(squared, x)
    assert torch.autograd.gradgradcheck(squared, x)


def test_dense_is_its_formula() -> None:
    layer = Dense(5, 3, active=True, lr_multiplier=0.01, bias=0.5)
    torch.testing.assert_close(layer.bias * 0.01, torch.full((3,), 0.5))
    x = torch.randn(7, 5)
    expected = F.leaky_relu(x @ (layer.weight * 0.01 / math.sqrt(5)).T + 0.5, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_dense_keeps_the_scale_of_normal_input(active: bool, multiplier: float) -> None:
    torch.manual_seed(0)
    y = Dense(512, 512, active=active, lr_multiplier=multiplier)(torch.randn(1000, 512))
    assert y.square().mean().sqrt().item() == pytest.approx(1, 0.1)


@pytest.mark.parametrize(("kernel", "down"), [(1, False), (3, False), (3, True)])
def test_convolution_is_its_formula(kernel: int, down: bool) -> None:
    layer = Conv(3, 4, kernel=kernel, down=down).double()
    torch.nn.init.normal_(layer.bias)
    x = _random(2, 3, 8, 8)
    weight = layer.weight / math.sqrt(3 * kernel**2)
    y = F.conv2d(_filtered(x, 2, 2), weight, stride=2) if down else F.conv2d(x, weight, padding=kernel // 2)
    expected = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), expected)
    assert torch.autograd.gradgradcheck(layer, x[:1, :, :4, :4].clone().requires_grad_())


def _convolved_one_by_one(layer: ModulatedConv, x: Tensor, style: Tensor) -> Tensor:
    """The published description, sample by sample: modulate filters, demodulate, insert zeros, convolve, filter."""
    results = []
    for image, scale in zip(x, layer.affine(style), strict=True):
        weight = layer.weight * scale[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            spread = _spread(image[None])[:, :, :-1, :-1]
            y = 4 * _filtered(F.conv2d(spread, weight.flip(2, 3), padding=2), 1, 1)
        else:
            y = F.conv2d(image[None], weight, padding=1)
        y = y + layer.noise_image * layer.noise_strength + layer.bias[:, None, None]
        results.append((F.leaky_relu(y, 0.2) * math.sqrt(2)).clamp(-256, 256))
    return torch.cat(results)


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_is_its_description(up: bool) -> None:
    layer = ModulatedConv(3, 5, style=4, resolution=12 if up else 6, up=up).double()
    for parameter in (layer.bias, layer.noise_strength):
        torch.nn.init.normal_(parameter)
    inputs = [_random(2, 3, 6, 6).requires_grad_(), _random(2, 4, seed=1).requires_grad_()]
    found, expected = layer(*inputs), _convolved_one_by_one(layer, *inputs)
    torch.testing.assert_close(found, expected)
    leaves = [*inputs, *layer.parameters()]
    weight = _random(*found.shape, seed=2)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), leaves) for y in (found, expected)), strict=True):
        torch.testing.assert_close(a, b)


def test_modulated_convolution_clamps() -> None:
    layer = ModulatedConv(1, 1, style=1, resolution=4)
    torch.nn.init.constant_(layer.bias, 1000)
    assert layer(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1)).eq(256).all()


def test_modulated_output_is_its_formula() -> None:
    layer = ModulatedOutput(3, 2, style=4)
    torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 3, 5, 6), torch.randn(2, 4)
    scale = layer.affine(style) / math.sqrt(3)
    expected = torch.einsum("oi,ni,nihw->nohw", layer.weight.flatten(1), scale, x) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, style), expected)
    assert layer(1e6 * x, style).abs().max() == 256


def test_modulated_dense_gives_unit_filters() -> None:
    layer = ModulatedDense(6, 4, style=3)
    style = torch.randn(5, 3)
    scale = layer.affine(style)
    linear = layer(style)
    torch.testing.assert_close(linear.weights.square().sum(2), torch.ones(5, 4))
    expected = layer.weight * scale[:, None]
    torch.testing.assert_close(linear.weights, expected / (expected.square().sum(2, keepdim=True) + 1e-8).sqrt())
    x = torch.randn(5, 7, 6)
    torch.testing.assert_close(linear(x), torch.einsum("noi,npi->npo", linear.weights, x) + layer.bias)
    torch.testing.assert_close(linear.select(torch.tensor([4, 1]))(x[[4, 1]]), linear(x)[[4, 1]])
    torch.testing.assert_close(linear.scaled(3.0)(x), 3 * linear(x))


def test_pyramid_is_capped_and_needs_a_power_of_two() -> None:
    assert layers.channels_per_resolution(32, 128, 20) == {4: 20, 8: 16, 16: 8, 32: 4}
    assert layers.channels_per_resolution(256, 16, 20)[256] == 1
    for wrong in (0, 2, 6, 100):
        with pytest.raises(ValueError, match=f"{wrong} must be a power of two, at least 4"):
            layers.channels_per_resolution(wrong, 128, 20)


def _doubled(weight: Tensor) -> Tensor:
    return 2 * weight


def test_what_is_kept_follows_its_weights() -> None:
    """Changed in place, others at the same address, copies: never what followed from other weights."""
    kept, weight = layers.WeightCache(_doubled), torch.ones(1000)
    with torch.inference_mode():
        assert kept(weight).eq(2).all()
    assert not kept(weight).is_inference()
    assert kept(weight) is kept(weight)
    weight.mul_(3)
    assert kept(weight).eq(6).all()
    for number in range(20):
        # Freed memory is used again, and every new tensor has seen as many changes.
        fresh = torch.full((1000,), float(number)).mul_(1)
        assert kept(fresh).eq(2 * number).all()
        del fresh
    for other in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert other(torch.ones(3)).eq(2).all()
    with torch.inference_mode():
        made = torch.ones(3)
    assert kept(made).eq(2).all()
    assert kept(torch.ones(3, requires_grad=True)).requires_grad
