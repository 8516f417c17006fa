"""First codes of objects: principal components of what their images tell, and the waves that they stand for."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.color import bytes_to_unit, unit_to_signed
from get3d.datasets.loader import ImageDataset
from get3d.networks.waves import wave_basis
from get3d.reconstruction.initial import SCALE, color_waves, initial_codes, principal_codes, seen_colors
from tiny import seeded, write_dataset

CPU = torch.device("cpu")


def test_codes_are_the_leading_components_each_over_the_root_of_its_deviation():
    features = torch.randn(40, 12, generator=seeded(0), dtype=torch.float64) @ torch.diag(
        torch.arange(1.0, 13).double()
    )
    codes = principal_codes(features, 5).double().numpy()
    centred = (features - features.mean(0)).numpy()
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = left[:, :5] * np.sqrt(singular[:5])
    wanted *= SCALE / np.sqrt(np.mean(wanted**2))
    np.testing.assert_allclose(np.abs(codes), np.abs(wanted), atol=1e-5)


def test_what_is_beyond_the_axes_is_zero_and_equal_objects_have_equal_codes():
    few = torch.randn(3, 12, generator=seeded(1))
    codes = principal_codes(few, 8)
    assert codes[:, :2].abs().min() > 0
    assert codes[:, 2:].abs().max() == 0
    assert principal_codes(few[:1].expand(4, -1), 8).abs().max() == 0


def _ball(colors, views=12, resolution=32):
    """Images of a ball of radius 0.3 whose colours are a function of positions on it, by ray casting."""
    angles = torch.stack([torch.linspace(0, 2 * math.pi, views + 1)[:-1], torch.linspace(1.0, 2.0, views)], dim=1)
    cameras = Cameras.of_prior(CameraPrior(), angles)
    side = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    down, right = torch.meshgrid(side, side, indexing="ij")
    seen = torch.zeros(views, 4, resolution, resolution)
    for number in range(views):
        slope = 2 * cameras.focal_lengths[number]
        rays = torch.stack([right / slope[0], -down / slope[1], -torch.ones_like(right)], dim=-1)
        rays = normalize(rays @ cameras.rotations[number], dim=-1)
        origin = cameras.positions[number]
        along = (rays * origin).sum(-1)
        inside = along**2 - origin.square().sum() + 0.09
        points = origin + (-along - inside.clamp(min=0).sqrt())[..., None] * rays
        seen[number, 3] = (inside > 0).float()
        seen[number, :3] = colors(points).movedim(-1, 0) * seen[number, 3]
    return seen, cameras


def test_colors_are_found_where_they_are_on_the_surface():
    """Red is the height, green the side, and blue is the same everywhere."""

    def colors(points):
        return torch.stack([0.5 + points[..., 1], 0.5 + points[..., 0], torch.full_like(points[..., 0], 0.3)], dim=-1)

    points, found = seen_colors(*_ball(colors), 0.9, 24)
    assert len(points) > 300
    assert (points.norm(dim=1) - 0.3).abs().max() < 0.08
    assert (found - colors(points)).abs().mean() < 0.02
    assert (found[:, 2] - 0.3).abs().max() < 1e-3


def test_amplitudes_of_waves_are_those_that_colors_are_made_of():
    points = torch.rand(4000, 3, generator=seeded()) - 0.5
    angle = 2 * math.pi * 3 * points[:, 1] / 1.1
    colors = torch.stack([0.5 + 0.4 * angle.sin(), 0.5 - 0.2 * angle.cos(), torch.full_like(angle, 0.8)], dim=1)
    found = color_waves(points, colors, 1.1, 4)
    basis = wave_basis(points, 1.1, 4)
    assert (basis @ found - unit_to_signed(colors)).abs().mean() < 0.01
    assert found[0, 2] == pytest.approx(0.6, abs=0.02)
    assert found[1 + 2 * 6 + 1, 0] == pytest.approx(0.8, abs=0.02)
    assert found[1 + 2 * 6 + 4, 1] == pytest.approx(-0.4, abs=0.02)
    assert not color_waves(points[:0], colors[:0], 1.1, 4).any()


def test_styles_stand_for_the_waves_of_their_objects(tmp_path, device: torch.device):
    images = ImageDataset(write_dataset(tmp_path / "discs", views=3), "train")
    codes = initial_codes(images, 1.0, 64, 2, device)
    found = torch.einsum("fcw,nw->nfc", codes.weight, codes.styles[:, 1]) + codes.bias
    for number, rows in enumerate(images.by_object()):
        seen = bytes_to_unit(images.load(rows))
        cameras = Cameras.of_prior(images.prior, images.angles[rows])
        wanted = color_waves(*seen_colors(seen, cameras, 1.0, 4), 1.0, 2)
        torch.testing.assert_close(found[number], wanted, atol=1e-3, rtol=1e-3)
    assert initial_codes(images, 1.0, 64, 0, CPU).weight is None


@pytest.mark.parametrize("w_dim", [4, 64])
def test_objects_of_a_dataset_have_codes_of_the_given_size(tmp_path, w_dim: int):
    images = ImageDataset(write_dataset(tmp_path / "discs", views=3), "train")
    styles = initial_codes(images, 1.0, w_dim, 0, CPU).styles
    assert styles.shape == (len(images.objects), 2, w_dim)
    for number in range(2):
        size = styles[:, number].square().mean().sqrt()
        assert size == pytest.approx(SCALE, rel=1e-4)
    assert styles.equal(initial_codes(images, 1.0, w_dim, 0, CPU).styles)
