"""Light from a map of all directions, as photographs of surroundings are: prefiltered, and read from files.

A map is [H, 2H, 3], linear, the first row straight up. Its middle column is the direction +X, and columns to its right
go towards +Z: as Blender shows such a map around an object of a .glb, and as `<model-viewer>` does.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from get3d.files import InputError, open_file

__all__ = ["LIGHT_SUFFIXES", "EnvironmentMap", "directions_of", "read_environment"]

_ROWS = 128
"""Of the map as mirrors see it."""
_MIRROR = 4000.0
"""Sharpness of the lobe that the map itself stands for: about as wide as its pixels."""
_LEVELS = ((1000.0, 64), (250.0, 48), (80.0, 48), (25.0, 32), (8.0, 32), (2.2, 32))
"""Sharpness of the lobes that the map is filtered with beside, and the rows of each: a lobe is wider than a row."""
_BLOCK = 1024
"""Directions that are filtered together."""
_MOST_BYTES, _MOST_PIXELS = 512 * 2**20, 8192 * 4096
"""Of a file, and of the map in it."""


def directions_of(rows: int, like: Tensor) -> Float[Tensor, "{rows} 2*{rows} 3"]:
    """Unit vectors to the middles of a map's pixels, where a tensor is, in its precision."""
    polar = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) * (math.pi / rows)
    around = (torch.arange(2 * rows, device=like.device, dtype=like.dtype) + 0.5 - rows) * (math.pi / rows)
    down, right = torch.meshgrid(polar, around, indexing="ij")
    return torch.stack([down.sin() * right.cos(), down.cos(), down.sin() * right.sin()], dim=2)


@dataclass(frozen=True)
class EnvironmentMap:
    """A map, and what matte and glossy surfaces see of it.

    Attributes:
        matte: [1, h, 2h + 2, 3] irradiance over π by direction, the first column once more at the end and the last
            at the beginning.
        levels: [l, H, 2H + 2, 3] likewise the map, and after it the map filtered with ever wider lobes.
    """

    matte: Float[Tensor, "1 h w 3"]
    levels: Float[Tensor, "l hh ww 3"]

    @classmethod
    def of(cls, radiance: Float[Tensor, "h w 3"]) -> "EnvironmentMap":
        """Filters a map; differentiable in it.

        Raises:
            ValueError: it is not twice as wide as high, or has negative or infinite light.
        """
        height, width, _ = radiance.shape
        if width != 2 * height or height < 2:
            raise ValueError(f"a map of all directions is twice as wide as high, but this is {width} × {height}")
        if not (radiance.detach().isfinite().all() and (radiance.detach() >= 0).all()):
            raise ValueError("the map has light that is negative or not finite")

        def lobe(sharpness: float) -> Callable[[Tensor], Tensor]:
            return lambda cosine: torch.exp(sharpness * (cosine - 1))

        filtered = [_filtered(_resized(radiance, min(rows, height)), lobe(sharpness)) for sharpness, rows in _LEVELS]
        matte = _filtered(_resized(radiance, min(_LEVELS[-1][1], height)), lambda cosine: cosine.clamp(min=0))
        levels = [_resized(one, _ROWS) for one in (radiance, *filtered)]
        return cls(_wrapped(matte)[None], torch.stack([_wrapped(one) for one in levels]))

    def to(self, device: torch.device | str) -> "EnvironmentMap":
        """The same on another device."""
        return EnvironmentMap(self.matte.to(device), self.levels.to(device))

    def diffuse(self, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Irradiance over π."""
        return _read(self.matte, normals, torch.zeros_like(normals[:, :1]))

    def specular(self, directions: Float[Tensor, "p 3"], sharpness: Float[Tensor, "p 1"]) -> Float[Tensor, "p 3"]:
        """The map, filtered with lobes; between two levels by the logarithm of their sharpness."""
        known = -torch.tensor([_MIRROR, *(s for s, _ in _LEVELS)], dtype=torch.float64).log().to(directions)
        asked = -sharpness.log()
        after = torch.searchsorted(known, asked.detach().contiguous()).clamp(1, len(known) - 1)
        before = known[after - 1]
        level = (after - 1 + (asked - before) / (known[after] - before)).clamp(0, len(known) - 1)
        return _read(self.levels, directions, level)


def _read(
    maps: Float[Tensor, "l h w 3"], directions: Float[Tensor, "p 3"], level: Float[Tensor, "p 1"]
) -> Float[Tensor, "p 3"]:
    """Wrapped maps at directions, linear between pixels and between levels."""
    count, _, width, _ = maps.shape
    x, y, z = directions.unbind(1)
    # Straight up and down every column is right, but atan2 has no gradient.
    flat = x.abs() + z.abs() < 1e-12
    around = torch.atan2(z, torch.where(flat, torch.ones_like(x), x)) / math.pi * ((width - 2) / width)
    down = torch.acos(y.clamp(-1 + 1e-7, 1 - 1e-7)) * (2 / math.pi) - 1
    # From edge to edge of the pixels −1 to 1, in all three directions.
    place = torch.stack([around, down, (2 * level[:, 0] + 1) / count - 1], dim=1)
    volume = maps.to(directions).permute(3, 0, 1, 2)[None]
    return grid_sample(volume, place[None, None, None], "bilinear", "border", align_corners=False)[0, :, 0, 0].T


def _wrapped(radiance: Float[Tensor, "h w 3"]) -> Float[Tensor, "h _ 3"]:
    return torch.cat([radiance[:, -1:], radiance, radiance[:, :1]], dim=1)


def _resized(radiance: Float[Tensor, "h w 3"], rows: int) -> Float[Tensor, "{rows} _ 3"]:
    """A map with another number of rows: means of what falls into each pixel, or between pixels where it grows."""
    if rows <= radiance.shape[0]:
        return interpolate(radiance.permute(2, 0, 1)[None], (rows, 2 * rows), mode="area")[0].permute(1, 2, 0)
    directions = directions_of(rows, radiance).flatten(0, 1)
    read = _read(_wrapped(radiance)[None], directions, torch.zeros_like(directions[:, :1]))
    return read.view(rows, 2 * rows, 3)


def _filtered(radiance: Float[Tensor, "h w 3"], kernel: Callable[[Tensor], Tensor]) -> Float[Tensor, "h w 3"]:
    """The mean of the map around each direction, weighted by a function of the cosine to it."""
    directions = directions_of(radiance.shape[0], radiance)
    areas = (1 - directions[:, :1, 1].square()).sqrt().expand(directions.shape[:2]).flatten()
    sources = directions.flatten(0, 1)
    parts = []
    for targets in sources.split(_BLOCK):
        weights = kernel(targets @ sources.T) * areas
        parts.append(weights @ radiance.flatten(0, 1) / weights.sum(1, keepdim=True))
    return torch.cat(parts).view_as(radiance)


def read_environment(path: Path) -> EnvironmentMap:
    """The map of an .hdr (Radiance) or .exr (OpenEXR) file, linear.

    Raises:
        InputError: the file is missing, damaged, too large or of another kind, or a package that reads it is missing.
    """
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise InputError(f"{path}: is no map of light; give an {' or '.join(LIGHT_SUFFIXES)} file")
    if find_spec(reader.module) is None:
        raise InputError(f"{path}: reading {suffix} needs another package; pip install 'get3d[light]'")
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give another file") from error
    if size > _MOST_BYTES:
        raise InputError(f"{path}: has {size} bytes, more than {_MOST_BYTES}; reduce the map, 2048 × 1024 is plenty")
    try:
        radiance = reader.read(path)
        return EnvironmentMap.of(torch.from_numpy(np.ascontiguousarray(radiance, dtype=np.float32)))
    except InputError:
        raise
    except Exception as error:  # Decoders of damaged files raise whatever they do.
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as a map of light ({said}); get or export it again") from error


def _require_size(path: Path, width: int, height: int) -> None:
    """Refuses a map before its pixels are decoded."""
    if width != 2 * height or height < 2 or width * height > _MOST_PIXELS:
        raise InputError(
            f"{path}: is {width} × {height}; a map of all directions is twice as wide as high, at most 8192 × 4096"
        )


def _read_hdr(path: Path) -> np.ndarray:
    import imagecodecs

    content = path.read_bytes()
    head = re.match(rb"#\?(?:RADIANCE|RGBE)\s.{0,4096}?\n\n-Y (\d{1,6}) \+X (\d{1,6})\n", content, re.DOTALL)
    if head is None:
        raise InputError(f"{path}: has no head of a Radiance file, top row first; export it again")
    height, width = int(head[1]), int(head[2])
    _require_size(path, width, height)
    return np.asarray(imagecodecs.rgbe_decode(content))


def _read_exr(path: Path) -> np.ndarray:
    import OpenEXR

    with OpenEXR.File(str(path), header_only=True) as file:
        low, high = file.header()["dataWindow"]
    width, height = (int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
    _require_size(path, width, height)
    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        name = next((name for name in ("RGB", "RGBA") if name in channels), None)
        if name is None:
            raise InputError(f"{path}: has the channels {', '.join(channels)}, not RGB; export it again")
        return np.array(channels[name].pixels[..., :3], dtype=np.float32)


@dataclass(frozen=True)
class _Reader:
    """How a kind of file is read, and the module for it."""

    read: Callable[[Path], np.ndarray]
    module: str


_READERS = {".hdr": _Reader(_read_hdr, "imagecodecs"), ".exr": _Reader(_read_exr, "OpenEXR")}
LIGHT_SUFFIXES = tuple(_READERS)
