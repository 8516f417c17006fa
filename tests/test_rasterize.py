import math
import subprocess
import sys

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.benchmarks import plain_render as plain
from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.meshes import Mesh, MeshBatch
from get3d.render import interpolate, rasterize, rasterize_through, visible_faces
from get3d.render.kernels import keys_below
from screen import flat_mesh, front_cameras, random_meshes


def offsets(*counts: int, device: torch.device | str = "cpu") -> torch.Tensor:
    return torch.tensor([0, *counts], device=device).cumsum(0)


def to_batch(scene: trimesh.Trimesh) -> MeshBatch:
    vertices = torch.tensor(scene.vertices, dtype=torch.float32)
    return MeshBatch.from_meshes([Mesh(vertices, torch.tensor(scene.faces))])


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_sees_what_the_plain_version_sees(seed):
    """Also where edges and vertices hit pixel centres, in images that cut triangles off, and of degenerate faces."""
    generator = torch.Generator().manual_seed(seed)
    places = (torch.randint(-24, 72, (40, 2), generator=generator) / 4)[
        torch.randint(0, 40, (90,), generator=generator)
    ]
    screen = torch.cat([places, torch.rand(90, 1, generator=generator) + 0.1], dim=1)
    faces = torch.arange(90).view(30, 3)
    seen = visible_faces(screen, faces, offsets(10, 0, 20), 9, 13)
    assert seen.dtype == torch.int32
    assert (seen[1] == -1).all()
    torch.testing.assert_close(seen[0].long(), plain.visible_faces(screen, faces[:10], 9, 13))
    second = plain.visible_faces(screen, faces[10:], 9, 13)
    torch.testing.assert_close(seen[2].long(), torch.where(second >= 0, second + 10, -1))


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.booleans())
def test_draws_each_pixel_of_a_tessellation_once(seed, on_centres):
    """Whichever faces are nearer, the same faces are seen: none is drawn over another, and no pixel is left out."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij"), dim=-1).view(-1, 2) * 4.0
    inner = ((grid > 0) & (grid < 32)).all(1)
    jitter = torch.rand(81, 2, generator=generator) * 1.9 - 0.95
    if on_centres:
        jitter = (jitter * 2).round() / 2
    places = torch.where(inner[:, None], grid + jitter, grid)
    corner = (torch.arange(8)[:, None] * 9 + torch.arange(8)).flatten()
    quads = torch.stack([corner, corner + 9, corner + 10, corner + 1], dim=1)
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]])
    seen = []
    # Each face has vertices of its own, so that it can have a depth of its own; the places are the same numbers.
    alone = torch.arange(len(faces) * 3)
    for depth in (1000.0 + alone, 1000.0 - alone):
        screen = torch.cat([places[faces.flatten()], depth[:, None] // 3], dim=1)
        seen.append(visible_faces(screen, alone.view(-1, 3), offsets(len(faces)), 32, 32))
    assert (seen[0] >= 0).all()
    torch.testing.assert_close(seen[0], seen[1])


def test_lower_number_wins_a_tie(device):
    screen = torch.tensor([[0.0, 0.0, 1.0], [9.0, 0.0, 1.0], [0.0, 9.0, 1.0]], device=device)
    faces = torch.tensor([[0, 2, 1], [0, 1, 2], [1, 2, 0]], device=device)
    seen = visible_faces(screen, faces, offsets(3, device=device), 8, 8)
    assert seen.unique().tolist() == [-1, 0]


def test_large_faces_and_many_images(device):
    """Few faces, more rows than one GPU thread draws; the image's shape is not square."""
    screen = torch.tensor([[-1e5, -1e5, 1.0], [1e5, -1e5, 1.0], [0.0, 3e5, 1.0]], device=device)
    seen = visible_faces(
        screen, torch.tensor([[0, 1, 2]], device=device).repeat(3, 1), offsets(1, 1, 1, device=device), 50, 300
    )
    torch.testing.assert_close(seen.cpu(), torch.arange(3, dtype=torch.int32)[:, None, None].expand(3, 50, 300))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", range(3))
def test_leaves_out_faces_that_are_not_finite(value, axis, device):
    screen = torch.tensor([[0.0, 0.0, 1.0], [9.0, 0.0, 1.0], [0.0, 9.0, 1.0], [9.0, 9.0, 1.0]], device=device)
    screen[3, axis] = value
    seen = visible_faces(screen, torch.tensor([[0, 1, 3], [0, 1, 2]], device=device), offsets(2, device=device), 8, 8)
    assert seen.unique().tolist() == [-1, 1]


@pytest.mark.parametrize("depth", [0.0, -1.0])
def test_leaves_out_faces_behind_the_camera(depth, device):
    screen = torch.tensor([[0.0, 0.0, 1.0], [9.0, 0.0, depth], [0.0, 9.0, 1.0]], device=device)
    assert (
        visible_faces(screen, torch.tensor([[0, 1, 2]], device=device), offsets(1, device=device), 8, 8) == -1
    ).all()


def test_passes_opcheck(device):
    meshes = random_meshes(3, seed=0, device=device)
    screen = meshes.vertices * 10 + 10
    torch.library.opcheck(visible_faces, (screen, meshes.faces, meshes.face_offsets, 16, 20))


def test_looking_behind_passes_opcheck(device):
    meshes = random_meshes(3, seed=0, device=device)
    screen = meshes.vertices * 10 + 10
    nearest = torch.full((3, 16, 20), torch.iinfo(torch.int64).max, device=device)
    for limit in (nearest, keys_below(screen, meshes.faces, meshes.face_offsets, nearest)):
        torch.library.opcheck(keys_below, (screen, meshes.faces, meshes.face_offsets, limit))


def test_agrees_with_embree():
    scene = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    scene.vertices *= 1 + 0.2 * torch.sin(torch.tensor(scene.vertices @ [[13.0], [17.0], [11.0]])).numpy()
    cameras = Cameras.sample(CameraPrior(), 3, torch.Generator().manual_seed(0))
    fragments = rasterize(to_batch(scene).select(torch.zeros(3).long()), cameras, 128)
    for number in range(3):
        rays = plain.pixel_rays(cameras.positions[number], cameras.rotations[number], float(cameras.fov[number]), 128)
        hits = torch.tensor(plain.first_hits(scene, *rays)).view(128, 128)
        face = fragments.face_index[number]
        face = torch.where(face >= 0, face % len(scene.faces), -1)
        assert (hits >= 0).sum() > 2000
        assert (hits != face).sum() <= 8


def test_fragments_hang_together(device):
    meshes = random_meshes(4, seed=1, device=device)
    fragments = rasterize(meshes, Cameras.sample(CameraPrior(), 4, torch.Generator().manual_seed(1)).to(device), 32)
    assert fragments.resolution == 32
    assert fragments.covered.shape == (4, 1, 32, 32)
    torch.testing.assert_close(fragments.face_index.flatten()[fragments.pixel], fragments.face)
    assert len(fragments.pixel) == fragments.covered.sum() > 0
    torch.testing.assert_close(fragments.shape, meshes.face_mesh[fragments.face])
    torch.testing.assert_close(fragments.barycentric.sum(1), torch.ones_like(fragments.pixel, dtype=torch.float32))
    assert fragments.barycentric.min() >= 0
    values = torch.stack([fragments.pixel.float(), -fragments.pixel.float()], dim=1)
    images = fragments.scatter(values, background=0.5)
    number = torch.arange(4 * 32 * 32, device=device).view(4, 1, 32, 32).float()
    expected = torch.where(fragments.covered, torch.cat([number, -number], dim=1), 0.5)
    torch.testing.assert_close(images, expected)


def test_many_views_of_one_mesh():
    meshes = random_meshes(3, seed=2)
    cameras = Cameras.sample(CameraPrior(), 2, torch.Generator().manual_seed(2))
    views = rasterize(meshes.select(torch.tensor([2, 2])), cameras, 32)
    for number in range(2):
        alone = rasterize(meshes.select(torch.tensor([2])), cameras[number : number + 1], 32)
        faces = len(meshes.split()[2].faces)
        expected = torch.where(alone.face_index >= 0, alone.face_index + number * faces, -1)
        torch.testing.assert_close(views.face_index[number], expected[0])


def test_empty_meshes_and_nothing_in_sight(device):
    triangle = Mesh(torch.eye(3, device=device) * 0.1, torch.tensor([[0, 1, 2]], device=device))
    empty = Mesh(torch.zeros(0, 3, device=device), torch.zeros(0, 3, dtype=torch.long, device=device))
    lone = Mesh(torch.zeros(2, 3, device=device), torch.zeros(0, 3, dtype=torch.long, device=device))
    cameras = Cameras.turntable(CameraPrior(), 4).to(device)
    meshes = MeshBatch.from_meshes([empty, triangle, lone, triangle])
    fragments = rasterize(meshes, cameras, 16)
    assert fragments.covered.sum((1, 2, 3)).bool().tolist() == [False, True, False, True]
    nothing = rasterize(MeshBatch.from_meshes([empty, lone]), cameras[:2], 16)
    assert (nothing.face_index == -1).all()
    assert nothing.barycentric.shape == (0, 3)
    assert nothing.scatter(torch.zeros(0, 2, device=device), 0.25).unique().tolist() == [0.25]


def test_faces_around_the_camera_are_left_out():
    """A face that crosses the camera's plane has no sensible place on the screen."""
    vertices = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 5.0], [0.0, 0.1, 0.0], [0.1, 0.1, 2.0]])
    meshes = MeshBatch.from_meshes([Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3], [1, 2, 3]]))])
    assert not rasterize(meshes, front_cameras(1), 32).covered.any()


def test_both_sides_of_a_face_are_seen(device):
    corners = torch.tensor([[4.0, 4.0], [28.0, 6.0], [9.0, 27.0]], device=device)
    one = rasterize(flat_mesh(corners, [[0, 1, 2]], 32), front_cameras(1, device), 32)
    other = rasterize(flat_mesh(corners, [[0, 2, 1]], 32), front_cameras(1, device), 32)
    assert one.covered.any()
    torch.testing.assert_close(one.covered, other.covered)


def test_barycentric_is_perspective_correct():
    """What is seen at a pixel lies on the ray through its centre, in the plane of the face."""
    vertices = torch.tensor([[-0.6, -0.5, -1.0], [0.5, -0.4, 1.0], [0.1, 0.6, -0.3]])
    meshes = MeshBatch.from_meshes([Mesh(vertices, torch.tensor([[0, 1, 2]]))])
    cameras = front_cameras(1)
    fragments = rasterize(meshes, cameras, 64)
    points = interpolate(vertices, meshes.faces, fragments)
    _, directions = plain.pixel_rays(cameras.positions[0], cameras.rotations[0], float(cameras.fov[0]), 64)
    rays = torch.tensor(directions, dtype=torch.float32)[fragments.pixel]
    normal = torch.linalg.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    distance = ((vertices[0] - cameras.positions[0]) * normal).sum() / (rays * normal).sum(1, keepdim=True)
    torch.testing.assert_close(points, cameras.positions[0] + distance * rays, atol=1e-5, rtol=1e-5)


def test_barycentric_has_the_gradient_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    cameras = Cameras.sample(CameraPrior(), 2, generator)
    cameras = cameras.to(dtype=torch.float64)
    meshes = random_meshes(2, seed=3)
    vertices = meshes.vertices.double().requires_grad_()

    def seen(vertices: torch.Tensor) -> torch.Tensor:
        moved = MeshBatch(vertices, meshes.faces, meshes.vertex_offsets, meshes.face_offsets)
        return rasterize(moved, cameras, 8).barycentric

    assert len(seen(vertices)) > 10
    torch.autograd.gradcheck(seen, vertices, eps=1e-7, atol=1e-4)


def test_needle_faces_stay_finite():
    """Faces thinner than rounding: what they show lies in the face, and so does no part of the gradient in NaN."""
    generator = torch.Generator().manual_seed(4)
    start, end = torch.rand(2, 500, 2, generator=generator) * 32
    width = 10.0 ** -torch.arange(500).remainder(9)[:, None]
    places = torch.stack([start, end, (start + end) / 2 + width * torch.rand(500, 2, generator=generator)], dim=1)
    meshes = flat_mesh(places.view(-1, 2), torch.arange(1500).view(-1, 3).tolist(), 32)
    vertices = meshes.vertices.requires_grad_()
    fragments = rasterize(meshes, front_cameras(1), 32)
    assert fragments.barycentric.min() >= 0
    assert fragments.barycentric.max() <= 1
    interpolate(vertices, meshes.faces, fragments).square().sum().backward()
    assert vertices.grad.isfinite().all()


def test_says_when_a_camera_is_missing():
    with pytest.raises(ValueError, match="3 meshes and 2 cameras"):
        rasterize(random_meshes(3, seed=0), front_cameras(2), 16)


@pytest.mark.slow
def test_starts_without_a_word():
    """Neither the import nor the first image prints anything."""
    call = "visible_faces(torch.ones(3, 3), torch.tensor([[0, 1, 2]]), torch.tensor([0, 1]), 4, 4)"
    code = f"import torch; from get3d.render import visible_faces; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize("clear_share", [0.0, 0.7, 1.0])
def test_behind_faces_with_holes_the_next_solid_one_is_seen(device, clear_share):
    """Faces that are clear all over are as if not there; copies of a face at the same depth are kept apart."""
    meshes = random_meshes(2, 60).to(device)
    twice = MeshBatch.from_meshes([Mesh(m.vertices, torch.cat([m.faces, m.faces.flip(0)])) for m in meshes.split()])
    cameras = front_cameras(2).to(device)
    generator = torch.Generator().manual_seed(1)
    clear = (torch.rand(len(twice.faces), generator=generator) < clear_share).to(device)
    found = rasterize_through(twice, cameras, 24, lambda layer: ~clear[layer.face])
    collapsed = torch.where(clear[:, None], twice.faces[:, :1], twice.faces)
    without = MeshBatch(twice.vertices, collapsed, twice.vertex_offsets, twice.face_offsets)
    assert torch.equal(found.face_index, rasterize(without, cameras, 24).face_index)


def test_a_face_is_solid_at_some_pixels_only(device):
    """A fence of vertical slats before a wall: the wall is seen between them."""
    fence = torch.tensor([[-9.0, -9.0, 0.0], [9.0, -9.0, 0.0], [0.0, 18.0, 0.0]], device=device)
    scene = MeshBatch.from_meshes(
        [Mesh(torch.cat([fence, fence + fence.new_tensor([0.0, 0.0, 0.5])]), torch.arange(6, device=device).view(2, 3))]
    )
    camera = Cameras.orbit(torch.zeros(1, device=device), torch.full((1,), math.pi / 2, device=device))
    found = rasterize_through(scene, camera, 16, lambda layer: (layer.face == 1) | (layer.pixel % 2 == 0))
    columns = torch.arange(16, device=device) % 2
    assert torch.equal(found.face_index[0], columns.expand(16, 16))
