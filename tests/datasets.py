"""Small datasets for tests, in both layouts: a disc of a colour of its own on each image."""

from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from get3d.camera_prior import CameraPrior
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.index import SPLITS, Description, split_of

VIEWS = 3


def image(number: int, resolution: int) -> np.ndarray:
    """[r, r, 4] uint8: a disc, colour (number, 2·number, 255 − number), transparent outside."""
    i, j = np.mgrid[:resolution, :resolution] + 0.5 - resolution / 2
    inside = np.hypot(i, j) < 0.35 * resolution
    pixels = np.zeros((resolution, resolution, 4), np.uint8)
    pixels[inside] = (number % 256, 2 * number % 256, 255 - number % 256, 255)
    return pixels


def degrees(count: int) -> np.ndarray:
    """[n, 2] azimuth and polar angle inside the default prior."""
    generator = np.random.default_rng(0)
    return np.stack([generator.uniform(0, 360, count), generator.uniform(60, 90, count)], axis=1)


def make_dataset(root: Path, objects: int = 10, resolution: int = 16) -> Path:
    """Writes a dataset in our layout; object k, view v shows image k · VIEWS + v."""
    names = [f"{k:06d}" for k in range(objects)]
    images = [f"{name}/{view:03d}.png" for name in names for view in range(VIEWS)]
    for number, name in enumerate(images):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image(number, resolution)).save(path)
    splits = {split: [name for k, name in enumerate(names) if split_of(k) == split] for split in SPLITS}
    Description("disc", resolution, 0.7, CameraPrior(), splits, "CC0-1.0").write(root)
    write_cameras(root, images, degrees(len(images)))
    return root


def make_published(root: Path, objects: int = 10, resolution: int = 16) -> Path:
    """Writes a dataset in the published layout, cameras as rotation and elevation in degrees."""
    angles = degrees(objects * VIEWS).reshape(objects, VIEWS, 2)
    for k in range(objects):
        images, cameras = (root / part / "03001627" / f"model{k}" for part in ("img", "camera"))
        images.mkdir(parents=True)
        cameras.mkdir(parents=True)
        for view in range(VIEWS):
            Image.fromarray(image(k * VIEWS + view, resolution)).save(images / f"{view:03d}.png")
        np.save(cameras / "rotation.npy", angles[k, :, 0])
        np.save(cameras / "elevation.npy", 90 - angles[k, :, 1])
    return root


def make_boxes(root: Path, objects: int) -> Path:
    """The same as `make_dataset`, with a box of its own as each object's mesh."""
    make_dataset(root, objects=objects)
    draw = np.random.default_rng(0)
    (root / "meshes").mkdir()
    for number in range(objects):
        trimesh.creation.box(draw.uniform(0.2, 0.7, 3)).export(root / "meshes" / f"{number:06d}.glb")
    return root
