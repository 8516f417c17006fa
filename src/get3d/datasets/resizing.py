"""Images of a dataset made smaller, so that one dataset serves several resolutions."""

import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["reduced"]

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Of each byte of sRGB, its linear light (IEC 61966-2-1)."""


def reduced(pixels: UInt8[np.ndarray, "4 s s"], resolution: int) -> UInt8[np.ndarray, "4 r r"]:
    """An RGBA image made smaller by a whole number, by an area filter.

    Each pixel is the mean of those that it takes the place of: alpha as it is, colours as linear light, weighted by
    alpha, so that what is transparent does not stain the edges. Where all is transparent, the colour is black.

    Args:
        pixels: sRGB and alpha, colours not multiplied by alpha.
        resolution: the new side in pixels, a divisor of the old one.
    """
    if pixels.shape[-1] == resolution:
        return pixels
    alpha = _means(pixels[3:].astype(np.float32), resolution)
    light = _means(_LINEAR[pixels[:3]] * pixels[3:], resolution) / np.maximum(alpha, np.float32(1e-6))
    color = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.concatenate([np.rint(255 * color.clip(0, 1)), np.rint(alpha)]).astype(np.uint8)


def _means(values: Float[np.ndarray, "c s s"], resolution: int) -> Float[np.ndarray, "c r r"]:
    factor = values.shape[-1] // resolution
    return values.reshape(-1, resolution, factor, resolution, factor).mean(axis=(2, 4))
