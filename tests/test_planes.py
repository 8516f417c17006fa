import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from get3d.networks.layers import upsample
from get3d.networks.planes import PlanesConfig, PlaneSynthesis

CONFIG = PlanesConfig(resolution=16, channels=3, channel_base=64, channel_max=8)


def _styles(planes: PlaneSynthesis, n: int, style: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return (
        torch.randn(n, planes.num_styles, style, generator=draw),
        torch.randn(n, planes.num_extra_styles, style, generator=draw),
    )


def test_styles_are_counted_as_published() -> None:
    full = PlanesConfig(resolution=256, channel_base=256)
    planes = PlaneSynthesis(full, style=2, kinds=2)
    assert (planes.num_styles, planes.num_extra_styles) == (20, 7)
    assert CONFIG.widths() == {4: 8, 8: 8, 16: 4}


@pytest.mark.parametrize("differentiated", [True, False])
def test_planes_are_the_doubled_sum_of_read_outs(differentiated: bool) -> None:
    synthesis = PlaneSynthesis(CONFIG, style=5, kinds=2)
    own, extra = _styles(synthesis, 2, 5)
    x, first, second = None, torch.zeros(2, 9, 2, 2), torch.zeros(2, 9, 2, 2)
    used = iter(own.unbind(1))
    for number, block in enumerate(synthesis.blocks):
        convolutions = [next(used) for _ in range(2 if number else 1)]
        nothing = torch.zeros_like(first)
        x, (a, b) = block(x, [nothing, nothing], convolutions, [next(used), extra[:, number]])
        first, second = upsample(first) + a, upsample(second) + b
    with torch.set_grad_enabled(differentiated):
        found = synthesis(own, extra)
    assert [planes.shape for planes in found] == [(2, 3, 3, 16, 16)] * 2
    for planes, expected in zip(found, (first, second), strict=True):
        torch.testing.assert_close(planes.flatten(1, 2), expected)


def test_texture_styles_change_texture_planes_alone() -> None:
    synthesis = PlaneSynthesis(CONFIG, style=5, kinds=2)
    own, extra = _styles(synthesis, 2, 5)
    geometry, texture = synthesis(own, extra)
    same, other = synthesis(own, extra + 1)
    assert geometry.equal(same)
    assert not texture.allclose(other)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    synthesis = PlaneSynthesis(CONFIG, style=5)
    own, _ = _styles(synthesis, 3, 5)
    (together,) = synthesis(own)
    (alone,) = synthesis(own[1:2])
    torch.testing.assert_close(alone, together[1:2], atol=1e-5, rtol=1e-5)


def test_every_parameter_has_a_gradient(device: torch.device) -> None:
    synthesis = PlaneSynthesis(CONFIG, style=5, kinds=2).to(device)
    own, extra = (styles.to(device) for styles in _styles(synthesis, 2, 5))
    geometry, texture = synthesis(own, extra)
    (geometry.square().sum() + texture.square().sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in synthesis.parameters())


def test_half_precision_is_near_and_sums_in_full(device: torch.device) -> None:
    synthesis = PlaneSynthesis(CONFIG, style=5).to(device)
    own, _ = (styles.to(device) for styles in _styles(synthesis, 2, 5))
    (full,) = synthesis(own)
    with torch.autocast(device.type, torch.bfloat16):
        (half,) = synthesis(own)
    assert half.dtype == torch.float32
    assert F.mse_loss(half, full).sqrt() < 0.03 * full.std()


COMPILED = """
import torch
from get3d.networks.planes import PlanesConfig, PlaneSynthesis

torch.manual_seed(0)
synthesis = PlaneSynthesis(PlanesConfig(resolution=8, channels=2, channel_base=32, channel_max=4), style=5, kinds=2)
styles = torch.randn(2, 5, 5), torch.randn(2, 2, 5)
results = []
for network in (synthesis, torch.compile(synthesis, backend="aot_eager", fullgraph=True)):
    planes = network(*styles)
    results.append([*planes, *torch.autograd.grad(sum(p.square().sum() for p in planes), list(synthesis.parameters()))])
for a, b in zip(*results, strict=True):
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
"""


@pytest.mark.slow
def test_it_compiles_whole() -> None:
    """In a process of its own: the checks of shapes that tests switch on cannot be compiled."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)


@pytest.mark.parametrize("resolution", [3, 2, 48])
def test_resolution_must_be_a_power_of_two(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution of {resolution} must be a power of two"):
        PlaneSynthesis(PlanesConfig(resolution=resolution), style=4)
