"""First codes of objects: principal components of what their images tell."""

import numpy as np
import pytest
import torch

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.datasets.loader import ImageDataset
from get3d.reconstruction.hulls import lattice
from get3d.reconstruction.initial import SCALE, initial_styles, principal_codes, seen_colors
from tiny import seeded, write_dataset


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


def test_an_object_of_one_color_is_a_fog_of_that_color():
    cameras = Cameras.of_prior(CameraPrior(), torch.tensor([[0.0, 1.2], [2.0, 1.4]]))
    seen = torch.zeros(2, 4, 16, 16)
    seen[:, :3, 4:12, 4:12] = torch.tensor([0.8, 0.4, 0.2]).view(3, 1, 1)
    seen[:, 3, 4:12, 4:12] = 1
    fog = seen_colors(seen, cameras, lattice(0.8, 4))
    torch.testing.assert_close(fog, torch.tensor([0.8, 0.4, 0.2]).expand(len(fog), -1))


def test_colors_stand_on_the_side_where_they_are_seen():
    """Half of what one camera sees is red and half is blue."""
    cameras = Cameras.of_prior(CameraPrior(), torch.tensor([[0.0, 1.57]]))
    seen = torch.zeros(1, 4, 32, 32)
    seen[:, 0, 8:24, 8:16] = seen[:, 2, 8:24, 16:24] = 1
    seen[:, 3, 8:24, 8:24] = 1
    points = torch.tensor([[0.0, 0.0, -0.2], [0.0, 0.0, 0.2], [-0.2, 0.0, 0.0], [0.2, 0.0, 0.0]])
    left = cameras.project(points, torch.zeros(4, dtype=torch.long), 32)[:, 0] < 15
    right = cameras.project(points, torch.zeros(4, dtype=torch.long), 32)[:, 0] > 17
    assert left.any() and right.any()
    fog = seen_colors(seen, cameras, points)
    assert (fog[left, 0] > 0.9).all()
    assert (fog[right, 2] > 0.9).all()


@pytest.mark.parametrize("w_dim", [4, 64])
def test_objects_of_a_dataset_have_codes_of_the_given_size(tmp_path, w_dim: int):
    images = ImageDataset(write_dataset(tmp_path / "discs", views=3), "train")
    styles = initial_styles(images, 1.0, w_dim)
    assert styles.shape == (len(images.objects), 2, w_dim)
    for number in range(2):
        size = styles[:, number].square().mean().sqrt()
        assert size == pytest.approx(SCALE, rel=1e-4)
    assert styles.equal(initial_styles(images, 1.0, w_dim))
