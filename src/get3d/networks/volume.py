"""The separate generator: geometry from feature volumes, texture from tri-planes of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from get3d.devices import full_precision
from get3d.materials import initial_outputs
from get3d.networks.config import SeparateConfig, VolumeConfig
from get3d.networks.fields import (
    CELL_GAIN,
    Fields,
    GeometryValues,
    Head,
    HeadNetwork,
    PlaneTexture,
    TriPlanes,
)
from get3d.networks.layers import SLOPE, Dense, ModulatedOutput, clamped_lrelu, demodulation, energy
from get3d.networks.lookup import linear_corners, weighted_rows
from get3d.networks.planes import PlaneSynthesis
from get3d.networks.waves import WaveNetwork

__all__ = ["SeparateConfig", "SeparateSynthesis", "Volume", "VolumeConfig", "VolumeGeometry", "VolumeSynthesis"]

POSITION = 6
"""Size of the position encoding of a volume's head: sine and cosine of three coordinates."""

CHUNK = 2**16
"""Points evaluated by the wide heads at once."""


@dataclass(frozen=True)
class Volume:
    """Features in a cube, for n shapes; trilinear between texels, the outermost of which lie on the cube's faces.

    Attributes:
        features: [n, c, r, r, r], kept channels-last; x runs along the last axis.
        size: side of the cube.
    """

    features: Float[Tensor, "n c r r r"]
    size: float

    def at(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p c"]:
        """Features at points of each shape."""
        n, resolution = self.features.shape[0], self.features.shape[-1]
        position = (points / self.size + 0.5).clamp(0, 1) * (resolution - 1)
        corners = linear_corners(position.flatten(0, 1).T.contiguous(), resolution)
        (x, y, z), (x_weight, y_weight, z_weight) = corners.texel.unbind(1), corners.weight.unbind(1)
        shape = torch.arange(n, device=points.device, dtype=torch.int32).repeat_interleave(points.shape[1])
        rows = ((shape * resolution + z)[:, None] * resolution + y)[:, :, None] * resolution + x
        weights = (z_weight[:, None] * y_weight)[:, :, None] * x_weight
        rows, weights = (t.flatten(0, 2).T.contiguous() for t in (rows, weights))
        table = self.features.permute(0, 2, 3, 4, 1).flatten(0, 3)
        return weighted_rows(table, rows, weights).view(n, points.shape[1], table.shape[1])


@dataclass(frozen=True)
class VolumeGeometry:
    """Surfaces of n shapes, from two volumes.

    Attributes:
        sdf: features for the signed distance.
        sdf_head: where a point is, and its features → signed distance.
        deformation: features for the deformation.
        deformation_head: the same → deformation.
        cell_head: deformation features of a cube's eight corners, concatenated (x fastest, then y, then z) →
            FlexiCubes' weights, one hidden layer; None where the network was built without.
    """

    sdf: Volume
    sdf_head: Head
    deformation: Volume
    deformation_head: Head
    cell_head: Head | None

    @full_precision
    def at(self, points: Float[Tensor, "n p 3"]) -> GeometryValues:
        """Values at points of each shape."""
        chunks = points.split(CHUNK, dim=1)
        sdf = [self.sdf_head(_located(self.sdf, chunk)) for chunk in chunks]
        deformation = [self.deformation_head(_located(self.deformation, chunk)) for chunk in chunks]
        return GeometryValues(torch.cat(sdf, dim=1), torch.cat(deformation, dim=1))

    @full_precision
    def on_lattices(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[GeometryValues]:
        """Values of all shapes on lattices of m³ points (axis[i], axis[j], axis[k]), numbered (i·m + j)·m + k."""
        return [self.at(self._lattice(axis)) for axis in axes]

    @full_precision
    def cell_values(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "n c k"]:
        """Values of the (m − 1)³ cubic cells between the points of a lattice, numbered in the same order.

        Raises:
            ValueError: the network was built without them.
        """
        if self.cell_head is None:
            raise ValueError("this network has no values for cells; build it with cell_values")
        first, last = self.cell_head.layers
        m, cubes = len(axis), len(axis) - 1
        features = self.deformation.at(self._lattice(axis))
        hidden = first.bias
        corners = first.weights.chunk(8, dim=2)
        for (z, y, x), weight in zip(product((0, 1), repeat=3), corners, strict=True):
            at_points = (features @ weight.transpose(1, 2)).unflatten(1, (m, m, m))
            hidden = hidden + at_points[:, x : x + cubes, y : y + cubes, z : z + cubes]
        return last(F.leaky_relu(hidden, SLOPE).flatten(1, 3))

    def _lattice(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "n m*m*m 3"]:
        points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).flatten(0, 2)
        return points.expand(self.sdf.features.shape[0], -1, -1)


class VolumeConv(nn.Module):
    """A 3×3×3 convolution; a style modulates its filters per sample, which are then demodulated.

    Bias, leaky ReLU (times √2), clamp to ±256. Published models carry a noise image that is never added; it is kept so
    that they can be written back.
    """

    def __init__(self, inputs: int, outputs: int, *, style: int, resolution: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Dense(style, inputs, bias=1.0)
        self.register_buffer("noise_strength", torch.zeros(()))
        self.register_buffer("noise_image", torch.zeros(resolution, resolution))

    def forward(self, x: Float[Tensor, "n i d h w"], style: Float[Tensor, "n s"]) -> Float[Tensor, "n o d h w"]:
        """Convolves; the resolution stays."""
        scale = self.affine(style)
        factor = (demodulation(energy(self.weight), scale) * math.sqrt(2)).to(x.dtype)
        y = F.conv3d(x * scale.to(x.dtype)[:, :, None, None, None], self.weight, padding=1)
        bias = (self.bias * math.sqrt(2)).to(x.dtype)[:, None, None, None]
        return clamped_lrelu(torch.addcmul(bias, y, factor[:, :, None, None, None]))


class VolumeBlock(nn.Module):
    """One resolution: upsampled features and a residual of two convolutions (at 4³: a constant, convolved once)."""

    def __init__(self, inputs: int, width: int, *, resolution: int, style: int) -> None:
        super().__init__()
        if inputs:
            self.skip = nn.Parameter(torch.randn(width, inputs, 1, 1, 1))
            self.conv0 = VolumeConv(inputs, width, style=style, resolution=resolution)
        else:
            self.constant = nn.Parameter(torch.randn(width, resolution, resolution, resolution))
        self.conv1 = VolumeConv(width, width, style=style, resolution=resolution)

    def forward(self, x: Tensor | None, styles: list[Tensor]) -> Tensor:
        """Features of this resolution, from those of half of it (None at 4³) and a style for each convolution."""
        if x is None:
            x = self.constant.expand(styles[0].shape[0], -1, -1, -1, -1)
            return self.conv1(x.contiguous(memory_format=torch.channels_last_3d), styles[0])
        skip = F.conv3d(x, self.skip * math.sqrt(0.5 / x.shape[1]))
        x, skip = (F.interpolate(t, scale_factor=2, mode="trilinear", align_corners=False) for t in (x, skip))
        return skip + self.conv1(self.conv0(x, styles[0]), styles[1]) * math.sqrt(0.5)


class VolumeSynthesis(nn.Module):
    """Features in a cube, and the dense layers that read them: one of the separate generator's two geometry networks.

    Args:
        config: sizes.
        style: size of the style code.
        hidden_layers: how many hidden layers read the features.
        outputs: how many values are read.
        size: side of the cube.

    Attributes:
        num_styles: how many styles it takes: one per convolution, then one per dense layer.
    """

    def __init__(self, config: VolumeConfig, *, style: int, hidden_layers: int, outputs: int, size: float) -> None:
        super().__init__()
        widths = config.widths()
        self.size = size
        self.blocks = nn.ModuleList(
            VolumeBlock(widths.get(resolution // 2, 0), width, resolution=resolution, style=style)
            for resolution, width in widths.items()
        )
        hidden = [config.hidden] * hidden_layers
        self.head = HeadNetwork(POSITION + widths[config.resolution], *hidden, outputs, style=style)
        self.num_convolutions = 2 * len(self.blocks) - 1
        self.num_styles = self.num_convolutions + hidden_layers + 1

    def forward(self, styles: Float[Tensor, "n l s"]) -> tuple[Volume, Head]:
        """Features, and the head that reads them; styles left over are not used."""
        x = self.blocks[0](None, [styles[:, 0]])
        for number, block in enumerate(self.blocks[1:]):
            x = block(x, [styles[:, 2 * number + 1], styles[:, 2 * number + 2]])
        return Volume(x.to(next(self.parameters()).dtype), self.size), self.head(styles[:, self.num_convolutions :])


class SeparateSynthesis(nn.Module):
    """From styles to fields, by separate networks: volumes for signed distance and deformation, planes for texture.

    Both volumes read the same geometry styles. Texture is modulated by texture and geometry style together, the last
    geometry style repeated for the layers that geometry does not have; the colour layer by the last texture style.

    Attributes:
        num_geometry_styles: how many geometry styles it takes.
        num_texture_styles: how many texture styles it takes.
    """

    def __init__(self, config: SeparateConfig, *, style: int, size: float, cell_values: int) -> None:
        super().__init__()
        channels, features = config.planes.channels, config.volume.widths()[config.volume.resolution]
        self.size = size
        self.sdf = VolumeSynthesis(config.volume, style=style, hidden_layers=3, outputs=1, size=size)
        self.deformation = VolumeSynthesis(config.volume, style=style, hidden_layers=2, outputs=3, size=size)
        self.cell_head = (
            HeadNetwork(8 * features, features, cell_values, style=style, gain=CELL_GAIN) if cell_values else None
        )
        self.planes = PlaneSynthesis(config.planes, style=2 * style)
        self.texture_head = HeadNetwork(channels, channels, config.texture_features, style=2 * style)
        self.channels = config.channels
        first = initial_outputs(config.channels)
        self.to_rgb = ModulatedOutput(config.texture_features, len(first), style=style, initial=first)
        count = config.texture_frequencies
        self.waves = WaveNetwork(count, len(first), style=style) if count else None
        self.num_geometry_styles = self.sdf.num_styles
        self.num_texture_styles = self.planes.num_styles + 2

    @property
    def texture(self) -> nn.Module:
        """The layers that only the texture hangs on."""
        parts = (self.planes, self.texture_head, self.to_rgb, self.waves)
        return nn.ModuleList(part for part in parts if part is not None)

    def forward(self, geometry: Float[Tensor, "n g s"], texture: Float[Tensor, "n t s"]) -> Fields:
        """The fields of n shapes from their geometry and texture styles."""
        sdf, sdf_head = self.sdf(geometry)
        deformation, deformation_head = self.deformation(geometry)
        of_heads = geometry[:, self.deformation.num_convolutions :]
        missing = max(texture.shape[1] - geometry.shape[1], 0)
        repeated = torch.cat([geometry, geometry[:, -1:].expand(-1, missing, -1)], dim=1)
        both = torch.cat([texture, repeated[:, : texture.shape[1]]], dim=2)
        (planes,) = self.planes(both[:, :-2])
        return Fields(
            geometry=VolumeGeometry(
                sdf,
                sdf_head,
                deformation,
                deformation_head,
                self.cell_head(of_heads) if self.cell_head is not None else None,
            ),
            texture=PlaneTexture(
                TriPlanes(planes, self.size),
                self.texture_head(both[:, -2:]),
                self.to_rgb.at(texture[:, -1]),
                self.channels,
                None if self.waves is None else self.waves(texture[:, -1]),
            ),
        )


def _located(volume: Volume, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p c"]:
    """The position encoding of points, followed by their features."""
    angles = math.pi * points
    return torch.cat([torch.sin(angles), torch.cos(angles), volume.at(points)], dim=2)
