"""Images as other programs leave them, with their camera files, for tests of imports.

The formulas are those of the other programs' conventions, not ours: rotations as products about axes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from get3d.assets.shading import shade
from get3d.authoring.procedural import make
from get3d.cameras import Cameras


@dataclass(frozen=True)
class Capture:
    """Images of one object, <folder>/<view>.png.

    Attributes:
        folder: where they are.
        degrees: [n, 2] azimuth and polar angle of each.
        fov: vertical field of view in degrees.
        side: of the images in pixels.
    """

    folder: Path
    degrees: np.ndarray
    fov: float
    side: int


def capture(
    folder: Path, views: int = 16, side: int = 64, radius: float = 1.2, fov: float = 49.13, seed: int = 0
) -> Capture:
    """Images of a chair from all around, and not only from above."""
    generator = np.random.default_rng(seed)
    degrees = np.stack([generator.uniform(0, 360, views), generator.uniform(50, 110, views)], axis=1)
    azimuth, polar = torch.from_numpy(np.radians(degrees)).float().T
    cameras = Cameras.orbit(azimuth, polar, radius, float(np.radians(fov)))
    images = shade(make("chair", seed, 0, texture=256), cameras, side).permute(0, 2, 3, 1).numpy()
    folder.mkdir(parents=True)
    for view, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{view:03d}.png")
    return Capture(folder, degrees, fov, side)


def blender_matrices(degrees: np.ndarray, radius: float, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Camera to world in a world with Z up: about X by the polar angle, then about Z; it looks along its own −Z."""
    turns = [
        Rotation.from_euler("z", azimuth + 180, degrees=True) * Rotation.from_euler("x", polar, degrees=True)
        for azimuth, polar in degrees
    ]
    matrices = np.tile(np.eye(4), (len(degrees), 1, 1))
    matrices[:, :3, :3] = [turn.as_matrix() for turn in turns]
    matrices[:, :3, 3] = [turn.apply([0, 0, radius]) for turn in turns] + np.array(centre)
    return matrices


def write_transforms(path: Path, matrices: np.ndarray, names: list[str], **lens: object) -> Path:
    frames = [{"file_path": n, "transform_matrix": m.tolist()} for n, m in zip(names, matrices, strict=True)]
    path.write_text(json.dumps({**lens, "frames": frames}))
    return path


def write_colmap(folder: Path, matrices: np.ndarray, names: list[str], camera: str) -> Path:
    """The same cameras as a text model; `camera` is the line of cameras.txt after its number."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# comment"]
    for number, (matrix, name) in enumerate(zip(matrices, names, strict=True), 1):
        # World to camera, with x right, y down, z forward: half a turn about X from Blender's.
        rotation = (Rotation.from_matrix(matrix[:3, :3]) * Rotation.from_euler("x", 180, degrees=True)).inv()
        x, y, z, w = rotation.as_quat()
        translation = -rotation.apply(matrix[:3, 3])
        values = " ".join(f"{value:.9f}" for value in (w, x, y, z, *translation))
        lines += [f"{number} {values} 1 {name}", "" if number % 2 else "1.5 2.5 -1"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "cameras.txt").write_text(f"# comment\n1 {camera}\n")
    return folder


def moved(matrices: np.ndarray, turn: Rotation, scale: float, shift: np.ndarray) -> np.ndarray:
    """The same cameras in a world that is turned, scaled and shifted."""
    changed = matrices.copy()
    changed[:, :3, :3] = turn.as_matrix() @ matrices[:, :3, :3]
    changed[:, :3, 3] = scale * turn.apply(matrices[:, :3, 3]) + shift
    return changed
