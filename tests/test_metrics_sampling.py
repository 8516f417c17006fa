import numpy as np
import pytest
import torch
import trimesh
from scipy.stats import chisquare

from get3d.meshes import Mesh, MeshBatch
from get3d.metrics.sampling import in_unit_cube, sample_outer_surface, sample_surface


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def batch(device) -> MeshBatch:
    shapes = [
        trimesh.creation.icosphere(2),
        trimesh.creation.box([3, 1, 0.2]),
        trimesh.creation.cylinder(0.1, 4, sections=9),
    ]
    return MeshBatch.from_meshes([mesh_of(shape) for shape in shapes]).to(device)


def test_points_lie_on_their_mesh_and_are_even_by_area(batch):
    drawn = sample_surface(batch, 20_000, generator())
    faces = drawn.faces.cpu() - batch.face_offsets[:-1, None].cpu()
    for found, own, mesh in zip(drawn.positions.cpu().numpy(), faces, batch.to("cpu").split(), strict=True):
        shape = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
        # Which face a point is on: the one whose plane and barycentric coordinates fit best.
        triangles = shape.triangles
        normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        area = np.linalg.norm(normal, axis=1)
        unit = normal / area[:, None]
        off = np.abs(np.einsum("pd,fd->pf", found, unit) - (unit * triangles[:, 0]).sum(1))
        for k in range(3):
            inward = np.cross(unit, triangles[:, (k + 1) % 3] - triangles[:, k])
            inward /= np.linalg.norm(inward, axis=1, keepdims=True)
            side = np.einsum("pd,fd->pf", found, inward) - (inward * triangles[:, k]).sum(1)
            off = np.maximum(off, -side)
        face = off.argmin(1)
        assert off[np.arange(len(face)), face].max() < 1e-5
        assert off[np.arange(len(face)), own].max() < 1e-5
        counted = np.bincount(face, minlength=len(area))
        assert chisquare(counted, area / area.sum() * len(face)).pvalue > 1e-3
        mean = (shape.triangles_center * area[:, None]).sum(0) / area.sum()
        np.testing.assert_allclose(found.mean(0), mean, atol=0.03 * shape.extents.max())


def test_points_are_the_same_for_the_same_generator(batch):
    first, second = (sample_surface(batch, 100, generator()).positions for _ in range(2))
    assert torch.equal(first, second)


def test_faces_without_area_get_no_point(device):
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], device=device)
    faces = torch.tensor([[3, 3, 3], [0, 1, 2], [3, 3, 0]], device=device)
    points = sample_surface(MeshBatch.from_meshes([Mesh(vertices, faces)]), 500, generator()).positions
    assert points[..., 2].abs().max() == 0
    assert points.sum(2).max() <= 1 + 1e-6


def test_shapes_fit_into_the_unit_cube(batch):
    lone = Mesh(torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 1, 0], [9, 9, 9]]), torch.tensor([[0, 1, 2]]))
    meshes = MeshBatch.from_meshes([*batch.to("cpu").split(), lone])
    for mesh in in_unit_cube(meshes).split():
        used = mesh.vertices[mesh.faces.flatten()]
        low, high = used.amin(0), used.amax(0)
        assert float((high - low).max()) == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(low + high, torch.zeros(3), atol=1e-6, rtol=0)


def test_what_is_inside_is_not_on_the_outer_surface(device):
    outer, inner = trimesh.creation.icosphere(3, radius=0.5), trimesh.creation.icosphere(3, radius=0.45)
    shape = mesh_of(trimesh.util.concatenate([outer, inner]))
    box = mesh_of(trimesh.creation.box([0.9, 0.5, 0.4]))
    points = sample_outer_surface(MeshBatch.from_meshes([shape, box]).to(device), 2000, generator()).positions
    assert points[0].norm(dim=1).min() > 0.48
    # Nothing of a box is hidden, so its faces are met as they are large.
    on_ends = (points[1, :, 0].abs() > 0.4499).float().mean()
    ends, all_faces = 2 * 0.5 * 0.4, 2 * (0.9 * 0.5 + 0.5 * 0.4 + 0.9 * 0.4)
    assert float(on_ends) == pytest.approx(ends / all_faces, abs=0.03)


def test_a_cavity_with_a_mouth_is_seen_as_far_as_light_falls(device):
    outer, inner = trimesh.creation.cylinder(0.5, 1.0, sections=64), trimesh.creation.cylinder(0.45, 0.9, sections=64)
    inner.apply_translation([0, 0, 0.05])
    inner.update_faces(inner.face_normals[:, 2] < 0.9)
    outer.update_faces(outer.face_normals[:, 2] < 0.9)
    points = sample_outer_surface(
        MeshBatch.from_meshes([mesh_of(outer + inner)]).to(device), 4000, generator()
    ).positions[0]
    radius = points[:, :2].norm(dim=1)
    assert float(((radius > 0.4) & (radius < 0.46)).float().mean()) > 0.2


def test_what_lies_just_behind_a_wall_is_not_seen(device):
    """Such as the underbody of a car a hair above the floor of its body."""
    walls = [trimesh.creation.box(np.array([0.9, 0.5, 0.4]) - 2 * depth) for depth in (0, 0.003)]
    batch = MeshBatch.from_meshes([mesh_of(trimesh.util.concatenate(walls))]).to(device)
    points = sample_outer_surface(batch, 3000, generator()).positions[0].cpu()
    inside = (points.abs() < torch.tensor([0.45, 0.25, 0.2]) - 0.002).all(dim=1)
    assert not inside.any()


def test_a_plate_is_seen_only_where_it_pokes_out(device):
    """Views along it show its rim, in pixels that are as deep as the plate is long."""
    wall = trimesh.creation.cylinder(0.3, 0.8, sections=64)
    plate = trimesh.Trimesh([[-0.32, -0.2, 0.01], [0.32, -0.2, 0.01], [0, 0.34, 0.01]], [[0, 1, 2]])
    batch = MeshBatch.from_meshes([mesh_of(trimesh.util.concatenate([wall, plate]))]).to(device)
    drawn = sample_outer_surface(batch, 4000, generator())
    on_plate = drawn.positions[0].cpu()[drawn.faces[0].cpu() == len(wall.faces)]
    assert len(on_plate) > 10
    # Pixels at the rim are a few thousandths wide.
    assert on_plate[:, :2].norm(dim=1).min() > 0.29


@pytest.mark.slow
def test_too_few_seen_points_repeat():
    hidden = trimesh.creation.icosphere(4, radius=0.49)
    shells = [trimesh.creation.icosphere(4, radius=0.49 - 0.01 * k) for k in range(1, 20)]
    batch = MeshBatch.from_meshes([mesh_of(trimesh.util.concatenate([hidden, *shells]))])
    points = sample_outer_surface(batch, 300, generator()).positions[0]
    assert points.norm(dim=1).min() > 0.475
    assert len(points.unique(dim=0)) < 300


EMPTY = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
GOOD = mesh_of(trimesh.creation.box())


@pytest.mark.parametrize("bad", [EMPTY, Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]]))])
def test_meshes_without_area_are_refused_by_number(bad):
    batch = MeshBatch.from_meshes([GOOD, bad])
    for function in (in_unit_cube, lambda meshes: sample_surface(meshes, 5, generator())):
        with pytest.raises(ValueError, match=r"mesh 1 has no .*0 more"):
            function(batch)


def test_meshes_that_are_not_finite_are_refused():
    broken = Mesh(GOOD.vertices * torch.nan, GOOD.faces)
    with pytest.raises(ValueError, match="mesh 0"):
        in_unit_cube(MeshBatch.from_meshes([broken, GOOD]))
