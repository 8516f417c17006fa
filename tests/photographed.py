"""Images of analytic objects for tests: a box whose sides have colours of their own, seen by known cameras."""

from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from torch import Tensor

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras, sample_angles
from get3d.color import unit_to_bytes
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.index import Description
from get3d.meshes import Mesh, MeshBatch
from get3d.render import mask_of, rasterize

SIDES = (0.5, 0.34, 0.42)
PRIOR = CameraPrior(polar=(30.0, 150.0))
COLORS = torch.tensor([[0.8, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.3, 0.9]])
"""Of the sides across x, y and z; those towards negative coordinates are half as bright."""


def box() -> Mesh:
    made = trimesh.creation.box(SIDES)
    return Mesh(torch.tensor(made.vertices, dtype=torch.float32), torch.tensor(made.faces))


def images_of(mesh: Mesh, cameras: Cameras, resolution: int) -> Tensor:
    """[n, 4, r, r] bytes."""
    many = MeshBatch.from_meshes([mesh] * len(cameras))
    fragments = rasterize(many, cameras, resolution)
    normals = many.face_crosses()[fragments.face]
    axis = normals.abs().argmax(1)
    ahead = normals.gather(1, axis[:, None]) > 0
    rgb = fragments.scatter(COLORS[axis] * torch.where(ahead, 1.0, 0.5), 0.0)
    # Partly covered pixels have the colour of what is next to them, as in datasets.
    beside = torch.nn.functional.max_pool2d(rgb, 3, 1, 1)
    rgb = torch.where(fragments.covered, rgb, beside)
    return unit_to_bytes(torch.cat([rgb, mask_of(many, fragments)], dim=1))


def write_box(root: Path, views: int = 24, resolution: int = 64) -> Path:
    """A dataset of the box."""
    angles = sample_angles(PRIOR, views, torch.Generator().manual_seed(0))
    images = images_of(box(), Cameras.of_prior(PRIOR, angles), resolution)
    names = [f"box/{view:03d}.png" for view in range(views)]
    for name, image in zip(names, images, strict=True):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    write_cameras(root, names, np.degrees(angles.numpy()))
    Description("box", resolution, max(SIDES), PRIOR, {"train": ["box"], "val": [], "test": []}, "CC0-1.0").write(root)
    return root
