"""Textured meshes that can be saved; `formats` has the file formats."""

from dataclasses import dataclass
from pathlib import Path

import torch

from get3d.export.formats import write
from get3d.export.gltf import glb_bytes
from get3d.export.material_mesh import MaterialMesh
from get3d.html import PageObject, document, embedded_objects, frame
from get3d.materials import BASE_COLOR, CHANNELS

__all__ = ["TexturedMesh"]


@dataclass(frozen=True)
class TexturedMesh(MaterialMesh):
    """A mesh with textures, ready to be saved. All tensors are on the CPU.

    Its attributes are those of `get3d.export.MaterialMesh`.
    """

    @classmethod
    def nothing(cls, device: torch.device) -> "TexturedMesh":
        """A mesh without faces, for a shape without a surface."""
        none = torch.empty(0, 3, device=device)
        texture = torch.zeros(1, 1, 3, dtype=torch.uint8, device=device)
        return cls(none, none.long(), none, none[:, :2], {BASE_COLOR: texture})

    def _repr_html_(self) -> str:
        """The object as notebooks show it: to turn, without a network, also when the notebook is opened again."""
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
