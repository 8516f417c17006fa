"""Channels: what a network gives, is baked, saved and read again, by the rows of one table."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from pxr import Usd, UsdShade
from torch import Tensor

import get3d
from get3d import materials
from get3d.cameras import Cameras
from get3d.checkpoints.model import WEIGHTS, read_config
from get3d.export import TexturedMesh, bake, mesh_report, sample_texture, simplify, textured_mesh, unwrap
from get3d.export.formats import FORMATS, files_of
from get3d.files import InputError
from get3d.generator import Generator
from get3d.materials import CHANNELS, Channel, GltfSlot, MtlSlot, initial_outputs, require_channels, split
from get3d.storage import describe, save_tensors, with_prefix
from solids import painted_ripples, ripples, torus
from tiny import GENERATOR


def tiny_generator(channels: tuple[str, ...] = ("base_color",)) -> Generator:
    """Its sizes are the least; its surface is there whatever its weights, which differ with the seed alone."""
    torch.manual_seed(0)
    synthesis = dataclasses.replace(GENERATOR.synthesis, channels=channels)
    return Generator(dataclasses.replace(GENERATOR, synthesis=synthesis)).eval()


def everything(points: Tensor) -> dict[str, Tensor]:
    """All three channels that formats know, differently at every place."""
    color = ripples(points)
    return {"base_color": color, "roughness": color[:, :1] * 0.5, "metallic": -color[:, 1:2]}


@pytest.fixture(scope="module")
def shiny() -> TexturedMesh:
    return textured_mesh(torus(20), everything, 64, 500)


def test_rows_are_consistent() -> None:
    for name, channel in CHANNELS.items():
        assert channel.name == name
        assert len(channel.default) == channel.components
        assert all(0 <= value <= 1 for value in channel.default)
        assert channel.network_range[0] < channel.network_range[1]


def test_network_values_are_taken_apart_in_the_order_of_their_names() -> None:
    names = ("base_color", "metallic", "roughness")
    assert initial_outputs(names) == pytest.approx([0, 0, 0, -1, 0.2])
    values = torch.arange(20.0).view(4, 5)
    found = split(values, names)
    assert list(found) == list(names)
    assert torch.equal(torch.cat([found[name] for name in names], dim=1), values)
    assert split(values[:, :3], ("base_color",))["base_color"].data_ptr() == values.data_ptr()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("base_color", "shine"), "there is no channel 'shine'; the channels are base_color"),
        (("roughness", "base_color"), "base_color first"),
        ((), "base_color first"),
        (("base_color", "roughness", "roughness"), "each once"),
    ],
)
def test_channels_that_cannot_be_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{message}"):
        require_channels(names, "here")
    with pytest.raises(InputError, match=message):
        tiny_generator(channels=names)


def test_baked_channels_are_where_networks_put_them(shiny: TexturedMesh) -> None:
    """The texture at the vertices is the network's value, moved from its range to that of files."""
    for name, values in everything(shiny.vertices).items():
        low, high = CHANNELS[name].network_range
        assert shiny.textures[name].shape[2] == CHANNELS[name].components
        error = (sample_texture(shiny.textures[name], shiny.uv) - (values - low) / (high - low)).abs()
        assert float(error.mean()) < 0.01


def test_a_range_of_its_own_fills_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(CHANNELS["roughness"], network_range=(2.0, 6.0))
    monkeypatch.setitem(CHANNELS, "roughness", row)
    unwrapped = unwrap(simplify(torus(20), 200), 16)
    for value, byte in ((1.0, 0), (2.0, 0), (4.0, 128), (6.0, 255), (7.0, 255)):
        baked = bake(unwrapped, lambda points, value=value: {"roughness": torch.full_like(points[:, :1], value)}, 16)
        assert baked["roughness"].unique().tolist() == [byte]


def test_glb_has_roughness_in_green_and_metallic_in_blue(shiny: TexturedMesh, tmp_path: Path) -> None:
    """glTF 2.0, section 3.9.2."""
    shiny.save(tmp_path / "x.glb")
    (back,) = trimesh.load_scene(tmp_path / "x.glb", process=False).geometry.values()
    material = back.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture), shiny.texture)
    packed = np.asarray(material.metallicRoughnessTexture)
    np.testing.assert_array_equal(packed[..., 1:2], shiny.textures["roughness"])
    np.testing.assert_array_equal(packed[..., 2:3], shiny.textures["metallic"])
    assert (material.metallicFactor, material.roughnessFactor) == (1.0, 1.0)


def test_glb_leaves_a_constant_to_its_factor(shiny: TexturedMesh, tmp_path: Path) -> None:
    textures = {name: texture for name, texture in shiny.textures.items() if name != "metallic"}
    constants = {"metallic": (0.25,)}
    dataclasses.replace(shiny, textures=textures, constants=constants).save(tmp_path / "x.glb")
    (back,) = trimesh.load_scene(tmp_path / "x.glb", process=False).geometry.values()
    assert back.visual.material.metallicFactor == 0.25
    assert (np.asarray(back.visual.material.metallicRoughnessTexture)[..., 2] == 255).all()


def test_obj_names_an_image_for_each(shiny: TexturedMesh, tmp_path: Path) -> None:
    shiny.save(tmp_path / "x.obj")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files_of("x", "obj", tuple(shiny.textures)))
    rows = dict(line.split(maxsplit=1) for line in (tmp_path / "x.mtl").read_text().splitlines())
    for name, texture in shiny.textures.items():
        slot = CHANNELS[name].mtl
        with Image.open(tmp_path / rows[slot.map]) as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(texture.shape), texture)
        assert {float(number) for number in rows[slot.value].split()} == {1.0}


def test_usdz_reads_data_raw_and_colours_as_srgb(shiny: TexturedMesh, tmp_path: Path) -> None:
    shiny.save(tmp_path / "x.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "x.usdz"))
    surface = UsdShade.Shader(stage.GetPrimAtPath("/object/material/surface"))
    with zipfile.ZipFile(tmp_path / "x.usdz") as archive:
        for name, texture in shiny.textures.items():
            source, output, _ = surface.GetInput(CHANNELS[name].usd).GetConnectedSource()
            shader = UsdShade.Shader(source.GetPrim())
            assert output == ("rgb" if name == "base_color" else "r")
            assert shader.GetInput("sourceColorSpace").Get() == ("sRGB" if name == "base_color" else "raw")
            image = Image.open(io.BytesIO(archive.read(shader.GetInput("file").Get().path)))
            np.testing.assert_array_equal(np.asarray(image).reshape(texture.shape), texture)


def test_a_new_channel_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emission: from a network whose configuration names it to the files that have a place for it."""
    row = Channel(
        name="emission",
        components=3,
        color_space="srgb",
        network_range=(-1.0, 1.0),
        default=(0.0, 0.0, 0.0),
        gltf=GltfSlot("emissiveTexture", "emissiveFactor", inside=False),
        mtl=MtlSlot("Ke", "map_Ke"),
        usd="emissiveColor",
    )
    monkeypatch.setitem(CHANNELS, "emission", row)
    glowing = tiny_generator(channels=("base_color", "emission"))
    (made,) = glowing.textured(glowing.sample_latents(1, 0), texture_resolution=32, faces=200)
    assert set(made.textures) == {"base_color", "emission"}
    for suffix in FORMATS:
        made.save(tmp_path / f"x{suffix}")
    names = {name for suffix in FORMATS for name in files_of("x", suffix[1:], tuple(made.textures))}
    assert {path.name for path in tmp_path.iterdir()} == names
    (back,) = trimesh.load_scene(tmp_path / "x.glb", process=False).geometry.values()
    np.testing.assert_array_equal(np.asarray(back.visual.material.emissiveTexture), made.textures["emission"])
    assert back.visual.material.emissiveFactor.tolist() == [1, 1, 1]
    assert "map_Ke x_emission.png" in (tmp_path / "x.mtl").read_text()


def test_a_model_file_with_an_unknown_channel_is_refused(tmp_path: Path) -> None:
    made = tiny_generator()
    description = {"generator": describe(made.config)}
    description["generator"]["synthesis"]["channels"] = ["base_color", "shine"]
    save_tensors(tmp_path / "model.safetensors", with_prefix(WEIGHTS, made.state_dict()), description)
    with pytest.raises(InputError, match=r"generator\.synthesis\.channels: there is no channel 'shine'"):
        read_config(tmp_path / "model.safetensors")


def test_a_model_file_says_its_channels(tmp_path: Path) -> None:
    made = tiny_generator(("base_color", "roughness"))
    description = {"generator": describe(made.config)}
    save_tensors(tmp_path / "model.safetensors", with_prefix(WEIGHTS, made.state_dict()), description)
    assert read_config(tmp_path / "model.safetensors").synthesis.channels == ("base_color", "roughness")
    loaded = get3d.load(tmp_path, "cpu")
    assert loaded.synthesis.to_rgb.weight.shape[0] == 4


def test_images_show_the_base_colour_whatever_else_there_is() -> None:
    """A network with one more channel draws as one without it: the rows of its base colour are its own."""
    plain, more = tiny_generator(), tiny_generator(channels=("base_color", "roughness"))
    state = plain.state_dict()
    for name in ("synthesis.to_rgb.weight", "synthesis.to_rgb.bias"):
        extra = more.state_dict()[name]
        state[name] = torch.cat([state[name], extra[3:]])
    more.load_state_dict(state)
    latents = plain.sample_latents(2, 0)
    cameras = Cameras.turntable(plain.config.cameras, 2)
    one, other = (made.render(latents, cameras, 32) for made in (plain, more))
    torch.testing.assert_close(one.rgb, other.rgb)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"textures": {"shine": torch.zeros(2, 2, 1, dtype=torch.uint8)}}, "there is no channel 'shine'"),
        ({"textures": {"roughness": torch.zeros(2, 2, 3, dtype=torch.uint8)}}, "3 components; the channel has 1"),
        ({"constants": {"metallic": (1.5,)}}, r"must be in \[0, 1\]"),
        ({"constants": {"metallic": (float("nan"),)}}, r"must be in \[0, 1\]"),
    ],
)
def test_objects_that_do_not_fit_the_table_are_not_written(
    shiny: TexturedMesh, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(shiny, **changes).save(tmp_path / "x.glb")
    assert not list(tmp_path.iterdir())


def test_glb_refuses_two_sizes_in_one_image(shiny: TexturedMesh, tmp_path: Path) -> None:
    textures = dict(shiny.textures) | {"metallic": shiny.textures["metallic"][:32]}
    with pytest.raises(ValueError, match="give both one size"):
        dataclasses.replace(shiny, textures=textures).save(tmp_path / "x.glb")


def test_painted_object_is_still_one_solid(shiny: TexturedMesh) -> None:
    assert mesh_report(shiny.mesh).watertight
    assert set(textured_mesh(torus(20), painted_ripples, 16, 100).textures) == {materials.BASE_COLOR}
