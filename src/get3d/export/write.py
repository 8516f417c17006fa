"""A finished object: a mesh, and what its surface looks like, as textures. `formats` has the files it is saved to."""

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
    """A mesh with images on it, ready to be saved. All tensors are on the CPU.

    A vertex on a seam of the texture comes once for each side, at the same position and with the same normal.

    Attributes:
        vertices: [V, 3] positions, +Y up.
        faces: [F, 3] vertex numbers, counter-clockwise seen from outside.
        normals: [V, 3] unit normals, outward.
        uv: [V, 2] places in the textures; (0, 0) is their lower left corner, (1, 1) their upper right; outside, they
            repeat.
        textures: by the channel's name (`get3d.materials.CHANNELS`), [H, W, components] bytes, the first row on top;
            encoded as the channel's files are: base colour is sRGB.
        constants: by the channel's name, components in [0, 1], as files hold them: what channels without a texture are
            everywhere; the channel's default where it is in neither.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    uv: Float[Tensor, "v 2"]
    textures: Mapping[str, UInt8[Tensor, "_ _ _"]]
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def nothing(cls, device: torch.device) -> "TexturedMesh":
        """What a shape without a surface comes to: no face."""
        none = torch.empty(0, 3, device=device)
        texture = torch.zeros(1, 1, 3, dtype=torch.uint8, device=device)
        return cls(none, none.long(), none, none[:, :2], {BASE_COLOR: texture})

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see or to save: no face."""
        return self.faces.shape[0] == 0

    @property
    def mesh(self) -> Mesh:
        """The bare mesh, its vertices numbered as here (seams split them; `get3d.export.weld` joins them again)."""
        return Mesh(self.vertices, self.faces)

    @property
    def texture(self) -> UInt8[Tensor, "h w 3"]:
        """The base colour, sRGB; a single texel where it is a constant."""
        texture = self.textures.get(BASE_COLOR)
        return unit_to_bytes(torch.tensor([[self.constant(BASE_COLOR)]])) if texture is None else texture

    def constant(self, channel: str) -> tuple[float, ...]:
        """What a channel is wherever no texture says it."""
        return tuple(self.constants.get(channel, CHANNELS[channel].default))

    def linear_constant(self, channel: str) -> list[float]:
        """The same as data and light are: a colour is decoded, as the factors of all formats want it."""
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

        It is one of `get3d.export.FORMATS`. The same object gives the same bytes. A file is written whole or not at
        all; where there are several, those that others name are in place before them.

        Args:
            path: the file.
            size: longest side in millimetres, in the formats for printing (.stl, .3mf), which are made so large, and
                turned to +Z up; 100 by default. The others keep the object's own units.

        Raises:
            InputError: the suffix is none of these, the size is not for it, a package that it needs is missing, or the
                file cannot be written.
            ValueError: the object has no face, numbers that are not finite, or channels that do not fit the table.
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
            raise ValueError(f"no channel is called {name!r}; known are {', '.join(CHANNELS)}")
        if components != CHANNELS[name].components:
            raise ValueError(f"{name} has {components} components; the channel has {CHANNELS[name].components}")
    for name, value in textured.constants.items():
        if not all(0 <= component <= 1 for component in value):
            raise ValueError(f"the constant of {name} is {value}; it must be in [0, 1]")


def sample_texture(texture: UInt8[Tensor, "h w c"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Values in [0, 1] at places of a texture, as renderers read it: bilinear between texel centres, repeating."""
    height, width = texture.shape[:2]
    x = uv[:, 0] * width - 0.5
    y = (1 - uv[:, 1]) * height - 0.5
    left, top = x.floor(), y.floor()
    across, down = (x - left)[:, None], (y - top)[:, None]
    columns = [(left.long() + step) % width for step in (0, 1)]
    rows = [(top.long() + step) % height for step in (0, 1)]
    above, below = (texture[row, columns[0]] * (1 - across) + texture[row, columns[1]] * across for row in rows)
    return (above * (1 - down) + below * down) / 255
