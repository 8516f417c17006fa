"""Blender opens what we write, and shows its colours. `make test` installs it, in an environment of its own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from get3d.export import TexturedMesh, textured_mesh
from solids import painted_ripples, ripples, torus

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-blender/bin/python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HERE.parent / ".venv-blender/.ready").is_file(), reason="needs Blender: make .venv-blender/.ready"
    ),
]

RING, TUBE = 0.3, 0.12


@pytest.fixture(scope="module")
def painted() -> TexturedMesh:
    return textured_mesh(torus(40, RING, TUBE), painted_ripples, 256, 4000)


def opened(mesh: TexturedMesh, file: Path) -> tuple[dict, np.ndarray]:
    """What Blender says of the saved object, and its image from above [64, 64, 4], one unit wide, +X right, −Z up."""
    mesh.save(file)
    image = file.with_suffix(".view.png")
    run = subprocess.run(
        [PYTHON, HERE / "import_in_blender.py", file, image], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("CONTENTS "))
    with Image.open(image) as image:
        return json.loads(line.removeprefix("CONTENTS ")), np.asarray(image.convert("RGBA")).astype(float) / 255


def true_image() -> tuple[np.ndarray, np.ndarray]:
    """The same image by formula: the colours of the upper half of the torus, and where it is seen."""
    step = (np.arange(64) + 0.5) / 64 - 0.5
    x, z = np.meshgrid(step, step)
    height = TUBE**2 - (np.hypot(x, z) - RING) ** 2
    points = np.stack([x, np.sqrt(np.maximum(height, 0)), z], axis=-1).reshape(-1, 3)
    colors = (ripples(torch.from_numpy(points)) + 1) / 2
    return colors.numpy().reshape(64, 64, 3), height > 0


def check(contents: dict, image: np.ndarray, mesh: TexturedMesh) -> None:
    assert contents["faces"] == mesh.faces.shape[0]
    assert contents["triangles"]
    assert contents["uv_layers"] == [3 * mesh.faces.shape[0]]
    # Blender's Z is up: x, y, z become x, −z, y.
    low, high = mesh.vertices.amin(dim=0).tolist(), mesh.vertices.amax(dim=0).tolist()
    np.testing.assert_allclose(contents["low"], [low[0], -high[2], low[1]], atol=1e-4)
    np.testing.assert_allclose(contents["high"], [high[0], -low[2], high[1]], atol=1e-4)
    (material,) = contents["materials"]
    assert material["image"] == [256, 256]
    assert material["color_space"] == "sRGB"
    assert material["metallic"] == 0
    assert material["roughness"] == pytest.approx(0.6, abs=1e-6)
    colors, seen = true_image()
    assert (np.abs(image[..., 3] - seen) > 0.5).mean() < 0.01
    inner = seen & (image[..., 3] == 1)
    error = np.abs(image[..., :3] - colors)[inner]
    assert error.mean() < 0.006
    assert np.quantile(error, 0.98) < 0.02


def test_glb(painted: TexturedMesh, tmp_path: Path) -> None:
    contents, image = opened(painted, tmp_path / "a torus.glb")
    check(contents, image, painted)
    assert contents["materials"][0]["culled"]
    # Normals are ours, not Blender's flat ones: outward from the ring (Blender's axes).
    normals, positions = np.array(contents["normals"]), np.array(contents["corner_positions"])
    ring = positions * [1, 1, 0]
    ring *= RING / np.linalg.norm(ring, axis=1, keepdims=True)
    outward = (positions - ring) / np.linalg.norm(positions - ring, axis=1, keepdims=True)
    assert (normals * outward).sum(axis=1).min() > 0.97


def test_obj(painted: TexturedMesh, tmp_path: Path) -> None:
    contents, image = opened(painted, tmp_path / "a torus.obj")
    check(contents, image, painted)


def test_usdz(painted: TexturedMesh, tmp_path: Path) -> None:
    contents, image = opened(painted, tmp_path / "a torus.usdz")
    check(contents, image, painted)


def test_stl(painted: TexturedMesh, tmp_path: Path) -> None:
    """Blender takes a unit for a metre and +Z up, as printers do."""
    contents, _ = opened(painted, tmp_path / "torus.stl")
    assert contents["faces"] == painted.faces.shape[0]
    assert min(contents["low"]) == pytest.approx(0, abs=1e-4)
    assert max(contents["high"]) == pytest.approx(100, abs=1e-3)
    assert contents["high"][2] == min(contents["high"])


def test_ply(painted: TexturedMesh, tmp_path: Path) -> None:
    contents, _ = opened(painted, tmp_path / "torus.ply")
    assert contents["faces"] == painted.faces.shape[0]
    assert len(contents["colors"]) == 1
