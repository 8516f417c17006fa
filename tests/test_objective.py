import math

import pytest
import torch

from get3d.networks import Discriminator, DiscriminatorConfig, Logits
from get3d.training.objective import discriminator_loss, generator_loss, gradient_penalty


def _logits(rgb, mask):
    return Logits(torch.tensor(rgb)[:, None], torch.tensor(mask)[:, None])


def _log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def test_losses_are_the_formulas():
    real, fake = _logits([1.0, -2.0], [0.5, 3.0]), _logits([0.0, 1.5], [-1.0, 2.0])
    expected_g = -sum(_log_sigmoid(x) for x in (0.0, 1.5, -1.0, 2.0)) / 2
    expected_d = -sum(_log_sigmoid(x) for x in (1.0, -2.0, 0.5, 3.0, 0.0, -1.5, 1.0, -2.0)) / 2
    assert generator_loss(fake).item() == pytest.approx(expected_g, rel=1e-6)
    assert discriminator_loss(real, fake).item() == pytest.approx(expected_d, rel=1e-6)


def test_penalty_of_a_linear_discriminator_is_the_norm_of_its_weights():
    weights = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = torch.randn(3, 4, 8, 8, dtype=torch.float64).requires_grad_()
    rgb = (images[:, :3] * weights[:3]).sum((1, 2, 3))[:, None]
    mask = (images[:, 3:] * weights[3:]).sum((1, 2, 3))[:, None]
    penalty = gradient_penalty(rgb + mask, images)
    torch.testing.assert_close(penalty, weights.square().sum())


def test_penalty_and_its_gradient_agree_with_finite_differences():
    torch.manual_seed(0)
    config = DiscriminatorConfig(channel_base=64, channel_max=8, group=1, condition=8)
    network = Discriminator(config, resolution=8).double()
    images = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    angles = torch.rand(2, 2, dtype=torch.float64)

    def penalty():
        leaf = images.clone().requires_grad_()
        logits = network(leaf, angles)
        return gradient_penalty(logits.rgb + logits.mask, leaf)

    step = 1e-5
    steps = step * torch.eye(images.numel(), dtype=torch.float64).view(-1, *images.shape)
    # An image's logits do not depend on the others, so all differences are one batch.
    moved = [network((images + sign * steps).flatten(0, 1), angles.repeat(len(steps), 1)) for sign in (1, -1)]
    sums = [(logits.rgb + logits.mask).view(len(steps), 2).sum(1) for logits in moved]
    total = ((sums[0] - sums[1]) / (2 * step)).square().sum().item()
    value = penalty()
    assert value.item() == pytest.approx(total / 2, rel=1e-5)

    value.backward()
    parameter = max(network.parameters(), key=lambda p: 0 if p.grad is None else p.grad.abs().max().item())
    index = parameter.grad.abs().argmax()
    expected = parameter.grad.flatten()[index].item()
    with torch.no_grad():
        parameter.flatten()[index] += step
    above = penalty().item()
    with torch.no_grad():
        parameter.flatten()[index] -= 2 * step
    assert (above - penalty().item()) / (2 * step) == pytest.approx(expected, rel=1e-4)
