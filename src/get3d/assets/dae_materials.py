"""Materials of COLLADA files: the base colour, its texture and UV set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from get3d.assets.files import FolderResolver
from get3d.assets.materials import PlainMaterial, base_material, texels_of
from get3d.color import bytes_to_linear, unit_to_bytes

__all__ = ["DaeMaterials", "Paint"]


@dataclass(frozen=True)
class Paint:
    """A material, and the UV set of its texture.

    Attributes:
        material: the texture itself, or the colour.
        textured: whether it takes texture coordinates.
        uv_set: which set of them; None: the first.
    """

    material: PlainMaterial
    textured: bool = False
    uv_set: int | None = None


class DaeMaterials:
    """The materials of a file; each is read on first use."""

    def __init__(self, resolver: FolderResolver, texture: int) -> None:
        self._resolver, self._largest = resolver, texture
        self._paints: dict[tuple[str, str], Paint] = {}
        self._images: dict[str, UInt8[np.ndarray, "h w 4"] | None] = {}

    @staticmethod
    def linear(colors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Colours in a file are sRGB, though it does not say so."""
        return bytes_to_linear(unit_to_bytes(np.nan_to_num(colors)))

    def paint(self, material: Any, bound: Any, *, colored: bool) -> Paint | None:
        """A material as it is bound to a mesh.

        Args:
            material: pycollada's; None where there is none.
            bound: the element that binds it.
            colored: whether there are colours at the corners.

        Returns:
            None where there is neither a material nor colours.
        """
        if material is None and not colored:
            return None
        sets = {} if bound is None else {each.get("semantic"): each.get("input_set") for each in bound}
        key = "" if material is None else f"{material.id}\n", repr(sets)
        if key not in self._paints:
            white = base_material(None, np.ones(4), "OPAQUE", None)
            self._paints[key] = Paint(white) if material is None else self._made(material.effect, sets)
        return self._paints[key]

    def _made(self, effect: Any, sets: dict[Any, Any]) -> Paint:
        """A material that is black but emissive, or only emissive, takes its colour from the emission."""
        layers = [value for value in (effect.diffuse, effect.emission) if value is not None]
        paints = []
        for value in layers:
            paint = self._layer(value, effect.transparent, sets)
            if paint.material.texture[..., :3].any():
                return paint
            paints.append(paint)
        # Viewers show an effect without any colour as white.
        return paints[0] if paints else Paint(base_material(None, np.ones(4), "OPAQUE", None))

    def _layer(self, value: Any, transparent: Any, sets: dict[Any, Any]) -> Paint:
        if not hasattr(value, "sampler"):
            color = np.ones(3) if len(value) < 3 else np.asarray(value[:3], np.float64)
            return Paint(base_material(None, np.append(self.linear(color), 1.0), "OPAQUE", None))
        name = value.sampler.surface.image.path
        if name not in self._images:
            self._images[name] = self._image(name)
        texels = self._images[name]
        if texels is None:
            return Paint(base_material(None, np.ones(4), "OPAQUE", None))
        see_through = hasattr(transparent, "sampler")
        if see_through and transparent.sampler.surface.image.path != name:
            self._resolver.missing.append(transparent.sampler.surface.image.path)
            see_through = False
        number = sets.get(value.texcoord)
        uv_set = int(number) if isinstance(number, str) and number.isdecimal() and len(number) < 6 else None
        # Transparency values are inverted in half of all files, so only textures count.
        return Paint(base_material(texels, np.ones(4), "BLEND" if see_through else "OPAQUE", None), True, uv_set)

    def _image(self, name: str) -> UInt8[np.ndarray, "h w 4"] | None:
        try:
            content = self._resolver.get(name)
        except OSError:  # The resolver has noted it.
            return None
        return texels_of(content, name, self._resolver, self._largest)
