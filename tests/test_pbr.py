"""Roughness, metallic, normals and emission: written, read again, drawn, and looked at by other programs."""

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from rich.console import Console

from get3d.assets.asset import Asset
from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.authoring.from_meshes.command import render_models
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.procedural import SynthConfig, make, synthesize
from get3d.cameras import Cameras
from get3d.color import bytes_to_linear
from get3d.datasets.index import Description, read
from get3d.export.write import TexturedMesh
from get3d.files import InputError
from get3d.light_prior import LightPrior
from get3d.render.environment import EnvironmentMap, directions_of
from get3d.render.lights import STUDIO, SphericalGaussians
from models import edit_gltf, png, square, write_obj

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-blender/bin/python"
needs_blender = pytest.mark.skipif(
    not (HERE.parent / ".venv-blender/.ready").is_file(), reason="needs Blender: make .venv-blender/.ready"
)
QUIET = Console(quiet=True)


def panel() -> TexturedMesh:
    """A square that faces the camera of azimuth 0, four colours, four roughnesses, half of it metal."""
    arrays = square(0.8)
    patches = torch.tensor([[[200, 30, 20], [30, 180, 40]], [[20, 40, 210], [220, 220, 210]]], dtype=torch.uint8)
    rough = torch.tensor([[[40], [90]], [[150], [220]]], dtype=torch.uint8)
    metal = torch.tensor([[[0], [255]], [[0], [255]]], dtype=torch.uint8)
    textures = {"base_color": patches, "roughness": rough, "metallic": metal}
    return TexturedMesh(
        vertices=torch.tensor(arrays["vertices"], dtype=torch.float32),
        faces=torch.tensor(arrays["faces"]),
        normals=torch.tensor([0.0, 0.0, -1.0]).expand(4, 3).clone(),
        uv=torch.tensor(arrays["uv"], dtype=torch.float32),
        textures={name: one.repeat_interleave(16, 0).repeat_interleave(16, 1) for name, one in textures.items()},
    )


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".usdz"])
def test_what_is_written_is_read_again_and_drawn_alike(tmp_path, suffix):
    if suffix == ".usdz":
        pytest.importorskip("pxr")
    wanted = panel()
    wanted.save(tmp_path / f"panel{suffix}")
    loaded = load_asset(tmp_path / f"panel{suffix}", tmp_path, scale=0.8, maps=True)
    assert not loaded.missing
    (number,) = loaded.asset.material.unique().tolist()
    for name in ("roughness", "metallic"):
        assert torch.equal(loaded.asset.maps[name][number], wanted.textures[name])
    assert torch.equal(loaded.asset.textures[number][..., :3], wanted.texture)
    views = Cameras.orbit(torch.tensor([0.0, 0.5]), torch.tensor([1.5, 1.1]))
    ours, again = (shade(thing, views, 48, shading="pbr").int() for thing in (wanted, loaded.asset))
    assert (ours - again).abs().max() <= 2
    assert (ours - shade(wanted, views, 48).int()).abs().max() > 30
    # Without the maps, all is as it was before there were any.
    assert not load_asset(tmp_path / f"panel{suffix}", tmp_path).asset.maps


def test_other_programs_find_the_maps_in_their_places(tmp_path):
    wanted = panel()
    wanted.save(tmp_path / "panel.glb")
    material = next(iter(trimesh.load(tmp_path / "panel.glb").geometry.values())).visual.material
    packed = np.asarray(material.metallicRoughnessTexture)
    assert (packed[..., 1] == wanted.textures["roughness"][..., 0].numpy()).all()
    assert (packed[..., 2] == wanted.textures["metallic"][..., 0].numpy()).all()
    wanted.save(tmp_path / "panel.obj")
    text = (tmp_path / "panel.mtl").read_text()
    for keyword, name in (("map_Kd", "panel.png"), ("map_Pr", "panel_roughness.png"), ("map_Pm", "panel_metallic.png")):
        assert f"{keyword} {name}" in text
    with Image.open(tmp_path / "panel_roughness.png") as image:
        assert (np.asarray(image) == wanted.textures["roughness"][..., 0].numpy()).all()


def gltf(folder: Path, images: dict[str, np.ndarray], material: dict) -> Path:
    """A square with a material, as .gltf with its images beside."""
    arrays = square(1.0)
    visual = trimesh.visual.TextureVisuals(uv=arrays["uv"])
    shape = trimesh.Trimesh(arrays["vertices"], arrays["faces"], visual=visual, process=False)
    for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(shape)).items():
        (folder / name).write_bytes(content)
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(png(image))
    header = json.loads((folder / "model.gltf").read_text())
    header["meshes"][0]["primitives"][0]["material"] = 0
    if "TEXCOORD_0" not in header["meshes"][0]["primitives"][0]["attributes"]:
        raise AssertionError
    names = list(images)
    return edit_gltf(
        folder / "model.gltf",
        meshes=header["meshes"],
        materials=[material],
        images=[{"uri": f"{name}.png"} for name in names],
        textures=[{"source": number} for number in range(len(names))],
    )


def test_factors_scale_maps_and_defaults_are_those_of_the_formats(tmp_path):
    rough = np.zeros((4, 4, 3), np.uint8)
    rough[..., 1], rough[..., 2] = 200, 100
    material = {
        "pbrMetallicRoughness": {
            "metallicRoughnessTexture": {"index": 0},
            "roughnessFactor": 0.5,
            "baseColorFactor": [0.5, 0.5, 0.5, 1],
        },
        "emissiveFactor": [0.0, 0.25, 1.0],
    }
    asset = load_asset(gltf(tmp_path, {"rough": rough}, material), tmp_path, maps=True).asset
    number = int(asset.material[0])
    assert asset.maps["roughness"][number].unique().tolist() == [100]
    assert asset.maps["metallic"][number].unique().tolist() == [100]
    glow = bytes_to_linear(asset.maps["emission"][number].numpy())
    np.testing.assert_allclose(glow.reshape(-1, 3)[0], [0, 0.25, 1], atol=0.01)
    bare = {"pbrMetallicRoughness": {"baseColorFactor": [0.5, 0.5, 0.5, 1]}}
    asset = load_asset(gltf(tmp_path, {}, bare), tmp_path, maps=True).asset
    number = int(asset.material[0])
    # glTF 2.0, section 5.22: what is not said is rough metal.
    assert [asset.maps[name][number].item() for name in ("roughness", "metallic")] == [255, 255]
    path = write_obj(tmp_path / "obj", mtl="Pr 0.25\nPm 0.75\nKe 0 0 1\n")
    asset = load_asset(path, tmp_path / "obj", maps=True).asset
    number = int(asset.material[0])
    assert [asset.maps[name][number].item() for name in ("roughness", "metallic")] == [64, 191]
    assert asset.maps["emission"][number].flatten().tolist() == [0, 0, 255]


def test_a_normal_map_leans_the_light_as_leaning_normals_do(tmp_path):
    """x of the map goes along u, which is to the right of the camera of azimuth 0, and y up; also of the back side."""
    for lean in ((0.5, 0.0), (0.0, 0.6), (-0.4, 0.3)):
        x, y = lean
        z = math.sqrt(1 - x * x - y * y)
        texel = np.rint((np.array([x, y, z]) * 0.5 + 0.5) * 255).astype(np.uint8)
        material = {
            "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9},
            "normalTexture": {"index": 0},
        }
        image = np.broadcast_to(texel, (4, 4, 3)).copy()
        asset = load_asset(gltf(tmp_path, {"bump": image}, material), tmp_path, scale=0.8, maps=True).asset
        assert "normal" in asset.maps
        # To the right of that camera is −X.
        normals = torch.tensor([-x, y, -z]).expand_as(asset.normals)
        flat = replace(asset, maps={n: m for n, m in asset.maps.items() if n != "normal"}, normals=normals)
        views = Cameras.orbit(torch.tensor([0.0, 0.3]), torch.full((2,), 1.5))
        bumped, leant = (shade(thing, views, 32, shading="pbr").int() for thing in (asset, flat))
        assert (bumped - leant).abs().max() <= 2


def test_synth_and_render_draw_with_specular_and_record_the_light(tmp_path):
    config = SynthConfig("vase", tmp_path / "vases", shapes=1, views=2, resolution=32, light="random", shading="pbr")
    root = synthesize(replace(config, workers=1), QUIET)
    assert Description.read(root).light == LightPrior("studio", True, "pbr")
    listing = read(root)
    assert listing.turns is not None
    cameras = Cameras.of_prior(listing.prior, torch.from_numpy(listing.angles).float())
    turns = torch.from_numpy(listing.turns).float()
    exact = shade(make("vase", 0, 0), cameras, 32, shading="pbr", turns=turns)
    for view in range(2):
        with Image.open(listing.path(view)) as image:
            drawn = torch.from_numpy(np.array(image)).permute(2, 0, 1).int()
        assert (drawn - exact[view].int()).abs().max() <= 2
    with pytest.raises(InputError, match="has light LightPrior"):
        synthesize(replace(config, workers=1, light="studio"), QUIET)
    settings = RenderConfig(root / "meshes", tmp_path / "drawn", views=2, resolution=32, shading="pbr", workers=1)
    again = read(render_models(replace(settings, light="random"), QUIET))
    assert again.light == LightPrior("studio", True, "pbr")
    assert len(again.turns) == 2
    for wrong in ({"layout": "published"}, {"renderer": "blender"}):
        with pytest.raises(InputError, match="--light random"):
            replace(settings, light="random", **wrong)


def test_finishes_are_what_the_things_are_made_of():
    tyre = make("car", seed=0, index=1, texture=512)
    rough, metal = (tyre.textures[name].float() / 255 for name in ("roughness", "metallic"))
    assert rough.min() < 0.1  # Glass.
    assert rough.max() > 0.85  # Rubber.
    assert {0.0, 1.0} <= set(metal.unique().tolist())
    assert any(make("chair", 0, number, texture=256).textures["metallic"].float().mean() > 10 for number in range(6))
    assert not any(make("vase", 0, number, texture=256).textures["metallic"].any() for number in range(3))


@pytest.mark.slow
@needs_blender
def test_a_glb_looks_in_blender_as_in_our_renderer(tmp_path):
    """A glazed vase in a map of light: the mean difference in linear light is small, and of another light it is not."""
    exr = pytest.importorskip("OpenEXR")
    generator = torch.Generator().manual_seed(5)
    axes = torch.nn.functional.normalize(torch.randn(8, 3, generator=generator), dim=1)
    light = SphericalGaussians(axes, 3 + 20 * torch.rand(8, generator=generator), torch.rand(8, 3, generator=generator))
    radiance = light.radiance(directions_of(64, axes).flatten(0, 1)).view(64, 128, 3)
    exr.File({"type": exr.scanlineimage}, {"RGB": radiance.numpy()}).write(str(tmp_path / "light.exr"))
    vase = make("vase", seed=0, index=3, texture=256)
    vase.save(tmp_path / "vase.glb")
    job = {"light": str(tmp_path / "light.exr"), "out": str(tmp_path), "resolution": 64, "samples": 64}
    job |= {"mesh": str(tmp_path / "vase.glb"), "distance": 1.2, "materials": [None]}
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [PYTHON, HERE / "lit_in_blender.py", tmp_path / "job.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    front = Cameras.orbit(torch.zeros(1), torch.full((1,), math.pi / 2))
    ours = shade(vase, front, 64, light=EnvironmentMap.of(radiance), shading="pbr")[0].permute(1, 2, 0).numpy()
    with exr.File(str(tmp_path / "0.exr")) as file:
        theirs = file.channels()["RGBA"].pixels
    whole = (ours[..., 3] == 255) & (theirs[..., 3] > 0.999)
    assert whole.sum() > 500
    difference = np.abs(bytes_to_linear(ours[..., :3])[whole] - theirs[..., :3][whole].clip(0, 1))
    assert difference.mean() < 0.02
    matte = shade(vase, front, 64, light=STUDIO)[0].permute(1, 2, 0).numpy()
    assert np.abs(bytes_to_linear(matte[..., :3])[whole] - theirs[..., :3][whole].clip(0, 1)).mean() > 0.06


def test_an_asset_saves_its_maps(tmp_path):
    asset = Asset.of(panel())
    asset.save(tmp_path / "asset.glb")
    again = load_asset(tmp_path / "asset.glb", tmp_path, scale=0.8, maps=True).asset
    number = int(again.material[0])
    for name in ("roughness", "metallic"):
        assert torch.equal(again.maps[name][number], asset.maps[name][0])
