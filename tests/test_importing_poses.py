"""Cameras on a sphere are found again in any world; those that are not do not move the sphere, and are measured."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from captures import blender_matrices, moved
from get3d.authoring.from_images.poses import Lens, Poses, fit_orbit, joined, look_at
from get3d.cameras import Cameras
from get3d.files import InputError

LENS = Lens(1.0, None)
Z = (0.0, 0.0, 1.0)


def poses_of(matrices: np.ndarray) -> Poses:
    return Poses(
        file=Path("cameras"),
        format="matrices",
        names=[str(number) for number in range(len(matrices))],
        positions=matrices[:, :3, 3],
        rotations=matrices[:, :3, :3].transpose(0, 2, 1).copy(),
        lenses=[LENS] * len(matrices),
        up=Z,
    )


def drawn(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([generator.uniform(0, 360, count), generator.uniform(40, 120, count)], axis=1)


def apart(first, second):
    return np.abs((np.asarray(first) - second + 180) % 360 - 180)


def test_look_at_is_what_our_cameras_are():
    import torch

    degrees = drawn(20)
    azimuth, polar = torch.from_numpy(np.radians(degrees)).T
    cameras = Cameras.orbit(azimuth, polar, 1.0)
    assert np.allclose(look_at(degrees), cameras.rotations.numpy(), atol=1e-12)
    assert np.allclose(look_at(degrees)[:, 2], cameras.positions.numpy(), atol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_the_sphere_is_found_in_any_world(seed, scale):
    degrees = drawn(12, seed)
    shift = np.random.default_rng(seed).normal(size=3) * 10 * scale
    turn = Rotation.random(random_state=seed)
    orbit = fit_orbit(poses_of(moved(blender_matrices(degrees, 1.5), turn, scale, shift)), up=None)
    assert orbit.radius == pytest.approx(1.5 * scale, rel=1e-6)
    assert np.allclose(orbit.centre, shift, atol=1e-5 * scale)
    assert np.allclose(orbit.up, turn.apply([0, 0, 1]), atol=1e-6)
    assert max(orbit.aim.max(), np.abs(orbit.roll).max(), np.abs(orbit.distance).max()) < 1e-3
    assert np.abs(orbit.angles[:, 1] - degrees[:, 1]).max() < 1e-3
    turned = orbit.angles[:, 0] - degrees[:, 0]
    assert apart(turned, turned[0]).max() < 1e-3


@pytest.mark.parametrize("axis", ["x", "y", "z", "-x", "-y", "-z"])
def test_any_axis_can_be_upward(axis):
    """The shortest turn takes it to +Y, so a world with +Z up becomes (x, z, −y), as in glTF exports."""
    up = np.zeros(3)
    up["xyz".index(axis[-1])] = -1.0 if axis[0] == "-" else 1.0
    degrees = drawn(9)
    there = {
        "y": Rotation.identity(),
        "z": Rotation.from_euler("x", 90, degrees=True),
        "x": Rotation.from_euler("z", -90, degrees=True),
        "-x": Rotation.from_euler("z", 90, degrees=True),
        "-y": Rotation.from_euler("x", 180, degrees=True),
        "-z": Rotation.from_euler("x", -90, degrees=True),
    }[axis]
    assert np.allclose(there.apply([0, 1, 0]), up)
    rotations = look_at(degrees)
    matrices = np.tile(np.eye(4), (len(degrees), 1, 1))
    matrices[:, :3, :3] = rotations.transpose(0, 2, 1)
    matrices[:, :3, 3] = rotations[:, 2]
    orbit = fit_orbit(poses_of(moved(matrices, there, 1.0, np.zeros(3))), up=tuple(up.tolist()))
    assert apart(orbit.angles, degrees).max() < 1e-6


def test_cameras_that_are_off_are_measured_and_do_not_move_the_sphere():
    degrees = drawn(30)
    matrices = blender_matrices(degrees, 2.0)
    for number in range(4):
        turn = Rotation.from_euler("y", 20, degrees=True).as_matrix()
        matrices[number, :3, :3] = matrices[number, :3, :3] @ turn
        roll = Rotation.from_euler("z", -15, degrees=True).as_matrix()
        matrices[4 + number, :3, :3] = matrices[4 + number, :3, :3] @ roll
    orbit = fit_orbit(poses_of(matrices), up=None)
    assert np.linalg.norm(orbit.centre) < 1e-3
    assert np.degrees(np.arccos(orbit.up[2])) < 0.1
    assert np.allclose(orbit.aim[:4], 20, atol=0.1)
    assert np.allclose(np.abs(orbit.roll[4:8]), 15, atol=0.1)
    assert np.abs(orbit.aim[4:]).max() < 0.1
    assert np.abs(orbit.roll[8:]).max() < 0.1
    assert apart(orbit.angles[8:, 1], degrees[8:, 1]).max() < 0.1


def test_what_cannot_be_told_is_asked_for():
    same = np.tile(blender_matrices(np.array([[30.0, 80.0]]), 2.0), (5, 1, 1))
    with pytest.raises(InputError, match=r"look in one direction.*--centre 0 0 0"):
        fit_orbit(poses_of(same), up=Z)
    arc = blender_matrices(np.stack([np.full(5, 30.0), np.linspace(40, 80, 5)], axis=1), 2.0)
    with pytest.raises(InputError, match=r"up direction cannot be determined.*--up z"):
        fit_orbit(poses_of(arc), up=None)
    assert np.allclose(fit_orbit(poses_of(arc), up=Z).angles[:, 1], np.linspace(40, 80, 5))
    assert np.allclose(fit_orbit(poses_of(same), up=Z, centre=(0.0, 0.0, 0.0)).angles, [30, 80])


def test_files_of_one_world_are_joined():
    first, second = poses_of(blender_matrices(drawn(3), 2.0)), poses_of(blender_matrices(drawn(4), 2.0))
    both = joined(Path("folder"), [first, second])
    assert len(both.names) == len(both.lenses) == len(both.positions) == len(both.rotations) == 7
    assert both.file == Path("folder")
