"""Writes `transforms.json` next to images, as NeRF's tools and the paper's script do."""

import math
from pathlib import Path

import torch

from get3d.cameras import Cameras
from get3d.files import write_json

__all__ = ["write_transforms"]


def write_transforms(folder: Path, cameras: Cameras, fov: float) -> None:
    """Writes `transforms.json` of the images 000.png, 001.png and so on of a folder.

    Each `transform_matrix` is from the camera's right, up and backward axes to the world of Blender, in which +Z is up.

    Args:
        folder: folder of the images.
        cameras: n cameras.
        fov: field of view in degrees.

    Raises:
        InputError: the file cannot be written.
    """
    columns = torch.cat([cameras.rotations.mT, cameras.positions[:, :, None]], dim=2).double()
    # Our x, y, z are x, z, -y of Blender.
    turned = torch.stack([columns[:, 0], -columns[:, 2], columns[:, 1]], dim=1)
    frames = [
        {"file_path": f"{view:03d}.png", "transform_matrix": [*matrix, [0.0, 0.0, 0.0, 1.0]]}
        for view, matrix in enumerate(turned.tolist())
    ]
    write_json(folder / "transforms.json", {"camera_angle_x": math.radians(fov), "frames": frames})
