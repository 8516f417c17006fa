import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from get3d.export import simplify
from get3d.files import InputError
from get3d.meshes import Mesh
from manifold import area, assert_closed_manifold, signed_volume
from solids import sponge, torus


@pytest.mark.parametrize("faces", [4000, 1000, 200])
def test_stays_within_the_budget_and_close_to_the_shape(faces: int) -> None:
    mesh = torus()
    simple = simplify(mesh, faces)
    assert 0.95 * faces <= simple.faces.shape[0] <= faces < mesh.faces.shape[0]
    assert_closed_manifold(simple.faces, simple.vertices.shape[0])
    loss = {4000: 0.003, 1000: 0.02, 200: 0.1}[faces]
    assert signed_volume(simple.vertices, simple.faces) == pytest.approx(
        signed_volume(mesh.vertices, mesh.faces), rel=loss
    )
    assert area(simple.vertices, simple.faces) == pytest.approx(area(mesh.vertices, mesh.faces), rel=loss)
    distance, _ = cKDTree(mesh.vertices).query(simple.vertices)
    assert distance.max() < 0.03


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(50, 8000))
def test_wild_shapes_stay_closed_manifold_and_outward(seed: int, faces: int) -> None:
    mesh = sponge(seed)
    simple = simplify(mesh, faces)
    assert simple.faces.shape[0] <= faces
    assert_closed_manifold(simple.faces, simple.vertices.shape[0])
    # Also for readers that join equal positions.
    assert len(simple.vertices.unique(dim=0)) == simple.vertices.shape[0]
    if faces > 2000:
        assert signed_volume(simple.vertices, simple.faces) > 0.8 * signed_volume(mesh.vertices, mesh.faces)


def test_enough_budget_keeps_every_face() -> None:
    mesh = torus(20)
    simple = simplify(mesh, mesh.faces.shape[0])
    assert simple.faces.shape == mesh.faces.shape
    assert torch.equal(simple.vertices[simple.faces], mesh.vertices[mesh.faces])


def test_is_deterministic_and_stays_on_its_device(device: torch.device) -> None:
    mesh = torus()
    mesh = Mesh(mesh.vertices.to(device), mesh.faces.to(device))
    once, again = simplify(mesh, 500), simplify(mesh, 500)
    assert once.vertices.device.type == once.faces.device.type == device.type
    assert torch.equal(once.vertices, again.vertices)
    assert torch.equal(once.faces, again.faces)


def test_a_budget_too_small_for_all_parts_keeps_the_largest() -> None:
    big, small = torus(20).vertices, 0.2 * torus(20).vertices + 2
    faces = torus(20).faces
    both = Mesh(torch.cat([small, big]), torch.cat([faces, faces + len(small)]))
    simple = simplify(both, 20)
    assert 4 <= simple.faces.shape[0] <= 20
    assert float(simple.vertices.max()) < 1
    assert_closed_manifold(simple.faces, simple.vertices.shape[0])


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(InputError, match="with 4 nothing is left"):
        simplify(torus(20), 4)


@pytest.mark.parametrize("faces", [3, 0, -5])
def test_too_few_faces_are_refused(faces: int) -> None:
    with pytest.raises(InputError, match=rf"^faces: {faces} .* 4 or more"):
        simplify(torus(20), faces)
