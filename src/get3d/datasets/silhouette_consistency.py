"""Compares silhouettes of images and meshes, to find wrong cameras and wrong conventions.

Silhouettes are compared as shares of pixels, with two criteria, so that thin objects in small images are not rejected
and wrong cameras are not accepted:

- The area more than a pixel outside the other silhouette is counted. This accepts masks that are a pixel too wide or
  too narrow, and finds different objects.
- The cameras are also read in other conventions. If one of these fits better, and not by chance, the recorded cameras
  follow it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from get3d.camera_prior import CameraPrior
from get3d.cameras import Cameras
from get3d.color import bytes_to_unit
from get3d.meshes import Mesh, MeshBatch
from get3d.render import rasterize

__all__ = ["CONVENTIONS", "Comparison", "better_convention", "compare", "silhouettes"]

_SAMPLES, _FEWER = 256, 128
"""Silhouettes are sampled at no less than so many points across; fewer where they are only compared with each other."""
_MARGIN = 0.02
_ERRORS = 3.0
_REST = 0.7
"""A convention is better when it is by this margin and by so many standard errors of the difference, and leaves no more
than this share of what does not fit: masks that are much too wide fit any wider silhouette a little better."""

_STEP = 30
"""Other zeros of azimuth are tried so many degrees apart."""


def _azimuths() -> dict[str, tuple[int, int]]:
    found = {"": (1, 0), "−azimuth": (-1, 0)}
    for turn in range(_STEP, 360, _STEP):
        later = f"+ {turn}°" if turn <= 180 else f"− {360 - turn}°"
        found |= {f"azimuth {later}": (1, turn), f"{turn}° − azimuth": (-1, turn)}
    return found


_POLARS = {"": (1, 0), "90° − polar angle": (-1, 90), "180° − polar angle": (-1, 180)}
CONVENTIONS: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    " and ".join(filter(None, (azimuth, polar))): (first, second)
    for polar, second in _POLARS.items()
    for azimuth, first in _azimuths().items()
}
"""Factor and addend in degrees for azimuth and polar angle, by what is taken in their place; first those recorded."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of the silhouettes of a mesh and of its images.

    Attributes:
        overlap: [v] intersection over union for each image, as shares of pixels.
        consistency: share of the union, of all images, where neither lies more than a pixel beyond the other; of
            silhouettes or of their pixels rounded to all or nothing, whichever is more.
        conventions: [c, w] the overlap of some of the images by each of `CONVENTIONS`; NaN where angles make none.
    """

    overlap: Float[np.ndarray, " v"]
    consistency: float
    conventions: Float[np.ndarray, "c w"]


@torch.no_grad()
def silhouettes(
    mesh: Mesh, degrees: Float[np.ndarray, "v 2"], prior: CameraPrior, resolution: int, points: int = _SAMPLES
) -> Float[Tensor, "v 1 r r"]:
    """The share of each pixel that a mesh covers, from about `points` samples across the image.

    Args:
        mesh: the mesh.
        degrees: azimuth and polar angle of each camera.
        prior: radius and field of view of all cameras.
        resolution: side of the silhouettes in pixels.
        points: number of samples per side.
    """
    samples = max(1, points // resolution)
    angles = torch.from_numpy(np.radians(degrees)).float()
    cameras = Cameras.orbit(angles[:, 0], angles[:, 1], prior.radius, float(np.radians(prior.fov)))
    batch = MeshBatch.from_meshes([mesh]).select(torch.zeros(len(cameras), dtype=torch.long))
    return avg_pool2d(rasterize(batch, cameras, resolution * samples).covered.float(), samples)


def compare(
    mesh: Mesh,
    degrees: Float[np.ndarray, "v 2"],
    prior: CameraPrior,
    alpha: UInt8[np.ndarray, "v r r"],
    tried: int,
) -> Comparison:
    """Compares a mesh with its images.

    Args:
        mesh: the object.
        degrees: recorded azimuth and polar angle of each image.
        prior: radius and field of view of all cameras.
        alpha: alpha of the images.
        tried: number of images that are also compared in each of `CONVENTIONS`, at a reduced size.
    """
    shown = bytes_to_unit(torch.from_numpy(alpha)[:, None])
    resolution = shown.shape[-1]
    seen = silhouettes(mesh, degrees, prior, resolution)
    # Masks of yes and no lose what is thinner than a pixel, so they are compared with such silhouettes.
    consistency = max(_consistency(shown, seen), _consistency(shown, seen.round()))
    reduced = avg_pool2d(shown[:tried], max(1, resolution // 64))
    conventions = np.full((len(CONVENTIONS), len(reduced)), np.nan)
    for number, ((sign, turn), (slope, start)) in enumerate(CONVENTIONS.values() if tried else ()):
        changed = degrees[:tried] * np.array([sign, slope]) + np.array([turn, start])
        if (changed[:, 1] > 0).all() and (changed[:, 1] < 180).all():
            other = silhouettes(mesh, changed, prior, reduced.shape[-1], _FEWER)
            conventions[number] = _overlap(reduced, other).numpy()
    return Comparison(_overlap(shown, seen).double().numpy(), consistency, conventions)


def better_convention(comparisons: Sequence[Comparison]) -> str | None:
    """The convention in which the cameras fit the images best, if it is clearly better than the recorded one."""
    overlaps = np.concatenate([one.conventions for one in comparisons], axis=1)
    means = overlaps.mean(axis=1)
    best = int(np.nanargmax(means))
    gains = overlaps[best] - overlaps[0]
    error = gains.std() / np.sqrt(len(gains))
    clearly = gains.mean() > max(_MARGIN, _ERRORS * error) and 1 - means[best] < _REST * (1 - means[0])
    return list(CONVENTIONS)[best] if clearly else None


def _consistency(shown: Float[Tensor, "v 1 r r"], seen: Float[Tensor, "v 1 r r"]) -> float:
    beyond = (shown - _grown(seen)).clamp_min(0) + (seen - _grown(shown)).clamp_min(0)
    return 1 - float(beyond.sum() / torch.maximum(shown, seen).sum().clamp_min(1))


def _grown(silhouette: Float[Tensor, "v 1 r r"]) -> Float[Tensor, "v 1 r r"]:
    """Wider by a pixel on all sides."""
    return max_pool2d(silhouette, 3, stride=1, padding=1)


def _overlap(first: Float[Tensor, "v 1 r r"], second: Float[Tensor, "v 1 r r"]) -> Float[Tensor, " v"]:
    both, either = torch.minimum(first, second).sum((1, 2, 3)), torch.maximum(first, second).sum((1, 2, 3))
    return both / either.clamp_min(1e-6)
