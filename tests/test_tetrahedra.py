import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import FIXTURES
from get3d.benchmarks import plain_surface as plain
from get3d.isosurface import TetrahedralGrid, TetrahedraTopology, marching_tetrahedra, sdf_sign_loss, solid_where_empty
from get3d.meshes import Mesh
from manifold import area, assert_closed_manifold, assert_same_points, signed_volume

FIELDS = ["sphere", "torus", "two", "noise"]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "surfaces.npz") as data:
        return {key: data[key] for key in data if key.startswith(("tet.", "dmtet."))}


def random_fields(grid: TetrahedralGrid, shapes: int, seed: int) -> torch.Tensor:
    """Noise inside, negative on the hull, so that no surface leaves the grid."""
    noise = torch.randn(shapes, len(grid.vertices), generator=torch.Generator().manual_seed(seed))
    noise = noise.to(grid.vertices.device)
    return torch.where(grid.boundary, -noise.abs() - 0.1, noise)


def deformed(grid: TetrahedralGrid, shapes: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(shapes, *grid.vertices.shape, generator=generator).to(grid.vertices.device) - 0.5
    return grid.vertices + noise * (0.4 * grid.size / grid.resolution)


@pytest.mark.parametrize("field", FIELDS)
def test_reproduces_published_surfaces(expected, field, device):
    tetrahedra = torch.tensor(expected["tet.tets"], device=device).long()
    vertices = torch.tensor(expected[f"dmtet.{field}.x"], device=device)
    sdf = torch.tensor(expected[f"dmtet.{field}.sdf"], device=device)[None]
    mesh = marching_tetrahedra(vertices, sdf, tetrahedra).split()[0]
    got = mesh.vertices.cpu().numpy()
    got = got[np.lexsort(np.round(got, 5).T[::-1])]
    np.testing.assert_allclose(got, expected[f"dmtet.{field}.vertices_sorted"], rtol=0, atol=1e-5)
    assert len(mesh.faces) == expected[f"dmtet.{field}.n_faces"]
    assert area(mesh.vertices, mesh.faces) == pytest.approx(float(expected[f"dmtet.{field}.area"]), rel=1e-4)
    assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(
        float(expected[f"dmtet.{field}.signed_volume"]), rel=1e-4
    )


@pytest.mark.parametrize("field", FIELDS)
def test_reproduces_published_sign_loss(expected, field):
    edges = TetrahedraTopology.of(torch.tensor(expected["tet.tets"])).edges
    loss = sdf_sign_loss(torch.tensor(expected[f"dmtet.{field}.sdf"])[None], edges)
    assert float(loss) == pytest.approx(float(expected[f"dmtet.{field}.sdf_sign_bce"]), rel=1e-5)


@pytest.mark.parametrize("resolution", [1, 2, 5, 6, 7])
def test_grid_fills_its_cube(resolution):
    grid = TetrahedralGrid(resolution, size=0.8)
    corners = grid.vertices[grid.tetrahedra].double()
    volumes = torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    assert float(volumes.min()) > 0
    assert float(volumes.sum()) == pytest.approx(0.8**3)
    faces = grid.tetrahedra[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]].reshape(-1, 3).sort(1).values
    faces, uses = torch.unique(faces, dim=0, return_counts=True)
    points = grid.vertices[faces]
    on_hull = ((points == points[:, :1]).all(1) & (points[:, 0].abs() > 0.3999)).any(1)
    assert torch.equal(uses, 2 - on_hull.long())
    assert torch.equal(grid.boundary, grid.vertices.abs().amax(1) > 0.3999)
    assert grid.vertices[grid.centre].tolist() == [0, 0, 0]


def test_grid_has_the_published_density():
    grid = TetrahedralGrid(90)
    assert len(grid.vertices) == 46**3 + 45**3
    assert len(grid.tetrahedra) == 12 * 45**2 * 44 + 12 * 45**2


def test_grid_is_two_separable_lattices():
    grid = TetrahedralGrid(6)
    start = 0
    for axis in grid.lattices:
        x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
        points = torch.stack([x, y, z], -1).reshape(-1, 3)
        assert torch.equal(grid.vertices[start : start + len(points)], points)
        start += len(points)
    assert start == len(grid.vertices)


def test_topology_numbers_every_edge_once():
    grid = TetrahedralGrid(5)
    assert len(torch.unique(grid.edges, dim=0)) == len(grid.edges)
    assert bool((grid.edges[:, 0] < grid.edges[:, 1]).all())
    pairs = grid.tetrahedra[:, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]].sort(2).values
    assert torch.equal(grid.edges[grid.tetrahedron_edges], pairs)
    assert torch.equal(grid.edges.unique(), torch.arange(len(grid.vertices)))


def test_grid_moves_with_its_module(device):
    grid = TetrahedralGrid(4).to(device)
    mesh = marching_tetrahedra(grid.vertices, random_fields(grid, 2, seed=0), grid.tetrahedra, grid.topology)
    assert mesh.vertices.device.type == device.type
    assert not grid.state_dict()


@pytest.mark.parametrize(("resolution", "size"), [(0, 1.0), (4, 0.0)])
def test_grid_refuses_to_be_empty(resolution, size):
    with pytest.raises(ValueError, match="must be positive"):
        TetrahedralGrid(resolution, size)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), shapes=st.integers(1, 10), resolution=st.integers(4, 9))
def test_random_fields_give_closed_outward_surfaces(seed, shapes, resolution):
    grid = TetrahedralGrid(resolution)
    fields = random_fields(grid, shapes, seed)
    meshes = marching_tetrahedra(grid.vertices, fields, grid.tetrahedra, grid.topology).split()
    assert len(meshes) == shapes
    for mesh, field in zip(meshes, fields, strict=True):
        assert_closed_manifold(mesh.faces, len(mesh.vertices))
        if bool((field > 0).any()):
            assert signed_volume(mesh.vertices, mesh.faces) > 0


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), shapes=st.integers(1, 20))
def test_agrees_with_the_textbook(seed, shapes):
    grid = TetrahedralGrid(6)
    vertices, fields = deformed(grid, shapes, seed), random_fields(grid, shapes, seed)
    meshes = marching_tetrahedra(vertices, fields, grid.tetrahedra).split()
    for mesh, x, field in zip(meshes, vertices, fields, strict=True):
        points, faces = plain.marching_tetrahedra(x, field, grid.tetrahedra)
        assert_same_points(mesh.vertices, points)
        assert len(mesh.faces) == len(faces)
        assert area(mesh.vertices, mesh.faces) == pytest.approx(area(points, faces), rel=1e-4)
        assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(signed_volume(points, faces), rel=1e-4)


def test_a_shape_does_not_depend_on_its_batch(device):
    grid = TetrahedralGrid(8).to(device)
    vertices, fields = deformed(grid, 19, seed=1), random_fields(grid, 19, seed=1)
    batch: list[Mesh] = marching_tetrahedra(vertices, fields, grid.tetrahedra, grid.topology).split()
    for b, mesh in enumerate(batch):
        alone = marching_tetrahedra(vertices[b], fields[b : b + 1], grid.tetrahedra)
        assert torch.equal(mesh.vertices, alone.vertices)
        assert torch.equal(mesh.faces, alone.faces)


def test_gradients_by_finite_differences():
    grid = TetrahedralGrid(3)
    fields = random_fields(grid, 2, seed=3).double().requires_grad_()
    vertices = deformed(grid, 2, seed=3).double().requires_grad_()

    def points(x, sdf):
        return marching_tetrahedra(x, sdf, grid.tetrahedra, grid.topology).vertices

    assert torch.autograd.gradcheck(points, (vertices, fields), fast_mode=True)
    assert torch.autograd.gradcheck(points, (vertices[0].detach().requires_grad_(), fields), fast_mode=True)


def test_gradients_agree_with_the_textbook():
    grid = TetrahedralGrid(6)
    fields, vertices = random_fields(grid, 3, seed=4).requires_grad_(), deformed(grid, 3, seed=4).requires_grad_()
    mesh = marching_tetrahedra(vertices, fields, grid.tetrahedra, grid.topology)
    got = torch.autograd.grad(mesh.vertices.sin().sum(), (vertices, fields))
    parts = [plain.marching_tetrahedra(x, s, grid.tetrahedra)[0] for x, s in zip(vertices, fields, strict=True)]
    want = torch.autograd.grad(torch.cat(parts).sin().sum(), (vertices, fields))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_zero_counts_as_outside():
    grid = TetrahedralGrid(4)
    field = torch.where(grid.boundary, 0.0, 1.0)[None]
    mesh = marching_tetrahedra(grid.vertices, field, grid.tetrahedra, grid.topology)
    assert_closed_manifold(mesh.faces, len(mesh.vertices))
    assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(1.0)
    assert bool(mesh.vertices.isfinite().all())


def test_fields_of_one_sign_give_empty_meshes():
    grid = TetrahedralGrid(4)
    fields = random_fields(grid, 3, seed=0)
    fields[0], fields[2] = -1.0, 1.0
    meshes = marching_tetrahedra(grid.vertices, fields, grid.tetrahedra, grid.topology)
    assert [len(mesh.faces) > 0 for mesh in meshes.split()] == [False, True, False]
    none = marching_tetrahedra(grid.vertices, fields[:1], grid.tetrahedra, grid.topology)
    assert none.vertices.shape == (0, 3)
    assert none.faces.shape == (0, 3)


@pytest.mark.parametrize(("vertices", "sdf"), [((5, 3), (1, 4)), ((2, 4, 3), (1, 4))])
def test_shapes_that_do_not_fit_are_refused(vertices, sdf):
    tetrahedra = torch.arange(4)[None]
    # Called without the annotations' own check, as users call it.
    extract = marching_tetrahedra.__wrapped__
    with pytest.raises(ValueError, match="do not fit"):
        extract(torch.zeros(vertices), torch.zeros(sdf), tetrahedra)


def test_sign_loss_is_its_formula():
    edges = torch.tensor([[0, 1], [1, 2], [2, 3], [0, 3]])
    sdf = torch.tensor([[1.0, -2.0, -0.5, 3.0], [1.0, 1.0, 2.0, 3.0], [0.5, 0.0, -1.0, 2.0]])

    def cross_entropy(value: float, inside: bool) -> float:
        return float(np.log1p(np.exp(-value if inside else value)))

    first = np.mean(
        [
            cross_entropy(1.0, False) + cross_entropy(-2.0, True),
            cross_entropy(-0.5, True) + cross_entropy(3.0, False),
        ]
    )
    third = np.mean(
        [
            cross_entropy(0.5, False) + cross_entropy(0.0, True),
            cross_entropy(0.0, False) + cross_entropy(-1.0, False),
            cross_entropy(-1.0, True) + cross_entropy(2.0, False),
        ]
    )
    np.testing.assert_allclose(sdf_sign_loss(sdf, edges).numpy(), [first, 0.0, third], rtol=1e-6)
    values = sdf[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sdf_sign_loss(s, edges), (values,))


@pytest.mark.parametrize("resolution", [4, 5])
def test_empty_shapes_become_solid_and_pass_no_gradient(resolution):
    grid = TetrahedralGrid(resolution)
    fields = random_fields(grid, 4, seed=0)
    fields[1], fields[3] = 0.2, -0.3
    fields.requires_grad_()
    solid, empty = solid_where_empty(fields, grid.centre, grid.boundary)
    assert empty.tolist() == [False, True, False, True]
    assert torch.equal(solid[[0, 2]], fields[[0, 2]])
    mesh = marching_tetrahedra(grid.vertices, solid, grid.tetrahedra, grid.topology)
    for shape in mesh.split():
        assert_closed_manifold(shape.faces, len(shape.vertices))
        assert signed_volume(shape.vertices, shape.faces) > 0
    mesh.vertices.square().sum().backward()
    assert fields.grad.abs().sum(1).gt(0).tolist() == [True, False, True, False]
