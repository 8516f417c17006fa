"""Right cameras are found right, and wrong ones wrong, for thin objects in images of 16 pixels too."""

import numpy as np
import pytest
import torch

from get3d.assets.shading import shade
from get3d.authoring.procedural import make
from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.datasets.silhouette_consistency import CONVENTIONS, better_convention, compare, silhouettes

PRIOR = CameraPrior()
SIDES = (16, 64)


@pytest.fixture(scope="module")
def chairs():
    """Meshes, angles of six images of each in degrees, and their alpha by the images' side."""
    found = []
    for number in (0, 2):
        mesh = make("chair", 0, number, texture=256)
        cameras = Cameras.sample(PRIOR, 6, torch.Generator().manual_seed(number))
        alpha = {side: shade(mesh, cameras, side)[:, 3].numpy() for side in SIDES}
        found.append((mesh.mesh, np.degrees(cameras.angles.double().numpy()), alpha))
    return found


def comparisons(chairs, side, change=lambda degrees: degrees, spoil=lambda alpha: alpha):
    return [compare(mesh, change(degrees), PRIOR, spoil(alpha[side]), tried=3) for mesh, degrees, alpha in chairs]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "spoil",
    [lambda alpha: alpha, lambda alpha: (alpha > 127) * np.uint8(255)],
    ids=["shares of pixels", "all or nothing"],
)
def test_right_cameras_agree(chairs, side, spoil):
    found = comparisons(chairs, side, spoil=spoil)
    assert min(one.consistency for one in found) > 0.96
    assert better_convention(found) is None


WRONG = {
    "−azimuth": ([-1, 1], [0, 0]),
    "azimuth + 180°": ([1, 1], [180, 0]),
    "azimuth − 90°": ([1, 1], [90, 0]),
    "azimuth − 30°": ([1, 1], [30, 0]),
    "90° − azimuth": ([-1, 1], [90, 0]),
    "90° − polar angle": ([1, -1], [0, 90]),
    "180° − polar angle": ([1, -1], [0, 180]),
    "−azimuth and 90° − polar angle": ([-1, -1], [0, 90]),
}
"""What is recorded in place of the angles, by how it is to be read."""


@pytest.mark.parametrize("side", [16, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("convention", WRONG)
def test_wrong_conventions_are_named(chairs, side, convention):
    factors, turns = (np.array(values) for values in WRONG[convention])
    assert better_convention(comparisons(chairs, side, lambda degrees: degrees * factors + turns)) == convention


def test_the_recorded_convention_is_the_first():
    assert next(iter(CONVENTIONS.values())) == ((1, 0), (1, 0))
    assert next(iter(CONVENTIONS)) == ""
    assert len(set(CONVENTIONS.values())) == len(CONVENTIONS) == 72


def test_another_mesh_or_lens_agrees_poorly(chairs):
    mesh, degrees, alpha = chairs[0]
    assert compare(chairs[1][0], degrees, PRIOR, alpha[64], tried=0).consistency < 0.95
    wide = CameraPrior(fov=60.0)
    assert compare(mesh, degrees, wide, alpha[64], tried=0).consistency < 0.95
    assert compare(mesh, degrees, CameraPrior(radius=1.5), alpha[64], tried=0).consistency < 0.95


def test_masks_a_pixel_too_wide_are_no_wrong_convention(chairs):
    def grown(alpha):
        shown = torch.from_numpy(alpha)[:, None].float()
        return torch.nn.functional.max_pool2d(shown, 3, 1, 1)[:, 0].to(torch.uint8).numpy()

    found = comparisons(chairs, 64, spoil=grown)
    assert better_convention(found) is None
    assert min(one.consistency for one in found) > 0.95


def test_silhouettes_are_the_share_of_each_pixel_that_is_covered(chairs):
    mesh, degrees, alpha = chairs[0]
    found = silhouettes(mesh, degrees, PRIOR, 64)[:, 0].numpy()
    assert np.abs(found - alpha[64] / 255).mean() < 0.01
