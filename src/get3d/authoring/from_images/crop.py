"""Image files made into what a dataset holds: square, RGBA, of one resolution. What is so already is copied."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from get3d.datasets.alpha import alpha_fault
from get3d.files import InputError, writing

__all__ = ["Head", "Made", "UnusableImageError", "Window", "read_head", "write_image"]

_LARGEST = 2**26
"""Pixels of an image, beyond which it is taken for a decompression bomb."""
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_WITH_ALPHA = ("LA", "PA", "RGBA")
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)
Made = Literal["copied", "written anew", "resampled"]


class UnusableImageError(InputError):
    """An image cannot become part of a dataset. The message says why; the image's name is told with it."""


@dataclass(frozen=True)
class Head:
    """What an image's head says.

    Attributes:
        path: the image.
        mask: the file that takes the place of its alpha channel.
        width: in pixels.
        height: in pixels.
        plain: it is a PNG of 8-bit RGBA, as a dataset holds.
    """

    path: Path
    mask: Path | None
    width: int
    height: int
    plain: bool


@dataclass(frozen=True)
class Window:
    """The square of an image that is kept, in pixels; beyond the image it is transparent."""

    left: int
    top: int
    side: int


def read_head(path: Path, mask: Path | None) -> Head:
    """Reads the heads of an image and its mask.

    Raises:
        UnusableImageError: one is no image, is too large, or there is nothing to mask the object with.
    """
    width, height, alpha = _size(path)
    if mask is None and not alpha:
        raise UnusableImageError("has no alpha channel; give a folder of masks with --masks")
    if mask is not None and _size(mask)[:2] != (width, height):
        raise UnusableImageError(f"its mask {mask} is not of the same size, {width} × {height}")
    with path.open("rb") as file:
        head = file.read(26)
    plain = mask is None and head[:8] == b"\x89PNG\r\n\x1a\n" and head[24:26] == b"\x08\x06"
    return Head(path, mask, width, height, plain)


def _size(path: Path) -> tuple[int, int, bool]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            mode = image.mode
            alpha = mode in _WITH_ALPHA or "transparency" in image.info
    except _DAMAGE as error:
        raise UnusableImageError(f"is not a readable image ({error})") from error
    if width * height > _LARGEST:
        raise UnusableImageError(f"is {width} × {height} pixels large, more than {_LARGEST}")
    if mode not in _MODES:
        raise UnusableImageError(f"its colours are {mode}; save it as RGBA of 8 bits")
    return width, height, alpha


def write_image(head: Head, window: Window, resolution: int, out: Path) -> Made:
    """Writes the window of an image as a dataset's image.

    Raises:
        UnusableImageError: the image or its mask is damaged, or its alpha is empty or full.
        InputError: `out` cannot be written.
    """
    image = _read(head)
    whole = window == Window(0, 0, head.width) and head.width == head.height
    if not whole:
        # What lies beyond the image is filled with zeros, so it is transparent.
        image = image.crop((window.left, window.top, window.left + window.side, window.top + window.side))
    resampled = window.side != resolution
    if resampled:
        # Pillow weighs colours by alpha here, so what is transparent does not stain the edges.
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    fault = alpha_fault(np.asarray(image)[..., 3])
    if fault is not None:
        raise UnusableImageError(fault)
    with writing(out) as temporary:
        if whole and not resampled and head.plain:
            shutil.copyfile(head.path, temporary)
            return "copied"
        image.save(temporary, format="PNG")
    return "resampled" if resampled else "written anew"


def _read(head: Head) -> Image.Image:
    try:
        with Image.open(io.BytesIO(head.path.read_bytes()), formats=_FORMATS) as image:
            rgba = image.convert("RGBA")
        if head.mask is not None:
            with Image.open(head.mask, formats=_FORMATS) as mask:
                rgba.putalpha(mask.getchannel("A") if mask.mode in ("LA", "RGBA") else mask.convert("L"))
    except _DAMAGE as error:
        raise UnusableImageError(f"it or its mask is damaged ({error})") from error
    return rgba
