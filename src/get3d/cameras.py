"""Pinhole cameras, the ways to place them, and the prior they are drawn from.

Right-handed world, +Y up, object at the origin. In camera space x is right, y up, and the camera looks along −z. A
camera on an orbit, at azimuth θ, polar angle φ (from +Y) and radius r, stands at r·(−sin φ sin θ, cos φ, −sin φ cos θ)
and looks at the origin. Images are square; lengths in them are in units of the image height.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.camera_prior import DEFAULT_FOV, DEFAULT_RADIUS, CameraPrior
from get3d.tensors import TensorDataclass

__all__ = ["Cameras", "sample_angles"]


@dataclass(frozen=True)
class Cameras(TensorDataclass):
    """n pinhole cameras. Results are differentiable with respect to their tensors.

    Attributes:
        positions: [n, 3] positions in the world.
        rotations: [n, 3, 3] rows are the camera's right, up and backward axes in the world, orthonormal:
            camera = rotation · (world − position).
        focal_lengths: [n, 2] along x and y, in image heights.
        principal_points: [n, 2] intersection of the optical axis with the image: x right and y down from its upper left
            corner, in image heights; (½, ½) is the middle.
    """

    positions: Float[Tensor, "n 3"]
    rotations: Float[Tensor, "n 3 3"]
    focal_lengths: Float[Tensor, "n 2"]
    principal_points: Float[Tensor, "n 2"]

    @classmethod
    def orbit(
        cls,
        azimuth: Float[Tensor, " n"],
        polar: Float[Tensor, " n"],
        radius: Float[Tensor, " n"] | float = DEFAULT_RADIUS,
        fov: Float[Tensor, " n"] | float = DEFAULT_FOV,
        roll: Float[Tensor, " n"] | float | None = None,
    ) -> "Cameras":
        """Cameras on spheres around the origin that look at the origin.

        Args:
            azimuth: [n], radians.
            polar: [n], radians from +Y, strictly between 0 and π.
            radius: [n], distance from the origin; a float applies to all.
            fov: [n], vertical field of view in radians; a float applies to all.
            roll: [n], rotation about the optical axis in radians, counter-clockwise as seen through the camera, so that
                the image turns clockwise; None for level cameras.
        """
        sine = torch.sin(polar)
        direction = torch.stack([-sine * torch.sin(azimuth), torch.cos(polar), -sine * torch.cos(azimuth)], dim=1)
        positions = direction * _for_each(radius, azimuth)[:, None]
        backward = torch.nn.functional.normalize(positions, dim=1)
        right = torch.stack([-torch.cos(azimuth), torch.zeros_like(azimuth), torch.sin(azimuth)], dim=1)
        rotations = torch.stack([right, torch.linalg.cross(backward, right), backward], dim=1)
        return cls(positions, _rolled(rotations, roll), *_lens(_for_each(fov, azimuth)))

    @classmethod
    def of_prior(cls, prior: CameraPrior, angles: Float[Tensor, "n 2"]) -> "Cameras":
        """Cameras of a dataset's prior at given (azimuth, polar) in radians."""
        azimuth, polar = angles.T.contiguous()
        return cls.orbit(azimuth, polar, prior.radius, math.radians(prior.fov))

    @classmethod
    def sample(cls, prior: CameraPrior, count: int, generator: torch.Generator) -> "Cameras":
        """Draws `count` cameras of a dataset's prior, on the generator's device."""
        return cls.of_prior(prior, sample_angles(prior, count, generator))

    @classmethod
    def turntable(cls, prior: CameraPrior, count: int, polar: float | None = None) -> "Cameras":
        """`count` cameras evenly around the object, at one polar angle in degrees (default: that of stills)."""
        low, high = prior.azimuth
        azimuth = torch.deg2rad(low + (high - low) * torch.arange(count) / count)
        angle = math.radians(prior.still_polar if polar is None else polar)
        return cls.orbit(azimuth, torch.full((count,), angle), prior.radius, math.radians(prior.fov))

    @classmethod
    def look_at(
        cls,
        positions: Float[Tensor, "n 3"],
        targets: Float[Tensor, "#n 3"] | tuple[float, float, float] = (0.0, 0.0, 0.0),
        up: tuple[float, float, float] = (0.0, 1.0, 0.0),
        fov: Float[Tensor, " n"] | float = DEFAULT_FOV,
        roll: Float[Tensor, " n"] | float | None = None,
    ) -> "Cameras":
        """Cameras at any position that look at any point.

        Args:
            positions: [n, 3] positions in the world.
            targets: [n, 3] points that appear in the middle of the images; one point applies to all.
            up: world direction that is up in the images.
            fov: [n], vertical field of view in radians; a float applies to all.
            roll: as in `orbit`.

        Raises:
            ValueError: a camera is at its target, or looks along `up`.
        """
        middle = positions.new_tensor(targets) if isinstance(targets, tuple) else targets
        backward = torch.nn.functional.normalize(positions - middle, dim=1)
        right = torch.linalg.cross(positions.new_tensor(up).expand_as(backward), backward)
        if not (right.detach().norm(dim=1) > 1e-6).all():
            raise ValueError("a camera is at its target, or looks along `up`; move it, or use another `up`")
        right = torch.nn.functional.normalize(right, dim=1)
        rotations = torch.stack([right, torch.linalg.cross(backward, right), backward], dim=1)
        return cls(positions, _rolled(rotations, roll), *_lens(_for_each(fov, positions[:, 0])))

    @classmethod
    def from_matrices(
        cls,
        world_to_camera: Float[Tensor, "n 3 4"],
        focal_lengths: Float[Tensor, "n 2"],
        principal_points: Float[Tensor, "n 2"] | None = None,
    ) -> "Cameras":
        """Cameras from extrinsic matrices [R | t], camera = R · world + t, and intrinsics as in the attributes.

        The axes are right, up and backward, as in OpenGL and Blender. For matrices with the axes right, down and
        forward, as in OpenCV and COLMAP, negate the second and the third row first.
        """
        rotations, translations = world_to_camera.split([3, 1], dim=2)
        positions = -(rotations * translations).sum(1)
        middle = torch.full_like(focal_lengths, 0.5) if principal_points is None else principal_points
        return cls(positions, rotations, focal_lengths, middle)

    @property
    def world_to_camera(self) -> Float[Tensor, "n 3 4"]:
        """Extrinsic matrices [R | t]: camera = R · world + t."""
        return torch.cat([self.rotations, -(self.rotations * self.positions[:, None]).sum(2, keepdim=True)], dim=2)

    @property
    def fov(self) -> Float[Tensor, " n"]:
        """Vertical fields of view in radians, for a principal point in the middle."""
        return 2 * torch.atan(0.5 / self.focal_lengths[:, 1])

    @property
    def angles(self) -> Float[Tensor, "n 2"]:
        """(azimuth, polar) of the camera positions as seen from the origin: azimuth in [0, 2π), polar in [0, π]."""
        x, y, z = self.positions.unbind(1)
        return torch.stack([torch.atan2(-x, -z) % (2 * math.pi), torch.atan2(torch.hypot(x, z), y)], dim=1)

    def project(self, points: Float[Tensor, "p 3"], camera: Tensor, resolution: int) -> Float[Tensor, "p 3"]:
        """Projects world points into square images; differentiable with respect to points and cameras.

        Args:
            points: world positions.
            camera: [p] integers, the camera for each point.
            resolution: side of the image in pixels.

        Returns:
            (x, y, 1/distance): pixels, x right and y down from the image's upper left corner, so that pixel (i, j)
            has its centre at (i + ½, j + ½); 1/distance along the view axis is affine on the screen, larger is nearer,
            and negative behind the camera.
        """
        # Elementwise and in the points' precision: autocast would round a matrix product to bf16.
        (scale_x, scale_y), ones = (resolution * self.focal_lengths).unbind(1), torch.ones_like(self.positions[:, 0])
        axes = self.rotations * torch.stack([scale_x, -scale_y, -ones], dim=1)[:, :, None]
        origin = -(axes * self.positions[:, None]).sum(2, keepdim=True)
        centre = torch.nn.functional.pad(resolution * self.principal_points, (0, 1))[:, :, None]
        table = torch.cat([axes, origin, centre], dim=2).to(points.dtype).mT.flatten(1)
        x_part, y_part, z_part, constant, middle = table.index_select(0, camera).view(-1, 5, 3).unbind(1)
        local = constant + x_part * points[:, :1] + y_part * points[:, 1:2] + z_part * points[:, 2:]
        inverse = 1 / local[:, 2:]
        return torch.cat([middle[:, :2] + local[:, :2] * inverse, inverse], dim=1)


def sample_angles(prior: CameraPrior, count: int, generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Draws (azimuth, polar) of `count` cameras of a dataset's prior in radians, on the generator's device."""
    uniform = torch.rand(count, 2, generator=generator, device=generator.device)
    angles = [
        torch.deg2rad(low + (high - low) * uniform[:, i]) for i, (low, high) in enumerate((prior.azimuth, prior.polar))
    ]
    return torch.stack(angles, dim=1)


def _for_each(value: Tensor | float, like: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """A number for each camera."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(like.shape)


def _lens(fov: Float[Tensor, " n"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Focal lengths and principal points of fields of view."""
    focal = (0.5 / torch.tan(0.5 * fov))[:, None].expand(-1, 2)
    return focal, torch.full_like(focal, 0.5)


def _rolled(rotations: Float[Tensor, "n 3 3"], roll: Tensor | float | None) -> Float[Tensor, "n 3 3"]:
    """Cameras turned about their optical axes."""
    if roll is None:
        return rotations
    right, up, backward = rotations.unbind(1)
    angle = _for_each(roll, right[:, 0])[:, None]
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return torch.stack([cosine * right + sine * up, cosine * up - sine * right, backward], dim=1)
