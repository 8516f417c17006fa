"""Materials of glTF 2.0 files: the base colour, its texture and UV set."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from get3d.assets.gltf import Document, integer, numbers
from get3d.assets.materials import PlainMaterial, base_material, scaled, texels_of
from get3d.files import InputError

__all__ = ["GltfMaterials", "Paint"]

_SOURCES = ("EXT_texture_webp", "MSFT_texture_dds")
"""Extensions that give a texture's image in a supported format."""
_REPEAT = 10497


@dataclass(frozen=True)
class Paint:
    """A material, and the UV set of its texture.

    Attributes:
        material: the texture itself, times the base colour.
        uv_set: which texture coordinates of the mesh it takes; None: it has no texture.
        transform: [2, 3] what is applied to them, in glTF's sense, v downwards.
        repeats: whether the texture repeats beyond its edge.
    """

    material: PlainMaterial
    uv_set: int | None = None
    transform: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.eye(2, 3))
    repeats: bool = True


@dataclass(frozen=True)
class _Layer:
    """A colour and a texture that are multiplied."""

    factor: Float[np.ndarray, " 4"]
    texture: Mapping[str, Any] | None


class GltfMaterials:
    """The materials of a document; each is read on first use."""

    def __init__(self, document: Document, texture: int) -> None:
        self.document, self._largest = document, texture
        self._paints: dict[int | None, Paint] = {}
        self._images: dict[int, UInt8[np.ndarray, "h w 4"] | None] = {}

    def paint(self, number: Any, *, colored: bool) -> Paint | None:
        """A material by index.

        Args:
            number: of the material; None where a primitive names none.
            colored: whether there are colours at the vertices.

        Returns:
            None where there is neither a material nor colours.

        Raises:
            InputError: there is no such material, or it is broken.
        """
        if number is None and not colored:
            return None
        material = {} if number is None else self.document.entry("materials", number)
        if number not in self._paints:
            self._paints[number] = self._made(material)
        return self._paints[number]

    def _made(self, material: dict[str, Any]) -> Paint:
        mode, cutoff = str(material.get("alphaMode")), _number(material, "alphaCutoff", 0.5)
        paint = None
        for layer in _layers(material):
            painted = self._layer(layer, mode, cutoff)
            if paint is None or painted.material.texture[..., :3].any():
                # A black material that is emissive or specular takes its colour from there.
                paint = painted
            if paint.material.texture[..., :3].any():
                break
        assert paint is not None
        if self.document.resolver.maps:
            paint = self._with_maps(paint, material)
        return paint

    def _with_maps(self, paint: Paint, material: dict[str, Any]) -> Paint:
        """The material with roughness, metallic, normals and emission (glTF 2.0, section 3.9)."""
        plain, extensions = _object(material, "pbrMetallicRoughness"), _object(material, "extensions")
        glossy = extensions.get("KHR_materials_pbrSpecularGlossiness")
        emission = numbers(material, "emissiveFactor", (0, 0, 0))
        strength = _object(extensions, "KHR_materials_emissive_strength")
        emission = np.append(emission * _number(strength, "emissiveStrength", 1.0), 1.0)
        textures = {
            "metallicRoughnessTexture": _texture(plain, "metallicRoughnessTexture"),
            "normalTexture": _texture(material, "normalTexture"),
            "emissiveTexture": _texture(material, "emissiveTexture") if emission[:3].any() else None,
        }
        found: dict[str, UInt8[np.ndarray, "h w 4"]] = {}
        for name, texture in textures.items():
            texels = None if texture is None else self._texels(texture)
            if texture is None or texels is None:
                continue
            placed = self._placed(texture, paint.material)
            if paint.uv_set is None:
                paint = placed
            elif placed.uv_set != paint.uv_set or (placed.transform != paint.transform).any():
                self.document.resolver.missing.append(f"{name} at other places than the base colour")
                continue
            found[name] = texels
        surface, normal = found.get("metallicRoughnessTexture"), found.get("normalTexture")
        roughness, metallic = _number(plain, "roughnessFactor", 1.0), _number(plain, "metallicFactor", 1.0)
        if isinstance(glossy, dict) and not plain:
            roughness, metallic = 1 - _number(glossy, "glossinessFactor", 1.0), 0.0
        if normal is not None:
            scale = _number(dict(textures["normalTexture"] or {}), "scale", 1.0)
            flat = np.clip(128 + (normal[..., :2].astype(np.float64) - 128) * scale, 0, 255)
            normal = np.concatenate([np.rint(flat).astype(np.uint8), normal[..., 2:3]], axis=2)
        glow = None
        if emission[:3].any() and paint.material.texture[..., :3].any():
            glow = base_material(found.get("emissiveTexture"), emission, "OPAQUE", None).texture[..., :3]
        maps = paint.material.with_maps(
            roughness=scaled(surface, 1, roughness), metallic=scaled(surface, 2, metallic), normal=normal, emission=glow
        )
        return replace(paint, material=maps)

    def _layer(self, layer: _Layer, mode: str, cutoff: float) -> Paint:
        texels = None if layer.texture is None else self._texels(layer.texture)
        material = base_material(texels, layer.factor, mode, cutoff)
        if texels is None or layer.texture is None:
            return Paint(material)
        return self._placed(layer.texture, material)

    def _placed(self, texture: Mapping[str, Any], material: PlainMaterial) -> Paint:
        """A material with the UV set of a texture."""
        uv_set, transform = integer(dict(texture), "texCoord", 0), np.eye(2, 3)
        extensions = self.document.note_extensions(dict(texture))
        moved = extensions.get("KHR_texture_transform")
        if isinstance(moved, dict):
            uv_set = integer(moved, "texCoord", uv_set)
            transform = _transform(moved)
        return Paint(material, uv_set, transform, self._repeats(texture))

    def _repeats(self, texture: Mapping[str, Any]) -> bool:
        described = self.document.entry("textures", texture.get("index"))
        if "sampler" not in described:
            return True
        sampler = self.document.entry("samplers", described["sampler"])
        return all(sampler.get(axis, _REPEAT) == _REPEAT for axis in ("wrapS", "wrapT"))

    def _texels(self, texture: Mapping[str, Any]) -> UInt8[np.ndarray, "h w 4"] | None:
        """The texture's image; None, and noted as missing, if it cannot be read."""
        described = self.document.entry("textures", texture.get("index"))
        extensions = self.document.note_extensions(described)
        for name in _SOURCES:
            if isinstance(extensions.get(name), dict) and "source" in extensions[name]:
                described = extensions[name]
        missing = self.document.resolver.missing
        if "source" not in described:
            missing.append(f"texture {texture.get('index')}")
            return None
        number = described["source"]
        image = self.document.entry("images", number)
        if number not in self._images:
            self._images[number] = self._image(number, image)
        return self._images[number]

    def _image(self, number: int, image: dict[str, Any]) -> UInt8[np.ndarray, "h w 4"] | None:
        uri = image.get("uri")
        name, content = f"image {number}", b""
        if "bufferView" in image:
            content = self.document.view(image["bufferView"])
        elif isinstance(uri, str):
            name = name if uri.startswith("data:") else uri
            try:
                content = self.document.file(uri)
            except OSError:  # The resolver has noted it.
                return None
        return texels_of(content, name, self.document.resolver, self._largest)


def _layers(material: dict[str, Any]) -> list[_Layer]:
    """Possible sources of the colour, the best first."""
    layers = []
    plain, extensions = _object(material, "pbrMetallicRoughness"), _object(material, "extensions")
    glossy = extensions.get("KHR_materials_pbrSpecularGlossiness")
    base = _Layer(numbers(plain, "baseColorFactor", (1, 1, 1, 1)), _texture(plain, "baseColorTexture"))
    if isinstance(glossy, dict):
        # The colour of a metal is its specular colour; its diffuse colour is black.
        diffuse = _Layer(numbers(glossy, "diffuseFactor", (1, 1, 1, 1)), _texture(glossy, "diffuseTexture"))
        mirrored = np.append(numbers(glossy, "specularFactor", (1, 1, 1)), diffuse.factor[3])
        layers += [diffuse, _Layer(mirrored, _texture(glossy, "specularGlossinessTexture"))]
        if not {"baseColorFactor", "baseColorTexture"} & set(plain):
            base = diffuse
    layers.insert(0, base)
    shining = np.append(numbers(material, "emissiveFactor", (0, 0, 0)), 1.0)
    if shining[:3].max() > 0:
        layers.append(_Layer(shining, _texture(material, "emissiveTexture")))
    return layers


def _texture(thing: dict[str, Any], key: str) -> Mapping[str, Any] | None:
    texture = thing.get(key)
    if texture is not None and not isinstance(texture, dict):
        raise InputError(f"its {key} is not an object; export it again")
    return texture


def _object(thing: dict[str, Any], key: str) -> dict[str, Any]:
    found = thing.get(key, {})
    return found if isinstance(found, dict) else {}


def _number(thing: dict[str, Any], key: str, default: float) -> float:
    return float(numbers({key: [thing.get(key, default)]}, key, [default])[0])


def _transform(moved: dict[str, Any]) -> Float[np.ndarray, "2 3"]:
    """Offset after rotation after scale, of KHR_texture_transform."""
    (x, y), (across, down) = numbers(moved, "offset", (0, 0)), numbers(moved, "scale", (1, 1))
    angle = _number(moved, "rotation", 0.0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine * across, sine * down, x], [-sine * across, cosine * down, y]])
