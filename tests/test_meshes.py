import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.meshes import Mesh, MeshBatch

counts = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=5)


def random_mesh(vertices: int, faces: int, generator: torch.Generator) -> Mesh:
    positions = torch.rand(vertices, 3, generator=generator)
    return Mesh(positions, torch.randint(0, vertices, (faces, 3), generator=generator))


def assert_same(one: Mesh, other: Mesh) -> None:
    torch.testing.assert_close(one.vertices, other.vertices, atol=0, rtol=0)
    torch.testing.assert_close(one.faces, other.faces, atol=0, rtol=0)


@settings(max_examples=40)
@given(counts, st.integers(0, 1000))
def test_split_gives_back_what_was_packed(counts, seed):
    generator = torch.Generator().manual_seed(seed)
    meshes = [random_mesh(*count, generator) for count in counts]
    batch = MeshBatch.from_meshes(meshes)
    assert len(batch) == len(meshes)
    for one, other in zip(batch.split(), meshes, strict=True):
        assert_same(one, other)


@settings(max_examples=40)
@given(counts, st.lists(st.integers(0, 4), max_size=6), st.integers(0, 1000))
def test_select_gives_the_chosen_meshes(counts, chosen, seed):
    generator = torch.Generator().manual_seed(seed)
    meshes = [random_mesh(*count, generator) for count in counts]
    index = [number % len(meshes) for number in chosen]
    selected = MeshBatch.from_meshes(meshes).select(torch.tensor(index, dtype=torch.long))
    assert len(selected) == len(index)
    for one, number in zip(selected.split(), index, strict=True):
        assert_same(one, meshes[number])


def test_numbers_of_shapes(device):
    generator = torch.Generator().manual_seed(0)
    meshes = [random_mesh(2, 3, generator), random_mesh(1, 0, generator), random_mesh(4, 1, generator)]
    batch = MeshBatch.from_meshes(meshes).to(device)
    assert batch.vertices.device.type == device.type
    assert batch.vertex_shape.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert batch.face_mesh.tolist() == [0, 0, 0, 2]


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="at least one mesh"):
        MeshBatch.from_meshes([])


def test_gradients_reach_every_mesh_that_was_selected():
    generator = torch.Generator().manual_seed(0)
    batch = MeshBatch.from_meshes([random_mesh(3, 1, generator) for _ in range(3)])
    vertices = batch.vertices.requires_grad_()
    MeshBatch(vertices, batch.faces, batch.vertex_offsets, batch.face_offsets).select(
        torch.tensor([2, 0, 2])
    ).vertices.sum().backward()
    assert vertices.grad[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 2, 2, 2]


def test_crosses_point_outward_and_measure_area(device):
    box = trimesh.creation.box(extents=(1, 2, 3))
    mesh = Mesh(torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces))
    batch = MeshBatch.from_meshes([mesh, mesh]).to(device)
    crosses = batch.face_crosses()
    centres = batch.vertices[batch.faces].mean(1)
    assert ((crosses * centres).sum(1) > 0).all()
    torch.testing.assert_close(crosses.norm(dim=1).sum().cpu(), torch.tensor(2 * 2 * box.area, dtype=torch.float32))


def test_vertex_normals_of_a_sphere():
    ball = trimesh.creation.icosphere(subdivisions=3)
    lone = torch.zeros(1, 3)
    mesh = Mesh(torch.cat([torch.tensor(ball.vertices, dtype=torch.float32), lone]), torch.tensor(ball.faces))
    normals = MeshBatch.from_meshes([mesh]).vertex_normals()
    torch.testing.assert_close(normals[:-1], mesh.vertices[:-1], atol=0.02, rtol=0)
    assert normals[-1].tolist() == [0, 0, 0]
