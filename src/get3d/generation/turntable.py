"""Contact sheets and turntable videos."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.color import signed_to_bytes
from get3d.files import writing
from get3d.images import contact_sheet
from get3d.render.lights import Light
from get3d.shapes import Shapes

__all__ = ["columns_for", "seen_from", "sheet", "turning", "write_sheet", "write_video"]

FRAMES_PER_SECOND = 18
TURN = 36
"""Number of frames of a full turn."""

_SMALLEST_LABEL = 8
"""Smallest readable height of letters in pixels."""

STILL = 3
"""The frame of a turn that is used as a still: 30° from the front."""


def turning(
    shapes: Shapes, prior: CameraPrior, resolution: int, light: Light | None = None
) -> UInt8[Tensor, "f n 3 r r"]:
    """Renders a full turn around each shape, on white, in a light or in that of its own images."""
    return torch.stack([_images(shapes, prior, frame, resolution, light) for frame in range(TURN)])


def seen_from(
    shapes: Shapes, prior: CameraPrior, resolution: int, light: Light | None = None
) -> UInt8[Tensor, "n 3 r r"]:
    """Renders each shape once, on white, all from the same side, in a light or in that of its own images."""
    return _images(shapes, prior, STILL, resolution, light)


@torch.no_grad()
def _images(
    shapes: Shapes, prior: CameraPrior, frame: int, resolution: int, light: Light | None
) -> UInt8[Tensor, "n 3 r r"]:
    meshes = shapes.surfaces.meshes
    place = torch.full((len(meshes),), frame)
    cameras: Cameras = Cameras.turntable(prior, TURN)[place].to(meshes.vertices.device)
    images = shapes.draw(cameras, resolution, light=light)
    over_white = images.rgb.clamp(-1, 1) * images.mask + (1 - images.mask)
    return signed_to_bytes(over_white).cpu()


def columns_for(count: int) -> int:
    """Columns of a sheet that is about square, and four for a few images."""
    return min(count, max(4, int(np.ceil(np.sqrt(count)))))


def sheet(images: UInt8[Tensor, "n 3 r r"] | Float[Tensor, "n 3 r r"], columns: int) -> Image.Image:
    """Arranges images in rows and columns, on white."""
    return contact_sheet(images, columns=columns, background=1.0)


def write_sheet(path: Path, images: UInt8[Tensor, "n 3 r r"], columns: int, labels: Sequence[str] = ()) -> None:
    """Writes a sheet of images as a PNG, with optional labels in the corners of the images."""
    whole = sheet(images, columns)
    side = images.shape[-1]
    font = ImageFont.load_default(max(_SMALLEST_LABEL, side // 18))
    draw = ImageDraw.Draw(whole)
    for number, label in enumerate(labels):
        corner = (number % columns * side + side // 32, number // columns * side + side // 32)
        draw.text(corner, label, fill=(90, 90, 90), font=font)
    with writing(path) as temporary:
        whole.save(temporary)


def write_video(path: Path, frames: Iterable[Image.Image]) -> None:
    """Writes frames as an endlessly repeating .gif, or as .mp4, which needs PyAV."""
    with writing(path) as temporary:
        if path.suffix == ".gif":
            first, *rest = (frame.quantize(256, method=Image.Quantize.FASTOCTREE) for frame in frames)
            duration = 1000 // FRAMES_PER_SECOND
            first.save(temporary, save_all=True, append_images=rest, duration=duration, loop=0)
        else:
            _write_mp4(temporary, frames)


def _write_mp4(path: Path, frames: Iterable[Image.Image]) -> None:
    import imageio.v3 as imageio

    # The codec takes even sides only.
    stacked = np.stack([np.asarray(frame)[: frame.height // 2 * 2, : frame.width // 2 * 2] for frame in frames])
    imageio.imwrite(path, stacked, plugin="pyav", codec="libx264", fps=FRAMES_PER_SECOND)
