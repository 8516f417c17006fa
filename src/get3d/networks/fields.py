"""Fields: signed distance, deformation and colour of shapes as functions of space.

A synthesis network turns styles into `Fields`: plain tensors that can be evaluated at points, on lattices and at the
visible points of images. Points are looked up relative to the cube [−size/2, size/2]³. Gradients flow to points too,
where they ask for them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from get3d.devices import full_precision
from get3d.materials import BASE_COLOR, initial_outputs, split
from get3d.networks.config import UnifiedConfig
from get3d.networks.layers import SLOPE, Linear, ModulatedDense, ModulatedOutput, clamped
from get3d.networks.lookup import Corners, linear_corners, separable_head, weighted_rows
from get3d.networks.planes import PlaneSynthesis
from get3d.networks.waves import WaveNetwork, frequencies, wave_basis

__all__ = [
    "Fields",
    "GeometryField",
    "GeometryValues",
    "Head",
    "HeadNetwork",
    "PlaneGeometry",
    "PlaneTexture",
    "TriPlanes",
    "UnifiedConfig",
    "UnifiedSynthesis",
]

CELL_GAIN = 0.1
"""Scale of the last layer of the cell head, so that the values of new networks are near their neutral 0."""

BLOCK = 1024
"""Points evaluated together; the packed points of a shape are padded to a multiple of this."""


@dataclass(frozen=True)
class GeometryValues:
    """The values at points that surfaces are extracted from.

    Attributes:
        sdf: signed distance, positive inside.
        deformation: how far the points move, before tanh.
    """

    sdf: Float[Tensor, "n p 1"]
    deformation: Float[Tensor, "n p 3"]


@runtime_checkable
class GeometryField(Protocol):
    """Where the surfaces of n shapes are."""

    def at(self, points: Float[Tensor, "n p 3"]) -> GeometryValues:
        """Values at points of each shape."""
        ...

    def on_lattices(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[GeometryValues]:
        """Values of all shapes on lattices of m³ points (axis[i], axis[j], axis[k]), numbered (i·m + j)·m + k."""
        ...

    def cell_values(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "n c k"]:
        """Values of the (m − 1)³ cubic cells between the points of a lattice, numbered in the same order.

        Raises:
            ValueError: the network was built without them.
        """
        ...


@dataclass(frozen=True)
class Head:
    """The dense layers between features and values, for n shapes; leaky ReLU between them, linear after the last.

    Attributes:
        layers: first to last. The √2 that follows each leaky ReLU is part of the layer before it.
    """

    layers: tuple[Linear, ...]

    def __call__(self, x: Float[Tensor, "n p i"]) -> Float[Tensor, "n p o"]:
        """Values of features, shape by shape."""
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), SLOPE)
        return self.layers[-1](x)

    def select(self, shape: Int[Tensor, " b"]) -> "Head":
        """The layers of some shapes, by their indices."""
        return Head(tuple(layer.select(shape) for layer in self.layers))

    def concat(self, other: "Head") -> "Head":
        """One head that gives the values of both, concatenated; both have one hidden layer and the same inputs."""
        (first, last), (first2, last2) = self.layers, other.layers
        padded = F.pad(last.weights, (0, last2.weights.shape[2])), F.pad(last2.weights, (last.weights.shape[2], 0))
        return Head(
            (
                Linear(torch.cat([first.weights, first2.weights], dim=1), torch.cat([first.bias, first2.bias])),
                Linear(torch.cat(padded, dim=1), torch.cat([last.bias, last2.bias])),
            )
        )


@dataclass(frozen=True)
class TriPlanes:
    """Three planes of features for each of n shapes: (x, y), (y, z) and (x, z).

    A point's features are the sum of what it finds on the three, bilinear with half-pixel centres, zeros outside.

    Attributes:
        features: [n, 3, c, r, r], kept channels-last; a plane's first coordinate runs along its width (the last axis).
        size: side of the cube that the planes span.
    """

    features: Float[Tensor, "n 3 c r r"]
    size: float

    def at(self, points: Float[Tensor, "b p 3"], shape: Int[Tensor, " b"]) -> Float[Tensor, "b p c"]:
        """Features at points that lie, row by row, in the shapes of the given numbers."""
        table = self._texels.flatten(0, 3)
        resolution = self.features.shape[-1]
        corners = self._corners(points.flatten(0, 1).T.contiguous())
        first = (shape.int() * resolution**2).repeat_interleave(points.shape[1])
        columns, lines = corners.texel, corners.texel * resolution + first
        axes = ((0, 1), (1, 2), (0, 2))
        rows = [3 * (lines[:, None, v] + columns[:, u]) + plane for plane, (u, v) in enumerate(axes)]
        weights = [corners.weight[:, None, v] * corners.weight[:, u] for u, v in axes]
        by_point = (torch.stack(parts).flatten(0, 2).T.contiguous() for parts in (rows, weights))
        return weighted_rows(table, *by_point).view(*points.shape[:2], table.shape[1])

    def on_grids(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[tuple[Float[Tensor, "n m m c"], ...]]:
        """The features of each plane at the m² points (axis[i], axis[j]), [:, j, i], with j along the height.

        All axes are looked up at once: the planes' gradient, which is large, is then made once.
        """
        found = [self._on_grid(axis) for axis in axes]
        rows, weights = (torch.cat([part.flatten(0, -2) for part in parts]) for parts in zip(*found, strict=True))
        sampled = weighted_rows(self._texels.flatten(0, 2).flatten(1), rows, weights)
        shape = self.features.shape
        sizes = [shape[0] * len(axis) ** 2 for axis in axes]
        return [
            part.view(shape[0], len(axis), len(axis), 3, shape[2]).unbind(3)
            for axis, part in zip(axes, sampled.split(sizes), strict=True)
        ]

    def _on_grid(self, axis: Float[Tensor, " m"]) -> tuple[Int[Tensor, "n m m 4"], Float[Tensor, "n m m 4"]]:
        """The texels around the points of a grid, and the weight of each."""
        n, resolution, m = self.features.shape[0], self.features.shape[-1], len(axis)
        corners = self._corners(axis)
        texel, weight = corners.texel.T, corners.weight.T
        shapes = torch.arange(n, device=axis.device, dtype=torch.int32) * resolution**2
        rows = texel[:, None, :, None] * resolution + texel[:, None, :]
        weights = weight[:, None, :, None] * weight[:, None, :]
        rows = shapes[:, None, None, None, None] + rows
        return rows.view(n, m, m, 4), weights.expand(n, -1, -1, -1, -1).reshape(n, m, m, 4)

    @property
    def _texels(self) -> Float[Tensor, "n r r 3 c"]:
        return self.features.permute(0, 3, 4, 1, 2)

    def _corners(self, coordinates: Float[Tensor, "*c p"]) -> Corners:
        resolution = self.features.shape[-1]
        position = (coordinates / self.size + 0.5).clamp(0, 1) * resolution - 0.5
        return linear_corners(position, resolution)


@dataclass(frozen=True)
class PlaneGeometry:
    """Surfaces of n shapes, from tri-planes.

    Attributes:
        planes: the features.
        head: features → (signed distance, deformation), one hidden layer.
        cell_head: features of a cube's eight corners, concatenated (x fastest, then y, then z) → values of the cell,
            one hidden layer; None where the network was built without.
    """

    planes: TriPlanes
    head: Head
    cell_head: Head | None

    @full_precision
    def at(self, points: Float[Tensor, "n p 3"]) -> GeometryValues:
        """Values at points of each shape."""
        return _geometry(self.head(self.planes.at(points, _all_shapes(points))))

    @full_precision
    def on_lattices(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[GeometryValues]:
        """Values of all shapes on lattices of m³ points (axis[i], axis[j], axis[k]), numbered (i·m + j)·m + k.

        A point's feature is a sum of one per plane, so planes are sampled, and the first layer applied, at m² points.
        """
        first, last = self.head.layers
        values = []
        for planes in self.planes.on_grids(axes):
            xy, yz, xz = (_pointwise(sampled, first.weights) for sampled in planes)
            values.append(_geometry(separable_head(xy + first.bias, yz, xz, last.weights, last.bias)))
        return values

    @full_precision
    def cell_values(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "n c k"]:
        """Values of the (m − 1)³ cubic cells between the points of a lattice, numbered in the same order.

        The first layer on eight corners is, per plane, a layer on four, with the weights summed along the axis that the
        plane lacks.

        Raises:
            ValueError: the network was built without them.
        """
        if self.cell_head is None:
            raise ValueError("this network has no values for cells; build it with cell_values")
        first, last = self.cell_head.layers
        corners = first.weights.unflatten(2, (2, 2, 2, -1))
        (sampled_planes,) = self.planes.on_grids([axis])
        planes = zip(sampled_planes, (2, 4, 3), strict=True)
        xy, yz, xz = (_at_corners(sampled, corners.sum(absent)) for sampled, absent in planes)
        return separable_head(xy + first.bias, yz, xz, last.weights, last.bias)


@dataclass(frozen=True)
class PlaneTexture:
    """The texture of n shapes, from tri-planes.

    Attributes:
        planes: the features.
        head: features → texture features.
        to_rgb: texture features → values of the channels, one after the other.
        channels: names of the channels, rows of `get3d.materials.CHANNELS`; base colour, RGB, is the first.
        waves: amplitudes of waves of the position, see `wave_basis`, which are added to the values; None for none.
    """

    planes: TriPlanes
    head: Head
    to_rgb: Linear
    channels: tuple[str, ...] = (BASE_COLOR,)
    waves: Float[Tensor, "n f k"] | None = None

    @full_precision
    def at(self, points: Float[Tensor, "n p 3"]) -> dict[str, Float[Tensor, "n p _"]]:
        """Of each channel its values, about in the network's range, at points of each shape."""
        return split(self._of_shapes(points, _all_shapes(points)), self.channels)

    @full_precision
    def at_packed(self, points: Float[Tensor, "p 3"], shape: Int[Tensor, " p"]) -> dict[str, Float[Tensor, "p _"]]:
        """The same at points of many shapes, one after the other.

        Args:
            points: positions.
            shape: the number of the shape that each point belongs to, ascending.
        """
        numbers = torch.arange(self.to_rgb.weights.shape[0] + 1, device=shape.device)
        counts = torch.searchsorted(shape, numbers).diff()
        blocks = (counts + BLOCK - 1) // BLOCK
        block_shape = torch.repeat_interleave(blocks)
        shift = (blocks.cumsum(0) - blocks) * BLOCK - (counts.cumsum(0) - counts)
        slot = torch.arange(len(points), device=points.device) + shift[shape]
        filled = points.new_zeros(len(block_shape) * BLOCK, 3).index_copy(0, slot, points)
        values = self._of_shapes(filled.view(-1, BLOCK, 3), block_shape)
        return split(values.flatten(0, 1)[slot], self.channels)

    def _of_shapes(self, points: Float[Tensor, "b p 3"], shape: Int[Tensor, " b"]) -> Float[Tensor, "b p c"]:
        values = self.to_rgb.select(shape)(self.head.select(shape)(self.planes.at(points, shape)))
        if self.waves is not None:
            waves = self.waves[shape]
            values = torch.baddbmm(values, wave_basis(points, self.planes.size, frequencies(waves.shape[1])), waves)
        return clamped(values)


@dataclass(frozen=True)
class Fields:
    """The output of a synthesis network for n pairs of styles: geometry and texture."""

    geometry: GeometryField
    texture: PlaneTexture


class HeadNetwork(nn.Module):
    """Makes heads from styles: modulated dense layers, one style each.

    Args:
        widths: number of inputs, of each hidden layer, and of outputs.
        style: size of the style code.
        gain: factor of the outputs.
    """

    def __init__(self, *widths: int, style: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.layers = nn.ModuleList(ModulatedDense(i, o, style=style) for i, o in pairwise(widths))

    def forward(self, styles: Float[Tensor, "n l s"]) -> Head:
        """The head for given styles, the first for the first layer; styles left over are not used."""
        layers = [layer(styles[:, number]) for number, layer in enumerate(self.layers)]
        return Head((*(layer.scaled(math.sqrt(2)) for layer in layers[:-1]), layers[-1].scaled(self.gain)))


class UnifiedSynthesis(nn.Module):
    """From styles to fields, both from the same features: geometry and texture tri-planes, and their heads.

    Geometry styles go to the convolutions and geometry read-outs of the planes, and the last two to the heads; texture
    styles to the texture read-outs, the last two to the texture head, the very last also to the colour layer.

    Attributes:
        num_geometry_styles: how many geometry styles it takes.
        num_texture_styles: how many texture styles it takes.
    """

    def __init__(self, config: UnifiedConfig, *, style: int, size: float, cell_values: int) -> None:
        super().__init__()
        channels = config.planes.channels
        self.size = size
        self.planes = PlaneSynthesis(config.planes, style=style, kinds=2)
        self.sdf_head = HeadNetwork(channels, channels, 1, style=style)
        self.deformation_head = HeadNetwork(channels, channels, 3, style=style)
        self.cell_head = (
            HeadNetwork(8 * channels, channels, cell_values, style=style, gain=CELL_GAIN) if cell_values else None
        )
        self.texture_head = HeadNetwork(channels, channels, config.texture_features, style=style)
        self.channels = config.channels
        first = initial_outputs(config.channels)
        self.to_rgb = ModulatedOutput(config.texture_features, len(first), style=style, initial=first)
        count = config.texture_frequencies
        self.waves = WaveNetwork(count, len(first), style=style) if count else None
        self.num_geometry_styles = self.planes.num_styles + 2
        self.num_texture_styles = self.planes.num_extra_styles + 2

    @property
    def texture(self) -> nn.Module:
        """The layers that only the texture hangs on."""
        parts = (self.planes.read_outs(1), self.texture_head, self.to_rgb, self.waves)
        return nn.ModuleList(part for part in parts if part is not None)

    def forward(self, geometry: Float[Tensor, "n g s"], texture: Float[Tensor, "n t s"]) -> Fields:
        """The fields of n shapes from their geometry and texture styles."""
        geometry, of_heads = geometry[:, :-2], geometry[:, -2:]
        texture, of_texture = texture[:, :-2], texture[:, -2:]
        geometry_planes, texture_planes = self.planes(geometry, texture)
        return Fields(
            geometry=PlaneGeometry(
                TriPlanes(geometry_planes, self.size),
                self.sdf_head(of_heads).concat(self.deformation_head(of_heads)),
                self.cell_head(of_heads) if self.cell_head is not None else None,
            ),
            texture=PlaneTexture(
                TriPlanes(texture_planes, self.size),
                self.texture_head(of_texture),
                self.to_rgb.at(of_texture[:, -1]),
                self.channels,
                None if self.waves is None else self.waves(of_texture[:, -1]),
            ),
        )


def _geometry(values: Float[Tensor, "n p 4"]) -> GeometryValues:
    return GeometryValues(values[..., :1], values[..., 1:])


def _all_shapes(points: Float[Tensor, "n p 3"]) -> Int[Tensor, " n"]:
    return torch.arange(points.shape[0], device=points.device)


def _pointwise(sampled: Float[Tensor, "n v u c"], weight: Float[Tensor, "n h c"]) -> Float[Tensor, "n v u h"]:
    """A layer without bias, applied at every point of a sampled plane."""
    return (sampled.flatten(1, 2) @ weight.transpose(1, 2)).unflatten(1, sampled.shape[1:3])


def _at_corners(sampled: Float[Tensor, "n v u c"], weight: Float[Tensor, "n h 2 2 c"]) -> Float[Tensor, "n _ _ h"]:
    """A layer without bias on the four corners of every square of a sampled plane; weight[:, :, v, u] is a corner's."""
    rows, columns = sampled.shape[1] - 1, sampled.shape[2] - 1
    squares = [sampled[:, v : v + rows, u : u + columns] for v, u in product((0, 1), repeat=2)]
    return _pointwise(torch.cat(squares, dim=3), weight.flatten(2))
