"""Extracting surfaces from fields on a grid, compared with textbook versions."""

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.benchmarks import plain_surface
from get3d.benchmarks.rows import Row, compared
from get3d.benchmarks.timing import side_by_side
from get3d.isosurface import ISOSURFACES, CubeGrid, TetrahedralGrid, flexicubes, marching_tetrahedra

__all__ = ["rows"]

GROUP = "Surfaces from fields, forward and backward, compared with a textbook version shape by shape"


def rows(shapes: int, resolution: int, repeats: int, device: torch.device) -> list[Row]:
    """Marching tetrahedra and FlexiCubes of smooth fields, on deformed grids.

    Args:
        shapes: fields of a batch.
        resolution: of the grid.
        repeats: of each measurement.
        device: where to compute.
    """
    size = f"{shapes} shapes, grid {resolution}"
    tetrahedra = _tetrahedra(shapes, resolution, repeats, device)
    cubes = _cubes(shapes, resolution, repeats, device)
    return [
        compared(GROUP, f"{name}, {size}", times["ours"], "textbook", times["plain"], goal=5.0)
        for name, times in (("marching tetrahedra", tetrahedra), ("FlexiCubes", cubes))
    ]


def _tetrahedra(shapes: int, resolution: int, repeats: int, device: torch.device) -> dict[str, float]:
    grid = TetrahedralGrid(resolution).to(device)
    vertices, sdf = _deformed(grid.vertices, shapes, 0.3 / resolution), _bumpy(grid.vertices, shapes)

    def ours() -> None:
        points = marching_tetrahedra(vertices, sdf, grid.tetrahedra, grid.topology).vertices
        torch.autograd.grad(points.square().sum(), [vertices, sdf])

    def plain() -> None:
        points = [
            plain_surface.marching_tetrahedra(vertices[i], sdf[i], grid.tetrahedra)[0].square().sum()
            for i in range(shapes)
        ]
        torch.autograd.grad(torch.stack(points).sum(), [vertices, sdf])

    return side_by_side(device, repeats, ours=ours, plain=plain)


def _cubes(shapes: int, resolution: int, repeats: int, device: torch.device) -> dict[str, float]:
    grid = CubeGrid(resolution).to(device)
    vertices, sdf = _deformed(grid.vertices, shapes, 0.3 / resolution), _bumpy(grid.vertices, shapes)
    inner = sdf.detach().neg().requires_grad_(True)  # FlexiCubes has the inside negative.
    generator = torch.Generator().manual_seed(1)
    wanted = ISOSURFACES["flexicubes"].cell_values
    weights = torch.randn(shapes, len(grid.cubes), wanted, generator=generator).to(device).requires_grad_(True)
    tables = plain_surface.cube_tables()
    floats = [vertices, inner, weights]

    def ours() -> None:
        beta, alpha, gamma = weights.split([12, 8, 1], dim=-1)
        meshes, l_dev = flexicubes(vertices, inner, grid.cubes, beta, alpha, gamma[..., 0], resolution, training=True)
        torch.autograd.grad(meshes.vertices.square().sum() + l_dev.sum(), floats)

    def plain() -> None:
        beta, alpha, gamma = weights.split([12, 8, 1], dim=-1)
        losses = []
        for i in range(shapes):
            (points, _), l_dev = plain_surface.flexicubes(
                vertices[i], inner[i], grid.cubes, beta[i], alpha[i], gamma[i, :, 0], resolution, True, tables
            )
            losses.append(points.square().sum() + l_dev)
        torch.autograd.grad(torch.stack(losses).sum(), floats)

    return side_by_side(device, repeats, ours=ours, plain=plain)


def _deformed(points: Float[Tensor, "v 3"], shapes: int, most: float) -> Float[Tensor, "b v 3"]:
    """A grid of its own for each shape, each vertex moved by up to `most` along each axis; a leaf for gradients."""
    shift = torch.rand(shapes, *points.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return (points + most * shift.to(points.device)).requires_grad_(True)


def _bumpy(points: Float[Tensor, "v 3"], shapes: int) -> Float[Tensor, "b v"]:
    """Balls with waves on them, each with its own, positive inside; a leaf for gradients."""
    generator = torch.Generator().manual_seed(0)
    waves, phases = (
        12 * torch.randn(shapes, 4, 3, generator=generator),
        6.28 * torch.rand(shapes, 4, generator=generator),
    )
    angle = points @ waves.to(points.device).mT + phases.to(points.device)[:, None]
    return (0.33 + 0.03 * angle.sin().sum(2) - points.norm(dim=1)).requires_grad_(True)
