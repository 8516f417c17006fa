"""A simplified mesh with a normal map looks as the full mesh does."""

import numpy as np
import pytest
import torch
import trimesh

from get3d.assets.asset import Asset
from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.export import textured_mesh
from get3d.meshes import Mesh, MeshBatch


def bumpy() -> Mesh:
    """A ball with waves that few faces cannot have."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.35)
    points = torch.tensor(ball.vertices, dtype=torch.float32)
    wave = 1 + 0.03 * torch.sin(28 * points).prod(1, keepdim=True)
    return Mesh(points * wave, torch.tensor(ball.faces))


def grey(points: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"base_color": torch.full_like(points, 0.4)}


def views() -> Cameras:
    return Cameras.orbit(torch.tensor([0.0, 2.0, 4.0]), torch.tensor([1.2, 1.6, 1.0]))


@pytest.mark.slow
def test_light_bends_as_on_the_full_mesh(tmp_path):
    full = bumpy()
    normals = MeshBatch.from_meshes([full]).vertex_normals()
    plain = textured_mesh(full, grey, 512, faces=600)
    mapped = textured_mesh(full, grey, 512, faces=600, normal_map=True)
    assert "normal" not in plain.textures
    assert torch.equal(mapped.textures["base_color"], plain.textures["base_color"])
    whole = Asset.of(textured_mesh(full, grey, 64))
    assert len(whole.faces) > 20 * len(mapped.faces)
    assert len(normals) == len(full.vertices)
    exact, without, with_map = (shade(thing, views(), 96, shading="pbr") for thing in (whole, plain, mapped))
    inside = torch.stack([images[:, 3] == 255 for images in (exact, without, with_map)]).all(0)
    errors = [(images[:, 0].int() - exact[:, 0].int())[inside].abs().float().mean() for images in (without, with_map)]
    assert errors[1] < 0.5 * errors[0]
    for suffix in (".glb", ".obj", ".usdz"):
        if suffix == ".usdz":
            pytest.importorskip("pxr")
        mapped.save(tmp_path / f"ball{suffix}")
        longest = float(np.ptp(mapped.vertices.numpy(), axis=0).max())
        read = load_asset(tmp_path / f"ball{suffix}", tmp_path, scale=longest, centred=False, maps=True)
        number = int(read.asset.material[0])
        assert torch.equal(read.asset.maps["normal"][number], mapped.textures["normal"])


def test_a_mesh_with_all_its_faces_has_a_flat_map():
    full = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    mesh = Mesh(torch.tensor(full.vertices, dtype=torch.float32), torch.tensor(full.faces))
    texture = textured_mesh(mesh, grey, 128, normal_map=True).textures["normal"].float() / 127.5 - 1
    assert (texture[..., 2] > 0.98).all()
    assert texture[..., :2].abs().mean() < 0.02
