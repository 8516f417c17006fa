"""Cameras on a sphere around the object, and the prior they are drawn from.

Right-handed world, +Y up, object at the origin. A camera at azimuth θ, polar angle φ (from +Y) and radius r stands at
r·(−sin φ sin θ, cos φ, −sin φ cos θ), looks at the origin and has no roll. In camera space x is right, y up, and the
camera looks along −z.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.camera_prior import DEFAULT_FOV, DEFAULT_RADIUS, CameraPrior

__all__ = ["DEFAULT_FOV", "DEFAULT_RADIUS", "CameraPrior", "Cameras"]


@dataclass(frozen=True)
class Cameras:
    """n cameras that look at the origin.

    Attributes:
        azimuth: [n], radians.
        polar: [n], radians from +Y, strictly between 0 and π.
        radius: [n], distance from the origin; a float serves all.
        fov: [n], vertical field of view in radians; a float serves all.
    """

    azimuth: Float[Tensor, " n"]
    polar: Float[Tensor, " n"]
    radius: Float[Tensor, " n"] | float = DEFAULT_RADIUS
    fov: Float[Tensor, " n"] | float = DEFAULT_FOV

    def __post_init__(self) -> None:
        for name in ("radius", "fov"):
            value = torch.as_tensor(getattr(self, name), dtype=self.azimuth.dtype, device=self.azimuth.device)
            object.__setattr__(self, name, value.expand(self.azimuth.shape))

    def __len__(self) -> int:
        return self.azimuth.shape[0]

    def __getitem__(self, index: slice | Tensor) -> "Cameras":
        return type(self)(*(value[index] for value in self._tensors()))

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on another device."""
        return type(self)(*(value.to(device) for value in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.azimuth, self.polar, torch.as_tensor(self.radius), torch.as_tensor(self.fov)

    @property
    def angles(self) -> Float[Tensor, "n 2"]:
        """(azimuth, polar), what a discriminator is told of a camera."""
        return torch.stack([self.azimuth, self.polar], dim=1)

    @property
    def positions(self) -> Float[Tensor, "n 3"]:
        """Where the cameras stand in the world."""
        sine = torch.sin(self.polar)
        direction = torch.stack(
            [-sine * torch.sin(self.azimuth), torch.cos(self.polar), -sine * torch.cos(self.azimuth)], dim=1
        )
        return direction * torch.as_tensor(self.radius)[:, None]

    @property
    def rotations(self) -> Float[Tensor, "n 3 3"]:
        """Rows are the camera's right, up and backward axes in the world: camera = rotation · (world − position)."""
        backward = torch.nn.functional.normalize(self.positions, dim=1)
        zero = torch.zeros_like(self.azimuth)
        right = torch.stack([-torch.cos(self.azimuth), zero, torch.sin(self.azimuth)], dim=1)
        return torch.stack([right, torch.linalg.cross(backward, right), backward], dim=1)

    def project(self, points: Float[Tensor, "p 3"], camera: Tensor, resolution: int) -> Float[Tensor, "p 3"]:
        """Where world points appear in square pictures; differentiable in the points.

        Args:
            points: world positions.
            camera: [p] integers, the camera that looks at each point.
            resolution: side of the picture in pixels.

        Returns:
            (x, y, 1/distance): pixels, x right and y down from the picture's upper left corner, so that pixel (i, j)
            has its centre at (i + ½, j + ½); 1/distance along the view axis is affine on the screen, larger is nearer,
            and negative behind the camera.
        """
        # Elementwise and in the points' precision: autocast would round a matrix product to bf16.
        scale = 0.5 * resolution / torch.tan(0.5 * torch.as_tensor(self.fov))
        axes = self.rotations * torch.stack([scale, -scale, -torch.ones_like(scale)], dim=1)[:, :, None]
        origin = -(axes * self.positions[:, None]).sum(2, keepdim=True)
        right_down_forward = torch.cat([axes, origin], dim=2).to(points.dtype).mT.flatten(1)
        x_part, y_part, z_part, constant = right_down_forward.index_select(0, camera).view(-1, 4, 3).unbind(1)
        local = constant + x_part * points[:, :1] + y_part * points[:, 1:2] + z_part * points[:, 2:]
        inverse = 1 / local[:, 2:]
        return torch.cat([0.5 * resolution + local[:, :2] * inverse, inverse], dim=1)
