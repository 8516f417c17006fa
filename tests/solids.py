"""Meshes to export: a smooth one, a wild one that no simplifier leaves manifold, and a colour for every point."""

import functools

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

from get3d.isosurface import TetrahedralGrid, marching_tetrahedra
from get3d.meshes import Mesh


@functools.cache
def torus(resolution: int = 40, ring: float = 0.3, tube: float = 0.12) -> Mesh:
    """A torus around +Y, by marching tetrahedra."""
    grid = TetrahedralGrid(resolution, 1.0)
    x, y, z = grid.vertices.unbind(1)
    sdf = tube - torch.hypot(torch.hypot(x, z) - ring, y)
    return marching_tetrahedra(grid.vertices, sdf[None], grid.tetrahedra).split()[0]


@functools.cache
def sponge(seed: int, resolution: int = 40, blur: float = 1.5, level: float = 0.8) -> Mesh:
    """Where smoothed noise is above a level: many small parts, thin necks and walls, closed."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(32, 32, 32)), blur)
    noise = np.pad(noise / noise.std() - level, 1, constant_values=-1.0)
    grid = TetrahedralGrid(resolution, 1.0)
    place = (grid.vertices.numpy().T + 0.5) * 33
    sdf = torch.from_numpy(map_coordinates(noise, place, order=1)).float()
    return marching_tetrahedra(grid.vertices, sdf[None], grid.tetrahedra).split()[0]


def ripples(points: Tensor) -> Tensor:
    """A smooth colour in [-0.9, 0.9] that differs at every place; nowhere near black."""
    mix = points.new_tensor([[9.0, 0.0, 7.0], [2.0, 8.0, 0.0], [0.0, 3.0, 10.0]])
    return 0.1 + 0.6 * torch.sin(points @ mix)


def painted_ripples(points: Tensor) -> dict[str, Tensor]:
    """A material of that colour."""
    return {"base_color": ripples(points)}


def soup(triangles: list[list[int]], positions: list[list[float]]) -> Mesh:
    return Mesh(torch.tensor(positions, dtype=torch.float32), torch.tensor(triangles))
