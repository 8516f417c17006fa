"""Materials of .obj files: colours, textures and their options."""

import codecs
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from get3d.assets.files import FolderResolver
from get3d.color import unit_to_bytes

__all__ = ["Paint", "decoded", "read_mtl"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OPTIONS = {
    **dict.fromkeys(("-blendu", "-blendv", "-cc", "-clamp", "-texres", "-imfchan", "-boost", "-bm", "-type"), 1),
    "-mm": 2,
}
"""Options of textures with their number of arguments; `-o`, `-s` and `-t` have one to three numbers."""
_KEYS = {"pr": "roughness", "pm": "metallic", "ke": "emission"}
_MAPS = {"map_pr": "roughness", "map_pm": "metallic", "norm": "normal", "map_ke": "emission"}
_NUMBERS = {"roughness": (1.0,), "metallic": (1.0,), "normal": (0.5, 0.5, 1.0), "emission": (0.0, 0.0, 0.0)}
"""Keywords of the format's PBR extension, and the factor if only an image is given."""


def decoded(content: bytes) -> str:
    """Text of a file in any encoding: a byte order mark counts; bytes that are not UTF-8 become surrogates."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8" else "replace"
            return content[len(mark) :].decode(encoding, errors)
    return content.decode("utf-8", "surrogateescape")


@dataclass
class Paint:
    """A material of the file.

    Attributes:
        color: sRGB, 0 to 1.
        texture: name of the image of colours; empty: there is none.
        holes: name of the image of opacity.
        scale: by which places in textures are multiplied.
        offset: that is then added.
        clamped: whether the texture is meant not to repeat.
        numbers: of the other maps by name, as the file gives them; emission is sRGB.
        images: names of the images of the other maps, by name.
    """

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    texture: str = ""
    holes: str = ""
    scale: Float[np.ndarray, " 2"] | float = 1.0
    offset: Float[np.ndarray, " 2"] | float = 0.0
    clamped: bool = False
    numbers: dict[str, tuple[float, ...]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)

    def material(self, resolver: FolderResolver) -> Any:
        """The material for trimesh, images not yet decoded; unreadable images are noted as missing."""
        image = resolver.image(self.texture) if self.texture else None
        holes = resolver.image(self.holes) if self.holes else None
        color = unit_to_bytes(np.array([*self.color, 1.0]))
        maps: dict[str, tuple[Any, tuple[float, ...]]] = {}
        if resolver.maps:
            for name, default in _NUMBERS.items():
                found = resolver.image(self.images[name]) if name in self.images else None
                if found is not None or name in self.numbers:
                    maps[name] = found, self.numbers.get(name, default)
        return trimesh.visual.material.SimpleMaterial(image=image, diffuse=color, holes=holes, maps=maps)


def read_mtl(text: str) -> dict[str, Paint]:
    """The materials of a file, by name. Unknown lines are skipped, as by other readers."""
    found: dict[str, Paint] = {}
    paint = Paint()
    for line in text.replace("\r", "\n").split("\n"):
        words = line.split(None, 1)
        if len(words) < 2:
            continue
        key, rest = words[0].lower(), words[1].strip()
        if key == "newmtl":
            paint = Paint()
            found.setdefault(rest, paint)
        elif key == "kd":
            numbers = _leading_numbers(rest.split(), 3)
            if numbers:
                # One number applies to all three.
                paint.color = (numbers * 3)[0], (numbers * 3)[1], (numbers * 3)[2]
        elif key == "map_kd":
            paint.texture, options = _split(rest)
            _place(paint, options)
        elif key in _KEYS:
            numbers = _leading_numbers(rest.split(), 3)
            if numbers:
                paint.numbers[_KEYS[key]] = tuple((numbers * 3)[: len(_NUMBERS[_KEYS[key]])])
        elif key in _MAPS:
            paint.images[_MAPS[key]] = _split(rest)[0]
        elif key in ("map_d", "map_opacity"):
            paint.holes, options = _split(rest)
            if not paint.texture:
                _place(paint, options)
    return found


def _place(paint: Paint, options: dict[str, list[str]]) -> None:
    scale, offset = (_leading_numbers(options.get(name, []), 3) for name in ("-s", "-o"))
    paint.scale = np.array([*scale, 1.0, 1.0][:2]) if scale else 1.0
    paint.offset = np.array([*offset, 0.0, 0.0][:2]) if offset else 0.0
    paint.clamped = options.get("-clamp") == ["on"]


def _split(rest: str) -> tuple[str, dict[str, list[str]]]:
    """The file name, and the arguments of each option before it."""
    options: dict[str, list[str]] = {}
    while rest.startswith("-"):
        word, _, after = rest.partition(" ") if "\t" not in rest else rest.replace("\t", " ").partition(" ")
        words = after.split()
        if word in ("-o", "-s", "-t"):
            count = len(_leading_numbers(words[:-1], 3))
        elif word in _OPTIONS:
            count = min(_OPTIONS[word], len(words) - 1)
        else:
            break
        options[word] = words[:count]
        parts = after.split(None, count)
        rest = parts[count].strip() if len(parts) > count else ""
    return rest, options


def _leading_numbers(words: list[str], most: int) -> list[float]:
    numbers: list[float] = []
    for word in words[:most]:
        try:
            number = float(word)
        except ValueError:
            break
        if not np.isfinite(number):
            break
        numbers.append(number)
    return numbers
