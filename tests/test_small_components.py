import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.export import without_small_components
from get3d.meshes import Mesh, MeshBatch
from solids import torus


def scaled(scale: float, shift: float) -> Mesh:
    mesh = torus(12)
    return Mesh(scale * mesh.vertices + shift, mesh.faces)


def joined(*meshes: Mesh) -> Mesh:
    batch = MeshBatch.from_meshes(meshes)
    return Mesh(batch.vertices, batch.faces)


def same(found: Mesh, expected: Mesh) -> bool:
    return torch.equal(found.vertices, expected.vertices) and torch.equal(found.faces, expected.faces)


def test_small_parts_go_and_large_ones_stay(device):
    large, half, small = scaled(1.0, 0.0), scaled(0.5, 3.0), scaled(0.1, -3.0)
    batch = MeshBatch.from_meshes([joined(small, large, half), joined(half, small), small]).to(device)
    # Areas go with the square of the size: 1 / 1.26, 0.25 / 1.26 and 0.01 / 1.26 of the first mesh.
    found = without_small_components(batch, 0.05).to("cpu").split()
    assert same(found[0], joined(large, half))
    assert same(found[1], half)
    assert same(found[2], small)
    found = without_small_components(batch, 0.5).to("cpu").split()
    assert same(found[0], large)


def test_a_share_of_zero_keeps_everything():
    batch = MeshBatch.from_meshes([joined(scaled(1.0, 0.0), scaled(1e-3, 2.0))])
    assert without_small_components(batch, 0.0) is batch


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.integers(1, 20).map(lambda n: n / 20), min_size=1, max_size=4, unique=True), min_size=1, max_size=4
    ),
    st.floats(0.001, 0.999),
)
def test_it_is_what_doing_it_mesh_by_mesh_gives(sizes: list[list[float]], share: float):
    expected = []
    for own in sizes:
        areas = [size**2 for size in own]
        if any(abs(area - share * sum(areas)) < 1e-6 for area in areas):
            return
        kept = [i for i, area in enumerate(areas) if area >= share * sum(areas) or own[i] == max(own)]
        expected.append(joined(*(scaled(own[i], 3.0 * i) for i in kept)))
    batch = MeshBatch.from_meshes([joined(*(scaled(s, 3.0 * i) for i, s in enumerate(own))) for own in sizes])
    for found, wanted in zip(without_small_components(batch, share).split(), expected, strict=True):
        assert found.faces.shape == wanted.faces.shape
        assert torch.equal(found.vertices, wanted.vertices)


def test_meshes_without_faces_stay_so():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    batch = MeshBatch.from_meshes([empty, torus(8)])
    assert [len(mesh.faces) for mesh in without_small_components(batch, 0.5).split()] == [
        0,
        pytest.approx(len(torus(8).faces)),
    ]
