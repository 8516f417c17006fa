"""Images and archives for several formats, with the same bytes for the same content."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

__all__ = ["archive_bytes", "image_of", "png_bytes"]

_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in an archive: the first that the format can name."""

_HEAD = 30
"""Bytes of the fixed part of what an archive says before a file."""

_PADDING = 0x1986
"""The kind of extra field that pads (that of USD; readers pass over kinds that they do not know)."""


def image_of(texture: UInt8[Tensor, "h w c"]) -> Image.Image:
    """A texture of one or three components as an image."""
    values = np.ascontiguousarray(texture.numpy())
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def png_bytes(texture: UInt8[Tensor, "h w c"]) -> bytes:
    """A texture as PNG."""
    buffer = io.BytesIO()
    image_of(texture).save(buffer, format="png")
    return buffer.getvalue()


def archive_bytes(files: Mapping[str, bytes], align: int | None = None) -> bytes:
    """Files, in their order, as a zip archive.

    Args:
        files: by their names, which are plain.
        align: for USDZ, where files are not compressed: each begins at a multiple of so many bytes.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if align else zipfile.ZIP_DEFLATED
            if align:
                # The extra field's own head takes four bytes.
                gap = -(buffer.tell() + _HEAD + len(name) + 4) % align
                entry.extra = _PADDING.to_bytes(2, "little") + gap.to_bytes(2, "little") + bytes(gap)
            archive.writestr(entry, content)
    return buffer.getvalue()
