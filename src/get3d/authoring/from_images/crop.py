"""Converts image files for a dataset: square, RGBA, of one resolution. Images that already are, are copied."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from get3d.datasets.alpha import alpha_fault
from get3d.files import InputError, open_file, writing

__all__ = ["Head", "Made", "UnusableImageError", "Window", "read_head", "read_rgba", "write_image"]

_LARGEST = 2**26
"""Maximum pixels of an image; a larger one counts as a decompression bomb."""
_MOST_BYTES = 2**30
"""Of an image file; what a longer one holds beyond is no pixel of it."""
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_WITH_ALPHA = ("LA", "PA", "RGBA")
_MASK_MODES = (*_MODES, "I;16", "I;16B", "I;16L", "I")
_UPRIGHT = 1
"""The EXIF orientation of images that are stored as they are seen."""
_SIDEWAYS = (5, 6, 7, 8)
_COLOURED = 32
"""Channels of a mask that differ by more than this are colours, not the noise of JPEG."""
_VOID = 255
"""The label of Pascal VOC and its followers for the border of objects."""
Made = Literal["copied", "written anew", "resampled"]


class UnusableImageError(InputError):
    """An image that cannot become part of a dataset. The message is the reason, without the name of the image."""


@dataclass(frozen=True)
class Head:
    """The header of an image.

    Attributes:
        path: the image.
        mask: the file that replaces its alpha channel.
        width: width in pixels, after rotation.
        height: height in pixels, after rotation.
        plain: whether it is an 8-bit RGBA PNG, as in a dataset.
        turned: whether it must be rotated according to its EXIF data.
    """

    path: Path
    mask: Path | None
    width: int
    height: int
    plain: bool
    turned: bool = False


@dataclass(frozen=True)
class Window:
    """The square of an image that is kept, in pixels; outside the image it is transparent."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class _Stored:
    """An image file as it is stored: size in pixels, Pillow's mode, whether it has alpha, EXIF orientation, if any."""

    width: int
    height: int
    mode: str
    alpha: bool
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def read_head(path: Path, mask: Path | None, aspect: float | None = None, *, needs_alpha: bool = True) -> Head:
    """Reads the headers of an image and its mask.

    Args:
        path: the image.
        mask: its mask, if alpha is not in the image.
        aspect: width / height of the camera, if known. An image that is stored sideways according to its EXIF data is
            rotated, unless the stored image has this aspect ratio: then the camera belongs to the stored image.
        needs_alpha: refuse images without an alpha channel and without a mask.

    Raises:
        UnusableImageError: a file is not an image, or is too large, or there is no mask.
    """
    stored = _stored(path)
    if stored.width * stored.height > _LARGEST:
        raise UnusableImageError(f"is {stored.width} × {stored.height} pixels, more than {_LARGEST}")
    if stored.mode not in _MODES:
        raise UnusableImageError(f"its colours are {stored.mode}; save it as RGBA of 8 bits")
    if needs_alpha and mask is None and not stored.alpha:
        raise UnusableImageError("has no alpha channel; give a folder of masks with --masks")
    turned = stored.orientation != _UPRIGHT
    width, height = stored.upright_size
    if turned and aspect is not None and _differs(aspect, width / height) and not _differs(aspect, height / width):
        turned, width, height = False, stored.width, stored.height
    if mask is not None:
        _require_mask(mask, width, height)
    with open_file(path) as file:
        head = file.read(26)
    plain = mask is None and head[:8] == b"\x89PNG\r\n\x1a\n" and head[24:26] == b"\x08\x06"
    return Head(path, mask, width, height, plain and stored.orientation == _UPRIGHT, turned)


def _differs(a: float, b: float) -> bool:
    return abs(a / b - 1) > 0.01


def _require_mask(path: Path, width: int, height: int) -> None:
    try:
        stored = _stored(path)
    except UnusableImageError as error:
        raise UnusableImageError(f"its mask {path} {error}") from error
    if (width, height) not in ((stored.width, stored.height), stored.upright_size):
        raise UnusableImageError(f"its mask {path} is {stored.width} × {stored.height}, the image {width} × {height}")
    if stored.mode not in _MASK_MODES:
        raise UnusableImageError(f"its mask {path} has colours of the kind {stored.mode}; save it as 8-bit grey")


def _stored(path: Path) -> _Stored:
    try:
        with open_file(path) as file, Image.open(file, formats=_FORMATS) as image:
            alpha = image.mode in _WITH_ALPHA or "transparency" in image.info
            # Pillow turns a TIFF itself. Of a PNG, it would decode all to look for EXIF data at its end; see `_read`.
            has_exif = image.format != "TIFF" and {"exif", "Raw profile type exif"} & set(image.info)
            return _Stored(*image.size, image.mode, alpha, _orientation(image) if has_exif else _UPRIGHT)
    except Exception as error:  # Decoders of damaged images raise whatever they do.
        raise UnusableImageError(f"is not a readable image ({_why(error)})") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    return value if value in range(2, 9) else _UPRIGHT


def write_image(head: Head, window: Window, resolution: int, out: Path) -> Made:
    """Writes the window of an image as an image of the dataset.

    Raises:
        UnusableImageError: the image or its mask is damaged, or its alpha is empty or full.
        InputError: `out` cannot be written.
    """
    image = read_rgba(head)
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
        raise UnusableImageError(fault if head.mask is None else fault.replace("its alpha", f"its mask {head.mask}"))
    with writing(out) as temporary:
        if whole and not resampled and head.plain:
            shutil.copyfile(head.path, temporary)
            return "copied"
        image.save(temporary, format="PNG")
    return "resampled" if resampled else "written anew"


def read_rgba(head: Head) -> Image.Image:
    """Reads the upright pixels of an image, with its mask as alpha.

    Raises:
        UnusableImageError: the image or its mask is damaged.
    """
    try:
        with open_file(head.path) as file, Image.open(io.BytesIO(file.read(_MOST_BYTES)), formats=_FORMATS) as image:
            image.load()
            late = not head.turned and head.plain and _orientation(image) != _UPRIGHT
            # Without its EXIF data, so that no program turns once more what is written.
            rgba = (ImageOps.exif_transpose(image) if head.turned else image).convert("RGBA")
    except Exception as error:  # As above.
        raise UnusableImageError(f"is damaged ({_why(error)})") from error
    if late:
        raise UnusableImageError("has its orientation stored after the pixels; save it again")
    if head.mask is not None:
        try:
            rgba.putalpha(Image.fromarray(_read_mask(head.mask, rgba.size)))
        except UnusableImageError:
            raise
        except Exception as error:  # As above.
            raise UnusableImageError(f"its mask {head.mask} is damaged ({_why(error)})") from error
    rgba.info.pop("exif", None)
    return rgba


def _read_mask(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """The mask, 0 to 255, of the size (width, height) of its image.

    White is the object. A mask of two values, one of them 0, says yes and no: 0 and 1, say, or labels. In one with a
    palette of colours, the entries are labels, 0 is the background.
    """
    with open_file(path) as file, Image.open(file, formats=_FORMATS) as stored:
        stored.load()
        mask = stored if stored.size == size else ImageOps.exif_transpose(stored)
        if mask.size != size:
            raise UnusableImageError(f"its mask {path} is not of the image's size")
        if mask.mode in ("LA", "PA", "RGBA") and np.asarray(mask.getchannel("A")).min() < 255:
            return np.asarray(mask.getchannel("A"))
        if mask.mode == "P":
            colors = np.asarray(mask.convert("RGB"))
            values = np.asarray(mask if _coloured(colors) else mask.convert("L"))
            if _coloured(colors):
                return _of_labels(path, values)
        elif mask.mode in ("RGB", "RGBA", "PA"):
            if _coloured(np.asarray(mask.convert("RGB"))):
                raise UnusableImageError(f"its mask {path} is coloured; save it as grey, white is the object")
            values = np.asarray(mask.convert("L"))
        else:
            values = np.asarray(mask.convert("L") if mask.mode in ("1", "LA") else mask)
    found = np.unique(values)
    if len(found) == 2 and found[0] == 0:
        return np.where(values > 0, 255, 0).astype(np.uint8)
    if found[-1] > 255:
        values = np.clip(np.rint(values / 257), 0, 255)
    return values.astype(np.uint8)


def _coloured(rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
    return bool((np.ptp(rgb, axis=2) > _COLOURED).any())


def _of_labels(path: Path, labels: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    found = [label for label in np.unique(labels).tolist() if label]
    things = [label for label in found if label != _VOID] or found
    if len(things) > 1:
        names = ", ".join(map(str, things[:5]))
        raise UnusableImageError(f"its mask {path} has {len(things)} labels ({names}); one object has one, 0 is none")
    return np.where(np.isin(labels, things), 255, 0).astype(np.uint8)
