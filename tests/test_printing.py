"""Files for 3D printers, read by a slicer, by the 3MF consortium's library and by the formats' definitions."""

import dataclasses
import functools
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import get3d
from get3d.export import TexturedMesh, mesh_report, textured_mesh
from get3d.files import InputError
from get3d.meshes import Mesh
from programs import needs_slicer, sliced
from solids import painted_ripples, sponge


@functools.cache
def ball() -> TexturedMesh:
    """Taller than wide, and seams run over it."""
    shape = trimesh.creation.icosphere(3, 0.3)
    stretched = torch.tensor(shape.vertices).float() * torch.tensor([1.0, 1.5, 0.5])
    return textured_mesh(Mesh(stretched, torch.tensor(shape.faces)), painted_ripples, 64)


def triangles_of_stl(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Normals [F, 3] and corners [F, 3, 3], as the format has them."""
    data = path.read_bytes()
    assert not data.startswith(b"solid")
    (count,) = struct.unpack_from("<I", data, 80)
    assert len(data) == 84 + 50 * count
    rows = [struct.unpack_from("<12fH", data, 84 + 50 * number) for number in range(count)]
    values = np.array([row[:12] for row in rows]).reshape(-1, 4, 3)
    return values[:, 0], values[:, 1:]


def volume(corners: np.ndarray) -> float:
    return float(np.linalg.det(corners).sum() / 6)


def test_stl_stands_on_the_plate_in_millimetres(tmp_path: Path) -> None:
    ball().save(tmp_path / "ball.stl")
    normals, corners = triangles_of_stl(tmp_path / "ball.stl")
    assert len(corners) == 1280
    # The model's height, +Y, is the printer's, +Z.
    np.testing.assert_allclose(corners.min(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(corners.max(axis=(0, 1)), [100 / 1.5, 50 / 1.5, 100], rtol=1e-5)
    scale = 100 / 0.9
    own = ball().vertices[ball().faces].numpy()
    assert volume(corners) == pytest.approx(volume(own) * scale**3, rel=1e-4)
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.testing.assert_allclose(normals, crosses / np.linalg.norm(crosses, axis=1, keepdims=True), atol=1e-3)


def test_what_was_right_stays_right(tmp_path: Path) -> None:
    """Turned, not mirrored: +X stays, +Y goes up, and +Z, the front, comes to the printer's front, −Y."""
    corner = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]])
    textured_mesh(Mesh(corner, faces), painted_ripples, 16).save(tmp_path / "corner.stl", size=3.0)
    _, corners = triangles_of_stl(tmp_path / "corner.stl")
    found = {tuple(np.round(point, 5).tolist()) for point in corners.reshape(-1, 3)}
    assert found == {(0, 1, 0), (3, 1, 0), (0, 1, 2), (0, 0, 0)}


@settings(max_examples=20)
@given(size=st.floats(1e-3, 1e5))
def test_any_size_is_closed_and_as_long_as_asked(tmp_path_factory: pytest.TempPathFactory, size: float) -> None:
    path = tmp_path_factory.mktemp("sized") / "ball.stl"
    ball().save(path, size=size)
    _, corners = triangles_of_stl(path)
    assert corners.max() == pytest.approx(size, rel=1e-5)
    points, number = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    assert trimesh.Trimesh(points, number.reshape(-1, 3), process=False).is_watertight


def test_3mf_is_what_its_makers_read(tmp_path: Path) -> None:
    lib3mf = pytest.importorskip("lib3mf", reason="needs lib3mf: pip install lib3mf")
    ball().save(tmp_path / "ball.3mf", size=50.0)
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(tmp_path / "ball.3mf"))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    items = model.GetBuildItems()
    assert items.MoveNext()
    objects = model.GetMeshObjects()
    assert objects.MoveNext()
    mesh = objects.GetCurrentMeshObject()
    assert mesh.IsValid()
    assert mesh.IsManifoldAndOriented()
    assert mesh.GetTriangleCount() == 1280
    points = np.array([list(vertex.Coordinates) for vertex in mesh.GetVertices()])
    faces = np.array([list(triangle.Indices) for triangle in mesh.GetTriangleIndices()])
    np.testing.assert_allclose(points.max(axis=0), [50 / 1.5, 25 / 1.5, 50], rtol=1e-5)
    assert volume(points[faces]) > 0
    # Each corner's place in the texture is that of the object.
    textures = model.GetTexture2DGroups()
    assert textures.MoveNext()
    group = textures.GetCurrentTexture2DGroup()
    places = []
    for properties in mesh.GetAllTriangleProperties():
        assert properties.ResourceID == group.GetResourceID()
        found = [group.GetTex2Coord(number) for number in properties.PropertyIDs]
        places.append([[place.U, place.V] for place in found])
    np.testing.assert_allclose(places, ball().uv[ball().faces], atol=1e-6)
    with zipfile.ZipFile(tmp_path / "ball.3mf") as archive:
        image = Image.open(io.BytesIO(archive.read("3D/Textures/base_color.png")))
        np.testing.assert_array_equal(np.asarray(image), ball().texture)


@needs_slicer
@pytest.mark.parametrize("suffix", ["obj", "stl", "3mf"])
def test_a_slicer_sees_one_solid(tmp_path: Path, suffix: str) -> None:
    ball().save(tmp_path / f"ball.{suffix}")
    found = sliced(tmp_path / f"ball.{suffix}")
    assert (found["manifold"], found["number_of_parts"], found["number_of_facets"]) == ("yes", "1", "1280")
    if suffix != "obj":
        assert float(found["size_z"]) == pytest.approx(100, abs=1e-3)


@needs_slicer
@pytest.mark.parametrize("suffix", ["obj", "stl", "3mf"])
def test_a_slicer_sees_as_many_parts_as_we_do(tmp_path: Path, suffix: str) -> None:
    """Of a wild shape that is cut apart where its solids touch."""
    mesh = textured_mesh(sponge(1, resolution=24), painted_ripples, 64, 1500)
    report = mesh_report(mesh.mesh)
    assert report.watertight
    assert report.components > 1
    mesh.save(tmp_path / f"sponge.{suffix}")
    found = sliced(tmp_path / f"sponge.{suffix}")
    assert (found["manifold"], found["number_of_parts"]) == ("yes", str(report.components))


@needs_slicer
def test_a_slicer_would_find_a_hole(tmp_path: Path) -> None:
    """The checks above can fail."""
    dataclasses.replace(ball(), faces=ball().faces[1:]).save(tmp_path / "open.stl")
    found = sliced(tmp_path / "open.stl")
    assert found.get("manifold") == "no" or "open_edges" in found


@needs_slicer
@pytest.mark.parametrize("suffix", ["obj", "stl", "3mf"])
def test_a_slicer_takes_a_car_of_the_bundled_model(tmp_path: Path, suffix: str) -> None:
    car = bundled_car()
    assert mesh_report(car.mesh).watertight
    assert mesh_report(car.mesh).components == 1
    car.save(tmp_path / f"car.{suffix}")
    found = sliced(tmp_path / f"car.{suffix}")
    assert (found["manifold"], found["number_of_parts"]) == ("yes", "1")


@functools.cache
def bundled_car() -> TexturedMesh:
    generator = get3d.load("car", "cpu")
    (car,) = generator.textured(generator.sample_latents(1, seed=0), texture_resolution=64, faces=3000)
    return car


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_sizes_that_are_none_are_refused(tmp_path: Path, size: float) -> None:
    with pytest.raises(InputError, match="is not a length"):
        ball().save(tmp_path / "x.stl", size=size)
    assert not list(tmp_path.iterdir())


def test_a_size_is_for_printing_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"50 mm is for printing, and \.glb has no size; use \.stl or \.3mf"):
        ball().save(tmp_path / "x.glb", size=50.0)


def test_a_point_cannot_be_printed(tmp_path: Path) -> None:
    point = dataclasses.replace(ball(), vertices=torch.zeros_like(ball().vertices))
    with pytest.raises(ValueError, match="at one place"):
        point.save(tmp_path / "x.stl")
