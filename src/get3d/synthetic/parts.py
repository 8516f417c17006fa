"""Building blocks of procedural objects: closed surfaces on grids of points, and how they become one textured mesh.

A part is a tube-like grid of points [R, S, 3]: R rings of S points, each ring closed. A surface ends in a pole (a ring
whose points coincide) or, for a loop, in its first ring again; so every part is closed by construction, and its
texture is a plain rectangle. Materials are functions of the position in space, so no seam shows where charts meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

__all__ = [
    "Grid",
    "Material",
    "PBRMaterial",
    "Part",
    "Vector",
    "X",
    "Y",
    "Z",
    "bar",
    "bend",
    "ellipse",
    "lathe",
    "outward",
    "rounded_rectangle",
    "slab",
    "spline",
    "tube",
]

Grid = Float[np.ndarray, "r s 3"]
Material = Callable[[Float[np.ndarray, "p 3"]], Float[np.ndarray, "p 3"]]
"""Positions to colours (sRGB in 0 to 1)."""
Values = Float[np.ndarray, " p"]


@dataclass(frozen=True)
class PBRMaterial:
    """A material with roughness and metallic beside its colour.

    Attributes:
        color: positions to colours.
        roughness: 0 to 1, one number or of positions.
        metallic: 0 to 1, likewise.
    """

    color: Material
    roughness: float | Callable[[Float[np.ndarray, "p 3"]], Values]
    metallic: float | Callable[[Float[np.ndarray, "p 3"]], Values] = 0.0

    def __call__(self, points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
        """The colours at positions."""
        return self.color(points)

    def finish(self, points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 2"]:
        """Roughness and metallic at positions."""
        values = [
            one(points) if callable(one) else np.full(len(points), one) for one in (self.roughness, self.metallic)
        ]
        return np.stack(values, axis=1).clip(0, 1)


X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
Vector = Sequence[float | int] | Float[np.ndarray, " 3"]


@dataclass(frozen=True)
class Part:
    """One closed surface and what it is made of.

    Attributes:
        grid: [R, S, 3] rings of points; the first and last ring are poles unless `loop`.
        material: colours from positions.
        grain: direction that becomes +Y in the positions the material sees, which then also differ from part to part
            as planks of one tree do; None: the material sees the positions as they are.
        loop: the last ring is followed by the first.
    """

    grid: Grid
    material: Material
    grain: Vector | None = None
    loop: bool = False

    def mapped(self, function: Callable[[Grid], Grid]) -> "Part":
        """The part with its points moved by a function."""
        return replace(self, grid=function(self.grid))

    def moved(self, offset: Vector) -> "Part":
        """The part shifted."""
        return replace(self, grid=self.grid + np.asarray(offset))

    def turned(self, axis: int, angle: float, centre: Vector = (0.0, 0.0, 0.0)) -> "Part":
        """The part turned by an angle in radians around a coordinate axis through `centre`."""
        matrix = rotation(axis, angle)
        grain = None if self.grain is None else matrix @ np.asarray(self.grain)
        return replace(self, grid=(self.grid - np.asarray(centre)) @ matrix.T + np.asarray(centre), grain=grain)

    def mirrored(self) -> "Part":
        """The part on the other side of the plane x = 0."""
        return replace(self, grid=self.grid * np.array([-1.0, 1.0, 1.0]))


def rotation(axis: int, angle: float) -> Float[np.ndarray, "3 3"]:
    """Matrix of a turn by `angle` radians around coordinate axis `axis`."""
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[[i, j], [i, j]] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    return matrix


def ellipse(
    width: float, depth: float, points: int = 16, power: float | tuple[float, float] = 2.0
) -> Float[np.ndarray, "s 2"]:
    """A superellipse |2x/width|^p + |2y/depth|^p = 1: round at p = 2, ever more like a rectangle above.

    Two powers serve y > 0 and y < 0.
    """
    angle = 2 * np.pi * (np.arange(points) + 0.5) / points
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    upper, lower = power if isinstance(power, tuple) else (power, power)
    exponent = 2 / np.where(direction[:, 1:] > 0, upper, lower)
    return np.sign(direction) * np.abs(direction) ** exponent * np.array([width, depth]) / 2


def rounded_rectangle(
    width: float, depth: float, radius: float = 0.0, corner: int = 3, edge: int = 1
) -> Float[np.ndarray, "s 2"]:
    """A rectangle with round corners around the origin, counter-clockwise.

    Args:
        width: side along x.
        depth: side along y.
        radius: of the corners, at most half the shorter side.
        corner: steps in the arc of each corner; at radius 0 a corner is one point.
        edge: steps in each straight side.
    """
    radius = min(radius, 0.499 * min(width, depth))
    arc = np.linspace(0, np.pi / 2, corner + 1) if radius > 0 else np.zeros(1)
    corners = []
    for turn, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        centre = np.array([sx * (width / 2 - radius), sy * (depth / 2 - radius)])
        angle = arc + turn * np.pi / 2
        corners.append(centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    steps = np.arange(1, edge)[:, None] / edge
    pieces = []
    for current, following in zip(corners, corners[1:] + corners[:1], strict=True):
        pieces += [current, current[-1] + steps * (following[0] - current[-1])]
    return np.concatenate(pieces)


def spline(points: Sequence[Vector] | Float[np.ndarray, "k d"], count: int) -> Float[np.ndarray, "{count} d"]:
    """A smooth curve through points, sampled evenly in chord length."""
    knots = np.asarray(points, dtype=float)
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(knots, axis=0), axis=1).cumsum()])
    return CubicSpline(length, knots)(np.linspace(0, length[-1], count))


def bend(points: Sequence[Vector], radius: float, steps: int = 5, loop: bool = False) -> Float[np.ndarray, "n 3"]:
    """A polyline with its corners rounded (quadratic Bézier curves that begin `radius` away from each corner)."""
    corners = np.asarray(points, dtype=float)
    number = len(corners)
    path = [] if loop else [corners[:1]]
    parameter = np.linspace(0, 1, steps + 1)[:, None]
    for i in range(0 if loop else 1, number if loop else number - 1):
        before, here, after = corners[i - 1], corners[i], corners[(i + 1) % number]
        start, end = (
            here + (other - here) * min(radius / np.linalg.norm(other - here), 0.49) for other in (before, after)
        )
        path.append((1 - parameter) ** 2 * start + 2 * parameter * (1 - parameter) * here + parameter**2 * end)
    return np.concatenate(path if loop else [*path, corners[-1:]])


def tube(
    path: Float[np.ndarray, "n 3"],
    section: Float[np.ndarray, "s 2"],
    scale: Float[np.ndarray, " n"] | Float[np.ndarray, "n 2"] | None = None,
    up: Vector = (0.0, 1.0, 0.0),
    loop: bool = False,
) -> Grid:
    """Sweeps a section along a path, without twist.

    Args:
        path: points the section's origin passes.
        section: outline; its y axis starts as near to `up` as the path's direction lets it.
        scale: of the section at each point, one for both axes or one for each.
        up: must not be parallel to the path's first direction.
        loop: the path is closed (and lies in a plane).

    Returns:
        The rings, with flat ends closed by poles unless `loop`.
    """
    if loop:
        tangents = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangents = np.gradient(path, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.asarray(up, dtype=float)
    rings = []
    scales = np.ones((len(path), 2)) if scale is None else np.broadcast_to(scale.reshape(len(path), -1), (len(path), 2))
    for centre, tangent, factor in zip(path, tangents, scales, strict=True):
        normal = normal - normal @ tangent * tangent
        normal /= np.linalg.norm(normal)
        side = np.cross(normal, tangent)
        rings.append(centre + section[:, :1] * factor[0] * side + section[:, 1:] * factor[1] * normal)
    grid = np.stack(rings)
    return grid if loop else _capped(grid)


def _capped(rings: Grid) -> Float[np.ndarray, "r+2 s 3"]:
    """Rings with a pole added at the middle of the first and of the last."""
    poles = np.broadcast_to(rings[[0, -1]].mean(axis=1, keepdims=True), (2, *rings.shape[1:]))
    return np.concatenate([poles[:1], rings, poles[1:]])


def bar(
    start: Vector,
    end: Vector,
    section: Float[np.ndarray, "s 2"],
    taper: float = 1.0,
    up: Vector = (0.0, 0.0, 1.0),
    steps: int = 1,
) -> Grid:
    """A straight bar in so many steps; `taper` scales its section at the end."""
    path = np.linspace(start, end, steps + 1)
    return tube(path, section, scale=np.linspace(1.0, taper, steps + 1), up=up)


def lathe(profile: Float[np.ndarray, "n 2"], segments: int = 32, poles: bool = True) -> Grid:
    """Turns a profile of (radius, y) around the Y axis; `poles` closes both ends on the axis."""
    angle = 2 * np.pi * np.arange(segments) / segments
    radius, height = profile[:, :1], profile[:, 1:]
    rings = np.stack(
        [radius * np.sin(angle), np.broadcast_to(height, (len(profile), segments)), radius * np.cos(angle)], 2
    )
    return _capped(rings) if poles else rings


def slab(
    outline: Float[np.ndarray, "s 2"],
    thickness: float,
    bevel: float = 0.0,
    dome: float = 0.0,
    rings: int = 2,
    steps: int = 3,
) -> Grid:
    """A plate that lies on y = 0, its outline given in x and z.

    Args:
        outline: in (x, z), star-shaped around the middle of its bounding box.
        thickness: height at the rim.
        bevel: radius of the rounding of the upper and lower rim, at most half the thickness.
        dome: how much higher the middle of the upper side is (negative: a hollow).
        rings: rings between rim and middle, so that the plate can be bent.
        steps: steps of each rounding.
    """
    bevel = min(bevel, 0.499 * thickness)
    centre = (outline.min(axis=0) + outline.max(axis=0)) / 2
    inner = centre + (outline - centre) * (1 - bevel / (outline.max(axis=0) - centre)).clip(0.1)
    inward = np.arange(rings) / rings

    def row(points: Float[np.ndarray, "s 2"], height: float) -> Float[np.ndarray, "s 3"]:
        return np.stack([points[:, 0], np.full(len(points), height), points[:, 1]], axis=1)

    rows = [row(centre + t * (inner - centre), 0.0) for t in inward]
    if bevel > 0:
        arc = np.linspace(0, np.pi / 2, steps + 1)
        rows += [row(inner + np.sin(a) * (outline - inner), bevel * (1 - np.cos(a))) for a in arc]
        rows += [row(inner + np.cos(a) * (outline - inner), thickness - bevel * (1 - np.sin(a))) for a in arc]
    else:
        rows += [row(outline, 0.0), row(outline, thickness)]
    rows += [row(centre + t * (inner - centre), thickness + dome * (1 - t**2) ** 0.8) for t in inward[::-1]]
    return np.stack(rows)


def outward(grid: Grid, faces: np.ndarray) -> np.ndarray:
    """Faces [F, 3] of a closed surface on the grid's points, turned so that its volume is positive."""
    a, b, c = grid.reshape(-1, 3)[faces].transpose(1, 0, 2) - grid.reshape(-1, 3).mean(axis=0)
    return faces if (a * np.cross(b, c)).sum() >= 0 else faces[:, ::-1]
