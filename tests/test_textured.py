import pytest
import torch

from get3d.export import mesh_report, sample_texture, textured_mesh
from get3d.files import InputError
from get3d.meshes import Mesh, MeshBatch
from manifold import signed_volume
from solids import painted_ripples, ripples, sponge, torus


@pytest.mark.parametrize("faces", [None, 2000])
def test_object_has_shape_normals_and_colours(faces: int | None) -> None:
    mesh = torus()
    textured = textured_mesh(mesh, painted_ripples, 256, faces)
    assert textured.faces.shape[0] == (mesh.faces.shape[0] if faces is None else faces)
    assert mesh_report(textured.mesh).watertight
    assert signed_volume(textured.vertices, textured.faces) == pytest.approx(
        signed_volume(mesh.vertices, mesh.faces), rel=0.02
    )
    assert textured.texture.shape == (256, 256, 3)
    error = (sample_texture(textured.texture, textured.uv) - (ripples(textured.vertices) + 1) / 2).abs()
    assert float(error.mean()) < 0.005
    ring = torch.nn.functional.normalize(textured.vertices * torch.tensor([1.0, 0, 1]), dim=1) * 0.3
    outward = torch.nn.functional.normalize(textured.vertices - ring, dim=1)
    assert float((textured.normals * outward).sum(dim=1).min()) > 0.9


def test_a_vertex_on_a_seam_has_one_normal() -> None:
    textured = textured_mesh(torus(), painted_ripples, 64, 1000)
    _, place = textured.vertices.unique(dim=0, return_inverse=True)
    first = torch.zeros(int(place.max()) + 1, 3).index_copy(0, place, textured.normals)
    assert torch.equal(first[place], textured.normals)


def test_wild_shapes_become_watertight_with_unit_normals() -> None:
    textured = textured_mesh(sponge(2), painted_ripples, 256, 3000)
    assert mesh_report(textured.mesh).watertight
    torch.testing.assert_close(textured.normals.norm(dim=1), torch.ones(len(textured.normals)))


def test_faces_without_area_get_a_unit_normal() -> None:
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    both = torch.cat([torus(20).vertices, line])
    count = len(torus(20).vertices)
    flat = torch.tensor([[0, 1, 2]]) + count
    textured = textured_mesh(Mesh(both, torch.cat([torus(20).faces, flat])), painted_ripples, 64)
    torch.testing.assert_close(textured.normals.norm(dim=1), torch.ones(len(textured.normals)))


def test_colours_are_asked_for_on_the_device_of_the_mesh(device: torch.device) -> None:
    mesh = torus(20)

    def material(points: torch.Tensor) -> dict[str, torch.Tensor]:
        assert points.device.type == device.type
        return painted_ripples(points)

    textured = textured_mesh(Mesh(mesh.vertices.to(device), mesh.faces.to(device)), material, 64)
    for part in (textured.vertices, textured.faces, textured.normals, textured.uv, textured.texture):
        assert part.device.type == "cpu"


def test_same_mesh_same_object() -> None:
    once, again = (textured_mesh(sponge(1), painted_ripples, 128, 1000) for _ in range(2))
    for name in ("vertices", "faces", "normals", "uv", "texture"):
        assert torch.equal(getattr(once, name), getattr(again, name))


def test_does_not_keep_gradients() -> None:
    mesh = MeshBatch.from_meshes([torus(20)]).split()[0]
    textured = textured_mesh(Mesh(mesh.vertices.requires_grad_(), mesh.faces), painted_ripples, 64, 500)
    assert not textured.vertices.requires_grad
    assert not textured.normals.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texture_resolution": 8}, "texture resolution: 8 .* 16 to 8192"),
        ({"texture_resolution": 10_000}, "texture resolution: 10000 .* 16 to 8192"),
        ({"faces": 3}, "faces: 3 .* 4 or more"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        textured_mesh(torus(20), painted_ripples, **options)


def test_nothing_cannot_be_textured() -> None:
    with pytest.raises(ValueError, match="shape is empty"):
        textured_mesh(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), painted_ripples)


def test_positions_that_are_not_finite_are_refused() -> None:
    mesh = torus(20)
    with pytest.raises(ValueError, match="not finite"):
        textured_mesh(Mesh(mesh.vertices * float("inf"), mesh.faces), painted_ripples)
