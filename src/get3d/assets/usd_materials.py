"""Preview surfaces of USD: the base colour, its texture and UV set."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from get3d.assets.files import FolderResolver
from get3d.assets.materials import PlainMaterial, base_material, constant, texels_of
from get3d.assets.usd_budget import require_within
from get3d.color import linear_to_bytes, linear_to_srgb

__all__ = ["Paint", "UsdMaterials"]

_GREY = (0.18, 0.18, 0.18)
"""Default of the preview surface."""
_DEEPEST = 16
"""Maximum length of a chain of shaders."""
_INPUTS: dict[str, tuple[str, tuple[float, ...] | None]] = {
    "roughness": ("roughness", (0.5,)),
    "metallic": ("metallic", (0.0,)),
    "normal": ("normal", None),
    "emission": ("emissiveColor", None),
}
"""Inputs of the preview surface for the other maps, and their defaults."""
_LANES = {"r": 0, "g": 1, "b": 2, "a": 3}


@dataclass(frozen=True)
class Paint:
    """A material, and the UV set of its texture.

    Attributes:
        material: the texture itself, times the colour.
        uv: the variable of the mesh that it takes; "": the usual one; None: it has no texture.
        transform: [2, 3] what is applied to it, v upwards.
        repeats: whether the texture repeats beyond its edge.
        colors: the variable that colours it in place of a texture; None: there is none.
    """

    material: PlainMaterial
    uv: str | None = None
    transform: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.eye(2, 3))
    repeats: bool = True
    colors: str | None = None


class UsdMaterials:
    """The materials of a package; each is read on first use.

    Attributes:
        white: a material for what has colours of its own.
    """

    def __init__(self, path: Path, resolver: FolderResolver, texture: int) -> None:
        self._path, self._resolver, self._largest = path, resolver, texture
        self._paints: dict[str, Paint | None] = {}
        self._images: dict[str, UInt8[np.ndarray, "h w 4"] | None] = {}
        self.white = base_material(None, np.ones(4), "OPAQUE", None)

    def paint(self, binding: Any) -> Paint | None:
        """The material of a prim or of a subset of it; None if there is none or it has no preview surface."""
        from pxr import UsdShade

        bound = UsdShade.MaterialBindingAPI(binding).ComputeBoundMaterial()[0]
        key = str(bound.GetPath()) if bound else ""
        if key not in self._paints:
            surface = bound.ComputeSurfaceSource()[0] if bound else None
            paint = self._preview(surface) if surface else None
            self._paints[key] = self._with_maps(paint, surface) if paint and self._resolver.maps else paint
            if bound and not surface:
                self._resolver.missing.append(f"material {bound.GetPrim().GetName()}")
        return self._paints[key]

    def _preview(self, surface: Any) -> Paint:
        """A black material that is specular or emissive takes its colour from there."""
        names = ["diffuseColor", "emissiveColor"]
        if _value(surface, "useSpecularWorkflow", 0):
            names.insert(1, "specularColor")
        first = self._colored(surface, names[0], _GREY)
        paint = first
        for name in names[1:]:
            if paint.material.texture[..., :3].any() or paint.colors:
                return paint
            paint = self._colored(surface, name, (0.0, 0.0, 0.0))
        return paint if paint.material.texture[..., :3].any() else first

    def _with_maps(self, paint: Paint, surface: Any) -> Paint:
        """The material with roughness, metallic, normals and emission."""
        maps = {}
        for name, (entry, default) in _INPUTS.items():
            if name == "emission" and not paint.material.texture[..., :3].any():
                continue
            texture = _source(surface, entry)
            if texture is None:
                value = _value(surface, entry, None)
                if value is not None and name != "normal":
                    numbers = np.atleast_1d(np.array(value, np.float64))
                    maps[name] = constant(*(linear_to_srgb(numbers) if name == "emission" else numbers))
                elif default is not None:
                    maps[name] = constant(*default)
                continue
            texels = self._texels(texture, linear=name != "emission") if _is_texture(texture) else None
            if texels is None:
                continue
            place, transform = self._place(texture)
            if paint.uv is None:
                paint = replace(paint, uv=place, transform=transform)
            elif paint.uv != place or (paint.transform != transform).any():
                self._resolver.missing.append(f"{entry} at other places than diffuseColor")
                continue
            lane = _LANES.get(surface.GetInput(entry).GetConnectedSources()[0][0].sourceName, 0)
            maps[name] = texels[..., lane : lane + 1] if default is not None and len(default) == 1 else texels[..., :3]
        return replace(paint, material=paint.material.with_maps(**maps))

    def _colored(self, surface: Any, name: str, default: tuple[float, float, float]) -> Paint:
        threshold = float(_value(surface, "opacityThreshold", 0.0) or 0.0)
        opacity, see_through = _value(surface, "opacity", 1.0), _source(surface, "opacity")
        alpha = float(opacity) if isinstance(opacity, float | int) and see_through is None else 1.0
        mode = "MASK" if threshold > 0 else "BLEND" if see_through or alpha < 1 else "OPAQUE"
        texture = _source(surface, name)
        if texture is None:
            color = np.array(_value(surface, name, default) or default, np.float64)[:3]
            return Paint(base_material(None, np.append(color, alpha), mode, threshold))
        kind = texture.GetIdAttr().Get()
        if kind in ("UsdPrimvarReader_float3", "UsdPrimvarReader_float4"):
            white = base_material(None, np.array([1, 1, 1, alpha]), mode, threshold)
            return Paint(white, colors=str(_value(texture, "varname", "displayColor")))
        if kind != "UsdUVTexture":
            self._resolver.missing.append(f"shader {kind or texture.GetPrim().GetName()}")
            return Paint(base_material(None, np.append(default, alpha), mode, threshold))
        if see_through is not None and see_through.GetPrim() != texture.GetPrim():
            self._resolver.missing.append(f"opacity of {surface.GetPrim().GetParent().GetName()}")
        texels = self._texels(texture)
        if texels is None:
            fallback = np.array(_value(texture, "fallback", None) or (1.0, 1.0, 1.0), np.float64)[:3]
            return Paint(base_material(None, np.append(fallback, alpha), mode, threshold))
        if see_through is None:
            texels = np.concatenate([texels[..., :3], np.full_like(texels[..., :1], 255)], axis=2)
        factor = np.array(_value(texture, "scale", None) or (1.0, 1.0, 1.0, 1.0), np.float64)[:4]
        if any(_value(texture, "bias", None) or ()):
            self._resolver.missing.append(f"bias of {texture.GetPrim().GetName()}")
        factor[3] *= alpha
        material = base_material(texels, factor, mode, threshold)
        name_, transform = self._place(texture)
        wraps = [str(_value(texture, axis, "repeat")) for axis in ("wrapS", "wrapT")]
        return Paint(material, name_, transform, not {"clamp", "mirror", "black"} & set(wraps))

    def _place(self, texture: Any) -> tuple[str, Float[np.ndarray, "2 3"]]:
        """The UV variable of a texture, and the transforms applied to it."""
        moved, shader = np.eye(3), _source(texture, "st")
        for _ in range(_DEEPEST):
            kind = None if shader is None else shader.GetIdAttr().Get()
            if kind == "UsdPrimvarReader_float2":
                return str(_value(shader, "varname", "") or ""), moved[:2]
            if kind != "UsdTransform2d":
                break
            angle = np.radians(float(_value(shader, "rotation", 0.0) or 0.0))
            across, up = _value(shader, "scale", None) or (1.0, 1.0)
            x, y = _value(shader, "translation", None) or (0.0, 0.0)
            cosine, sine = np.cos(angle), np.sin(angle)
            # The chain is traversed from its last shader.
            moved = moved @ [[cosine * across, -sine * up, x], [sine * across, cosine * up, y], [0, 0, 1]]
            shader = _source(shader, "in")
        if shader is not None:
            self._resolver.missing.append(f"shader {shader.GetIdAttr().Get() or shader.GetPrim().GetName()}")
        return "", moved[:2]

    def _texels(self, texture: Any, *, linear: bool = False) -> UInt8[np.ndarray, "h w 4"] | None:
        from pxr import Ar

        file = _value(texture, "file", None)
        if file is None:
            return None
        if not file.resolvedPath:
            self._resolver.missing.append(file.path)
            return None
        place = file.resolvedPath
        require_within(self._path, place)
        if place not in self._images:
            asset = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(place))
            content = (asset.GetBuffer() if asset else None) or b""
            self._images[place] = texels_of(content, file.path, self._resolver, self._largest)
        texels = self._images[place]
        if texels is not None and not linear and _value(texture, "sourceColorSpace", "auto") == "raw":
            texels = np.concatenate([linear_to_bytes(texels[..., :3] / 255), texels[..., 3:]], axis=2)
        return texels


def _is_texture(shader: Any) -> bool:
    return bool(shader.GetIdAttr().Get() == "UsdUVTexture")


def _value(shader: Any, name: str, default: Any) -> Any:
    """The value of an input, followed through the interfaces of materials."""
    found = shader.GetInput(name)
    if not found:
        return default
    for attribute in found.GetValueProducingAttributes():
        value = attribute.Get()
        if value is not None:
            return value
    return default


def _source(shader: Any, name: str) -> Any:
    """The shader connected to an input, followed through the interfaces of materials; None if there is none."""
    from pxr import UsdShade

    found = shader.GetInput(name)
    for attribute in found.GetValueProducingAttributes() if found else ():
        if UsdShade.Output.IsOutput(attribute):
            return UsdShade.Shader(attribute.GetPrim())
    return None
