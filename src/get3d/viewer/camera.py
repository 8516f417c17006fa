"""Cameras in viser's convention: unit quaternions; axes right, down and forward."""

import math

import numpy as np
import torch
import viser
import viser.transforms
from jaxtyping import Float

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras

__all__ = ["VIEW", "look_as_in_training", "quaternions"]

VIEW = 30.0
"""Azimuth of the first view in degrees."""


def quaternions(cameras: Cameras) -> Float[np.ndarray, "n 4"]:
    """Rotations of cameras as (w, x, y, z), from right, down and forward to the world."""
    axes = cameras.rotations * cameras.rotations.new_tensor([1.0, -1.0, -1.0])[:, None]
    turned: Float[np.ndarray, "n 4"] = viser.transforms.SO3.from_matrix(axes.mT.double().cpu().numpy()).wxyz
    return turned


def look_as_in_training(client: viser.ClientHandle, prior: CameraPrior) -> None:
    """Moves the camera of a window to where training images are taken from."""
    angles = torch.tensor([[VIEW, sum(prior.polar) / 2]]).deg2rad()
    cameras: Cameras = Cameras.of_prior(prior, angles)
    with client.atomic():
        client.camera.fov = math.radians(prior.fov)
        client.camera.up_direction = (0.0, 1.0, 0.0)
        client.camera.position = cameras.positions[0].numpy()
        client.camera.look_at = (0.0, 0.0, 0.0)
