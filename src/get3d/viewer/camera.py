"""Cameras in viser's convention: unit quaternions; axes right, down and forward."""

import math

import numpy as np
import torch
import viser
import viser.transforms
from jaxtyping import Float

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras

__all__ = ["VIEW", "look_as_in_training", "open_as_in_training", "quaternions"]

VIEW = 30.0
"""Azimuth of the first view in degrees."""


def quaternions(cameras: Cameras) -> Float[np.ndarray, "n 4"]:
    """Rotations of cameras as (w, x, y, z), from right, down and forward to the world."""
    axes = cameras.rotations * cameras.rotations.new_tensor([1.0, -1.0, -1.0])[:, None]
    turned: Float[np.ndarray, "n 4"] = viser.transforms.SO3.from_matrix(axes.mT.double().cpu().numpy()).wxyz
    return turned


def look_as_in_training(
    client: viser.ClientHandle, prior: CameraPrior, width: float = 1.0, height: float = 1.0
) -> None:
    """Moves the camera of a window to where training images are taken from, or straight back from there.

    Args:
        client: the window.
        prior: cameras of training.
        width: what must be seen from left to right, as a multiple of what a training image shows.
        height: likewise, from top to bottom.
    """
    with client.atomic():
        client.camera.fov = math.radians(prior.fov)
        client.camera.up_direction = (0.0, 1.0, 0.0)
        client.camera.position = _position(client, prior, width, height)
        client.camera.look_at = (0.0, 0.0, 0.0)


def open_as_in_training(
    client: viser.ClientHandle, prior: CameraPrior, width: float = 1.0, height: float = 1.0
) -> None:
    """As `look_as_in_training`, and again when the window changes its shape, until somebody moves the camera.

    A window has its final shape only after its controls were laid out.
    """
    look_as_in_training(client, prior, width, height)
    placed = _position(client, prior, width, height)

    @client.camera.on_update
    def changed(camera: viser.CameraHandle) -> None:
        nonlocal placed
        wanted = _position(client, prior, width, height)
        if np.allclose(camera.position, placed, atol=1e-3) and not np.allclose(wanted, placed):
            placed = wanted
            look_as_in_training(client, prior, width, height)


def _position(client: viser.ClientHandle, prior: CameraPrior, width: float, height: float) -> Float[np.ndarray, " 3"]:
    angles = torch.tensor([[VIEW, prior.still_polar]]).deg2rad()
    cameras: Cameras = Cameras.of_prior(prior, angles)
    # A window that cannot be seen has no pixels.
    aspect = max(1, client.camera.image_width) / max(1, client.camera.image_height)
    back = max(height, width / aspect)
    position: Float[np.ndarray, " 3"] = cameras.positions[0].numpy() * back
    return position
