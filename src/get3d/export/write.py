"""Textured meshes, ready to be saved; `formats` has the file formats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from get3d.color import srgb_to_linear, unit_to_bytes
from get3d.html import PageObject, document, embedded_objects, frame
from get3d.materials import BASE_COLOR, CHANNELS
from get3d.meshes import Mesh

__all__ = ["TexturedMesh", "sample_texture"]


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh with textures, ready to be saved. All tensors are on the CPU.

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

    @classmethod
    def nothing(cls, device: torch.device) -> "TexturedMesh":
        """A mesh without faces, for a shape without a surface."""
        none = torch.empty(0, 3, device=device)
        texture = torch.zeros(1, 1, 3, dtype=torch.uint8, device=device)
        return cls(none, none.long(), none, none[:, :2], {BASE_COLOR: texture})

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

    def _repr_html_(self) -> str:
        """The object as notebooks show it: to turn, without a network, also when the notebook is opened again."""
        from get3d.export.gltf import glb_bytes

        if self.empty:
            return "<p>No face, so there is nothing to see.</p>"
        _require_complete(self)
        shown = PageObject("Object", [f"{len(self.faces):,} triangles"], glb=glb_bytes(self))
        return frame(document("Object", embedded_objects({"": [shown]})))

    def save(self, path: Path | str, size: float | None = None) -> None:
        """Writes the object in the format of the suffix.

        The formats are those of `get3d.export.FORMATS`. The same object gives the same bytes. A file is written
        completely or not at all. Files that are referenced by others are written first.

        Args:
            path: the file.
            size: longest side in millimetres for the printing formats (.stl, .3mf), which are scaled to it and rotated
                to +Z up; 100 by default. Other formats keep the units of the object.

        Raises:
            InputError: the suffix is unknown, the format has no size, a package is missing, or the file cannot be
                written.
            ValueError: the object has no face, numbers that are not finite, or channels that are not in the table.
        """
        # The writers take objects of this class, so they are looked up when it is known.
        from get3d.export.formats import write

        _require_complete(self)
        write(self, Path(path), size)


def _require_complete(textured: TexturedMesh) -> None:
    if textured.faces.shape[0] == 0:
        raise ValueError("a textured mesh without faces cannot be saved; check the mesh before it is textured")
    for name in ("vertices", "normals", "uv"):
        if not getattr(textured, name).isfinite().all():
            raise ValueError(f"{name} of the textured mesh hold numbers that are not finite; it cannot be saved")
    sizes = {name: texture.shape[2] for name, texture in textured.textures.items()}
    sizes |= {name: len(value) for name, value in textured.constants.items()}
    for name, components in sizes.items():
        if name not in CHANNELS:
            raise ValueError(f"there is no channel {name!r}; the channels are {', '.join(CHANNELS)}")
        if components != CHANNELS[name].components:
            raise ValueError(f"{name} has {components} components; the channel has {CHANNELS[name].components}")
    for name, value in textured.constants.items():
        if not all(0 <= component <= 1 for component in value):
            raise ValueError(f"the constant of {name} is {value}; it must be in [0, 1]")


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
