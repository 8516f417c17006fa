import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from get3d.networks import volume
from get3d.networks.fields import GeometryField
from get3d.networks.planes import PlanesConfig
from get3d.networks.synthesis import build_synthesis
from get3d.networks.volume import SeparateConfig, Volume, VolumeConfig, VolumeConv
from random_fields import SIZE, random_fields, random_points

CONFIG = SeparateConfig(
    volume=VolumeConfig(resolution=8, channel_base=32, channel_max=6, hidden=7),
    planes=PlanesConfig(resolution=16, channels=4, channel_base=32, channel_max=8),
    texture_features=5,
)


def _sampled(features: Volume, points: Tensor) -> Tensor:
    """PyTorch's own trilinear sampling."""
    grid = (points / features.size * 2)[:, :, None, None]
    sampled = F.grid_sample(features.features, grid, align_corners=True, padding_mode="border")
    return sampled[..., 0, 0].transpose(1, 2)


def test_styles_are_counted_as_published() -> None:
    small = SeparateConfig(volume=VolumeConfig(channel_base=32, hidden=4), planes=PlanesConfig(channel_base=256))
    network = build_synthesis(small, style=2, size=1.0, cell_values=0)
    assert (network.num_geometry_styles, network.num_texture_styles) == (11, 22)


def test_volumes_are_sampled_as_pytorch_does() -> None:
    _, made = random_fields(CONFIG)
    features, points = made.geometry.sdf, random_points(2, 200)
    found, expected = features.at(points), _sampled(features, points)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    outward = torch.randn_like(found)
    gradients = [torch.autograd.grad((y * outward).sum(), features.features)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_convolution_is_its_description_sample_by_sample() -> None:
    layer = VolumeConv(3, 4, style=5, resolution=4)
    torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 3, 4, 4, 4), torch.randn(2, 5)
    expected = []
    for features, scale in zip(x, layer.affine(style), strict=True):
        weight = layer.weight * scale[None, :, None, None, None]
        weight = weight / (weight.square().sum((1, 2, 3, 4), keepdim=True) + 1e-8).sqrt()
        y = F.conv3d(features[None], weight, layer.bias, padding=1)
        expected.append((F.leaky_relu(y, 0.2) * math.sqrt(2)).clamp(-256, 256))
    torch.testing.assert_close(layer(x, style), torch.cat(expected))


def test_values_are_the_heads_of_position_and_features(monkeypatch: pytest.MonkeyPatch) -> None:
    _, made = random_fields(CONFIG)
    geometry, points = made.geometry, random_points(2, 50)
    found = geometry.at(points)
    where = torch.cat([torch.sin(math.pi * points), torch.cos(math.pi * points)], dim=2)
    torch.testing.assert_close(found.sdf, geometry.sdf_head(torch.cat([where, _sampled(geometry.sdf, points)], dim=2)))
    expected = geometry.deformation_head(torch.cat([where, _sampled(geometry.deformation, points)], dim=2))
    torch.testing.assert_close(found.deformation, expected, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(volume, "CHUNK", 7)
    torch.testing.assert_close(geometry.at(points).sdf, found.sdf)


def test_a_lattice_gives_what_its_points_give() -> None:
    _, made = random_fields(CONFIG)
    axis = torch.linspace(-0.5, 0.5, 5) * SIZE
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3).expand(2, -1, -1)
    assert made.geometry.on_lattices([axis])[0].sdf.equal(made.geometry.at(points).sdf)
    features = _sampled(made.geometry.deformation, points).unflatten(1, (5, 5, 5))
    corners = [
        features[:, x : x + 4, y : y + 4, z : z + 4].flatten(1, 3) for z in (0, 1) for y in (0, 1) for x in (0, 1)
    ]
    expected = made.geometry.cell_head(torch.cat(corners, dim=2))
    torch.testing.assert_close(made.geometry.cell_values(axis), expected, atol=1e-5, rtol=1e-5)


def test_it_is_used_as_the_unified_one_is() -> None:
    network, made = random_fields(CONFIG, cell_values=0)
    assert isinstance(made.geometry, GeometryField)
    with pytest.raises(ValueError, match="build it with cell_values"):
        made.geometry.cell_values(torch.zeros(2))
    points = random_points(2, 10)
    assert made.texture.at(points)["base_color"].shape == (2, 10, 3)
    assert network.num_texture_styles > network.num_geometry_styles


def test_texture_depends_on_geometry_styles_and_geometry_not_on_texture_styles() -> None:
    network, _ = random_fields(CONFIG)
    geometry = torch.randn(1, network.num_geometry_styles, 6)
    texture = torch.randn(1, network.num_texture_styles, 6)
    points = random_points(1, 20)
    made, changed_texture = network(geometry, texture), network(geometry, texture + 1)
    assert made.geometry.at(points).sdf.equal(changed_texture.geometry.at(points).sdf)
    changed = geometry.clone()
    changed[:, -1] += 1
    assert (
        not network(changed, texture).texture.at(points)["base_color"].allclose(made.texture.at(points)["base_color"])
    )


def test_every_parameter_has_a_gradient(device: torch.device) -> None:
    network, _ = random_fields(CONFIG)
    network.to(device)
    counts = (network.num_geometry_styles, network.num_texture_styles)
    made = network(*(torch.randn(2, count, 6, device=device) for count in counts))
    points = random_points(2, 30).to(device)
    values = made.geometry.at(points)
    axis = torch.linspace(-0.5, 0.5, 4, device=device) * SIZE
    parts = [values.sdf, values.deformation, made.geometry.cell_values(axis), made.texture.at(points)["base_color"]]
    sum(part.square().sum() for part in parts).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters() if parameter.ndim)
