import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from get3d.networks import fields, lookup
from get3d.networks.config import SeparateConfig, VolumeConfig
from get3d.networks.fields import GeometryField, Head, TriPlanes, UnifiedConfig
from get3d.networks.planes import PlanesConfig
from get3d.networks.synthesis import build_synthesis
from random_fields import SIZE, random_fields, random_points

CONFIG = UnifiedConfig(PlanesConfig(resolution=8, channels=4, channel_base=32, channel_max=8), texture_features=5)
SEPARATE = SeparateConfig(CONFIG.planes, texture_features=5, volume=VolumeConfig(4, 32, 6, hidden=7))


def _lattice(axis: Tensor) -> Tensor:
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def _sampled(planes: TriPlanes, points: Tensor) -> Tensor:
    """PyTorch's own bilinear sampling, plane by plane."""
    position = (points / planes.size + 0.5).clamp(0, 1) * 2 - 1
    total = 0
    for number, axes in enumerate(([0, 1], [1, 2], [0, 2])):
        grid = position[:, :, None][..., axes]
        total = total + F.grid_sample(planes.features[:, number], grid, align_corners=False)[..., 0].transpose(1, 2)
    return total


def _evaluated(head: Head, features: Tensor) -> Tensor:
    """Layers applied shape by shape."""
    values = []
    for shape, x in enumerate(features):
        for number, layer in enumerate(head.layers):
            x = (F.leaky_relu(x, 0.2) if number else x) @ layer.weights[shape].T + layer.bias
        values.append(x)
    return torch.stack(values)


def test_styles_are_counted_as_published() -> None:
    full = build_synthesis(UnifiedConfig(PlanesConfig(channel_base=256)), style=2, size=1.0, cell_values=0)
    assert (full.num_geometry_styles, full.num_texture_styles) == (22, 9)


def test_planes_are_sampled_as_pytorch_does() -> None:
    _, made = random_fields(CONFIG)
    planes, points = made.texture.planes, random_points(2, 200)
    found, expected = planes.at(points, torch.arange(2)), _sampled(planes, points)
    torch.testing.assert_close(found, expected)
    outward = torch.randn_like(found)
    for shapes in ([1, 0, 1], [0]):
        swapped = planes.at(points[shapes], torch.tensor(shapes))
        torch.testing.assert_close(swapped, found[shapes])
    gradients = [torch.autograd.grad((y * outward).sum(), planes.features)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_values_at_points_are_the_heads_of_the_features() -> None:
    network, made = random_fields(CONFIG)
    geometry, points = made.geometry, random_points(2, 100)
    features = _sampled(geometry.planes, points)
    values = geometry.at(points)
    expected = _evaluated(geometry.head, features)
    torch.testing.assert_close(values.sdf, expected[..., :1])
    torch.testing.assert_close(values.deformation, expected[..., 1:])
    styles = torch.randn(2, 2, 6)
    sdf, deformation = network.sdf_head(styles), network.deformation_head(styles)
    torch.testing.assert_close(
        sdf.concat(deformation)(features), torch.cat([sdf(features), deformation(features)], dim=2)
    )


@pytest.mark.parametrize("slab", [1, 1200, 2**18], ids=["layer by layer", "a few layers", "all at once"])
@pytest.mark.parametrize("axis", [torch.linspace(-0.5, 0.5, 7), torch.linspace(-0.4, 0.3, 4), torch.zeros(1)])
def test_a_lattice_gives_what_its_points_give(
    axis: Tensor, slab: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLAB", "GPU_SLAB"):
        monkeypatch.setattr(lookup, name, slab)
    network, _ = random_fields(CONFIG)
    network, axis = network.to(device), SIZE * axis.to(device)
    counts = (network.num_geometry_styles, network.num_texture_styles)
    geometry = network(*(torch.randn(2, count, 6, device=device) for count in counts)).geometry
    points = _lattice(axis).expand(2, -1, -1)
    found, expected = geometry.on_lattices([axis])[0], geometry.at(points)
    torch.testing.assert_close(found.sdf, expected.sdf, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.deformation, expected.deformation, atol=1e-5, rtol=1e-5)
    outward = torch.randn_like(found.deformation)
    gradients = []
    for values in (found, expected):
        loss = (values.deformation * outward).sum() + values.sdf.sum()
        gradients.append(torch.autograd.grad(loss, geometry.planes.features, retain_graph=True)[0])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_cell_values_are_the_head_of_eight_concatenated_corners() -> None:
    _, made = random_fields(CONFIG)
    geometry, axis = made.geometry, torch.linspace(-0.5, 0.5, 5) * SIZE
    features = _sampled(geometry.planes, _lattice(axis).expand(2, -1, -1)).unflatten(1, (5, 5, 5))
    corners = [
        features[:, x : x + 4, y : y + 4, z : z + 4].flatten(1, 3) for z in (0, 1) for y in (0, 1) for x in (0, 1)
    ]
    expected = _evaluated(geometry.cell_head, torch.cat(corners, dim=2))
    torch.testing.assert_close(geometry.cell_values(axis), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (2, 64, 21)


def test_without_cell_values_there_are_none() -> None:
    _, made = random_fields(CONFIG, cell_values=0)
    assert isinstance(made.geometry, GeometryField)
    with pytest.raises(ValueError, match="build it with cell_values"):
        made.geometry.cell_values(torch.zeros(2))


@pytest.mark.parametrize("counts", [[0, 0, 0], [5, 0, 9], [0, 1, 0], [4, 4, 4]])
def test_packed_colours_are_the_colours_of_each_shape(monkeypatch: pytest.MonkeyPatch, counts: list[int]) -> None:
    monkeypatch.setattr(fields, "BLOCK", 4)
    network, made = random_fields(CONFIG, 3)
    points = random_points(3, 9)
    shape = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    packed = torch.cat([points[number, :count] for number, count in enumerate(counts)])
    found = made.texture.at_packed(packed, shape)["base_color"]
    dense = made.texture.at(points)["base_color"]
    expected = torch.cat([dense[number, :count] for number, count in enumerate(counts)])
    torch.testing.assert_close(found, expected)
    weights = torch.randn(len(shape), 3)
    gradients = [
        torch.autograd.grad((y * weights).sum(), network.texture_head.parameters(), retain_graph=True)
        for y in (found, expected)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_colours_are_the_rgb_layer_of_texture_features() -> None:
    _, made = random_fields(CONFIG)
    texture, points = made.texture, random_points(2, 50)
    features = _evaluated(texture.head, _sampled(texture.planes, points))
    expected = features @ texture.to_rgb.weights.transpose(1, 2) + texture.to_rgb.bias
    torch.testing.assert_close(texture.at(points)["base_color"], expected)


@pytest.mark.parametrize("config", [CONFIG, SEPARATE], ids=["unified", "separate"])
def test_waves_are_added_to_textures(config: UnifiedConfig | SeparateConfig) -> None:
    """New networks have none; what is set for base colours is a Fourier series, linear in the style."""
    _, without = random_fields(config)
    config = replace(config, texture_frequencies=3)
    network, _ = random_fields(config)
    points = random_points(2, 50)
    assert not network.waves.dense.weight.any()
    weight, bias = torch.randn(19, 3, 6), torch.randn(19, 3)
    network.waves.set_colors(weight, bias)
    counts = network.num_geometry_styles, network.num_texture_styles
    geometry, texture = (torch.randn(2, count, 6) for count in counts)
    made = network(geometry, texture).texture
    plain = replace(made, waves=None).at(points)["base_color"]
    for number in range(2):
        amplitudes = torch.einsum("fcs,s->fc", weight, texture[number, -1]) + bias
        expected = plain[number] + amplitudes[0]
        for cycles in (1, 2, 3):
            angle, first = 2 * math.pi * cycles * points[number] / SIZE, 6 * cycles - 5
            expected = expected + angle.sin() @ amplitudes[first : first + 3]
            expected = expected + angle.cos() @ amplitudes[first + 3 : first + 6]
        torch.testing.assert_close(made.at(points)["base_color"][number], expected, atol=1e-4, rtol=1e-4)
    assert without.texture.waves is None


def test_gradients_flow_to_points_as_to_planes() -> None:
    _, made = random_fields(CONFIG)
    points = random_points(2, 10).requires_grad_()
    found = made.texture.at(points)["base_color"]
    features = _evaluated(made.texture.head, _sampled(made.texture.planes, points))
    expected = features @ made.texture.to_rgb.weights.transpose(1, 2) + made.texture.to_rgb.bias
    outward = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    gradients = [torch.autograd.grad((y * outward).sum(), points, retain_graph=True)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_every_parameter_has_a_gradient() -> None:
    network, made = random_fields(CONFIG)
    axis = torch.linspace(-0.5, 0.5, 4) * SIZE
    values = made.geometry.on_lattices([axis])[0]
    parts = [
        values.sdf,
        values.deformation,
        made.geometry.cell_values(axis),
        made.texture.at(random_points(2, 30))["base_color"],
    ]
    sum(part.square().sum() for part in parts).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters() if parameter.ndim)
