import dataclasses
import errno
import functools
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from get3d.export import FORMATS, TexturedMesh, mesh_report, sample_texture, textured_mesh
from get3d.files import InputError
from get3d.meshes import Mesh
from solids import painted_ripples, ripples, torus


@functools.cache
def painted() -> TexturedMesh:
    return textured_mesh(torus(), painted_ripples, 128, 1000)


def true_colors(points: np.ndarray) -> np.ndarray:
    return (ripples(torch.from_numpy(np.asarray(points)).float()).numpy() + 1) / 2


def glb_json(path: Path) -> dict:
    data = path.read_bytes()
    length, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    return json.loads(data[20 : 20 + length])


def test_glb_comes_back_as_it_was(tmp_path: Path) -> None:
    mesh = painted()
    mesh.save(tmp_path / "chair.glb")
    (back,) = trimesh.load_scene(tmp_path / "chair.glb", process=False).geometry.values()
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_allclose(back.vertex_normals, mesh.normals, atol=1e-6)
    np.testing.assert_allclose(back.visual.uv, mesh.uv, atol=1e-6)
    material = back.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture), mesh.texture)
    assert (material.metallicFactor, material.roughnessFactor) == (0.0, 0.6)


def test_glb_says_what_it_holds(tmp_path: Path) -> None:
    dataclasses.replace(painted(), constants={"metallic": (1.0,), "roughness": (0.25,)}).save(tmp_path / "chair.glb")
    document = glb_json(tmp_path / "chair.glb")
    (material,) = document["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 1.0
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 0.25
    assert material["doubleSided"] is False
    (image,) = document["images"]
    assert image["mimeType"] == "image/png"
    assert "uri" not in image
    (primitive,) = document["meshes"][0]["primitives"]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0"}


def test_an_open_surface_is_seen_from_both_sides(tmp_path: Path) -> None:
    mesh = painted()
    dataclasses.replace(mesh, faces=mesh.faces[1:]).save(tmp_path / "open.glb")
    assert glb_json(tmp_path / "open.glb")["materials"][0]["doubleSided"] is True


def obj_rows(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, texture coordinates, normals and the corners of faces [F, 3, 3], as the format defines them."""
    rows: dict[str, list] = {"v": [], "vt": [], "vn": [], "f": []}
    for line in path.read_text().splitlines():
        key, *rest = line.split()
        if key in rows:
            rows[key].append([part.split("/") for part in rest] if key == "f" else rest)
    positions, places, normals = (np.array(rows[key], dtype=float) for key in ("v", "vt", "vn"))
    return positions, places, normals, np.array(rows["f"], dtype=int) - 1


def test_obj_comes_back_as_it_was(tmp_path: Path) -> None:
    mesh = painted()
    mesh.save(tmp_path / "chair.obj")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chair.mtl", "chair.obj", "chair.png"]
    positions, places, normals, faces = obj_rows(tmp_path / "chair.obj")
    assert len(positions) < len(places) <= len(mesh.uv)
    assert len(np.unique(positions, axis=0)) == len(positions)
    np.testing.assert_array_equal(positions[faces[..., 0]].astype(np.float32), mesh.vertices[mesh.faces])
    np.testing.assert_allclose(places[faces[..., 1]], mesh.uv[mesh.faces], atol=1e-7)
    np.testing.assert_allclose(normals[faces[..., 2]], mesh.normals[mesh.faces], atol=1e-5)
    shape = trimesh.Trimesh(positions, faces[..., 0], process=False)
    assert shape.is_watertight
    assert shape.body_count == 1
    back = trimesh.load_mesh(tmp_path / "chair.obj", process=False)
    np.testing.assert_allclose(back.vertices[back.faces], mesh.vertices[mesh.faces], atol=1e-7)
    np.testing.assert_allclose(back.visual.uv[back.faces], mesh.uv[mesh.faces], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(back.visual.material.image), mesh.texture)


@pytest.mark.parametrize("name", ["my chair.obj", "Стул №1.obj", "-s 2.obj", "a#b.obj"])
def test_obj_names_its_files_in_one_plain_word(tmp_path: Path, name: str) -> None:
    painted().save(tmp_path / name)
    material_file = (tmp_path / name).read_text().splitlines()[0].removeprefix("mtllib ")
    texture_file = (tmp_path / material_file).read_text().splitlines()[-1].removeprefix("map_Kd ")
    for file in (material_file, texture_file):
        assert file.isascii()
        assert not set(file) & set(" #/\\")
        assert not file.startswith("-")
    with Image.open(tmp_path / texture_file) as texture:
        assert texture.size == (128, 128)
    assert trimesh.load_mesh(tmp_path / name).visual.material.image.size == (128, 128)


def test_objs_of_like_names_do_not_share_files(tmp_path: Path) -> None:
    names = ["a b.obj", "a_b.obj", "a  b.obj", "ä.obj", "ö.obj"]
    for name in names:
        painted().save(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 3 * len(names)


def test_ply_is_closed_and_has_its_colours(tmp_path: Path) -> None:
    mesh = painted()
    mesh.save(tmp_path / "chair.ply")
    back = trimesh.load_mesh(tmp_path / "chair.ply", process=False)
    assert back.is_watertight
    assert back.faces.shape == tuple(mesh.faces.shape)
    colors = back.visual.vertex_colors[:, :3] / 255
    error = np.abs(colors - true_colors(back.vertices)).max(axis=1)
    assert error.mean() < 0.02
    np.testing.assert_allclose(np.linalg.norm(back.vertex_normals, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("suffix", FORMATS)
def test_same_object_same_bytes(tmp_path: Path, suffix: str) -> None:
    for folder in ("a", "b"):
        painted().save(tmp_path / folder / f"x{suffix}")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("name", ["chair.fbx", "chair", "chair.glb.zip"])
def test_unknown_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"unknown format .*\.glb, \.obj, \.ply"):
        painted().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_upper_case_suffix_is_known(tmp_path: Path) -> None:
    painted().save(tmp_path / "chair.GLB")
    assert (tmp_path / "chair.GLB").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_the_older_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    painted().save(tmp_path / f"x{suffix}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    changed = dataclasses.replace(
        painted(), vertices=painted().vertices + 1, textures={"base_color": 255 - painted().texture}
    )
    with pytest.raises(InputError, match="No space left"):
        changed.save(tmp_path / f"x{suffix}")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        painted().save(tmp_path / "file" / "x.glb")


def test_constants_go_to_obj_as_linear_factors(tmp_path: Path) -> None:
    """IEC 61966-2-1: 0.5 is ((0.5 + 0.055) / 1.055)^2.4 of the light. Where there is no texture, none is named."""
    plain = dataclasses.replace(painted(), textures={}, constants={"base_color": (1.0, 0.5, 0.0), "roughness": (0.25,)})
    plain.save(tmp_path / "x.obj")
    rows = dict(line.split(maxsplit=1) for line in (tmp_path / "x.mtl").read_text().splitlines())
    np.testing.assert_allclose(np.array(rows["Kd"].split(), dtype=float), [1, 0.214041, 0], atol=1e-6)
    assert (rows["Pr"], rows["Pm"]) == ("0.25", "0")
    assert "map_Kd" not in rows
    plain.save(tmp_path / "x.glb")
    factors = glb_json(tmp_path / "x.glb")["materials"][0]["pbrMetallicRoughness"]
    np.testing.assert_allclose(factors["baseColorFactor"], [1, 0.214041, 0, 1], atol=1e-6)
    plain.save(tmp_path / "x.ply")
    colors = trimesh.load_mesh(tmp_path / "x.ply", process=False).visual.vertex_colors
    assert (colors[:, :3] == [255, 128, 0]).all()


def test_what_no_program_could_read_is_not_written(tmp_path: Path) -> None:
    mesh = painted()
    with pytest.raises(ValueError, match="without faces"):
        dataclasses.replace(mesh, faces=mesh.faces[:0]).save(tmp_path / "x.glb")
    broken = mesh.vertices.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"vertices .* not finite"):
        dataclasses.replace(mesh, vertices=broken).save(tmp_path / "x.glb")
    assert not list(tmp_path.iterdir())


def test_bare_mesh_keeps_the_numbers() -> None:
    mesh = painted()
    assert isinstance(mesh.mesh, Mesh)
    assert torch.equal(mesh.mesh.faces, mesh.faces)
    assert mesh_report(mesh.mesh).watertight


def test_textures_are_read_between_texel_centres_and_repeat() -> None:
    texture = torch.tensor([[[0, 0, 0], [100, 0, 0]], [[0, 200, 0], [100, 200, 255]]], dtype=torch.uint8)
    uv = torch.tensor([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.5, 0.5], [0.5, 0.75], [1.25, -0.25], [0.0, 0.75]])
    expected = torch.tensor([[0, 0, 0], [100, 0, 0], [0, 200, 0], [50, 100, 63.75], [50, 0, 0], [0, 0, 0], [50, 0, 0]])
    torch.testing.assert_close(sample_texture(texture, uv) * 255, expected.float())
