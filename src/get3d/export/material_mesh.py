"""Meshes with the textures of a material, which the writers of all formats take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from get3d.color import srgb_to_linear, unit_to_bytes
from get3d.materials import BASE_COLOR, CHANNELS
from get3d.meshes import Mesh

__all__ = ["MaterialMesh", "sample_texture"]


@dataclass(frozen=True)
class MaterialMesh:
    """A mesh with the textures of its material: what files are written from. All tensors are on the CPU.

    Vertices on texture seams are repeated for each side, with the same position and normal.

    Attributes:
        vertices: [V, 3] positions, +Y up.
        faces: [F, 3] vertex indices, counter-clockwise seen from outside.
        normals: [V, 3] unit normals, outward.
        uv: [V, 2] texture coordinates; (0, 0) is the lower left corner, (1, 1) the upper right. Outside, textures
            repeat.
        textures: by channel name (`get3d.materials.CHANNELS`), [H, W, components] bytes with the first row on top,
            encoded as in files: base colour is sRGB.
        constants: by channel name, components in [0, 1] as in files, for channels without a texture. A channel in
            neither has its default.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    uv: Float[Tensor, "v 2"]
    textures: Mapping[str, UInt8[Tensor, "_ _ _"]]
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there are no faces, so that there is nothing to save."""
        return self.faces.shape[0] == 0

    @property
    def mesh(self) -> Mesh:
        """The mesh without textures, with vertices split at seams (`get3d.export.weld` merges them)."""
        return Mesh(self.vertices, self.faces)

    @property
    def texture(self) -> UInt8[Tensor, "h w 3"]:
        """The base colour, sRGB; a single texel if it is a constant."""
        texture = self.textures.get(BASE_COLOR)
        return unit_to_bytes(torch.tensor([[self.constant(BASE_COLOR)]])) if texture is None else texture

    def constant(self, channel: str) -> tuple[float, ...]:
        """The constant of a channel, for use without a texture."""
        return tuple(self.constants.get(channel, CHANNELS[channel].default))

    def linear_constant(self, channel: str) -> list[float]:
        """The constant in linear form: a colour is decoded, as the factors of all formats require."""
        value = torch.tensor(self.constant(channel), dtype=torch.float64)
        numbers: list[float] = (srgb_to_linear(value) if CHANNELS[channel].color_space == "srgb" else value).tolist()
        return numbers


def sample_texture(texture: UInt8[Tensor, "h w c"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Samples a texture as renderers do: bilinear between texel centres, repeating, with values in [0, 1]."""
    height, width = texture.shape[:2]
    x = uv[:, 0] * width - 0.5
    y = (1 - uv[:, 1]) * height - 0.5
    left, top = x.floor(), y.floor()
    across, down = (x - left)[:, None], (y - top)[:, None]
    columns = [(left.long() + step) % width for step in (0, 1)]
    rows = [(top.long() + step) % height for step in (0, 1)]
    above, below = (texture[row, columns[0]] * (1 - across) + texture[row, columns[1]] * across for row in rows)
    return (above * (1 - down) + below * down) / 255
