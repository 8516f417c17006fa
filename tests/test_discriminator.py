import math

import pytest
import torch
from torch import Tensor

from get3d.networks.discriminator import Discriminator, DiscriminatorConfig, camera_features, minibatch_deviation

CONFIG = DiscriminatorConfig(channel_base=64, channel_max=8, condition=6, condition_layers=2)


def _inputs(n: int, resolution: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(n, 4, resolution, resolution, generator=draw, dtype=dtype)
    return images, torch.rand(n, 2, generator=draw, dtype=dtype)


def test_camera_features_are_those_of_the_published_discriminator() -> None:
    found = camera_features(torch.tensor([[0.5, 1.25]]))[0].tolist()
    waves = [wave(k * angle) for k in (1, 2, 4) for wave in (math.sin, math.cos) for angle in (0.5, 1.25)]
    assert found == pytest.approx([*waves, 0.5, 1.25])


def test_deviation_is_within_groups() -> None:
    x = torch.randn(6, 3, 2, 2)
    found = minibatch_deviation(x, 2)
    assert found.shape == (6, 1, 2, 2)
    for first in (0, 2, 4):
        expected = (x[first : first + 2].var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[first : first + 2], expected.expand(2, 1, 2, 2))
    torch.testing.assert_close(minibatch_deviation(x[:3], 4), minibatch_deviation(x[:3], 3))


def test_a_batch_must_split_into_groups() -> None:
    with pytest.raises(ValueError, match="a batch of 6 images cannot be split into groups of 4"):
        minibatch_deviation(torch.zeros(6, 1, 2, 2), 4)


def test_colours_and_mask_are_judged_apart(device: torch.device) -> None:
    discriminator = Discriminator(CONFIG, resolution=16).to(device)
    images, angles = (t.to(device) for t in _inputs(4, 16))
    logits = discriminator(images, angles)
    changed = images.clone()
    changed[:, 3] += 1
    other = discriminator(changed, angles)
    assert other.rgb.equal(logits.rgb)
    assert not other.mask.allclose(logits.mask)
    assert not discriminator(images, angles + 0.1).rgb.allclose(logits.rgb)


@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_every_resolution_has_its_blocks_and_every_parameter_a_gradient(resolution: int) -> None:
    discriminator = Discriminator(CONFIG, resolution=resolution)
    assert len(discriminator.rgb.blocks) == math.log2(resolution) - 2
    logits = discriminator(*_inputs(4, resolution))
    (logits.rgb + logits.mask).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in discriminator.parameters())


def test_gradients_of_both_orders() -> None:
    small = DiscriminatorConfig(channel_base=16, channel_max=3, condition=3, condition_layers=1)
    discriminator = Discriminator(small, resolution=8).double()
    images, angles = _inputs(2, 8, torch.float64)

    def logits(images: Tensor) -> Tensor:
        found = discriminator(images, angles)
        return torch.cat([found.rgb, found.mask])

    assert torch.autograd.gradcheck(logits, images.requires_grad_(), fast_mode=True)
    assert torch.autograd.gradgradcheck(logits, images.requires_grad_(), fast_mode=True)


def test_gradient_penalty_reaches_every_weight() -> None:
    discriminator = Discriminator(CONFIG, resolution=16)
    images, angles = _inputs(4, 16)
    images.requires_grad_()
    logits = discriminator(images, angles)
    (gradient,) = torch.autograd.grad((logits.rgb + logits.mask).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert discriminator.rgb.blocks[0].conv0.weight.grad.abs().sum() > 0
    assert discriminator.mask.embed.weight.grad.abs().sum() > 0


def test_classes_change_the_logits() -> None:
    discriminator = Discriminator(CONFIG, resolution=8, label_dim=3)
    images, angles = _inputs(4, 8)
    first, second = (discriminator(images, angles, torch.full((4,), k)) for k in (0, 1))
    assert not first.rgb.allclose(second.rgb)
    with pytest.raises(ValueError, match="a network of 3 classes needs a label"):
        discriminator(images, angles)


def test_images_of_another_resolution_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 16² given to a discriminator of 8²"):
        Discriminator(CONFIG, resolution=8)(*_inputs(4, 16))


def test_half_precision_is_near(device: torch.device) -> None:
    discriminator = Discriminator(CONFIG, resolution=16).to(device)
    images, angles = (t.to(device) for t in _inputs(4, 16))
    with torch.autocast(device.type, torch.bfloat16):
        half = discriminator(images, angles)
    full = discriminator(images, angles)
    assert half.rgb.dtype == torch.float32
    torch.testing.assert_close(half.rgb, full.rgb, atol=0.05, rtol=0.05)


def test_a_branch_alone_gives_the_logits_of_the_whole() -> None:
    discriminator = Discriminator(CONFIG, resolution=16, label_dim=2)
    images, angles = _inputs(4, 16)
    label = torch.tensor([0, 1, 1, 0])
    whole = discriminator(images, angles, label)
    for name in ("rgb", "mask"):
        assert torch.equal(discriminator.branch(name, images, angles, label), getattr(whole, name))


def test_features_of_large_images_are_computed_again_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    discriminator = Discriminator(CONFIG, resolution=32)
    images, angles = _inputs(4, 32)
    calls = []
    for number, block in enumerate(discriminator.rgb.blocks):
        block.register_forward_pre_hook(lambda *_, number=number: calls.append(number))

    def gradients() -> tuple[list[torch.Tensor], int]:
        calls.clear()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes) or x, lambda x: x):
            logits = discriminator(images, angles)
        loss = logits.rgb.sum() + logits.mask.sum()
        return list(torch.autograd.grad(loss, list(discriminator.parameters()))), sum(kept)

    usual, of_all = gradients()
    assert calls == [0, 1, 2]
    monkeypatch.setattr("get3d.networks.discriminator.LARGEST_KEPT", 8)
    again, of_small = gradients()
    assert calls == [0, 1, 2, 1, 0]
    assert of_small < 0.5 * of_all
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again, usual, strict=True))
