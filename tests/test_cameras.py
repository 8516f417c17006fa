import math
from dataclasses import fields, replace

import pytest
import torch
import trimesh

from get3d.camera_prior import DEFAULT_FOV, DEFAULT_RADIUS, CameraPrior
from get3d.cameras import Cameras, sample_angles
from get3d.meshes import Mesh, MeshBatch
from get3d.render import rasterize


def views(*degrees: tuple[float, float], radius: float = 2.0) -> Cameras:
    azimuth, polar = torch.deg2rad(torch.tensor(degrees)).unbind(1)
    return Cameras.orbit(azimuth, polar, radius)


def covered_from(cameras: Cameras, *centre: float) -> torch.Tensor:
    """Which pixels [n, 33, 33] a small ball at `centre` covers."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.05)
    vertices = torch.tensor(ball.vertices + centre, dtype=torch.float32)
    meshes = MeshBatch.from_meshes([Mesh(vertices, torch.tensor(ball.faces))] * len(cameras))
    return rasterize(meshes, cameras, 33).covered[:, 0]


def centroids(covered: torch.Tensor) -> list[tuple[int, int]]:
    """Where the covered pixels lie, from the middle: (right, down) as signs."""
    found = []
    for image in covered:
        offset = image.nonzero().float().mean(0) - 16
        found.append(tuple((offset.flip(0) / 2).round().clamp(-1, 1).int().tolist()))
    return found


def test_up_is_up():
    """+Y appears at the top from everywhere around."""
    cameras = views((0, 90), (90, 90), (200, 70), (300, 120))
    assert centroids(covered_from(cameras, 0, 0.4, 0)) == [(0, -1)] * 4


def test_azimuth_and_handedness():
    """From azimuth 0 the camera stands on −Z, +X on its left; from 90° it stands on −X, +Z on its right."""
    cameras = views((0, 90), (90, 90), (180, 90), (270, 90))
    torch.testing.assert_close(
        cameras.positions,
        torch.tensor([[0.0, 0.0, -2.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [2.0, 0.0, 0.0]]),
        atol=1e-6,
        rtol=0,
    )
    assert centroids(covered_from(cameras, 0.4, 0, 0)) == [(-1, 0), (0, 0), (1, 0), (0, 0)]
    assert centroids(covered_from(cameras, 0, 0, 0.4)) == [(0, 0), (1, 0), (0, 0), (-1, 0)]
    torch.testing.assert_close(torch.linalg.det(cameras.rotations), torch.ones(4))


def test_polar_angle_is_measured_from_above():
    """Seen from above, what is nearer to the camera appears lower."""
    cameras = views((180, 30), (180, 150))
    assert (cameras.positions[:, 1] > 0).tolist() == [True, False]
    assert centroids(covered_from(cameras, 0, 0, 0.4)) == [(0, 1), (0, -1)]


def test_rotations_are_orthonormal():
    cameras = Cameras.sample(CameraPrior(polar=(1.0, 179.0)), 50, torch.Generator().manual_seed(0))
    rotations = cameras.rotations
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotations[:, 0, 1], torch.zeros(50))
    toward = torch.nn.functional.normalize(cameras.positions, dim=1)
    torch.testing.assert_close(rotations[:, 2], toward, atol=1e-6, rtol=0)


def test_project_follows_the_pinhole_formula(device):
    generator = torch.Generator().manual_seed(0)
    cameras = Cameras.sample(CameraPrior(), 3, generator).to(device)
    points = (torch.rand(20, 3, generator=generator) - 0.5).to(device)
    camera = torch.randint(0, 3, (20,), generator=generator).to(device)
    projected = cameras.project(points, camera, 48)
    assert projected.dtype == torch.float32
    for point, number, got in zip(points.double(), camera.tolist(), projected, strict=True):
        local = cameras.rotations[number].double() @ (point - cameras.positions[number].double())
        tangent = math.tan(DEFAULT_FOV / 2)
        right, up, distance = local[0], local[1], -local[2]
        expected = torch.stack(
            [24 * (1 + right / (distance * tangent)), 24 * (1 - up / (distance * tangent)), 1 / distance]
        )
        torch.testing.assert_close(got, expected.float(), atol=1e-4, rtol=1e-5)


def test_the_field_of_view_spans_the_image():
    """What stands at half the field of view appears on the border, whatever the field of view and the distance."""
    cameras = Cameras.orbit(
        torch.full((2,), math.pi), torch.full((2,), math.pi / 2), torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.0])
    )
    height = torch.tan(cameras.fov / 2) * torch.tensor([1.0, 3.0])
    points = torch.stack([torch.zeros(2), height, torch.zeros(2)], dim=1)
    screen = cameras.project(points, torch.arange(2), 100)
    torch.testing.assert_close(screen[:, :2], torch.tensor([[50.0, 0.0]]).expand(2, 2), atol=1e-4, rtol=0)


def test_the_default_lens():
    assert pytest.approx(49.134, abs=1e-3) == math.degrees(DEFAULT_FOV)
    assert DEFAULT_RADIUS == 1.2


def test_project_has_the_gradient_of_finite_differences():
    cameras = Cameras.orbit(
        torch.tensor([0.3, 2.0], dtype=torch.float64), torch.tensor([1.1, 1.4], dtype=torch.float64)
    )
    points = (torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5).requires_grad_()
    camera = torch.tensor([0, 1, 1, 0, 1, 0])
    torch.autograd.gradcheck(lambda p: cameras.project(p, camera, 32), points)


def anywhere(count: int, dtype: torch.dtype = torch.float32) -> Cameras:
    """Cameras that stand, look and roll as they like, with pixels that are not square and axes off the centre."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=dtype) - 0.5

    away = torch.nn.functional.normalize(drawn(count, 3), dim=1) * 2
    cameras = Cameras.look_at(away, 0.3 * drawn(count, 3), roll=6 * drawn(count))
    return replace(cameras, focal_lengths=1 + drawn(count, 2), principal_points=0.5 + 0.4 * drawn(count, 2))


def test_any_camera_projects_by_the_matrix_formula():
    """Homogeneous coordinates, K · [R | t], as text books write it; their cameras look along +z with y down."""
    cameras = anywhere(5, torch.float64)
    points = torch.rand(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    for number, camera in enumerate(cameras):
        intrinsics = torch.eye(3, dtype=torch.float64)
        intrinsics[0, 0], intrinsics[1, 1] = 90 * camera.focal_lengths[0]
        intrinsics[:2, 2] = 90 * camera.principal_points[0]
        extrinsics = torch.diag(torch.tensor([1.0, -1.0, -1.0]).double()) @ camera.world_to_camera[0]
        seen = (intrinsics @ extrinsics @ torch.cat([points, torch.ones(7, 1).double()], dim=1).T).T
        got = cameras.project(points, torch.full((7,), number), 90)
        torch.testing.assert_close(got[:, :2], seen[:, :2] / seen[:, 2:])
        torch.testing.assert_close(got[:, 2:], 1 / seen[:, 2:])


def test_matrices_give_the_cameras_back():
    cameras = anywhere(5)
    again = Cameras.from_matrices(cameras.world_to_camera, cameras.focal_lengths, cameras.principal_points)
    for name in ("positions", "rotations", "focal_lengths", "principal_points"):
        torch.testing.assert_close(getattr(again, name), getattr(cameras, name))
    assert Cameras.from_matrices(cameras.world_to_camera, cameras.focal_lengths).principal_points.eq(0.5).all()


def test_cameras_that_look_at_a_point_have_it_in_the_middle_and_up_upward():
    target = torch.tensor([[0.3, -0.2, 0.1]])
    cameras = Cameras.look_at(torch.tensor([[2.0, 1.0, -1.0], [0.0, 0.5, 3.0]]), target, fov=0.7)
    torch.testing.assert_close(cameras.fov, torch.full((2,), 0.7))
    for number in (0, 1):
        screen = cameras.project(
            torch.cat([target, target + torch.tensor([0.0, 0.1, 0.0])]), torch.full((2,), number), 64
        )
        torch.testing.assert_close(screen[0, :2], torch.tensor([32.0, 32.0]), atol=1e-4, rtol=0)
        assert screen[1, 1] < 31
        torch.testing.assert_close(screen[1, 0], torch.tensor(32.0), atol=1e-4, rtol=0)
    orbit = views((20, 70), (250, 110))
    torch.testing.assert_close(Cameras.look_at(orbit.positions).rotations, orbit.rotations)
    with pytest.raises(ValueError, match="looks along"):
        Cameras.look_at(torch.tensor([[0.0, 2.0, 0.0]]))


def test_a_rolled_camera_turns_the_image_clockwise():
    """What was above the middle comes to its right when the camera is turned a quarter counter-clockwise."""
    cameras = Cameras.orbit(torch.tensor([math.pi]), torch.tensor([math.pi / 2]), 2.0, roll=math.pi / 2)
    assert centroids(covered_from(cameras, 0, 0.4, 0)) == [(1, 0)]


def test_a_principal_point_moves_the_image():
    cameras = Cameras.orbit(torch.tensor([math.pi]), torch.tensor([math.pi / 2]), 2.0)
    moved = replace(cameras, principal_points=torch.tensor([[0.75, 0.25]]))
    assert centroids(covered_from(moved, 0, 0, 0)) == [(1, -1)]


def test_project_has_the_gradient_of_finite_differences_in_all_that_a_camera_is():
    cameras = anywhere(3, torch.float64)
    points = torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    parts = [getattr(cameras, field.name).detach().requires_grad_() for field in fields(cameras)]
    torch.autograd.gradcheck(lambda *own: Cameras(*own).project(points, torch.arange(6) % 3, 32), parts)
    angles = [torch.rand(3, dtype=torch.float64).add(0.5).requires_grad_() for _ in range(5)]
    torch.autograd.gradcheck(lambda *own: Cameras.orbit(*own).project(points, torch.arange(6) % 3, 32), angles)


def test_project_keeps_its_precision_under_autocast():
    cameras = views((20, 80))
    points = torch.rand(10, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = cameras.project(points, torch.zeros(10).long(), 512)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cameras.project(points, torch.zeros(10).long(), 512), expected)


def test_behind_the_camera_the_inverse_distance_is_negative():
    screen = views((180, 90)).project(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]), torch.zeros(2).long(), 16)
    assert (screen[:, 2] > 0).tolist() == [True, False]


def test_a_float_serves_all_cameras():
    cameras = views((0, 90), (10, 80), radius=1.5)
    assert len(cameras) == 2
    torch.testing.assert_close(cameras.positions.norm(dim=1), torch.tensor([1.5, 1.5]))
    torch.testing.assert_close(cameras[1:].angles, cameras.angles[1:])
    torch.testing.assert_close(cameras[torch.tensor([1, 0])].angles, cameras.angles.flip(0))


def test_prior_stays_in_its_ranges_and_follows_the_generator():
    prior = CameraPrior(azimuth=(30.0, 60.0), polar=(80.0, 85.0), radius=3.0, fov=20.0)
    cameras = Cameras.sample(prior, 1000, torch.Generator().manual_seed(5))
    azimuth, polar = torch.rad2deg(cameras.angles).unbind(1)
    assert 30 <= azimuth.min() < 31 < 59 < azimuth.max() <= 60
    assert 80 <= polar.min() < 80.1 < 84.9 < polar.max() <= 85.001
    torch.testing.assert_close(torch.rad2deg(torch.as_tensor(cameras.fov)), torch.full((1000,), 20.0))
    again = sample_angles(prior, 1000, torch.Generator().manual_seed(5))
    torch.testing.assert_close(again, cameras.angles, atol=1e-5, rtol=0)
    torch.testing.assert_close(Cameras.of_prior(prior, again).positions, cameras.positions, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("low", "high", "still"), [(60, 90, 75), (20, 110, 55), (60, 115, 75), (95, 105, 100), (90, 100, 95), (70, 70, 70)]
)
def test_stills_are_from_above_where_the_training_images_are(low, high, still):
    prior = CameraPrior(polar=(float(low), float(high)))
    assert prior.still_polar == still
    assert Cameras.turntable(prior, 3).angles[:, 1].rad2deg().tolist() == pytest.approx([still] * 3, abs=1e-4)


def test_orbit_goes_around_evenly():
    cameras = Cameras.turntable(CameraPrior(polar=(60.0, 90.0)), 4)
    torch.testing.assert_close(torch.rad2deg(cameras.angles[:, 0]), torch.tensor([0.0, 90.0, 180.0, 270.0]))
    torch.testing.assert_close(torch.rad2deg(cameras.angles[:, 1]), torch.full((4,), 75.0))
    torch.testing.assert_close(
        torch.rad2deg(Cameras.turntable(CameraPrior(), 2, polar=45.0).angles[:, 1]), torch.full((2,), 45.0)
    )
