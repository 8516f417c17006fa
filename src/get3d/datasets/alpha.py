"""Alpha channels: whether an object is visible, its size and position."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

__all__ = ["Framing", "alpha_fault", "framing", "is_full"]

_FAINT = 8
"""Alpha up to this, of 255, counts as transparent: some renderers leave noise."""


@dataclass(frozen=True)
class Framing:
    """Position of an object in its image.

    Attributes:
        touching: the object touches the border, so a part of it may be cut off.
        extent: longest side of its bounding box as a share of the image's.
        offset: distance from the middle of the image to that of the box, as a share of the image's side.
        cover: share of the image that it covers.
        covers_image: whether it covers the complete image.
    """

    touching: bool
    extent: float
    offset: float
    cover: float
    covers_image: bool = False


def alpha_fault(alpha: UInt8[np.ndarray, "h w"]) -> str | None:
    """The reason why an alpha channel masks no object, or None."""
    if alpha.max() <= _FAINT:
        return "its alpha is empty, so nothing is visible"
    if is_full(alpha):
        return "its alpha is full: every pixel is object"
    return None


def is_full(alpha: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether the object covers the complete image."""
    return bool(alpha.min() > _FAINT)


def framing(alpha: UInt8[np.ndarray, "r r"]) -> Framing:
    """The position of the object in an image."""
    seen = alpha > _FAINT
    side = len(alpha)
    edges = [np.flatnonzero(seen.any(axis=axis))[[0, -1]] for axis in (0, 1)]
    low, high = (np.array([edge[end] for edge in edges]) for end in (0, 1))
    return Framing(
        touching=bool(low.min() == 0 or high.max() == side - 1),
        extent=float((high - low + 1).max() / side),
        offset=float(np.hypot(*((low + high + 1) / 2 - side / 2)) / side),
        cover=float(alpha.mean() / 255),
        covers_image=is_full(alpha),
    )
