"""Cameras of the windows of photos: known, or estimated with parameters."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.fitting.photos import Window

__all__ = ["Views"]

_STEEPEST = math.radians(3)
"""Minimum angle between the direction of a camera and the vertical."""


class Views(nn.Module):
    """Cameras of square windows in larger images, around an object of a model.

    A window enlarges the image by `exp(zoom)`, and `pan` is its principal point. A camera that moves away, by the
    factor `exp(distance)`, gets a longer focal length, so that only the perspective changes.

    Attributes:
        angles: [n, 2] azimuth and polar angle in radians.
        zoom: [n].
        pan: [n, 2] x right and y down from the upper left corner, in units of the window's side.
        distance: [n].
        prior: the cameras of the model's images, from which radius and field of view are taken.
    """

    def __init__(
        self,
        prior: CameraPrior,
        angles: Float[Tensor, "n 2"],
        zoom: Float[Tensor, " n"],
        pan: Float[Tensor, "n 2"],
        distance: Float[Tensor, " n"] | None = None,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.angles, self.zoom, self.pan = nn.Parameter(angles), nn.Parameter(zoom), nn.Parameter(pan)
        self.distance = nn.Parameter(torch.zeros_like(zoom) if distance is None else distance)

    @classmethod
    def of_windows(cls, prior: CameraPrior, angles: Float[Tensor, "n 2"], windows: Sequence[Window]) -> "Views":
        """The cameras of windows of images that the prior's cameras saw."""
        parts = angles.new_tensor([(window.x, window.y, window.side) for window in windows])
        side = parts[:, 2:]
        return cls(prior, angles, -side[:, 0].log(), (0.5 - parts[:, :2]) / side + 0.5)

    def __len__(self) -> int:
        return len(self.zoom)

    def __getitem__(self, rows: slice | Tensor) -> "Views":
        parts = (self.angles, self.zoom, self.pan, self.distance)
        return Views(self.prior, *(part.detach()[rows].clone() for part in parts))

    def forward(self, *, mirrored: bool = False) -> Cameras:
        """The cameras; differentiable in all parameters.

        Args:
            mirrored: give those on the other side of the plane x = 0. What they see of an object that is symmetric to
                this plane, are the images of the others with left and right exchanged.
        """
        azimuth, polar = self.angles.unbind(1)
        polar = polar.clamp(_STEEPEST, math.pi - _STEEPEST)
        away = self.distance.exp()
        side = -1 if mirrored else 1
        cameras = Cameras.orbit(side * azimuth, polar, self.prior.radius * away, math.radians(self.prior.fov))
        focal = cameras.focal_lengths * (away * self.zoom.exp())[:, None]
        pan = torch.stack([1 - self.pan[:, 0], self.pan[:, 1]], dim=1) if mirrored else self.pan
        return replace(cameras, focal_lengths=focal, principal_points=pan)
