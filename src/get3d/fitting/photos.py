"""Photos of an object: reading, masking, and cropping around the object, which changes the camera."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor

from get3d.authoring.from_images.crop import UnusableImageError, read_head, read_rgba
from get3d.datasets.alpha import alpha_fault
from get3d.datasets.loader import to_network
from get3d.files import InputError

__all__ = ["SHARE", "Photo", "Window", "read_photo", "targets", "window_of"]

SHARE = 0.85
"""Share of a window's side that the object's longest side takes."""

_SECOND = 0.2
"""A second component of a mask with at least this share of the largest one's area is another object."""

_JOINING = 32
"""Minimum alpha of pixels that join two parts of an object."""

_PLAIN, _FOREGROUND = 24, 40
"""Maximum difference of a border's colours from their median, and minimum difference of the object's pixels from it."""


@dataclass(frozen=True)
class Window:
    """A square part of an image, in units of the image's height: the middle, x right and y down, and the side."""

    x: float
    y: float
    side: float


@dataclass(frozen=True)
class Photo:
    """An image of one object.

    Attributes:
        path: its file.
        rgba: its pixels; alpha is the mask.
        removed: what was removed by colour, as a sentence that warns of it; None if nothing was.
    """

    path: Path
    rgba: UInt8[np.ndarray, "h w 4"]
    removed: str | None = None

    @property
    def square(self) -> bool:
        """Whether it is as wide as high."""
        return self.rgba.shape[0] == self.rgba.shape[1]

    def window(self) -> Window:
        """The window around the object."""
        return window_of(torch.from_numpy(self.rgba[..., 3] > 127))


def window_of(covered: Bool[Tensor, "h w"]) -> Window:
    """The window around the covered pixels; their longest side takes `SHARE` of it.

    Raises:
        ValueError: nothing is covered.
    """
    height = covered.shape[0]
    lines = [covered.any(axis).nonzero().flatten() for axis in (0, 1)]
    if not len(lines[0]):
        raise ValueError("nothing is covered, so there is no window around it")
    (left, right), (top, bottom) = ((int(line[0]), int(line[-1]) + 1) for line in lines)
    side = max(right - left, bottom - top) / SHARE
    return Window((left + right) / 2 / height, (top + bottom) / 2 / height, side / height)


def read_photo(path: Path, mask: Path | None) -> Photo:
    """Reads an image of one object.

    Raises:
        InputError: it cannot be read, its mask has another size, or shows no object or several; or it has no mask, and
            its background is not of one colour.
    """
    try:
        image = read_rgba(read_head(path, mask, needs_alpha=False))
    except UnusableImageError as error:
        raise InputError(f"{path}: {error}") from error
    rgba, removed = np.array(image), None
    if mask is None and rgba[..., 3].min() == 255:
        colour = _background(path, rgba[..., :3])
        rgba[..., 3] = _without(colour, rgba[..., :3])
        removed = (
            f"{path}: has no alpha channel; its background, about rgb({', '.join(f'{part:.0f}' for part in colour)}), "
            "was removed by colour, which leaves holes where the object has this colour; --mask avoids this"
        )
    of = f"{path}" if mask is None else f"{path}: its mask {mask}"
    fault = alpha_fault(rgba[..., 3])
    if fault is not None:
        raise InputError(f"{path}: {fault if mask is None else fault.replace('its alpha', f'its mask {mask}')}")
    # Legs that are thinner than a pixel join the parts of a chair.
    parts, count = ndimage.label(rgba[..., 3] > _JOINING, np.ones((3, 3)))
    covered = parts[rgba[..., 3] > 127]
    areas = np.sort(np.bincount(covered, minlength=count + 1)[1:])[::-1] if count else np.zeros(1)
    if not areas[0]:
        raise InputError(f"{of} shows no object, no pixel is more than half covered; give another image or --mask")
    others = areas[1:][areas[1:] >= _SECOND * areas[0]]
    if len(others):
        sizes = ", ".join(f"{area:,}" for area in areas[: 1 + len(others)][:4])
        raise InputError(
            f"{of} shows {1 + len(others)} separate objects ({sizes} pixels); cut the image, or give a --mask of one"
        )
    return Photo(path, rgba, removed)


def _background(path: Path, rgb: UInt8[np.ndarray, "h w 3"]) -> Float64[np.ndarray, " 3"]:
    """The colour along the border."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.int32)
    colour = np.median(border, axis=0)
    spread = np.percentile(np.abs(border - colour).max(axis=1), 95)
    if spread > _PLAIN:
        raise InputError(
            f"{path}: has no alpha channel, and its background is not of one colour (it differs by {spread:.0f} of "
            "255 along the border); give a --mask"
        )
    return colour


def _without(colour: Float64[np.ndarray, " 3"], rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """A mask of what differs from a colour."""
    difference = np.abs(rgb.astype(np.int32) - colour).max(axis=2)
    return np.clip(difference * (255 / _FOREGROUND), 0, 255).astype(np.uint8)


def targets(photos: list[Photo], windows: list[Window], resolution: int) -> Float[Tensor, "n 4 r r"]:
    """The windows of photos, as networks see images."""
    images = [_cut(photo, window, resolution) for photo, window in zip(photos, windows, strict=True)]
    return to_network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous())


def _cut(photo: Photo, window: Window, resolution: int) -> UInt8[np.ndarray, "r r 4"]:
    height = photo.rgba.shape[0]
    corners = (window.x - window.side / 2, window.y - window.side / 2, window.x + window.side / 2)
    left, top, right = (part * height for part in corners)
    # Integer borders around the window, so that what lies beyond the image is transparent; the rest by resampling.
    first = (int(np.floor(left)), int(np.floor(top)))
    side = int(np.ceil(right - left)) + 2
    image = Image.fromarray(photo.rgba).crop((*first, first[0] + side, first[1] + side))
    box = (left - first[0], top - first[1], left - first[0] + right - left, top - first[1] + right - left)
    return np.asarray(image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box))
