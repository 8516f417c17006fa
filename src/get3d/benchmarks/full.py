"""The full-size generator: tri-planes compared with the arithmetic of their convolutions, and planes to meshes."""

import torch
from torch import Tensor

from get3d.benchmarks import generation, plain_fields, plain_surface
from get3d.benchmarks.rows import Row, at_least, compared
from get3d.benchmarks.timing import side_by_side
from get3d.devices import keep_memory
from get3d.generator import Generator, GeneratorConfig
from get3d.isosurface import TetrahedralGrid
from get3d.networks import UnifiedSynthesis
from get3d.networks.fields import PlaneGeometry
from get3d.networks.layers import ModulatedConv, ModulatedOutput
from get3d.networks.planes import PlaneSynthesis

__all__ = ["convolution_flops", "rows"]

GROUP = "The full-size generator"
BATCH = 2
SIDE = 4096
"""Of the matrices whose product tells the machine's rate."""


def rows(config: GeneratorConfig, faces: int, texture: int, repeats: int, device: torch.device) -> list[Row]:
    """A fresh unified generator on tetrahedra: its tri-planes, surfaces from them, and textured objects. Keeps memory.

    Args:
        config: of the generator.
        faces: most of an object.
        texture: side of its texture in texels.
        repeats: of each measurement.
        device: where to compute.
    """
    keep_memory()
    torch.manual_seed(0)
    generator = Generator(config).to(device).eval()
    return [
        *_planes_and_meshes(generator, BATCH, repeats, device),
        *generation.rows("the full-size generator, untrained", generator, faces, texture, repeats, goals=True),
    ]


@torch.no_grad()
def _planes_and_meshes(generator: Generator, shapes: int, repeats: int, device: torch.device) -> list[Row]:
    styles = generator.styles(generator.sample_latents(shapes, 0))
    synthesis, grid, geometry = generator.synthesis, generator.isosurface.grid, generator.fields(styles).geometry
    if not (
        isinstance(synthesis, UnifiedSynthesis)
        and isinstance(grid, TetrahedralGrid)
        and isinstance(geometry, PlaneGeometry)
    ):
        raise ValueError("only unified generators on tetrahedra are measured")
    matrix = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    times = side_by_side(
        device, repeats, planes=lambda: generator.fields(styles), product=lambda: torch.mm(matrix, matrix)
    )
    flops, rate = convolution_flops(synthesis.planes, shapes), 2 * SIDE**3 / times["product"]
    planes = Row(
        GROUP,
        f"tri-planes, {shapes} shapes",
        times["planes"],
        {"only convolutions": flops / rate},
        flops / rate / times["planes"],
        "×",
        at_least(1.0),
        note=f"{flops / 1e9:.0f} GFLOP, matrix products at {rate / 1e9:.0f} GFLOP/s",
    )
    times = side_by_side(
        device,
        repeats,
        ours=lambda: generator.isosurface(geometry),
        plain=lambda: _plain_meshes(geometry, grid),
    )
    name = f"planes to meshes, {shapes} shapes, grid {grid.resolution}"
    return [planes, compared(GROUP, name, times["ours"], "plain", times["plain"], goal=4.0)]


def convolution_flops(planes: PlaneSynthesis, shapes: int) -> int:
    """What the convolutions of tri-planes take, 3×3 and 1×1: two operations for each weight at each position.

    Convolutions that double the resolution have a position for each pixel of their input.
    """
    total = 0
    for block in planes.blocks.children():
        layers = list(block.modules())
        convolutions = [layer for layer in layers if isinstance(layer, ModulatedConv)]
        side = convolutions[-1].noise_image.shape[0]
        total += sum(layer.weight.numel() * side**2 // (4 if layer.up else 1) for layer in convolutions)
        total += sum(layer.weight.numel() * side**2 for layer in layers if isinstance(layer, ModulatedOutput))
    return 2 * shapes * total


def _plain_meshes(geometry: PlaneGeometry, grid: TetrahedralGrid) -> list[tuple[Tensor, Tensor]]:
    """The meshes of tri-planes: every vertex of the grid looked up, every shape extracted by itself."""
    layers = [(layer.weights, layer.bias) for layer in geometry.head.layers]
    values = plain_fields.evaluate(geometry.planes.features, layers, grid.vertices, geometry.planes.size)
    vertices = grid.vertices + values[..., 1:].tanh() / grid.resolution
    return [
        plain_surface.marching_tetrahedra(points, sdf, grid.tetrahedra)
        for points, sdf in zip(vertices, values[..., 0], strict=True)
    ]
