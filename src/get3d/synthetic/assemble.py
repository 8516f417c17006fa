"""Joins parts into one textured mesh: topology, smooth normals, a UV atlas, and textures painted from positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from get3d.assets.smooth_normals import corner_normals
from get3d.export.write import TexturedMesh
from get3d.materials import BASE_COLOR
from get3d.synthetic.parts import Grid, Part, PBRMaterial, outward

__all__ = ["assemble"]

PADDING = 3
"""Texels painted beyond each border of a chart, so that neither filtering nor a mipmap level reaches a neighbour."""


def assemble(
    parts: Sequence[Part],
    scale: float,
    texture_resolution: int,
    generator: np.random.Generator,
    metallic: float = 0.0,
    roughness: float = 0.6,
) -> TexturedMesh:
    """Joins parts into a textured mesh, its bounding box centred and its longest side `scale` long.

    Args:
        parts: closed surfaces; they may overlap.
        scale: longest side of the bounding box.
        texture_resolution: side of the square texture in texels.
        generator: draws where in their material the parts with a grain are cut.
        metallic: of parts whose material does not say it, 0 to 1.
        roughness: of parts whose material does not say it, 0 to 1.
    """
    charts = [_chart(part) for part in parts]
    origins, sizes = _pack(np.array([chart.size for chart in charts]), texture_resolution)
    finish = roughness, metallic
    painted = torch.from_numpy(_paint(parts, charts, origins, sizes, texture_resolution, generator, finish))

    vertices, faces, normals, uv = [], [], [], []
    count = 0
    for chart, origin, size in zip(charts, origins, sizes, strict=True):
        positions, corners, smooth, coordinates = _split_creases(chart)
        vertices.append(positions)
        faces.append(corners + count)
        normals.append(smooth)
        uv.append((origin + PADDING + coordinates * (size - 2 * PADDING)) / texture_resolution)
        count += len(positions)
    points = np.concatenate(vertices)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) * (scale / (high - low).max())
    texel = np.concatenate(uv)
    return TexturedMesh(
        vertices=torch.from_numpy(points.astype(np.float32)),
        faces=torch.from_numpy(np.concatenate(faces)),
        normals=torch.from_numpy(np.concatenate(normals).astype(np.float32)),
        uv=torch.from_numpy(np.stack([texel[:, 0], 1 - texel[:, 1]], axis=1).astype(np.float32)),
        textures={
            name: part.contiguous()
            for name, part in zip((BASE_COLOR, "roughness", "metallic"), painted.split((3, 1, 1), dim=2), strict=True)
        },
    )


@dataclass(frozen=True)
class _Chart:
    """The surface of a part, unrolled into a rectangle along its first column.

    Attributes:
        grid: the part's rings; a loop's first ring is there again as the last.
        faces: [F, 3] outward, numbers into the grid's points with all copies of a point counted as one.
        corners: [F, 3] the same faces with numbers into the (R, S + 1) points of the rectangle.
        u: [S + 1] horizontal place of each column, 0 to 1.
        v: [R] vertical place of each ring, 0 to 1.
        size: width and height in the part's units.
    """

    grid: Grid
    faces: Int[np.ndarray, "f 3"]
    corners: Int[np.ndarray, "f 3"]
    u: Float[np.ndarray, " columns"]
    v: Float[np.ndarray, " r"]
    size: Float[np.ndarray, " 2"]


def _chart(part: Part) -> _Chart:
    grid = np.concatenate([part.grid, part.grid[:1]]) if part.loop else part.grid
    rings, columns = grid.shape[:2]
    identity = np.arange(rings * columns).reshape(rings, columns)
    if part.loop:
        identity[-1] = identity[0]
    else:
        identity[[0, -1]] = identity[[0, -1], :1]
    open_identity = np.concatenate([identity, identity[:, :1]], axis=1)
    open_corner = np.arange(rings * (columns + 1)).reshape(rings, columns + 1)

    def quads(number: np.ndarray) -> np.ndarray:
        a, b, c, d = (x.ravel() for x in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
        return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])

    faces, corners = quads(open_identity), quads(open_corner)
    proper = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    faces, corners = faces[proper], corners[proper]
    if outward(grid, faces) is not faces:
        faces, corners = faces[:, ::-1], corners[:, ::-1]
    around = np.linalg.norm(np.roll(grid, -1, axis=1) - grid, axis=2)
    along = np.linalg.norm(np.diff(grid, axis=0), axis=2)
    u, v = (np.concatenate([[0.0], x.cumsum()]) for x in (around.mean(axis=0), along.mean(axis=1)))
    size = np.array([around.sum(axis=1).max(), v[-1]])
    return _Chart(grid, faces, corners, u / u[-1], v / v[-1], size)


def _split_creases(chart: _Chart) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, normals and chart coordinates; vertices are repeated where corners need different normals."""
    points = chart.grid.reshape(-1, 3)
    a, b, c = points[chart.faces].transpose(1, 0, 2)
    owner = chart.faces.ravel()
    normals = corner_normals(owner, np.cross(b - a, c - a))

    corner = chart.corners.ravel()
    keys = np.column_stack([corner, np.rint(normals * 1000).astype(np.int64)])
    _, index, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    ring, column = np.divmod(corner[index], chart.grid.shape[1] + 1)
    uv = np.stack([chart.u[column], chart.v[ring]], axis=1)
    return points[owner[index]], inverse.reshape(-1, 3), normals[index], uv


def _pack(sizes: Float[np.ndarray, "n 2"], resolution: int) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n 2"]]:
    """Places rectangles on shelves in a square, at the highest common texel density that fits.

    Returns:
        The upper left corner and the size of each chart in texels, padding included.
    """
    low, high = 0.0, resolution / np.sqrt(sizes.prod(axis=1).sum())
    best = None
    for _ in range(24):
        density = (low + high) / 2
        placed = _shelves(sizes, density, resolution)
        if placed is None:
            high = density
        else:
            low, best = density, placed
    if best is None:
        raise ValueError(f"{len(sizes)} parts do not fit a texture of {resolution}² texels; make it larger")
    return best


def _shelves(sizes: np.ndarray, density: float, resolution: int) -> tuple[np.ndarray, np.ndarray] | None:
    texels = np.ceil(sizes * density).astype(np.int64).clip(2) + 2 * PADDING
    texels[:, 0] = texels[:, 0].clip(max=resolution)
    origins = np.zeros_like(texels)
    x = y = shelf = 0
    for i in np.argsort(-texels[:, 1], kind="stable"):
        width, height = texels[i]
        if x + width > resolution:
            x, y, shelf = 0, y + shelf, 0
        if y + height > resolution:
            return None
        origins[i] = x, y
        x, shelf = x + width, max(shelf, height)
    return origins, texels


def _paint(
    parts: Sequence[Part],
    charts: Sequence[_Chart],
    origins: np.ndarray,
    sizes: np.ndarray,
    resolution: int,
    generator: np.random.Generator,
    finish: tuple[float, float],
) -> np.ndarray:
    """Textures [T, T, 5] uint8 (colour, roughness, metallic): each chart's material evaluated at its texels."""
    texture = np.zeros((resolution, resolution, 5))
    empty = np.ones((resolution, resolution), dtype=bool)
    jobs: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    materials = {id(part.material): part.material for part in parts}
    cuts = generator.uniform(-3, 3, size=(len(parts), 3))
    for part, chart, (x, y), (width, height), cut in zip(parts, charts, origins, sizes, cuts, strict=True):
        u = (np.arange(width) + 0.5 - PADDING) / (width - 2 * PADDING)
        v = (np.arange(height) + 0.5 - PADDING) / (height - 2 * PADDING)
        points = _sample(chart, u % 1.0, v % 1.0 if part.loop else v.clip(0, 1)).reshape(-1, 3)
        if part.grain is not None:
            points = points @ _upright(np.asarray(part.grain)).T + cut
        rows, columns = np.mgrid[y : y + height, x : x + width].reshape(2, -1)
        empty[rows, columns] = False
        jobs.setdefault(id(part.material), []).append((points, rows * resolution + columns))
    flat = texture.reshape(-1, 5)
    for key, pieces in jobs.items():
        points, places = (np.concatenate(column) for column in zip(*pieces, strict=True))
        material = materials[key]
        flat[places, :3] = material(points)
        flat[places, 3:] = material.finish(points) if isinstance(material, PBRMaterial) else finish
    texture[empty] = texture[~empty].mean(axis=0)
    return (texture.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _sample(chart: _Chart, u: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "h w 3"]:
    """Positions in space of the texels at columns `u` and rows `v` of the chart."""
    grid = np.concatenate([chart.grid, chart.grid[:, :1]], axis=1)
    column = np.interp(u, chart.u, np.arange(len(chart.u)))
    row = np.interp(v, chart.v, np.arange(len(chart.v)))
    left, top = (x.astype(np.int64).clip(0, n - 2) for x, n in ((column, grid.shape[1]), (row, grid.shape[0])))
    s, t = (column - left)[None, :, None], (row - top)[:, None, None]
    above = grid[top] * (1 - t) + grid[top + 1] * t
    return above[:, left] * (1 - s) + above[:, left + 1] * s


def _upright(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """A rotation that maps a direction to +Y."""
    up = direction / np.linalg.norm(direction)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    return np.stack([side, up, np.cross(side, up)])
