"""A mesh file in the live page looks as Blender shows the same file, which its own importer reads."""

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial

from browser import choose, chromium, needs_chromium, still, watched
from get3d.assets.blender import SCRIPT
from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.viewer.camera import VIEW
from get3d.viewer.command import open_page
from get3d.viewer.config import ViewConfig

PYTHON = Path(__file__).parents[1] / ".venv-blender/bin/python"
SIDE = 500

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(not (PYTHON.parents[1] / ".ready").is_file(), reason="needs Blender: make .venv-blender/.ready"),
]

CORAL, TEAL, OCHRE, PLUM = (200, 110, 90), (80, 150, 140), (190, 150, 80), (130, 90, 140)
HOLE = (0, 0, 0, 0)


def _panel(image, **material) -> trimesh.Trimesh:
    """A square in x and y that faces +Z, with a texture."""
    corners = [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]]
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    texture = Image.fromarray(np.asarray(image, np.uint8))
    visual = trimesh.visual.TextureVisuals(
        uv=uv, material=PBRMaterial(baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=1.0, **material)
    )
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def _striped(color, middle) -> np.ndarray:
    """A texture with a stripe that is not in its middle."""
    image = np.full((32, 32, len(color)), color, np.uint8)
    image[:, 14:28] = middle
    return image


def _scene() -> trimesh.Scene:
    """Parts that stand where only nodes below nodes say, one of them mirrored.

    A box with colours at its vertices, a panel that turns its back to the camera, and two panels with holes.
    """
    scene = trimesh.Scene()
    scene.graph.update("root", scene.graph.base_frame, matrix=np.eye(4))
    turn, move = trimesh.transformations.rotation_matrix, trimesh.transformations.translation_matrix
    box = trimesh.creation.box((0.5, 0.3, 0.4))
    box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=[[*TEAL, 255]] * 4 + [[*CORAL, 255]] * 4)
    parts = {
        "box": (box, turn(0.4, (0, 0, 1)) @ np.diag([1.0, 0.6, 1.4, 1.0])),
        "back": (_panel(_striped(OCHRE, PLUM), doubleSided=False), turn(0.3, (0, 1, 0))),
        "mask": (
            _panel(_striped((*CORAL, 255), HOLE), alphaMode="MASK", alphaCutoff=0.5),
            np.diag([-1, 1, 1, 1]),
        ),
        "blend": (_panel(_striped((*TEAL, 255), HOLE), alphaMode="BLEND"), turn(-0.5, (1, 0, 0))),
    }
    places = {"box": (-0.6, -0.4, -0.2), "back": (0.5, -0.3, 0.3), "mask": (-0.4, 0.3, 0.1), "blend": (0.6, 0.4, -0.2)}
    for name, (part, matrix) in parts.items():
        arm = f"{name} arm"
        scene.graph.update(arm, "root", matrix=move(places[name]) @ turn(0.2, (0, 1, 0)))
        scene.add_geometry(part, node_name=name, geom_name=name, parent_node_name=arm, transform=matrix)
    low, high = scene.bounds
    shrink = np.diag([*[0.9 / (high - low).max()] * 3, 1.0])
    scene.graph.update("root", scene.graph.base_frame, matrix=shrink @ move(-(low + high) / 2))
    return scene


def _in_blender(file: Path, folder: Path) -> np.ndarray:
    """The file from the page's first camera, [SIDE, SIDE, 4]."""
    prior = CameraPrior()
    camera = Cameras.of_prior(prior, torch.tensor([[VIEW, prior.still_polar]]).deg2rad())
    to_world = torch.cat([camera.rotations.mT, camera.positions[:, :, None]], dim=2)[0]
    seen = {
        "to_world": to_world.tolist(),
        "focal_length": float(camera.focal_lengths[0, 0]),
        "principal_point": camera.principal_points[0].tolist(),
    }
    job = {"mesh": str(file), "out": str(folder), "resolution": SIDE, "samples": 16, "cameras": [seen]}
    job |= {"light": "studio", "device": "cpu", "gpu": None, "threads": 2}
    (folder / "job.json").write_text(json.dumps(job))
    subprocess.run([PYTHON, SCRIPT, folder / "job.json"], check=True, capture_output=True, timeout=600)
    return np.asarray(Image.open(folder / "000.png").convert("RGBA"))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_a_file_is_shown_as_blender_shows_it(tmp_path):
    file = tmp_path / "parts.glb"
    _scene().export(file)
    theirs = _in_blender(file, tmp_path)
    expected = theirs[..., 3] > 127
    live = open_page(ViewConfig((str(file),), port=0))
    try:
        with chromium() as browser:
            found = watched(browser, viewport={"width": 1000, "height": SIDE}, offline=False)
            found.page.goto(live.server.address)
            found.page.get_by_text("get3d: parts.glb").wait_for()
            found.page.get_by_role("alert").get_by_role("button").dispatch_event("click")  # WebGL in software.
            choose(found.page, "Light", "lamps")
            # Until the file is read and the controls are laid out.
            end = time.monotonic() + 100
            while True:
                image = still(found.page.locator("canvas").first)
                left = (image.shape[1] - SIDE) // 2
                ours = image[:, left : left + SIDE]
                there = (ours < 245).any(2)
                if _overlap(there, expected) >= 0.97 or time.monotonic() > end:
                    break
            assert found.errors == []
    finally:
        live.stop()
    assert _overlap(there, expected) >= 0.97
    # One part is mirrored, and the others are not.
    assert _overlap(there[:, ::-1], expected) < 0.6
    both = there & expected
    ours, theirs = ours[both] / 255, theirs[both][:, :3] / 255
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 0.05
    # Blender has shadows, and a page a tone curve.
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9
