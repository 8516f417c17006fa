"""Packages for USD viewers, read by the validators that usdchecker runs, and by our own reader of others' models."""

import contextlib
import dataclasses
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pxr import Usd, UsdGeom, UsdShade, UsdValidation

from get3d.assets.loading import load_asset
from get3d.export import TexturedMesh, formats, textured_mesh
from get3d.files import InputError
from solids import painted_ripples, torus


@pytest.fixture(scope="module")
def painted() -> TexturedMesh:
    return textured_mesh(torus(20), painted_ripples, 32, 500)


def problems(path: Path) -> list[str]:
    """What the validators of usd-core say, which are those of usdchecker."""
    registry = UsdValidation.ValidationRegistry()
    context = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators())
    return [error.GetErrorAsString() for error in context.Validate(Usd.Stage.Open(str(path)))]


def test_usdchecker_has_nothing_to_say(painted: TexturedMesh, tmp_path: Path) -> None:
    open_surface = dataclasses.replace(painted, faces=painted.faces[1:])
    constants = dataclasses.replace(painted, textures={}, constants={"base_color": (0.5, 0.2, 0.0)})
    for number, mesh in enumerate((painted, open_surface, constants)):
        mesh.save(tmp_path / f"{number}.usdz")
        assert problems(tmp_path / f"{number}.usdz") == []


def test_usdchecker_would_find_a_fault(painted: TexturedMesh, tmp_path: Path) -> None:
    """The check above can fail: a package whose texture is missing."""
    painted.save(tmp_path / "x.usdz")
    with zipfile.ZipFile(tmp_path / "x.usdz") as whole, zipfile.ZipFile(tmp_path / "part.usdz", "w") as part:
        entry = whole.infolist()[0]
        part.writestr(entry, whole.read(entry))
    assert problems(tmp_path / "part.usdz")


def test_files_begin_at_multiples_of_64_bytes_and_are_not_compressed(painted: TexturedMesh, tmp_path: Path) -> None:
    painted.save(tmp_path / "x.usdz")
    data = (tmp_path / "x.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.usdz") as archive:
        names = [entry.filename for entry in archive.infolist()]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            head = data[entry.header_offset :]
            start = entry.header_offset + 30 + int.from_bytes(head[26:28], "little")
            start += int.from_bytes(head[28:30], "little")
            assert start % 64 == 0
            assert data[start : start + entry.file_size] == archive.read(entry)
    assert names == ["object.usdc", "textures/base_color.png"]


def test_stage_holds_the_object(painted: TexturedMesh, tmp_path: Path) -> None:
    painted.save(tmp_path / "x.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "x.usdz"))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert stage.GetDefaultPrim().GetPath() == "/object"
    (mesh,) = (UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh))
    points = np.array(mesh.GetPointsAttr().Get())
    corners = np.array(mesh.GetFaceVertexIndicesAttr().Get())
    np.testing.assert_array_equal(points[corners], painted.vertices[painted.faces.flatten()])
    assert len(points) == len(painted.vertices.unique(dim=0))
    places = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").ComputeFlattened()
    np.testing.assert_array_equal(np.array(places), painted.uv[painted.faces.flatten()])
    np.testing.assert_array_equal(np.array(mesh.GetNormalsAttr().Get()), painted.normals[painted.faces.flatten()])
    assert mesh.GetDoubleSidedAttr().Get() is False
    material, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    surface, _, _ = material.ComputeSurfaceSource()
    assert surface.GetIdAttr().Get() == "UsdPreviewSurface"
    assert surface.GetInput("roughness").Get() == pytest.approx(0.6)
    assert surface.GetInput("metallic").Get() == 0
    image, output, _ = surface.GetInput("diffuseColor").GetConnectedSource()
    texture = UsdShade.Shader(image.GetPrim())
    assert output == "rgb"
    assert texture.GetInput("sourceColorSpace").Get() == "sRGB"
    with zipfile.ZipFile(tmp_path / "x.usdz") as archive, archive.open("textures/base_color.png") as file:
        np.testing.assert_array_equal(np.asarray(Image.open(file)), painted.texture)


def test_an_open_surface_is_seen_from_both_sides(painted: TexturedMesh, tmp_path: Path) -> None:
    dataclasses.replace(painted, faces=painted.faces[1:]).save(tmp_path / "x.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "x.usdz"))
    assert UsdGeom.Mesh(stage.GetPrimAtPath("/object/mesh")).GetDoubleSidedAttr().Get() is True


def test_constants_are_linear_colours(painted: TexturedMesh, tmp_path: Path) -> None:
    plain = dataclasses.replace(painted, textures={}, constants={"base_color": (1.0, 0.5, 0.0), "metallic": (1.0,)})
    plain.save(tmp_path / "x.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "x.usdz"))
    surface = UsdShade.Shader(stage.GetPrimAtPath("/object/material/surface"))
    # IEC 61966-2-1: ((0.5 + 0.055) / 1.055)^2.4
    np.testing.assert_allclose(surface.GetInput("diffuseColor").Get(), [1, 0.214041, 0], atol=1e-6)
    assert surface.GetInput("metallic").Get() == 1


def test_without_usd_core_the_extra_is_named(
    painted: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"get3d\[usd\]"):
        painted.save(tmp_path / "x.usdz")
    assert not list(tmp_path.iterdir())


def test_a_layer_that_cannot_be_written_is_one_error(
    painted: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: USD's own exception does not come through, and nothing is left."""
    (tmp_path / "file").write_text("")
    nowhere = contextlib.nullcontext(str(tmp_path / "file" / "folder"))
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda **options: nowhere)
    with pytest.raises(InputError, match=r"x\.usdz: not written"):
        painted.save(tmp_path / "x.usdz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_objects_of_one_name_do_not_share_what_usd_keeps(painted: TexturedMesh, tmp_path: Path) -> None:
    """Layers are kept by their paths; a second object of the same path is itself."""
    painted.save(tmp_path / "x.usdz")
    moved = dataclasses.replace(painted, vertices=painted.vertices + torch.tensor([0.0, 5, 0]))
    moved.save(tmp_path / "x.usdz")
    moved.save(tmp_path / "y.usdz")
    assert (tmp_path / "x.usdz").read_bytes() == (tmp_path / "y.usdz").read_bytes()


def test_our_own_reader_sees_the_object(painted: TexturedMesh, tmp_path: Path) -> None:
    painted.save(tmp_path / "x.usdz")
    low, high = painted.vertices.amin(dim=0), painted.vertices.amax(dim=0)
    asset = load_asset(tmp_path / "x.usdz", tmp_path, scale=float((high - low).max())).asset
    centred = painted.vertices - (low + high) / 2
    torch.testing.assert_close(asset.vertices[asset.faces], centred[painted.faces], atol=1e-5, rtol=0)
    assert len(asset.material.unique()) == 1
    assert torch.equal(asset.textures[int(asset.material[0])][..., :3], painted.texture)
