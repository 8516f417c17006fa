"""Cameras from files, and fitting them to a sphere around the object.

World axes are those of the file. Camera axes are right, up and backward (away from the object).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from get3d.files import InputError

__all__ = ["MOST_IMAGES", "Lens", "Orbit", "Poses", "fit_orbit", "joined", "lens_fault", "look_at"]

MOST_IMAGES = 1_000_000
"""Maximum number of images in a camera file."""
_NARROWEST, _WIDEST = 0.1, 179.0
"""Range of fields of view of a pinhole camera in degrees."""

_ROUNDS = 30
_FLOOR = 1e-4
"""Residuals below this have equal weights, which keeps the sums of weighted squares regular."""
_PARALLEL = 1e-4
"""Optical axes, or right axes, that span less than this share of a direction leave it undetermined."""


@dataclass(frozen=True)
class Lens:
    """Projection of a camera: focal lengths and principal point as shares of the image, independent of its resolution.

    Attributes:
        focal_x: focal length in image widths; None: from square pixels.
        focal_y: focal length in image heights; None: from square pixels. At least one of both is given.
        centre: the principal point in widths and heights, from the upper left corner.
        aspect: width / height of the images; None if the file does not contain it.
    """

    focal_x: float | None
    focal_y: float | None
    centre: tuple[float, float] = (0.5, 0.5)
    aspect: float | None = None


@dataclass(frozen=True)
class Poses:
    """The cameras of one file, which share a world.

    Attributes:
        file: the file.
        format: name of its format, for the report.
        names: names of the n images, as in the file.
        positions: [n, 3] camera positions.
        rotations: [n, 3, 3] rows are the camera's right, up and backward axes in the world.
        lenses: lens of each camera.
        up: world axis that is up according to the format; None if it is undefined.
        centre: centre of the cameras according to the format; None if it is undefined.
        refused: images whose camera cannot be used, and why.
        masks: masks named in the file, by the name of the image.
    """

    file: Path
    format: str
    names: list[str]
    positions: Float[np.ndarray, "n 3"]
    rotations: Float[np.ndarray, "n 3 3"]
    lenses: list[Lens]
    up: tuple[float, float, float] | None
    centre: tuple[float, float, float] | None = None
    refused: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Orbit:
    """A sphere fitted to cameras that should look at its centre without roll, and the deviation of each camera.

    Attributes:
        centre: centre of the sphere, in the world of the file.
        up: unit vector upward, in the world of the file.
        radius: median distance from the centre, in units of the file.
        angles: [n, 2] azimuth in [0, 360) and polar angle, degrees.
        aim: [n] angle between the optical axis and the direction to the centre, degrees.
        roll: [n] signed roll, degrees.
        distance: [n] distance from the centre divided by the radius, minus 1.
    """

    centre: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    radius: float
    angles: Float[np.ndarray, "n 2"]
    aim: Float[np.ndarray, " n"]
    roll: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]


def joined(file: Path, parts: Sequence[Poses]) -> Poses:
    """Joins the cameras of files of one format that share a world."""
    return Poses(
        file=file,
        format=parts[0].format,
        names=[name for part in parts for name in part.names],
        positions=np.concatenate([part.positions for part in parts]),
        rotations=np.concatenate([part.rotations for part in parts]),
        lenses=[lens for part in parts for lens in part.lenses],
        up=parts[0].up,
        centre=parts[0].centre,
        refused={name: why for part in parts for name, why in part.refused.items()},
        masks={name: mask for part in parts for name, mask in part.masks.items()},
    )


def lens_fault(lens: Lens) -> str | None:
    """The reason why a lens is not a pinhole (a field of view of 180° or more, or almost 0), or None."""
    for side, focal in (("across", lens.focal_x), ("down", lens.focal_y)):
        if focal is None:
            continue
        fov = math.degrees(2 * math.atan2(0.5, focal)) if math.isfinite(focal) else 0.0
        if not _NARROWEST <= fov <= _WIDEST:
            return f"its field of view is {fov:.4g}° {side}, a pinhole camera's is {_NARROWEST:g}° to {_WIDEST:g}°"
    if not all(abs(part) <= 100 for part in lens.centre):
        return f"its principal point is {lens.centre[0]:g} widths and {lens.centre[1]:g} heights from the corner"
    if lens.aspect is not None and not 1e-3 <= lens.aspect <= 1e3:
        return f"its images are {lens.aspect:g} times as wide as high"
    return None


def look_at(degrees: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3 3"]:
    """Right, up and backward axes of cameras on the orbit; the backward axis is also the direction of the position."""
    azimuth, polar = np.radians(degrees).T
    sine = np.sin(polar)
    backward = np.stack([-sine * np.sin(azimuth), np.cos(polar), -sine * np.cos(azimuth)], axis=1)
    right = np.stack([-np.cos(azimuth), np.zeros_like(azimuth), np.sin(azimuth)], axis=1)
    return np.stack([right, np.cross(backward, right), backward], axis=1)


def fit_orbit(
    poses: Poses,
    up: tuple[float, float, float] | None = None,
    centre: tuple[float, float, float] | None = None,
) -> Orbit:
    """Fits a sphere to cameras.

    Args:
        poses: at least one camera.
        up: direction upward; None: the direction perpendicular to the right axes of most cameras, for cameras without
            roll.
        centre: centre of the sphere; None: the point with the smallest sum of distances to all optical axes, so
            that a few cameras with another target do not move it.

    Raises:
        InputError: a missing value cannot be determined from these cameras.
    """
    right, upward, backward = poses.rotations.transpose(1, 0, 2)
    axis = _upright(poses.file, right, upward) if up is None else np.array(up, dtype=np.float64)
    axis = axis / np.linalg.norm(axis)
    middle = (
        _nearest_point(poses.file, poses.positions, backward) if centre is None else np.array(centre, dtype=np.float64)
    )
    arms = poses.positions - middle
    distance = np.linalg.norm(arms, axis=1)
    radius = float(np.median(distance))
    if radius <= 0:
        raise InputError(f"{poses.file}: the cameras are at the object's centre; set the centre with --centre")
    outward = arms / np.maximum(distance, 1e-12 * radius)[:, None]
    # The sine and the cosine both, since only a cosine tells small angles only roughly.
    aim = np.arctan2(np.linalg.norm(np.cross(outward, backward), axis=1), (outward * backward).sum(axis=1))
    level = np.cross(axis, backward)
    roll = np.arctan2((right * np.cross(backward, level)).sum(axis=1), (right * level).sum(axis=1))
    x, y, z = (outward @ _to_our_axes(axis).T).T
    angles = np.stack([np.degrees(np.arctan2(-x, -z)) % 360, np.degrees(np.arctan2(np.hypot(x, z), y))], axis=1)
    return Orbit(middle, axis, radius, angles, np.degrees(aim), np.degrees(roll), distance / radius - 1)


def _upright(file: Path, right: Float[np.ndarray, "n 3"], upward: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """The direction most nearly perpendicular to all right axes, by weights that pass over cameras with roll."""
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    if values[1] < _PARALLEL:
        raise InputError(
            f"{file}: the up direction cannot be determined from these cameras; set it, for example with --up z"
        )
    axis = vectors[:, 0]
    for _ in range(_ROUNDS):
        weights = 1 / np.maximum(np.abs(right @ axis), _FLOOR)
        axis = np.linalg.eigh((weights[:, None] * right).T @ right)[1][:, 0]
    return axis if np.median(upward @ axis) > 0 else -axis


def _nearest_point(
    file: Path, positions: Float[np.ndarray, "n 3"], backward: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "3"]:
    """Least sum of distances from lines, by least squares with weights 1 / distance again and again (Weiszfeld)."""
    across = np.eye(3) - backward[:, :, None] * backward[:, None]
    if np.linalg.eigvalsh(across.mean(axis=0))[0] < _PARALLEL:
        raise InputError(
            f"{file}: the cameras look in one direction, so the object's centre cannot be determined; set it, "
            "for example with --centre 0 0 0"
        )
    extent = np.linalg.norm(positions - positions.mean(axis=0), axis=1).max()
    weights = np.ones(len(positions))
    for _ in range(_ROUNDS):
        total = (weights[:, None, None] * across).sum(axis=0)
        point = np.linalg.solve(total, (weights[:, None, None] * across @ positions[:, :, None]).sum(axis=0))[:, 0]
        gaps = np.linalg.norm((across @ (point - positions)[:, :, None])[:, :, 0], axis=1)
        weights = 1 / np.maximum(gaps, _FLOOR * extent)
    return point


def _to_our_axes(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The shortest rotation that takes `up` to +Y. It takes a world with +Z up as glTF exporters do: (x, z, −y)."""
    cosine = up[1]
    if cosine < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    x, z = -up[2], up[0]  # up × Y
    skew = np.array([[0, -z, 0], [z, 0, -x], [0, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)
