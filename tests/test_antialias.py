import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from torch.nn.functional import avg_pool2d

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.meshes import Mesh, MeshBatch
from get3d.render import mask_of, rasterize, render_mask
from screen import flat_mesh, front_cameras, random_meshes

OBLIQUE = Cameras.orbit(torch.tensor([0.4, 2.9]), torch.tensor([0.7, 1.3]), 3.0)


def to_mesh(scene: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(scene.vertices, dtype=torch.float32), torch.tensor(scene.faces))


def with_vertices(meshes: MeshBatch, vertices: torch.Tensor) -> MeshBatch:
    return MeshBatch(vertices, meshes.faces, meshes.vertex_offsets, meshes.face_offsets)


def chair() -> trimesh.Trimesh:
    """A seat and a back of slats on legs; legs and slats are thinner than a pixel of a small image."""
    boxes = [((0.5, 0.04, 0.5), (0, 0, 0)), ((0.5, 0.05, 0.02), (0, 0.4, -0.24))]
    boxes += [((0.02, 0.4, 0.02), (x, -0.2, z)) for x in (-0.22, 0.22) for z in (-0.22, 0.22)]
    boxes += [((0.02, 0.4, 0.01), (0.1 * k, 0.2, -0.24)) for k in range(-2, 3)]
    place = trimesh.transformations.translation_matrix
    return trimesh.util.concatenate([trimesh.creation.box(extents=size, transform=place(at)) for size, at in boxes])


def jagged() -> trimesh.Trimesh:
    """A ball whose silhouette has teeth smaller than a pixel."""
    scene = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    scene.vertices *= 1 + 0.04 * np.random.default_rng(0).normal(size=(len(scene.vertices), 1))
    return scene


SHAPES = {
    "torus": lambda: trimesh.creation.torus(0.3, 0.1, major_sections=48, minor_sections=24),
    "chair": chair,
    "jagged": jagged,
}


def hull_area(cameras: Cameras, number: int, vertices: torch.Tensor, resolution: int) -> float:
    """Area in pixels of the convex hull of the projected vertices."""
    doubled = cameras.to(dtype=torch.float64)
    screen = doubled.project(vertices.double(), torch.full((len(vertices),), number), resolution)
    return float(ConvexHull(screen[:, :2].numpy()).volume)


@pytest.mark.parametrize("resolution", [64, 128, 512])
@pytest.mark.parametrize("subdivisions", [3, 4, 5, 6])
def test_area_of_a_sphere_and_its_derivative(subdivisions, resolution):
    """Against the silhouette polygon of the same polyhedron, 1280 to 81 920 faces."""
    mesh = to_mesh(trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.4))
    meshes = MeshBatch.from_meshes([mesh, mesh])
    radius = torch.ones(2, requires_grad=True)
    scaled = with_vertices(meshes, meshes.vertices * radius[meshes.vertex_shape][:, None])
    areas = render_mask(scaled, OBLIQUE, resolution).sum((1, 2, 3))
    areas.sum().backward()
    areas = areas.detach()
    for number in range(2):
        smaller, same, larger = (hull_area(OBLIQUE, number, mesh.vertices * r, resolution) for r in (0.999, 1, 1.001))
        assert float(areas[number]) == pytest.approx(same, rel=0.01)
        assert float(radius.grad[number]) == pytest.approx((larger - smaller) / 0.002, rel=0.05)


def sharp_mask(meshes: MeshBatch, cameras: Cameras, resolution: int) -> torch.Tensor:
    """Covered or not, by visibility alone."""
    return rasterize(meshes, cameras, resolution).covered.float()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("resolution", [32, 64])
def test_small_images_agree_with_large_ones(name, resolution):
    """Many views, each a little shifted: the pixels are means of the finer ones, and the area is right on average."""
    generator = torch.Generator().manual_seed(0)
    views = 16
    meshes = MeshBatch.from_meshes([to_mesh(SHAPES[name]())]).select(torch.zeros(views).long())
    shift = 0.05 * torch.rand(views, 3, generator=generator)
    meshes = with_vertices(meshes, meshes.vertices + shift[meshes.vertex_shape])
    cameras = Cameras.sample(CameraPrior(polar=(40.0, 120.0), radius=2.0), views, generator)
    mask = render_mask(meshes, cameras, resolution)
    # The finer images have 512 lines.
    reference = avg_pool2d(sharp_mask(meshes, cameras, 512), 512 // resolution)
    assert (mask - reference).abs().mean() < 0.35 * (sharp_mask(meshes, cameras, resolution) - reference).abs().mean()
    error = mask.sum((1, 2, 3)) / reference.sum((1, 2, 3)) - 1
    assert error.abs().max() < (0.06 if resolution == 32 else 0.03)
    assert abs(error.mean()) < 3 * error.std() / math.sqrt(views) + 0.002


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_agree_with_differences_of_large_images(name):
    """Of an integral of the mask with a smooth weight, when a shape grows and moves; summed over many views."""
    generator = torch.Generator().manual_seed(1)
    views = 16
    meshes = MeshBatch.from_meshes([to_mesh(SHAPES[name]())]).select(torch.zeros(views).long())
    shift = 0.05 * torch.rand(views, 3, generator=generator)
    cameras = Cameras.sample(CameraPrior(polar=(40.0, 120.0), radius=2.0), views, generator)

    def integral(motion: torch.Tensor, resolution: int) -> torch.Tensor:
        moved = (meshes.vertices + shift[meshes.vertex_shape]) * (1 + motion[0]) + motion[1:]
        at = (torch.arange(resolution) + 0.5) / resolution
        weight = 1 + torch.sin(3 * at[:, None] + 1) + torch.cos(4 * at)
        return (render_mask(with_vertices(meshes, moved), cameras, resolution) * weight).sum() / resolution**2

    steps = 0.01 * torch.eye(4)
    expected = torch.stack([(integral(step, 384) - integral(-step, 384)) / 0.02 for step in steps])
    for resolution, tolerance in ((32, 0.08), (64, 0.04)):
        motion = torch.zeros(4, requires_grad=True)
        integral(motion, resolution).backward()
        assert (motion.grad - expected).norm() < tolerance * expected.norm()


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_stays_between_nothing_and_everything(seed, resolution):
    meshes = random_meshes(3, seed)
    vertices = meshes.vertices.clone().requires_grad_()
    cameras = Cameras.sample(CameraPrior(), 3, torch.Generator().manual_seed(seed))
    mask = render_mask(with_vertices(meshes, vertices), cameras, resolution)
    assert mask.shape == (3, 1, resolution, resolution)
    assert 0 <= mask.min() <= mask.max() <= 1
    mask.square().sum().backward()
    assert vertices.grad.isfinite().all()


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_rows_and_columns_of_steep_and_flat_bands(seed):
    """Bands that cross the image upright are measured exactly by rows, lying bands by columns, however thin."""
    generator = torch.Generator().manual_seed(seed)
    places = (torch.rand(8, generator=generator) * 20 - 2).sort().values
    order = torch.randperm(4, generator=generator)
    corners, faces = [], []
    for left, right in places.view(4, 2)[order].tolist():
        start = len(corners)
        corners += [[left, -5.0], [right, -5.0], [right, 30.0], [left, 30.0]]
        faces += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    corners = torch.tensor(corners)
    edge = torch.arange(17.0)
    cumulative = ((edge[:, None] - places[0::2]).clamp_min(0) - (edge[:, None] - places[1::2]).clamp_min(0)).sum(1)
    expected = cumulative.diff().expand(16, 16)
    upright = render_mask(flat_mesh(corners, faces, 16), front_cameras(1), 16)[0, 0]
    lying = render_mask(flat_mesh(corners.flip(1), faces, 16), front_cameras(1), 16)[0, 0]
    torch.testing.assert_close(upright, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(lying, expected.T, atol=1e-4, rtol=0)


def test_gradient_of_a_thin_band_is_exact():
    """The sides of a band 0.3 pixels wide, which covers no pixel centre, each move the area by their length."""
    corners = torch.tensor([[3.6, -5.0], [3.9, -5.0], [3.9, 30.0], [3.6, 30.0]])
    moved = torch.zeros(2, requires_grad=True)
    shift = torch.stack([moved[[0, 1, 1, 0]], torch.zeros(4)], dim=1)
    mask = render_mask(flat_mesh(corners + shift, [[0, 1, 2], [0, 2, 3]], 16), front_cameras(1), 16)
    assert mask.sum().item() == pytest.approx(0.3 * 16, abs=1e-3)
    mask.sum().backward()
    torch.testing.assert_close(moved.grad, torch.tensor([-16.0, 16.0]), atol=1e-3, rtol=0)


def test_area_of_a_triangle_and_its_gradient():
    """The derivative of a polygon's area in its corners, on average over shifts."""
    corners = torch.tensor([[4.0, 7.0], [27.0, 3.0], [17.0, 28.0]], dtype=torch.float64)
    shifts = torch.rand(200, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vertices = (corners + shifts).view(-1, 2).requires_grad_()
    mesh = flat_mesh(vertices, [[0, 1, 2]], 32)
    offsets = torch.arange(201)
    meshes = MeshBatch(mesh.vertices, torch.arange(600).view(200, 3), 3 * offsets, offsets)
    mask = render_mask(meshes, front_cameras(200, dtype=torch.float64), 32)
    assert mask.dtype == torch.float64
    a, b, c = corners
    area = 0.5 * abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
    areas = mask.sum((1, 2, 3))
    torch.testing.assert_close(areas.mean(), area, rtol=2e-3, atol=0)
    assert (areas / area - 1).abs().max() < 0.02
    areas.sum().backward()
    opposite = corners.roll(-1, 0) - corners.roll(-2, 0)
    expected = -0.5 * torch.stack([-opposite[:, 1], opposite[:, 0]], dim=1)
    torch.testing.assert_close(vertices.grad.view(200, 3, 2).mean(0), expected, atol=0.15, rtol=0)


def test_faces_need_not_share_vertices():
    """A mesh cut into lone triangles, and one with each face twice, from both sides, look the same."""
    meshes = MeshBatch.from_meshes([to_mesh(SHAPES["torus"]()), to_mesh(chair())])
    cameras = Cameras.sample(CameraPrior(), 2, torch.Generator().manual_seed(0))
    alone = [Mesh(m.vertices[m.faces].view(-1, 3), torch.arange(m.faces.numel()).view(-1, 3)) for m in meshes.split()]
    twice = [Mesh(m.vertices, torch.cat([m.faces, m.faces.flip(1)])) for m in meshes.split()]
    expected = render_mask(meshes, cameras, 64)
    for variant in (alone, twice):
        mask = render_mask(MeshBatch.from_meshes(variant), cameras, 64)
        torch.testing.assert_close(mask, expected, atol=1e-4, rtol=0)


def test_fragments_give_the_same_mask(device):
    meshes = random_meshes(3, seed=0, device=device)
    cameras = Cameras.sample(CameraPrior(), 3, torch.Generator().manual_seed(0)).to(device)
    gradients = []
    for draw in (render_mask, lambda m, c, r: mask_of(m, rasterize(m, c, r))):
        vertices = meshes.vertices.clone().requires_grad_()
        mask = draw(with_vertices(meshes, vertices), cameras, 32)
        mask.square().sum().backward()
        gradients += [mask.detach(), vertices.grad]
    torch.testing.assert_close(gradients[:2], gradients[2:])


def test_empty_meshes_and_nothing_in_sight(device):
    empty = Mesh(torch.zeros(0, 3, device=device), torch.zeros(0, 3, dtype=torch.long, device=device))
    triangle = Mesh(torch.eye(3, device=device) * 0.3, torch.tensor([[0, 1, 2]], device=device))
    away = Mesh(triangle.vertices + 100, triangle.faces)
    cameras = Cameras.turntable(CameraPrior(), 4).to(device)
    mask = render_mask(MeshBatch.from_meshes([empty, triangle, away, triangle]), cameras, 16)
    assert (mask.sum((1, 2, 3)) > 1).tolist() == [False, True, False, True]
    assert mask[0].abs().max() == mask[2].abs().max() == 0
    vertices = torch.zeros(3, 3, device=device, requires_grad=True)
    point = MeshBatch.from_meshes([Mesh(vertices, triangle.faces)])
    nothing = render_mask(point, cameras[:1], 16)
    nothing.sum().backward()
    assert nothing.abs().max() == vertices.grad.abs().max() == 0


def test_a_shape_around_the_image_fills_it():
    """Its silhouette lies outside: the mask is one everywhere, and no gradient comes from the border."""
    corners = torch.tensor([[-40.0, -50.0], [90.0, -60.0], [10.0, 300.0]], requires_grad=True)
    mask = render_mask(flat_mesh(corners, [[0, 1, 2]], 16), front_cameras(1), 16)
    assert (mask == 1).all()
    mask.sum().backward()
    assert corners.grad.abs().max() == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_leaves_out_what_visibility_leaves_out(value):
    """A face with a bad vertex, and one behind the camera; the others keep finite gradients."""
    corners = torch.tensor([[4.0, 4.0], [28.0, 6.0], [9.0, 27.0]])
    good = flat_mesh(corners, [[0, 1, 2]], 32)
    bad = torch.tensor([[value, 0.0, 0.0], [0.2, 0.1, 5.0]])
    vertices = torch.cat([good.vertices, bad]).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 2, 4], [3, 3, 4]])
    mask = render_mask(MeshBatch.from_meshes([Mesh(vertices, faces)]), front_cameras(1), 32)
    torch.testing.assert_close(mask, render_mask(good, front_cameras(1), 32))
    mask.sum().backward()
    assert vertices.grad[:3].isfinite().all()
    assert vertices.grad[:3].abs().max() > 0


def test_touching_faces_leave_no_seam():
    """Inside a mesh there is no boundary: its pixels are one, its vertices have no gradient."""
    generator = torch.Generator().manual_seed(0)
    grid = torch.stack(torch.meshgrid(torch.arange(13), torch.arange(13), indexing="ij"), dim=-1).view(-1, 2) * 2.5 + 1
    places = grid + torch.rand(169, 2, generator=generator) * 1.2
    corner = (torch.arange(12)[:, None] * 13 + torch.arange(12)).flatten()
    quads = torch.stack([corner, corner + 13, corner + 14, corner + 1], dim=1)
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]])
    places.requires_grad_()
    mask = render_mask(flat_mesh(places, faces.tolist(), 32), front_cameras(1), 32)
    assert (mask[..., 4:-4, 4:-4] == 1).all()
    (mask * torch.rand(32, 32, generator=generator)).sum().backward()
    inner = ((grid > 2) & (grid < 30)).all(1)
    assert places.grad[inner].abs().max() == 0
    assert places.grad[~inner].abs().max() > 0


def test_needle_faces_have_bounded_gradients():
    generator = torch.Generator().manual_seed(4)
    start, end = torch.rand(2, 200, 2, generator=generator) * 32
    width = 10.0 ** -torch.arange(200).remainder(9)[:, None]
    places = torch.stack([start, end, (start + end) / 2 + width * torch.rand(200, 2, generator=generator)], dim=1)
    meshes = flat_mesh(places.view(-1, 2), torch.arange(600).view(-1, 3).tolist(), 32)
    vertices = meshes.vertices.requires_grad_()
    render_mask(meshes, front_cameras(1), 32).sum().backward()
    # No line moves the mask by more than a pixel for a pixel, and no vertex touches more than all lines twice.
    assert vertices.grad.abs().max() * (2 * 16 / 35 / 16) < 2 * 64


def test_says_when_a_camera_is_missing():
    with pytest.raises(ValueError, match="3 meshes and 2 cameras"):
        render_mask(random_meshes(3, seed=0), front_cameras(2), 16)
