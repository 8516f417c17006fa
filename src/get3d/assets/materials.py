"""Untrusted materials as textures: base colour, holes and, on demand, the other maps."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from get3d.assets.files import IMAGE_FORMATS, FolderResolver
from get3d.color import bytes_to_linear, linear_to_bytes, unit_to_bytes

__all__ = ["MAPS", "PLAIN", "PlainMaterial", "base_material", "constant", "plain_material", "scaled", "texels_of"]

_HALF = 0.5


@dataclass(frozen=True)
class PlainMaterial:
    """A material reduced to what is read here.

    Attributes:
        texture: sRGB and alpha, the first row on top; one texel where there is no image.
        cutoff: where alpha is below, there is a hole; 0: there are none.
        maps: other textures at the same places, by their names in `MAPS`; bytes as files hold them.
    """

    texture: UInt8[np.ndarray, "h w 4"]
    cutoff: float
    maps: Mapping[str, UInt8[np.ndarray, "_ _ _"]] = field(default_factory=dict)

    def with_maps(self, **maps: UInt8[np.ndarray, "_ _ _"] | None) -> "PlainMaterial":
        """The material with other textures; None means unchanged."""
        return replace(self, maps={name: texels for name, texels in maps.items() if texels is not None})


MAPS: dict[str, tuple[int, ...]] = {
    "roughness": (153,),
    "metallic": (0,),
    "normal": (128, 128, 255),
    "emission": (0, 0, 0),
}
"""Textures besides the base colour, and the texel of a material that has none; emission is sRGB, the others linear."""


def constant(*values: float) -> UInt8[np.ndarray, "1 1 c"]:
    """A map of one texel, of values in [0, 1]."""
    return unit_to_bytes(np.array(values))[None, None]


def scaled(texels: UInt8[np.ndarray, "h w 4"] | None, lane: int, factor: float) -> UInt8[np.ndarray, "h w 1"]:
    """One channel of a linear image times a factor; without an image, the factor."""
    if texels is None:
        return constant(factor)
    return np.rint(np.clip(texels[..., lane : lane + 1] * factor, 0, 255)).astype(np.uint8)


PLAIN = PlainMaterial(np.full((1, 1, 4), (204, 204, 204, 255), np.uint8), 0.0)
"""Colour of parts without a material: light grey."""


def plain_material(material: Any, resolver: FolderResolver, largest: int) -> PlainMaterial:
    """The colour or image of a `SimpleMaterial` of trimesh.

    An image that cannot be decoded is noted as missing, and the colour is taken.

    Args:
        material: trimesh's.
        resolver: notes what is missing.
        largest: side in texels to which larger images are reduced.
    """
    texels = _texels(getattr(material, "image", None), resolver, largest)
    if texels is None:
        color = np.asarray(material.main_color, np.uint8)
        texels = np.array([[[*color[:3], 255]]], np.uint8)
    further = getattr(material, "kwargs", {})
    holes = further.get("holes")
    plain = _cut(texels, 0.0) if holes is None else _cut(_with_holes(texels, holes, resolver, largest), _HALF)
    maps = {}
    for name, (image, numbers) in further.get("maps", {}).items():
        found = _texels(image, resolver, largest)
        maps[name] = constant(*numbers) if found is None else found[..., : len(numbers)]
    return plain.with_maps(**maps)


def base_material(
    texels: UInt8[np.ndarray, "h w 4"] | None, factor: Float[np.ndarray, " 4"], mode: Any, cutoff: float | None
) -> PlainMaterial:
    """A `PBRMaterial` of trimesh.

    Args:
        texels: the texture of its base colour, or None.
        factor: linear colour and alpha that it is multiplied by.
        mode: "MASK", "BLEND", or anything else for one without holes.
        cutoff: alpha below which there are holes, for "MASK"; None: a half.
    """
    if texels is None:
        texels = np.full((1, 1, 4), 255, np.uint8)
    cutoff = {"MASK": _HALF if cutoff is None else float(cutoff), "BLEND": _HALF}.get(mode, 0.0)
    # Only surfaces are learned: glass that is transparent all over is drawn opaque; only clear texels are holes.
    if mode == "BLEND":
        factor = np.append(factor[:3], float(factor[3] > 0))
    return _cut(_tinted(texels, factor), cutoff)


def texels_of(content: bytes, name: str, resolver: FolderResolver, largest: int) -> UInt8[np.ndarray, "h w 4"] | None:
    """Colours and alpha of an image file, reduced in size; None, and noted as missing, if it cannot be read.

    Args:
        content: of the file.
        name: what it is called in the report.
        resolver: takes the note.
        largest: side in texels to which larger images are reduced.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
    except Exception:  # Decoders of damaged images raise whatever they do.
        resolver.missing.append(name)
        return None
    image.info["file_path"] = name
    return _texels(image, resolver, largest, name)


def _cut(texels: UInt8[np.ndarray, "h w 4"], cutoff: float) -> PlainMaterial:
    """A material of texels, without holes if none would be visible."""
    if cutoff > 0 and texels[..., 3].min() < 255 * cutoff:
        return PlainMaterial(texels, cutoff)
    return PlainMaterial(np.concatenate([texels[..., :3], np.full_like(texels[..., :1], 255)], axis=2), 0.0)


def _tinted(texels: UInt8[np.ndarray, "h w 4"], factor: Float[np.ndarray, " 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """Texels times a linear colour and alpha, with a look-up table for each channel."""
    if (factor == 1).all():
        return texels
    values = np.arange(256, dtype=np.uint8)
    tables = [linear_to_bytes(bytes_to_linear(values) * part) for part in factor[:3]]
    tables.append(np.rint(values * np.clip(factor[3], 0, 1)).astype(np.uint8))
    return np.stack([table[texels[..., channel]] for channel, table in enumerate(tables)], axis=2)


def _texels(
    image: Image.Image | None, resolver: FolderResolver, largest: int, key: str | None = None
) -> UInt8[np.ndarray, "h w 4"] | None:
    """Colours and alpha of an image, reduced in size; None without an image."""
    reduced = _reduced(image, resolver, largest, key)
    return None if reduced is None else np.array(reduced.convert("RGBA"))


def _reduced(
    image: Image.Image | None, resolver: FolderResolver, largest: int, key: str | None = None
) -> Image.Image | None:
    """The image with 8 bits and reduced in size; None if there is none or it cannot be decoded (noted as missing).

    Each is decoded once, and its full-size pixels are freed, because an object may have dozens.
    """
    if image is None:
        return None
    place = id(image) if key is None else key
    if place not in resolver.decoded:
        name = str(image.info.get("file_path", "a texture"))
        small = None
        if resolver.affordable(image, name):
            try:
                small = _resized(_of_bytes(image), largest)
                image.close()
            except Exception:  # Decoders of damaged images raise whatever they do.
                resolver.missing.append(name)
        # The closed image stays referenced, so that no other object gets its id.
        resolver.decoded[place] = image, small
    return resolver.decoded[place][1]


def _of_bytes(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel; PIL would clip deeper ones at 255."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(unit_to_bytes(np.nan_to_num(np.asarray(image))))
    plain = image.mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info
    return image.copy() if plain else image.convert("RGBA")


def _resized(image: Image.Image, largest: int) -> Image.Image:
    share = largest / max(image.size)
    if share >= 1:
        return image
    width, height = (max(1, round(side * share)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def _with_holes(
    texels: UInt8[np.ndarray, "_ _ 4"], holes: Image.Image, resolver: FolderResolver, largest: int
) -> UInt8[np.ndarray, "_ _ 4"]:
    """Texels with the alpha of an .obj's `map_d`: the image's alpha where it has one, its brightness otherwise."""
    image = _reduced(holes, resolver, largest)
    if image is None:
        return texels
    alpha = image.getchannel("A") if "A" in image.getbands() else image.convert("L")
    if texels.shape[:2] == (1, 1):
        texels = np.broadcast_to(texels, (image.height, image.width, 4))
    values = np.asarray(alpha.resize(texels.shape[1::-1], Image.Resampling.BOX))
    return np.concatenate([texels[..., :3], values[..., None]], axis=2)
