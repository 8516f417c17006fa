"""Models of all formats are what they are meant to be, and what is wrong with others is said."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from get3d.assets import loading
from get3d.assets.asset import Asset, Textures
from get3d.assets.loading import Loaded, load_asset
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.color import bytes_to_linear, linear_to_bytes
from get3d.export import sample_texture
from get3d.files import InputError
from models import (
    BLUE,
    FORMATS,
    GREEN,
    RED,
    bomb,
    edit_gltf,
    plain,
    png,
    save_wedge,
    square,
    textured,
    wedge,
    write_obj,
    write_usdz,
)


def load(path: Path, **options: object) -> Loaded:
    return load_asset(path, path.parent, **options)


def saved(scene: trimesh.Trimesh | trimesh.Scene, path: Path) -> Path:
    scene.export(path)
    return path


def front(azimuth: float = 0.0) -> Cameras:
    return Cameras.orbit(torch.tensor([azimuth]), torch.tensor([math.pi / 2]))


def seen(asset: Asset, azimuth: float = 0.0, resolution: int = 32) -> np.ndarray:
    """The object's colours and alpha as they are, without shading: [r, r, 4]."""
    return shade(asset, front(azimuth), resolution, 1, "even")[0].permute(1, 2, 0).int().numpy()


def volume(asset: Asset) -> float:
    a, b, c = asset.vertices[asset.faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_object(tmp_path, suffix):
    asset = load(save_wedge(tmp_path / f"a.{suffix}"), scale=0.6).asset
    body = wedge()
    assert len(asset.faces) == len(body.faces)
    low, high = asset.vertices.amin(0), asset.vertices.amax(0)
    torch.testing.assert_close(high - low, torch.tensor([0.2, 0.4, 0.6]))
    torch.testing.assert_close(high + low, torch.zeros(3), atol=1e-6, rtol=0)
    assert volume(asset) == pytest.approx(body.volume / 5**3, rel=1e-4)
    wanted = torch.from_numpy(body.vertices - body.bounds.mean(axis=0)).float() / 5
    apart = (asset.vertices[:, None] - wanted).norm(dim=2)
    assert max(apart.amin(0).max(), apart.amin(1).max()) < 1e-5
    a, b, c = asset.vertices[asset.faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    towards = (asset.normals[asset.faces] * across[:, None]).sum(2)
    assert (towards > 0).all()


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
def test_up_is_turned_to_y_and_nothing_is_mirrored(tmp_path, up):
    arrow = trimesh.creation.cone(0.2, 1.0)  # along +Z, its base at z = 0
    axis = "xyz".index(up[-1])
    direction = np.eye(3)[axis] * (-1 if up[0] == "-" else 1)
    arrow.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], direction))
    body = trimesh.util.concatenate([arrow, wedge().apply_scale(0.02)])
    asset = load(saved(body, tmp_path / "a.ply"), up=up).asset
    assert asset.vertices[:, 1].max() > 0.4
    assert asset.vertices[asset.vertices[:, 1] > 0.4][:, [0, 2]].abs().max() < 0.05
    assert volume(asset) > 0


def test_collada_says_what_is_up(tmp_path):
    path = save_wedge(tmp_path / "a.dae")
    text = path.read_text()
    start = text.index("<up_axis>")
    path.write_text(text[:start] + "<up_axis>Z_UP" + text[text.index("</up_axis>") :])
    sides = load(path, scale=0.6).asset.vertices.amax(0) * 2
    torch.testing.assert_close(sides, torch.tensor([0.2, 0.6, 0.4]))


@pytest.mark.parametrize(("suffix", "extra"), [("dae", "collada"), ("usdz", "usd")])
def test_a_format_without_its_package_says_which(tmp_path, monkeypatch, suffix, extra):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    assert f"pip install 'get3d[{extra}]'" in refusal(save_wedge(tmp_path / f"a.{suffix}"))


PAINT = """
def Material "{name}" {{
    token outputs:surface.connect = </root/{name}/surface.outputs:surface>
    def Shader "surface" {{
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor{color}
        token outputs:surface
    }}
    def Shader "image" {{
        uniform token info:id = "UsdUVTexture"
        asset inputs:file = @{file}@
        float4 inputs:fallback = (0, 0, 1, 1)
        float3 outputs:rgb
    }}
}}
"""
SHEETS = """
def Mesh "sheets" (prepend apiSchemas = ["MaterialBindingAPI"]) {
    uniform token orientation = "leftHanded"
    point3f[] points = [(2, 0, 0), (0, 0, 0), (0, 0, 2), (2, 0, 2), (-2, 0, 0), (-2, 0, 2)]
    int[] faceVertexCounts = [4, 4]
    int[] faceVertexIndices = [3, 2, 1, 0, 2, 5, 4, 1]
    texCoord2f[] primvars:st = [(0, 1), (1, 1), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0)] (
        interpolation = "faceVarying"
    )
    rel material:binding = </root/plain>
    def GeomSubset "right" (prepend apiSchemas = ["MaterialBindingAPI"]) {
        uniform token elementType = "face"
        uniform token familyName = "materialBind"
        int[] indices = [1]
        rel material:binding = </root/drawn>
    }
}
"""


@pytest.mark.parametrize("kept", [True, False])
def test_usd_materials_and_parts(tmp_path, kept):
    """Two squares in Blender's plane of its front, +Z up: the left one green, an image on the right one."""
    halves = np.concatenate([plain(RED, 8), plain(BLUE, 8)])
    paint = PAINT.format(name="plain", color=" = (0, 1, 0)", file="none.png")
    paint += PAINT.format(name="drawn", color=".connect = </root/drawn/image.outputs:rgb>", file="red.png")
    files = [("red.png", png(halves))] if kept else []
    loaded = load(write_usdz(tmp_path / "a.usdz", SHEETS + paint, up="Z", files=files))
    image = seen(loaded.asset)
    assert loaded.missing == (() if kept else ("red.png",))
    assert abs(image[16, 10, :3] - [0, 255, 0]).max() <= 1
    assert abs(image[13, 22, :3] - (RED if kept else [0, 0, 255])).max() <= 1
    assert abs(image[19, 22, :3] - (BLUE if kept else [0, 0, 255])).max() <= 1


def test_usd_layers_outside_the_package_are_refused(tmp_path):
    (tmp_path / "secret.usda").write_text('#usda 1.0\ndef Mesh "a" {}\n')
    text = f'def "a" (references = @{tmp_path / "secret.usda"}@</a>) {{}}'
    (tmp_path / "assets").mkdir()
    assert "lies outside the package" in refusal(write_usdz(tmp_path / "assets/a.usdz", text))


def test_parts_stand_where_the_scene_puts_them_also_mirrored(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(wedge(), geom_name="wedge", node_name="first")
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 5
    scene.graph.update("second", geometry="wedge", matrix=mirror)
    turned = trimesh.transformations.rotation_matrix(0.5, [0, 1, 0])
    turned[:3, :3] *= 2
    scene.graph.update("third", frame_from="second", geometry="wedge", matrix=turned)
    asset = load(saved(scene, tmp_path / "a.glb")).asset
    expected = scene.to_mesh()
    assert len(asset.faces) == 3 * len(wedge().faces)
    low, high = expected.bounds
    wanted = (expected.vertices - (low + high) / 2) * (0.9 / (high - low).max())
    found = asset.vertices.double().numpy()
    assert all(np.linalg.norm(found - point, axis=1).min() < 1e-5 for point in wanted)
    assert volume(asset) == pytest.approx((1 + 1 + 8) * wedge().volume * (0.9 / (high - low).max()) ** 3, rel=1e-4)


def test_each_material_has_its_own_texture(tmp_path):
    scene = trimesh.Scene()
    left, right = square(), square()
    left["vertices"] = left["vertices"] + [0.5, 0, 0]  # The camera of azimuth 0 looks along +Z: −X is on its right.
    right["vertices"] = right["vertices"] - [0.5, 0, 0]
    scene.add_geometry(textured(left, plain(RED, 4)))
    halves = np.concatenate([plain(GREEN, 4), plain(BLUE, 4)])
    scene.add_geometry(textured(right, halves))
    for path in (saved(scene, tmp_path / "a.glb"), saved(scene, tmp_path / "obj.obj")):
        image = seen(load(path).asset)
        assert abs(image[16, 10, :3] - RED).max() <= 1
        assert abs(image[13, 22, :3] - GREEN).max() <= 1
        assert abs(image[19, 22, :3] - BLUE).max() <= 1


def test_base_colour_tints_the_texture_in_linear_light(tmp_path):
    mesh = textured(square(), plain((200, 200, 200)), baseColorFactor=[0.5, 1.0, 0.0, 1.0])
    image = seen(load(saved(mesh, tmp_path / "a.glb")).asset)
    half = int(linear_to_bytes(bytes_to_linear(np.array([200], np.uint8)) * (128 / 255))[0])
    assert abs(image[16, 16, :3] - [half, 200, 0]).max() <= 1


def test_textures_repeat_outside_the_unit_square(tmp_path):
    halves = np.concatenate([plain(RED, 8), plain(BLUE, 8)], axis=1)
    arrays = square(tiles=2.0)
    arrays["uv"] = arrays["uv"] - 4
    tiled = seen(load(saved(textured(arrays, halves), tmp_path / "a.glb")).asset, resolution=64)
    once = seen(load(saved(textured(square(), np.tile(halves, (2, 2, 1))), tmp_path / "b.glb")).asset, resolution=64)
    assert abs(tiled - once).max() <= 1
    assert (tiled[32, :, 0] > 200).any()


def test_colours_of_vertices_and_faces(tmp_path):
    arrays = square()
    for colors in ({"vertex_colors": plain((*RED, 255), 2).reshape(4, 4)}, {"face_colors": [(*RED, 255)] * 2}):
        mesh = trimesh.Trimesh(arrays["vertices"], arrays["faces"], process=False, **colors)
        for suffix in ("ply",) if "face_colors" in colors else ("ply", "obj"):
            image = seen(load(saved(mesh, tmp_path / f"a.{suffix}")).asset)
            assert abs(image[16, 16, :3] - RED).max() <= 1
    # glTF's are linear, and multiply the texture.
    mesh = textured(arrays, plain((255, 255, 255)))
    mesh.visual.vertex_attributes["color"] = plain((128, 255, 0, 255), 2).reshape(4, 4)
    image = seen(load(saved(mesh, tmp_path / "a.glb")).asset)
    assert abs(image[16, 16, :3] - [int(linear_to_bytes(np.array([128 / 255]))[0]), 255, 0]).max() <= 1


@pytest.mark.parametrize("mode", ["MASK", "BLEND", "OPAQUE"])
def test_holes_show_what_is_behind(tmp_path, mode):
    """A red sheet whose left half is clear, a green one behind it likewise, and blue behind both, from both sides."""
    clear = np.concatenate([plain((*RED, 0), 8), plain((*RED, 255), 8)], axis=1)
    right_clear = np.concatenate([plain((*GREEN, 255), 8), plain((*GREEN, 0), 8)], axis=1)
    right_clear[:4, :] = (*GREEN, 0)
    scene = trimesh.Scene()
    scene.add_geometry(textured(square(z=-0.1), clear, alphaMode=mode))
    scene.add_geometry(textured(square(z=0.0), right_clear, alphaMode=mode))
    scene.add_geometry(textured(square(z=0.1, side=0.9), plain(BLUE)))
    asset = load(saved(scene, tmp_path / "a.glb")).asset
    image = seen(asset)
    if mode == "OPAQUE":
        assert abs(image[16, 10, :3] - RED).max() <= 1
        return
    assert abs(image[20, 20, :3] - RED).max() <= 1
    assert abs(image[20, 10, :3] - GREEN).max() <= 1
    assert abs(image[10, 10, :3] - BLUE).max() <= 1
    assert image[3:5, 4, 3].min() == 0  # Beside the blue sheet one sees through.
    behind = seen(asset, math.pi)
    assert abs(behind[16, 16, :3] - BLUE).max() <= 1
    asset.save(tmp_path / "again.glb")
    assert (seen(load(tmp_path / "again.glb").asset) == image).mean() > 0.999


def test_both_sides_of_a_face_are_lit_alike(tmp_path):
    arrays = square()
    mesh = textured(arrays, plain((180, 180, 180)))
    arrays["faces"] = arrays["faces"][:, ::-1]
    turned = textured(arrays, plain((180, 180, 180)))
    images = [shade(load(saved(m, tmp_path / "a.glb")).asset, front(), 16)[0] for m in (mesh, turned)]
    assert torch.equal(*images)


def test_normals_are_made_where_there_are_none(tmp_path):
    """A ball comes out smooth, a box flat."""
    ball = load(saved(trimesh.creation.icosphere(3), tmp_path / "ball.stl")).asset
    radial = torch.nn.functional.normalize(ball.vertices, dim=1)
    assert (radial * ball.normals).sum(1).min() > 0.999
    box = load(saved(trimesh.creation.box((1, 2, 3)), tmp_path / "box.off")).asset
    assert torch.allclose(box.normals.abs().amax(1), torch.ones(len(box.normals)))


def test_textures_of_many_sizes_are_each_read_as_alone():
    generator = torch.Generator().manual_seed(0)
    sizes = [(1, 1), (5, 3), (8, 16)]
    textures = [torch.randint(0, 256, (*size, 4), generator=generator, dtype=torch.uint8) for size in sizes]
    number = torch.randint(0, 3, (500,), generator=generator)
    uv = torch.rand(500, 2, generator=generator) * 6 - 3
    found = Textures.pack(textures).sample(number, uv)
    for i, texture in enumerate(textures):
        alone = sample_texture(texture[..., :3].contiguous(), uv[number == i])
        torch.testing.assert_close(found[number == i][:, :3], alone, atol=1e-4, rtol=0)


def test_an_asset_is_saved_as_the_same_bytes_and_loads_as_the_same(tmp_path):
    back = textured(square(z=0.2), plain((*BLUE, 90)), alphaMode="MASK")
    scene = trimesh.Scene([textured(square(), plain(RED)), back])
    asset = load(saved(scene, tmp_path / "a.glb")).asset
    asset.save(tmp_path / "b.glb")
    asset.save(tmp_path / "c.glb")
    assert (tmp_path / "b.glb").read_bytes() == (tmp_path / "c.glb").read_bytes()
    again = load(tmp_path / "b.glb").asset
    assert again.faces.shape == asset.faces.shape
    assert abs(seen(again) - seen(asset)).max() <= 1


# Bad input.


def refusal(path: Path, root: Path | None = None, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        load_asset(path, path.parent if root is None else root, **options)
    return str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_that_are_no_models_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    assert "empty" in refusal(path)
    path.write_bytes(np.random.default_rng(0).bytes(500))
    assert refusal(path)
    save_wedge(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    if suffix not in ("obj", "ply", "off", "stl"):  # Of lines, those that are there are a mesh.
        assert refusal(path)


def test_no_faces(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    assert "no faces" in refusal(tmp_path / "a.obj")


def test_vertices_that_are_not_numbers(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 nan 0\nv inf 0 0\nf 1 2 3\n")
    assert "1 of its 3 vertices" in refusal(tmp_path / "a.obj")


@pytest.mark.parametrize("number", ["1e300", "-1e39", "3.4028235e38", "1e12", "inf", "nan"])
def test_places_in_a_texture_beyond_single_precision_count_as_none(tmp_path, number):
    write_obj(tmp_path)
    text = (tmp_path / "model.obj").read_text()
    first = next(line for line in text.splitlines() if line.startswith("vt "))
    other = text.replace(first, "vt 0 0", 1)
    (tmp_path / "model.obj").write_text(text.replace(first, f"vt {number} {number}", 1))
    (tmp_path / "other.obj").write_text(other)
    asset, expected = load(tmp_path / "model.obj").asset, load(tmp_path / "other.obj").asset
    assert asset.uv.isfinite().all()
    assert np.array_equal(seen(asset), seen(expected))


@pytest.mark.parametrize("far", ["1e300", "1.7e308", "-1e30", "1e6"])
def test_a_model_far_from_the_origin_that_is_kept(tmp_path, far):
    (tmp_path / "a.obj").write_text(f"v {far} 0 0\nv {far} 1 0\nv {far} 0 1\nv 0 0 0\nf 1 2 3\n")
    assert load(tmp_path / "a.obj").asset.vertices.abs().max() <= 0.45 + 1e-6
    with pytest.raises(InputError, match="it lies more than 10,000 of its own lengths from the origin; move it there"):
        load(tmp_path / "a.obj", centred=False)


@pytest.mark.parametrize("axis", ["", "W", "\0"])
def test_an_up_axis_that_is_none(tmp_path, axis):
    path = write_usdz(tmp_path / "a.usdz", SHEETS, up=axis)
    with pytest.raises(InputError, match=r"its up axis is .*, not x, y or z; .*give --up"):
        load(path)


def test_vertices_that_no_face_uses_do_not_count(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 9 9 nan\nf 1 2 3\n")
    assert len(load(tmp_path / "a.obj").asset.faces) == 1


@pytest.mark.parametrize("third", ["0 0 0", "2 0 0"])
def test_no_extent(tmp_path, third):
    first = "0 0 0" if third == "0 0 0" else "1 0 0"
    (tmp_path / "a.obj").write_text(f"v 0 0 0\nv {first}\nv {third}\nf 1 2 3\n")
    assert "no extent" in refusal(tmp_path / "a.obj")


def test_too_many_faces(tmp_path):
    path = saved(trimesh.creation.icosphere(2), tmp_path / "a.ply")
    assert "320 faces, more than --max-faces 300" in refusal(path, max_faces=300)
    assert "bytes, more than" in refusal(path, max_faces=10)
    scene = trimesh.Scene(trimesh.creation.box())
    for number in range(99):
        scene.graph.update(f"copy{number}", geometry="geometry_0")
    assert "1200 faces" in refusal(saved(scene, tmp_path / "a.glb"), max_faces=1000)
    gltf = save_wedge(tmp_path / "b.gltf")
    accessors = json.loads(gltf.read_text())["accessors"]
    del accessors[0]["bufferView"]
    for number, said in ((0, "333333333 faces"), (1, "a list of 1000000000 numbers")):
        changed = [{**accessor, "count": 10**9} if i == number else accessor for i, accessor in enumerate(accessors)]
        assert said in refusal(edit_gltf(gltf, accessors=changed))


def test_unknown_extensions_of_gltf(tmp_path):
    path = edit_gltf(save_wedge(tmp_path / "a.gltf"), extensionsRequired=["KHR_draco_mesh_compression"])
    assert "KHR_draco_mesh_compression" in refusal(path)


@pytest.mark.parametrize("name", ["../../secret.mtl", "..\\..\\secret.mtl"])
def test_obj_materials_outside_the_folder_are_refused(tmp_path, name):
    (tmp_path / "secret.mtl").write_text("newmtl paint\nKd 1 0 0\n")
    path = write_obj(tmp_path / "assets/chair", mtllib=name)
    assert "leads out of the folder" in refusal(path, tmp_path / "assets")


@pytest.mark.parametrize("name", ["{}/secret.mtl", "/etc/hosts", "C:\\secret.mtl", "file:///etc/hosts"])
def test_of_absolute_names_only_the_last_part_is_looked_for(tmp_path, name):
    (tmp_path / "secret.mtl").write_text("newmtl paint\nKd 1 0 0\n")
    path = write_obj(tmp_path / "assets/chair", mtllib=name.format(tmp_path))
    assert load_asset(path, tmp_path / "assets").missing == (name.format(tmp_path),)
    (path.parent / Path(name.replace("\\", "/")).name).write_text("newmtl paint\nKd 0 1 0\n")
    loaded = load_asset(path, tmp_path / "assets")
    assert loaded.missing == ()
    assert abs(seen(loaded.asset)[16, 16, :3] - [0, 255, 0]).max() <= 1


def test_files_beside_the_model_but_within_the_folder_are_read(tmp_path):
    path = write_obj(tmp_path / "assets/chair", mtl="map_Kd ../images/red.png\n")
    (tmp_path / "assets/images").mkdir()
    (tmp_path / "assets/images/red.png").write_bytes(png(plain(RED)))
    loaded = load_asset(path, tmp_path / "assets")
    assert loaded.missing == ()
    assert abs(seen(loaded.asset)[16, 16, :3] - RED).max() <= 1


def test_gltf_files_outside_the_folder_are_refused(tmp_path):
    path = save_wedge(tmp_path / "assets/a.gltf")
    buffers = json.loads(path.read_text())["buffers"]
    name = buffers[0]["uri"]
    (path.parent / name).rename(tmp_path / "secret.bin")
    edit_gltf(path, buffers=[{**buffers[0], "uri": "../secret.bin"}, *buffers[1:]])
    assert "leads out of the folder" in refusal(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = save_wedge(tmp_path / "outside.glb")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/a.glb").symlink_to(outside)
    assert "leads out of this folder" in refusal(tmp_path / "assets/a.glb")
    path = write_obj(tmp_path / "assets", mtl="map_Kd red.png\n")
    (tmp_path / "red.png").write_bytes(png(plain(RED)))
    (tmp_path / "assets/red.png").symlink_to(tmp_path / "red.png")
    assert "leads out of the folder" in refusal(path)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@pytest.mark.parametrize("content", [None, b"no image", bomb(), EPS, png(NOISE)[:6000]])
def test_missing_and_bad_textures_leave_the_base_colour_and_are_named(tmp_path, content):
    path = write_obj(tmp_path, mtl="map_Kd C:\\work\\an image.png\n")
    if content is not None:
        (tmp_path / "an image.png").write_bytes(content)
    loaded = load(path)
    assert loaded.missing == ("C:\\work\\an image.png",)
    assert abs(seen(loaded.asset)[16, 16, :3] - [51, 102, 204]).max() <= 1


def test_a_missing_material_file_is_named(tmp_path):
    assert load(write_obj(tmp_path)).missing == ("paint.mtl",)


@pytest.mark.parametrize("content", [b"no image at all, but as many bytes as there were", bomb()])
def test_bad_images_within_a_glb_are_named(tmp_path, content):
    path = saved(textured(square(), plain(RED), baseColorFactor=[0.0, 0.0, 1.0, 1.0]), tmp_path / "a.glb")
    whole = path.read_bytes()
    start = whole.index(b"\x89PNG")
    end = whole.index(b"IEND") + 8
    path.write_bytes(whole[:start] + content.ljust(end - start, b"\0")[: end - start] + whole[end:])
    loaded = load(path)
    assert loaded.missing == ("image 0",)
    assert abs(seen(loaded.asset)[16, 16, :3] - [0, 0, 255]).max() <= 1


def test_images_of_holes(tmp_path):
    path = write_obj(tmp_path, mtl="map_Kd red.png\nmap_d holes.png\n")
    (tmp_path / "red.png").write_bytes(png(plain(RED, 8)))
    (tmp_path / "holes.png").write_bytes(png(np.concatenate([plain((0,), 8)[..., 0], plain((255,), 8)[..., 0]])))
    image = seen(load(path).asset)
    assert image[10, 16, 3] == 0
    assert abs(image[22, 16] - [*RED, 255]).max() <= 1


def test_large_textures_are_reduced(tmp_path):
    path = saved(textured(square(), np.tile(plain(RED, 8), (8, 16, 1))), tmp_path / "a.glb")
    asset = load(path, texture=32).asset
    assert {tuple(texture.shape) for texture in asset.textures} == {(1, 1, 4), (16, 32, 4)}
