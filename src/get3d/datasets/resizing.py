"""Reduces images of a dataset, so that one dataset serves several resolutions."""

import numpy as np
from jaxtyping import Float, UInt8

from get3d.color import bytes_to_linear, linear_to_bytes

__all__ = ["reduced"]


def reduced(pixels: UInt8[np.ndarray, "4 s s"], resolution: int) -> UInt8[np.ndarray, "4 r r"]:
    """Reduces an RGBA image by an integer factor with an area filter.

    Each pixel is the mean of the pixels that it replaces: alpha directly, colours as linear light weighted by alpha, so
    that transparent pixels do not change the edges. If all of them are transparent, the colour is black.

    Args:
        pixels: sRGB and alpha, colours not multiplied by alpha.
        resolution: the new side in pixels, a divisor of the old one.
    """
    if pixels.shape[-1] == resolution:
        return pixels
    alpha = _means(pixels[3:].astype(np.float32), resolution)
    light = _means(bytes_to_linear(pixels[:3]).astype(np.float32) * pixels[3:], resolution) / np.maximum(
        alpha, np.float32(1e-6)
    )
    return np.concatenate([linear_to_bytes(light), np.rint(alpha).astype(np.uint8)])


def _means(values: Float[np.ndarray, "c s s"], resolution: int) -> Float[np.ndarray, "c r r"]:
    factor = values.shape[-1] // resolution
    return values.reshape(-1, resolution, factor, resolution, factor).mean(axis=(2, 4))
