"""glTF, COLLADA and USD as their specifications mean them, also where exporters seldom go."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from conftest import FIXTURES
from get3d.assets import dae, gltf_scene, placed
from get3d.assets.asset import Asset, Textures
from get3d.assets.files import LIMITS
from get3d.assets.loading import Loaded, load_asset
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.files import InputError
from gltf_files import Glb
from models import RED, plain, png, square, wedge, write_usdz

CASES = FIXTURES / "cases"
COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "grey": (0.8, 0.8, 0.8)}
QUARTERS = {"red": 1 / 4, "green": 1 / 4, "blue": 1 / 4, "yellow": 1 / 4}


def load(path: Path, **options: object) -> Loaded:
    return load_asset(path, path.parent, **options)


def case(name: str) -> Path:
    (path,) = (each for each in (CASES / name).iterdir() if each.suffix in (".glb", ".gltf", ".dae", ".usdz"))
    return path


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        load(path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def sides(asset: Asset) -> np.ndarray:
    return (asset.vertices.amax(0) - asset.vertices.amin(0)).double().numpy()


def shares(asset: Asset, count: int = 4000) -> dict[str, float]:
    """What share of the surface has each colour, of many places on it."""
    rng = np.random.default_rng(0)
    corners = asset.vertices[asset.faces].double().numpy()
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = torch.from_numpy(rng.choice(len(areas), count, p=areas / areas.sum()))
    weights = torch.from_numpy(rng.dirichlet(np.ones(3), count)).float()[..., None]
    uv = (asset.uv[asset.faces[face]] * weights).sum(1)
    tint = (asset.colors[asset.faces[face]] * weights).sum(1)
    found = Textures.pack(asset.textures).sample(asset.material[face], uv)[:, :3] * tint
    distances = (found[:, None] - torch.tensor(list(COLORS.values()))).norm(dim=2)
    names = [list(COLORS)[number] for number in distances.argmin(1)]
    # Between two colours of a texture a third may be met.
    return {name: names.count(name) / count for name in COLORS if names.count(name) > 0.02 * count}


def bodies(asset: Asset) -> int:
    mesh = trimesh.Trimesh(asset.vertices.numpy(), asset.faces.numpy(), process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh.body_count


def seen(asset: Asset, azimuth: float = 0.0) -> np.ndarray:
    cameras = Cameras.orbit(torch.tensor([azimuth]), torch.tensor([math.pi / 2]))
    return shade(asset, cameras, 32, 1, "even")[0].permute(1, 2, 0).int().numpy()


def volume(asset: Asset) -> float:
    a, b, c = asset.vertices[asset.faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


DISC = 8 * math.sin(math.pi / 8)  # of 16 sides and diameter 2
TABLE = DISC / (DISC + 4 * 0.2 + 2 * 0.2**2)


@pytest.mark.parametrize(
    ("name", "size", "colors", "count"),
    [
        ("gltf_below_camera", (1, 3, 1), {"red": 1 / 2, "blue": 1 / 2}, 2),
        ("gltf_bom", (1, 1, 1), QUARTERS, 1),
        ("gltf_emissive_only", (1, 1, 1), QUARTERS, 1),
        ("gltf_gpu_instancing", (5, 1, 1), {"red": 1}, 3),
        ("gltf_hidden_node", (1, 1, 1), {"red": 1}, 1),
        ("gltf_morph_weights", (1, 3, 1), {"red": 1}, 1),
        ("gltf_skin", (1, 4, 1), {"red": 14 / 20, "blue": 6 / 20}, 1),  # They touch, so that they are one.
        ("gltf_sparse", (1, 3, 1), {"red": 1}, 1),
        ("gltf_specgloss_palette", (1, 1, 1), QUARTERS, 1),
        ("gltf_texcoord1", (1, 1, 1), QUARTERS, 1),
        ("gltf_triangle_fan", (2, 1, 2), {"green": TABLE, "red": 1 - TABLE}, 2),
        ("gltf_uv_normalized/gltf_uv_ubyte", (1, 1, 1), QUARTERS, 1),
        ("gltf_uv_normalized/gltf_uv_ushort", (1, 1, 1), QUARTERS, 1),
        ("dae_skin/dae_skin", (1, 1, 1), {"red": 1}, 1),
        ("dae_skin/dae_skin_mixed", (1, 3, 1), {"red": 1}, 2),
        ("usd_silent/othervar", (1, 1, 1), QUARTERS, 1),
        ("usd_silent/pointinstancer", (5, 1, 1), {"red": 1}, 3),
        ("usd_silent/sphere_prim_too", (2, 3.5, 2), {"red": 6 / (6 + 4 * math.pi), "grey": 0.677}, 2),
        ("usd_silent/transform2d", (1, 1, 1), QUARTERS, 1),
        ("usdz_clamp", (3, 0.5, 3), {"grey": 1}, 1),
    ],
)
def test_cases_are_drawn_as_meant(name, size, colors, count):
    loaded = load(case(name))
    assert loaded.missing == ()
    asset = loaded.asset
    np.testing.assert_allclose(sides(asset), np.array(size) * (0.9 / max(size)), atol=2e-3)
    assert shares(asset) == pytest.approx(colors, abs=0.03)
    assert bodies(asset) == count


@pytest.mark.parametrize(
    "name",
    [
        *("gltf_bom", "gltf_emissive_only", "gltf_specgloss_palette", "gltf_texcoord1", "usd_silent/othervar"),
        *("gltf_uv_normalized/gltf_uv_ubyte", "gltf_uv_normalized/gltf_uv_ushort", "usdz_relative_path/ok"),
    ],
)
def test_textured_cubes_look_like_the_plain_one(name):
    wanted, found = load(case("box_default_scale")).asset, load(case(name)).asset
    for azimuth in (0.4, 2.0, 3.6, 5.2):
        assert (abs(seen(wanted, azimuth) - seen(found, azimuth)).max(axis=2) > 8).mean() < 0.01


def test_what_lies_above_and_below():
    high, low = load(case("gltf_skin")).asset, load(case("gltf_below_camera")).asset
    assert seen(high)[6, 16, 2] > 200 > 30 > seen(high)[26, 16, 2]
    assert seen(low)[6, 16, 2] > 200 > 30 > seen(low)[26, 16, 2]
    assert volume(high) == pytest.approx(4 * (0.9 / 4) ** 3, rel=1e-4)


def test_a_usd_transform_of_texture_coordinates_doubles_them():
    cube = load(case("box_default_scale")).asset
    found = load(case("usd_silent/transform2d")).asset
    doubled = replace(cube, uv=cube.uv * 2)
    for azimuth in (0.4, 3.6):
        assert (abs(seen(doubled, azimuth) - seen(found, azimuth)).max(axis=2) > 8).mean() < 0.01


def test_the_slot_of_the_clamp_is_open():
    asset = load(case("usdz_clamp")).asset
    a, b, c = asset.vertices[asset.faces].double().unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    # The sides of the C look up and down: Z is up in the file.
    flat = across.abs().argmax(1) == 1
    assert float(across[flat].norm(dim=1).sum() / 2) == pytest.approx(2 * 7 / 9 * 0.9**2, rel=1e-5)


def test_gltf_1_is_named():
    assert "it is glTF 1.0, and only 2.0 is read; convert it" in refusal(case("gltf1"))


def test_a_collada_material_that_is_missing_is_named_and_its_part_drawn():
    loaded = load(case("dae_material_missing"))
    assert loaded.missing == ("material nowhere",)
    assert bodies(loaded.asset) == 2
    assert shares(loaded.asset) == pytest.approx({"red": 1 / 2, "grey": 1 / 2}, abs=0.03)


@pytest.mark.parametrize("name", ["ok", "transform2d"])
def test_usdz_by_a_relative_path(monkeypatch, name):
    monkeypatch.chdir(CASES)
    path = Path("usdz_relative_path") / name / "model.usdz"
    relative, absolute = load_asset(path, Path("usdz_relative_path")), load(CASES / path)
    assert relative.missing == ()
    assert torch.equal(relative.asset.vertices, absolute.asset.vertices)
    monkeypatch.chdir(path.parent)
    assert load_asset(Path("model.usdz"), Path()).missing == ()


# glTF.


def body(glb: Glb, mesh: trimesh.Trimesh | None = None, **changes: object) -> dict[str, object]:
    """The primitive of a closed body that equals none of its mirror images."""
    mesh = wedge() if mesh is None else mesh
    attributes = {"POSITION": glb.add(mesh.vertices)}
    return {"attributes": attributes, "indices": glb.add(mesh.faces.ravel(), "uint16"), **changes}


def painted(glb: Glb, image: np.ndarray | None = None, **material: object) -> None:
    """The material 0."""
    glb.header["materials"] = [material]
    if image is not None:
        glb.header["textures"] = [{"source": 0}]
        glb.header["images"] = [{"bufferView": glb.view(png(image)), "mimeType": "image/png"}]


def sheet(glb: Glb, **changes: object) -> dict[str, object]:
    """The primitive of a square with texture coordinates, v downwards as glTF has it."""
    arrays = square()
    uv = np.stack([arrays["uv"][:, 0], 1 - arrays["uv"][:, 1]], axis=1)
    attributes = {"POSITION": glb.add(arrays["vertices"]), "TEXCOORD_0": glb.add(uv)}
    indices = glb.add(arrays["faces"].ravel(), "uint8")
    return {"attributes": attributes, "indices": indices, "material": 0, **changes}


def test_strips_and_fans_have_the_sides_of_lists(tmp_path):
    corners = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    for mode, order in ((4, [0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3]), (5, [0, 2, 1, 3, 0, 2]), (6, None)):
        glb = Glb()
        if mode == 6:  # Four fans of one corner each give the tetrahedron.
            fans = ([0, 2, 1, 3, 2], [1, 2, 3])
            glb.mesh(*({"attributes": {"POSITION": glb.add(corners[fan])}, "mode": 6} for fan in fans))
        else:
            points = glb.add(corners)
            glb.mesh({"attributes": {"POSITION": points}, "indices": glb.add(order, "uint32"), "mode": mode})
        asset = load(glb.save(tmp_path / "a.glb"), scale=1.0).asset
        assert volume(asset) == pytest.approx(1 / 3 / 2**3), mode
        assert len(asset.faces) == 4


def test_points_and_lines_are_counted(tmp_path):
    glb = Glb()
    line = {"attributes": {"POSITION": glb.add([[0, 0, 0], [1, 1, 1]])}}
    glb.mesh(body(glb), {**line, "mode": 1}, {**line, "mode": 0})
    loaded = load(glb.save(tmp_path / "a.glb"))
    assert loaded.missing == ("points and lines (2 pieces)",)
    assert len(loaded.asset.faces) == len(wedge().faces)


def slow_skin(points, joints, weights, matrices):
    """Each vertex by its four joints, one after the other."""
    moved = []
    for point, joint, weight in zip(points, joints, weights, strict=True):
        where = sum(w * (matrices[j] @ np.append(point, 1)) for j, w in zip(joint, weight, strict=True))
        moved.append(where[:3] / sum(weight))
    return np.array(moved)


@pytest.mark.parametrize("mirrored", [False, True])
def test_skins_are_linear_blends_of_their_joints(tmp_path, mirrored):
    rng = np.random.default_rng(1)
    glb, mesh = Glb(), wedge()
    count = len(mesh.vertices)
    joints, weights = rng.integers(0, 3, (count, 4)), rng.integers(1, 255, (count, 4))
    primitive = body(glb, mesh)
    primitive["attributes"] |= {
        "JOINTS_0": glb.add(joints, "uint8"),
        "WEIGHTS_0": glb.add(weights, "uint8", normalized=True),
    }
    glb.mesh(primitive)
    moves = [trimesh.transformations.rotation_matrix(angle, [1, 2, 3]) for angle in (0.1, 0.2, 0.3)]
    if mirrored:
        moves = [move @ np.diag([1, 1, -1, 1]) for move in moves]
    binds = [trimesh.transformations.translation_matrix(rng.normal(size=3) * 0.1) for _ in range(3)]
    glb.header["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0], "scale": [9, 9, 9]},
        {"translation": [0, 5, 0], "children": [2, 3, 4]},
        *({"matrix": move.T.ravel().tolist()} for move in moves),
    ]
    glb.header["scenes"] = [{"nodes": [0, 1]}]
    glb.header["skins"] = [{"joints": [2, 3, 4], "inverseBindMatrices": glb.add([bind.T.ravel() for bind in binds])}]
    up = trimesh.transformations.translation_matrix([0, 5, 0])
    matrices = [up @ move @ bind for move, bind in zip(moves, binds, strict=True)]
    wanted = slow_skin(mesh.vertices, joints, weights / 255, matrices)
    wanted -= (wanted.min(axis=0) + wanted.max(axis=0)) / 2
    wanted *= 0.9 / np.ptp(wanted, axis=0).max()
    asset = load(glb.save(tmp_path / "a.glb")).asset
    apart = np.linalg.norm(asset.vertices.numpy()[:, None] - wanted, axis=2)
    assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 1e-5
    assert volume(asset) > 0


def test_a_node_says_how_far_morph_targets_are_gone(tmp_path):
    glb = Glb()
    primitive = body(glb, targets=[{"POSITION": glb.add(np.eye(3)[[1]] * np.ones((len(wedge().vertices), 1)))}])
    primitive["targets"] *= 2
    glb.mesh(primitive, weights=[9, 9])
    glb.header["nodes"] = [{"mesh": 0}, {"mesh": 0, "weights": [1, -4]}, {"mesh": 0, "weights": [0.5, 0.5]}]
    glb.header["scenes"] = [{"nodes": [0, 1, 2]}]
    asset = load(glb.save(tmp_path / "a.glb")).asset
    height = (2 + 18 + 3) * (0.9 / 23)  # from −3 − 1 to 18 + 1
    assert sides(asset)[1] == pytest.approx(height, rel=1e-5)
    assert bodies(asset) == 3


def test_what_lies_below_a_hidden_node_is_hidden(tmp_path):
    glb = Glb()
    glb.mesh(body(glb))
    hidden = {"KHR_node_visibility": {"visible": False}}
    glb.header["nodes"] = [
        {"mesh": 0},
        {"children": [2], "extensions": hidden},
        {"mesh": 0, "translation": [9, 0, 0], "extensions": {"KHR_node_visibility": {"visible": True}}},
    ]
    glb.header["scenes"] = [{"nodes": [0, 1]}]
    assert bodies(load(glb.save(tmp_path / "a.glb")).asset) == 1


def test_instances_are_turned_and_scaled_each(tmp_path):
    glb = Glb()
    glb.mesh(body(glb))
    half = math.sqrt(0.5)
    attributes = {
        "TRANSLATION": glb.add([[0, 0, 0], [10, 0, 0]]),
        "ROTATION": glb.add(np.rint(np.array([[0, 0, 0, 1], [0, half, 0, half]]) * 32767), "int16", normalized=True),
        "SCALE": glb.add([[1, 1, 1], [2, 2, 2]]),
    }
    glb.header["nodes"][0] |= {
        "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}},
        "scale": [1, 1, 2],
    }
    asset = load(glb.save(tmp_path / "a.glb")).asset
    # Of sides 1, 2, 3, the second is turned about Y and doubled: 6, 4, 2; then the node doubles Z.
    extent = 10 + 0.5 + 3
    np.testing.assert_allclose(sides(asset), np.array([extent, 4, 6]) * (0.9 / extent), rtol=1e-4)
    assert bodies(asset) == 2


def test_texture_transforms_are_applied(tmp_path):
    """Offset, then rotation, then scale, counted from the texture's corner on top (KHR_texture_transform)."""
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    moved = {"offset": [0.25, 0.5], "rotation": math.pi / 2, "scale": [0.5, 1.0]}
    glb = Glb()
    glb.mesh(sheet(glb))
    info = {"index": 0, "extensions": {"KHR_texture_transform": moved}}
    painted(glb, image, pbrMetallicRoughness={"baseColorTexture": info})
    loaded = load(glb.save(tmp_path / "a.glb"))
    assert loaded.missing == ()
    vertices, uv = loaded.asset.vertices.numpy(), loaded.asset.uv.numpy()
    given = np.stack([0.5 - vertices[:, 0] / 0.9, 0.5 - vertices[:, 1] / 0.9], axis=1)  # v downwards
    across, down = given[:, 0] * 0.5, given[:, 1]
    wanted = np.stack([down + 0.25, -across + 0.5], axis=1)  # a quarter turn takes (1, 0) to (0, −1)
    np.testing.assert_allclose(uv, np.stack([wanted[:, 0], 1 - wanted[:, 1]], axis=1), atol=1e-5)


def test_a_texture_that_is_to_stop_at_its_edge_is_named_where_it_would_repeat(tmp_path):
    for tiles, missing in ((1.0, ()), (2.0, ("a texture that does not repeat beyond its edge",))):
        glb = Glb()
        primitive = sheet(glb)
        primitive["attributes"]["TEXCOORD_0"] = glb.add(square(tiles=tiles)["uv"])
        glb.mesh(primitive)
        painted(glb, plain(RED), pbrMetallicRoughness={"baseColorTexture": {"index": 0}})
        glb.header["samplers"] = [{"wrapS": 33071}]
        glb.header["textures"][0]["sampler"] = 0
        assert load(glb.save(tmp_path / "a.glb")).missing == missing


def test_dark_colours_are_not_rounded_twice(tmp_path):
    glb = Glb()
    glb.mesh(sheet(glb))
    painted(glb, pbrMetallicRoughness={"baseColorFactor": [0.01, 0.001, 0.5, 1]})
    texel = load(glb.save(tmp_path / "a.glb")).asset.textures[-1][0, 0].tolist()
    assert texel == [25, 3, 188, 255]  # 255 (1.055 x^(1/2.4) − 0.055), or 255 · 12.92 x below 0.0031308


def test_colours_of_metals_in_specular_glossiness(tmp_path):
    glb = Glb()
    glb.mesh(sheet(glb))
    gold = {"diffuseFactor": [0, 0, 0, 1], "specularFactor": [1, 0.5, 0]}
    painted(glb, extensions={"KHR_materials_pbrSpecularGlossiness": gold})
    assert load(glb.save(tmp_path / "a.glb")).asset.textures[-1][0, 0].tolist() == [255, 188, 0, 255]


def test_what_a_file_uses_and_is_not_supported_is_named(tmp_path):
    glb = Glb()
    glb.mesh(sheet(glb, extensions={"KHR_draco_mesh_compression": {}}))
    painted(glb, plain(RED), pbrMetallicRoughness={"baseColorTexture": {"index": 0, "texCoord": 3}})
    glb.header["nodes"][0]["extensions"] = {"MPEG_sampler_YCbCr": {}, "KHR_lights_punctual": {}}
    glb.header["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    missing = load(glb.save(tmp_path / "a.glb")).missing
    assert set(missing) == {"MPEG_sampler_YCbCr", "KHR_draco_mesh_compression", "KHR_texture_basisu", "texture 0"}


def test_a_gltf_is_told_by_its_content(tmp_path):
    glb = Glb()
    glb.mesh(body(glb))
    assert len(load(glb.save(tmp_path / "a.gltf")).asset.faces) == len(wedge().faces)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header["asset"].update(minVersion="2.1"), "it is glTF 2.1"),
        (lambda header: header.update(nodes=[{"mesh": 0, "children": [0]}]), "hang in a circle"),
        (lambda header: header.update(nodes=[{"children": [2]}, {"children": [2]}, {}]), "below several nodes"),
        (lambda header: header.update(nodes=[{"mesh": -1}]), "it names meshes[-1], but has 1"),
        (lambda header: header.update(nodes=[{"mesh": 7}]), "it names meshes[7], but has 1"),
        (lambda header: header.update(nodes=[{"mesh": 0, "matrix": [1, 2]}]), "must be 16 numbers"),
        (lambda header: header.update(nodes=[{"mesh": 0, "scale": [1e999, 1, 1]}]), "must be 3 numbers"),
        (lambda header: header["accessors"][0].update(count=9999), "beyond the end of bufferViews[0]"),
        (lambda header: header["accessors"][0].update(componentType=5124), "the component type 5124"),
        (lambda header: header["bufferViews"][0].update(byteLength=10**9), "beyond the end of bufferViews[0]"),
        (lambda header: header["accessors"][1].update(componentType=5126), "its vertex indices are not integers"),
        (lambda header: header.update(extensionsRequired=["KHR_draco_mesh_compression"]), "KHR_draco_mesh_compression"),
    ],
)
def test_broken_gltf_is_refused_in_a_sentence(tmp_path, change, said):
    glb = Glb()
    mesh = wedge()
    primitive = {"attributes": {"POSITION": glb.add(mesh.vertices)}, "indices": glb.add(mesh.faces.ravel(), "uint32")}
    glb.mesh(primitive)
    change(glb.header)
    assert said in refusal(glb.save(tmp_path / "a.glb"))


FEW = replace(LIMITS, instances=50, nodes=500)


def test_too_many_instances_are_refused_before_they_are_made(tmp_path, monkeypatch):
    glb = Glb()
    glb.mesh(body(glb))
    attributes = {"TRANSLATION": glb.add(np.zeros((1, 3)), bufferView=None)}
    glb.header["accessors"][-1] |= {"count": 200_000}
    del glb.header["accessors"][-1]["bufferView"]
    glb.header["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    said = f"it places 200000 meshes, more than {LIMITS.instances}"
    assert said in refusal(glb.save(tmp_path / "a.glb"), max_faces=10**8)
    monkeypatch.setattr(placed, "LIMITS", FEW)
    monkeypatch.setattr(gltf_scene, "LIMITS", FEW)
    for count, said in ((51, "it places 51 meshes, more than 50"), (501, "it has 501 nodes, more than 500")):
        glb.header |= {"nodes": [{"mesh": 0}] * count, "scenes": [{"nodes": list(range(count))}]}
        assert said in refusal(glb.save(tmp_path / "a.glb"))


def test_lists_that_many_primitives_share_are_paid_for_once(tmp_path):
    """A long list of positions of which each primitive uses three; and one of zeros that takes no bytes in the file."""
    glb = Glb()
    points = glb.add(np.random.default_rng(0).normal(size=(3000, 3)))
    glb.mesh(
        *({"attributes": {"POSITION": points}, "indices": glb.add([i, i + 1, i + 2], "uint16")} for i in range(300))
    )
    assert len(load(glb.save(tmp_path / "a.glb"), max_faces=1500).asset.faces) == 300
    zeros = {"componentType": 5126, "count": 4000, "type": "MAT4"}
    glb.header["accessors"].append(zeros)
    glb.header["skins"] = [{"joints": [0], "inverseBindMatrices": len(glb.header["accessors"]) - 1}]
    glb.header["nodes"] = [{"mesh": 0, "skin": 0}]
    assert "more numbers than" in refusal(glb.save(tmp_path / "a.glb"), max_faces=1500)


# COLLADA.

DAE = """<?xml version="1.0" encoding="utf-8"?>
{doctype}<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><up_axis>Y_UP</up_axis></asset>
<library_images><image id="i"><init_from>halves.png</init_from></image></library_images>
<library_effects><effect id="e"><profile_COMMON>
<newparam sid="s"><surface type="2D"><init_from>i</init_from></surface></newparam>
<newparam sid="t"><sampler2D><source>s</source></sampler2D></newparam>
<technique sid="c"><lambert>{paint}</lambert></technique></profile_COMMON></effect></library_effects>
<library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>
<library_geometries>{geometries}</library_geometries>
<library_controllers>{controllers}</library_controllers>
<library_nodes>{nodes}</library_nodes>
<library_visual_scenes><visual_scene id="v">{scene}</visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#v"/></scene></COLLADA>
"""
BOUND = """<bind_material><technique_common><instance_material symbol="x" target="#m">
<bind_vertex_input semantic="UV" input_semantic="TEXCOORD" input_set="1"/>
</instance_material></technique_common></bind_material>"""
PLACED = f'<instance_geometry url="#g">{BOUND}</instance_geometry>'
TEXTURE = '<diffuse><texture texture="t" texcoord="UV"/></diffuse>'


def floats(name: str, rows: list[tuple[float, ...]], names: str) -> str:
    text = " ".join(str(value) for row in rows for value in row)
    params = "".join(f'<param name="{letter}" type="float"/>' for letter in names)
    return (
        f'<source id="{name}"><float_array id="{name}a" count="{len(rows) * len(names)}">{text}</float_array>'
        f'<technique_common><accessor source="#{name}a" count="{len(rows)}" stride="{len(names)}">{params}</accessor>'
        "</technique_common></source>"
    )


U_SHAPE = [(0, 0, 0), (3, 0, 0), (3, 3, 0), (2, 3, 0), (2, 1, 0), (1, 1, 0), (1, 3, 0), (0, 3, 0)]


def u_shaped(name: str, points: list[tuple[float, ...]] = U_SHAPE) -> str:
    """A concave polygon with two sets of texture coordinates: the second is halved, where the file has red."""
    first, second = [(0.75, 0.5)] * 8, [(0.25, 0.5)] * 8
    return f"""<geometry id="{name}"><mesh>{floats(name + "p", points, "XYZ")}{floats(name + "u", first, "ST")}
    {floats(name + "w", second, "ST")}
    <vertices id="{name}v"><input semantic="POSITION" source="#{name}p"/></vertices>
    <polylist material="x" count="1"><input semantic="VERTEX" source="#{name}v" offset="0"/>
    <input semantic="TEXCOORD" source="#{name}u" offset="0" set="0"/>
    <input semantic="TEXCOORD" source="#{name}w" offset="0" set="1"/>
    <vcount>8</vcount><p>0 1 2 3 4 5 6 7</p></polylist></mesh></geometry>"""


def write_dae(folder: Path, **changes: str) -> Path:
    (folder / "halves.png").write_bytes(png(np.concatenate([plain((255, 0, 0)), plain((0, 0, 255))], axis=1)))
    parts = {"doctype": "", "paint": TEXTURE, "geometries": u_shaped("g"), "controllers": "", "nodes": ""}
    path = folder / "a.dae"
    path.write_text(DAE.format(**{**parts, "scene": f"<node>{PLACED}</node>", **changes}))
    return path


def area(asset: Asset) -> float:
    a, b, c = asset.vertices[asset.faces].double().unbind(1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2)


def test_collada_takes_the_texture_coordinates_that_are_bound_and_leaves_concave_polygons_open(tmp_path):
    loaded = load(write_dae(tmp_path), scale=0.9)
    assert loaded.missing == ()
    assert shares(loaded.asset) == {"red": 1}
    assert area(loaded.asset) == pytest.approx(7 * 0.3**2)


def test_collada_instances_of_nodes_stand_below_each_other(tmp_path):
    nodes = f'<node id="n"><translate>5 0 0</translate><scale>2 2 2</scale>{PLACED}</node>'
    scene = '<node><rotate>0 1 0 90</rotate><instance_node url="#n"/></node>' + f"<node>{PLACED}</node>"
    asset = load(write_dae(tmp_path, nodes=nodes, scene=scene)).asset
    # Turned about Y by a quarter, X goes to −Z: the large one reaches from z = −5 to −11, and 6 high.
    np.testing.assert_allclose(sides(asset), np.array([3, 6, 11]) * (0.9 / 11), rtol=1e-5)


def test_collada_morph_targets(tmp_path):
    lifted = [(x, y + 3, z) for x, y, z in U_SHAPE]
    weights = floats("k", [(0.5,)], "W")
    targets = '<source id="o"><IDREF_array id="oa" count="1">h</IDREF_array><technique_common><accessor source="#oa" '
    targets += 'count="1" stride="1"><param name="T" type="IDREF"/></accessor></technique_common></source>'
    inputs = (
        '<targets><input semantic="MORPH_TARGET" source="#o"/><input semantic="MORPH_WEIGHT" source="#k"/></targets>'
    )
    morph = f'<controller id="c"><morph source="#g" method="NORMALIZED">{targets}{weights}{inputs}</morph></controller>'
    scene = f'<node>{PLACED}</node><node><instance_controller url="#c">{BOUND}</instance_controller></node>'
    path = write_dae(tmp_path, geometries=u_shaped("g") + u_shaped("h", lifted), controllers=morph, scene=scene)
    loaded = load(path)
    assert loaded.missing == ()
    np.testing.assert_allclose(sides(loaded.asset), np.array([3, 4.5, 0]) * (0.9 / 4.5), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doctype": '<!DOCTYPE x [<!ENTITY a "b">]>'}, "its own XML entities"),
        (
            {
                "nodes": '<node id="n"><instance_node url="#n"/></node>',
                "scene": '<node><instance_node url="#n"/></node>',
            },
            "circle",
        ),
        ({"scene": '<node><instance_geometry url="#z"/></node>'}, "no faces"),
    ],
)
def test_collada_that_is_refused(tmp_path, changes, said):
    assert said in refusal(write_dae(tmp_path, **changes))


def test_collada_nodes_that_double_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(dae, "LIMITS", FEW)
    twice = [2 * f'<instance_node url="#n{i + 1}"/>' for i in range(40)]
    doubles = "".join(f'<node id="n{i}">{below}</node>' for i, below in enumerate(twice))
    nodes = doubles + f'<node id="n40">{PLACED}</node>'
    assert "more than 500 times" in refusal(
        write_dae(tmp_path, nodes=nodes, scene='<node><instance_node url="#n0"/></node>')
    )


def test_collada_in_an_archive_is_refused(tmp_path):
    (tmp_path / "a.dae").write_bytes(b"PK\3\4" + b"\0" * 99)
    assert "ZIP archive" in refusal(tmp_path / "a.dae")


# USD.

SQUARE = """point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
int[] faceVertexCounts = [4]
int[] faceVertexIndices = [0, 1, 2, 3]
"""


def test_usd_values_that_are_there_at_times_only(tmp_path):
    text = SQUARE.replace("point3f[] points = [", "point3f[] points.timeSamples = {10: [").replace(
        "1, 0)]", "1, 0)]}", 1
    )
    assert len(load(write_usdz(tmp_path / "a.usdz", f'def Mesh "m" {{{text}}}')).asset.faces) == 2


def test_usd_instancers_turn_scale_and_hide(tmp_path):
    text = f"""def PointInstancer "i" {{
        matrix4d xformOp:transform = ((2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0), (0, 0, 0, 1))
        uniform token[] xformOpOrder = ["xformOp:transform"]
        point3f[] positions = [(0, 0, 0), (5, 0, 0), (99, 0, 0)]
        float3[] scales = [(1, 1, 1), (2, 2, 2), (1, 1, 1)]
        int64[] invisibleIds = [2]
        int[] protoIndices = [0, 0, 0]
        rel prototypes = </root/i/p>
        def Xform "p" {{
            double3 xformOp:translate = (1, 0, 0)
            uniform token[] xformOpOrder = ["xformOp:translate"]
            def Mesh "m" {{{SQUARE}}}
        }}
    }}"""
    asset = load(write_usdz(tmp_path / "a.usdz", text)).asset
    # From 1 to 2, and from 5 + 2 to 5 + 4, all doubled.
    np.testing.assert_allclose(sides(asset), np.array([8, 2, 0]) * (0.9 / 8) * [2, 2, 1] / 2, atol=1e-6)
    assert len(asset.faces) == 4


@pytest.mark.parametrize(
    ("kind", "extent", "wanted"),
    [
        ("Cube", "double size = 4", (4, 4, 4)),
        ("Cylinder", 'double height = 4\ndouble radius = 1\nuniform token axis = "X"', (4, 2, 2)),
        ("Cone", 'double height = 4\ndouble radius = 1\nuniform token axis = "Y"', (2, 4, 2)),
        ("Capsule", 'double height = 2\ndouble radius = 1\nuniform token axis = "Z"', (2, 2, 4)),
        ("Plane", 'double width = 1\ndouble length = 4\nuniform token axis = "Z"', (1, 4, 0)),
        ("Sphere", "double radius = 2", (4, 4, 4)),
    ],
)
def test_usd_solids_have_their_size(tmp_path, kind, extent, wanted):
    color = "color3f[] primvars:displayColor = [(1, 0, 0)]"
    asset = load(write_usdz(tmp_path / "a.usdz", f'def {kind} "s" {{\n{extent}\n{color}\n}}')).asset
    np.testing.assert_allclose(sides(asset), np.array(wanted) * (0.9 / 4), atol=6e-3)
    assert shares(asset) == {"red": 1}


def test_usd_curves_are_named(tmp_path):
    curves = 'def BasisCurves "hair" {\nint[] curveVertexCounts = [2]\npoint3f[] points = [(0, 0, 0), (1, 1, 1)]\n}'
    assert load(write_usdz(tmp_path / "a.usdz", f'def Mesh "m" {{{SQUARE}}}\n{curves}')).missing == (
        "BasisCurves hair",
    )


def test_usd_poses_of_skeletons_are_named(tmp_path):
    text = f"""def SkelRoot "r" {{
        def SkelAnimation "walk" {{
        }}
        def Mesh "m" (prepend apiSchemas = ["SkelBindingAPI"]) {{
            {SQUARE}
            rel skel:animationSource = </root/r/walk>
        }}
    }}"""
    assert load(write_usdz(tmp_path / "a.usdz", text)).missing == ("the pose of m",)


def test_usd_references_that_double_are_refused_before_they_are_composed(tmp_path):
    layers = "".join(
        f'def "n{i}" {{\n' + "".join(f'def "{name}" (references = </root/n{i + 1}>) {{}}\n' for name in "ab") + "}\n"
        for i in range(30)
    )
    text = layers + f'def "n30" {{\ndef Mesh "m" {{{SQUARE}}}\n}}'
    assert "at most 200000 are read" in refusal(write_usdz(tmp_path / "a.usdz", text))


def test_usd_instances_are_counted(tmp_path):
    places = ", ".join(["(0, 0, 0)"] * 300)
    numbers = ", ".join(["0"] * 300)
    text = f'def Mesh "m" {{{SQUARE}}}'
    for depth in range(2):
        text = f"""def PointInstancer "i{depth}" {{
            point3f[] positions = [{places}]
            int[] protoIndices = [{numbers}]
            rel prototypes = </root{"/i1/p" * (1 - depth)}/i{depth}/p>
            def Xform "p" {{
                {text}
            }}
        }}"""
    assert f"it places 90000 meshes, more than {LIMITS.instances}" in refusal(write_usdz(tmp_path / "a.usdz", text))
