"""Fields on the grid: planes sampled once per row and column, compared with sampling at every vertex."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from get3d.benchmarks import plain_fields
from get3d.benchmarks.rows import Row, at_most, compared
from get3d.benchmarks.timing import side_by_side
from get3d.isosurface import TetrahedralGrid
from get3d.networks import PlanesConfig
from get3d.networks.fields import Head, PlaneGeometry, TriPlanes
from get3d.networks.layers import Linear

__all__ = ["rows"]

GROUP = "Fields on the grid, forward and backward, compared with sampling every vertex"
HIDDEN, OUTPUTS = 64, 4
"""Sizes of the head: 32 hidden features each for SDF and deformation; one value and three."""


def rows(shapes: int, resolution: int, repeats: int, device: torch.device) -> list[Row]:
    """SDF and deformation at the grid's vertices, from random planes of the published size.

    Args:
        shapes: fields of a batch.
        resolution: of the grid.
        repeats: of each measurement.
        device: where to compute.
    """
    grid = TetrahedralGrid(resolution).to(device)
    geometry = _random_geometry(shapes, device)
    features = geometry.planes.features
    layers = [(layer.weights, layer.bias) for layer in geometry.head.layers]
    leaves = [features, *(tensor for layer in layers for tensor in layer)]

    def separable() -> Tensor:
        values = geometry.on_lattices(grid.lattices)
        return torch.cat([torch.cat([part.sdf, part.deformation], dim=2) for part in values], dim=1)

    def everywhere() -> Tensor:
        return plain_fields.evaluate(features, layers, grid.vertices, geometry.planes.size)

    times = side_by_side(
        device,
        repeats,
        ours=lambda: torch.autograd.grad(separable().square().sum(), leaves),
        plain=lambda: torch.autograd.grad(everywhere().square().sum(), leaves),
    )
    with torch.no_grad():
        difference = float((separable() - everywhere()).abs().max())
    size = f"{shapes} shapes, grid {resolution}"
    return [
        compared(GROUP, f"SDF and deformation, {size}", times["ours"], "every vertex", times["plain"], goal=4.0),
        Row(GROUP, "largest difference of the values", result=difference, goal=at_most(1e-5)),
    ]


def _random_geometry(shapes: int, device: torch.device) -> PlaneGeometry:
    """Random planes and a random head; all its tensors are leaves for gradients."""
    generator = torch.Generator().manual_seed(0)
    sizes = PlanesConfig()
    side, channels = sizes.resolution, sizes.channels

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    features = random(shapes, side, side, 3, channels).permute(0, 3, 4, 1, 2).requires_grad_(True)
    widths = pairwise((channels, HIDDEN, OUTPUTS))
    layers = [
        Linear((random(shapes, o, i) / math.sqrt(i)).requires_grad_(True), random(o).requires_grad_(True))
        for i, o in widths
    ]
    return PlaneGeometry(TriPlanes(features, size=1.0), Head(tuple(layers)), cell_head=None)
