"""The Khronos glTF validator reads what we write. `make test` installs it."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from get3d.authoring.procedural import make
from get3d.export import TexturedMesh, textured_mesh
from solids import painted_ripples, sponge, torus

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE.parent / ".tools/node_modules/gltf-validator").is_dir(),
    reason="needs node and the glTF validator: make .tools/node_modules/gltf-validator",
)


def reports(*files: Path) -> list[dict]:
    run = subprocess.run(
        ["node", HERE / "validate_gltf.cjs", *files], capture_output=True, text=True, check=True, timeout=120
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def objects() -> dict[str, TexturedMesh]:
    smooth = textured_mesh(torus(), painted_ripples, 128, 1000)
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    flat = torch.tensor([[0, 1, 2]]) + len(torus(20).vertices)
    torn = dataclasses.replace(torus(20), faces=torch.cat([torus(20).faces[3:], flat]))
    torn = dataclasses.replace(torn, vertices=torch.cat([torn.vertices, line]))
    rough = {"roughness": smooth.texture[..., :1], "metallic": smooth.texture[..., 1:2]}
    return {
        "smooth": smooth,
        "a texture for each channel": dataclasses.replace(smooth, textures=dict(smooth.textures) | rough),
        "constants": dataclasses.replace(smooth, textures=dict(smooth.textures), constants={"roughness": (0.1,)}),
        "wild": textured_mesh(sponge(0), painted_ripples, 256, 3000),
        "all faces": textured_mesh(sponge(1), painted_ripples, 64),
        "open, with a face without area": textured_mesh(torn, painted_ripples, 16),
        "a normal map": textured_mesh(torus(), painted_ripples, 128, 1000, normal_map=True),
        "finishes of its own": make("car", seed=0, index=0, texture=256),
        "metal": dataclasses.replace(smooth, constants={"metallic": (1.0,), "roughness": (0.0,)}),
    }


@pytest.mark.slow
def test_validator_finds_no_error_and_no_warning(tmp_path: Path) -> None:
    files = []
    for name, mesh in objects().items():
        files.append(tmp_path / f"{name}.glb")
        mesh.save(files[-1])
    for file, report in zip(files, reports(*files), strict=True):
        problems = [message for message in report["issues"]["messages"] if message["severity"] < 2]
        assert not problems, file.name
        assert report["info"]["materialCount"] == 1
        assert report["info"]["resources"][-1]["image"]["format"] == "rgb"
        assert report["info"]["hasTextures"]


def test_validator_would_find_a_fault(tmp_path: Path) -> None:
    """The check above can fail: normals of the wrong length are seen."""
    mesh = objects()["smooth"]
    mesh.save(tmp_path / "x.glb")
    data = (tmp_path / "x.glb").read_bytes()
    (tmp_path / "x.glb").write_bytes(data[:-4000] + bytes(4000))
    (report,) = reports(tmp_path / "x.glb")
    assert report["issues"]["numErrors"] > 0
