import torch

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.meshes import MeshBatch
from get3d.render import interpolate, rasterize
from screen import flat_mesh, front_cameras, random_meshes


def test_seen_positions_project_to_their_pixels(device):
    meshes = random_meshes(3, seed=0, device=device)
    cameras = Cameras.sample(CameraPrior(), 3, torch.Generator().manual_seed(0)).to(device)
    fragments = rasterize(meshes, cameras, 32)
    points = interpolate(meshes.vertices, meshes.faces, fragments)
    screen = cameras.project(points, fragments.shape, 32)
    pixel = fragments.pixel
    centre = torch.stack([pixel % 32, pixel // 32 % 32], dim=1) + 0.5
    torch.testing.assert_close(screen[:, :2], centre.float(), atol=2e-3, rtol=0)


def test_is_affine_on_a_face_that_faces_the_camera():
    corners = torch.tensor([[0.0, 0.0], [64.0, 0.0], [0.0, 64.0]])
    meshes = flat_mesh(corners, [[0, 1, 2]], 16)
    fragments = rasterize(meshes, front_cameras(1), 16)
    values = interpolate(corners, meshes.faces, fragments)
    centre = torch.stack([fragments.pixel % 16, fragments.pixel // 16], dim=1) + 0.5
    assert len(values) == 256
    torch.testing.assert_close(values, centre, atol=1e-4, rtol=0)


def test_reads_attributes_with_faces_of_their_own():
    """Two faces share an edge, but not the values there."""
    corners = torch.tensor([[0.0, 0.0], [16.0, 0.0], [16.0, 16.0], [0.0, 16.0]])
    meshes = flat_mesh(corners, [[0, 1, 2], [0, 2, 3]], 16)
    fragments = rasterize(meshes, front_cameras(1), 16)
    values = torch.tensor([[1.0], [2.0]]).repeat_interleave(3, dim=0)
    seen = interpolate(values, torch.arange(6).view(2, 3), fragments)
    torch.testing.assert_close(seen[:, 0], fragments.face + 1.0)


def test_has_the_gradient_of_finite_differences():
    meshes = random_meshes(2, seed=3)
    cameras = Cameras.sample(CameraPrior(), 2, torch.Generator().manual_seed(3))
    cameras = cameras.to(dtype=torch.float64)
    vertices = meshes.vertices.double().requires_grad_()
    attributes = torch.randn(len(vertices), 2, dtype=torch.float64).requires_grad_()

    def seen(vertices: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        moved = MeshBatch(vertices, meshes.faces, meshes.vertex_offsets, meshes.face_offsets)
        fragments = rasterize(moved, cameras, 8)
        return interpolate(torch.cat([attributes, vertices], dim=1), meshes.faces, fragments)

    torch.autograd.gradcheck(seen, (vertices, attributes), eps=1e-7, atol=1e-4)


def test_nothing_covered_gives_nothing():
    meshes = random_meshes(1, seed=0)
    away = MeshBatch(meshes.vertices + 100, meshes.faces, meshes.vertex_offsets, meshes.face_offsets)
    fragments = rasterize(away, front_cameras(1), 16)
    assert interpolate(away.vertices, away.faces, fragments).shape == (0, 3)
