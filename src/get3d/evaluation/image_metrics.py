"""Images of a model and of a dataset, and their features by trained networks."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from get3d.cameras import Cameras
from get3d.color import signed_to_bytes, unit_to_signed
from get3d.datasets.loader import ImageDataset, to_network
from get3d.distributed.processes import Ranks
from get3d.evaluation.drawing import Sampling, images_of
from get3d.evaluation.resumable import Arrays, digest, in_blocks
from get3d.generator import Generator
from get3d.metrics.feature_networks import FeatureNetwork, features_of

__all__ = ["Drawn", "generated_features", "real_features", "real_images"]

_AT_ONCE = 32
_FEATURES_IN_BLOCK = 128


class Drawn:
    """Images of the first shapes of a generator, with cameras from the dataset's prior, on black.

    Attributes:
        key: identifies these images.
    """

    def __init__(self, generator: Generator, count: int, sampling: Sampling, resolution: int) -> None:
        """Draws the cameras.

        Args:
            generator: what makes the shapes.
            count: how many images there are, each of another shape.
            sampling: which shapes; its seed is that of the cameras, too.
            resolution: side in pixels.
        """
        self._generator, self._sampling, self._resolution = generator, sampling, resolution
        self._cameras = Cameras.sample(generator.config.cameras, count, torch.Generator().manual_seed(sampling.seed))
        self.key = digest(sampling.key(generator), self._cameras.angles, resolution)

    def __len__(self) -> int:
        return len(self._cameras)

    @torch.no_grad()
    def load(self, start: int, end: int, progress: Callable[[int], None]) -> UInt8[Tensor, "n 4 r r"]:
        """RGB and mask as bytes, on the CPU; `progress` is called with the number of finished images."""
        found = []
        for first in range(start, end, _AT_ONCE):
            last = min(first + _AT_ONCE, end)
            shapes = self._sampling.shapes(self._generator, range(first, last))
            cameras = self._cameras[first:last].to(shapes.surfaces.empty.device)
            images = images_of(self._generator, shapes, cameras, self._resolution)
            found.append(signed_to_bytes(_mask_from_minus_one(images)).cpu())
            progress(last)
        return torch.cat(found)

    def first(self, count: int, ranks: Ranks, progress: Callable[[int], None]) -> UInt8[Tensor, "n 4 r r"]:
        """The first images, drawn by several processes. Only the first process gets them."""
        starts = range(0, count, _AT_ONCE)
        return _joined(ranks.each(starts, lambda start: self.load(start, min(start + _AT_ONCE, count), progress)))


def real_images(
    images: ImageDataset, count: int, seed: int, ranks: Ranks, *, binary_masks: bool = False
) -> UInt8[Tensor, "n 4 r r"]:
    """A random choice of a dataset's images, at most `count`, on black: RGB and mask as bytes.

    Several processes can divide the work. Only the first one gets the result.

    Args:
        images: the images of a split.
        count: maximum number.
        seed: seed of the choice.
        ranks: processes that divide the reading.
        binary_masks: count every partly covered pixel as covered.
    """
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    return _joined(ranks.each(chosen.split(_AT_ONCE), lambda part: _on_black(images, part, binary_masks)))


def _joined(parts: list[Tensor]) -> UInt8[Tensor, "n 4 r r"]:
    return torch.cat(parts) if parts else torch.empty(0, 4, 1, 1, dtype=torch.uint8)


def _on_black(images: ImageDataset, numbers: Tensor, binary_masks: bool) -> UInt8[Tensor, "n 4 r r"]:
    drawn = to_network(images.load(numbers))
    if binary_masks:
        drawn[:, 3:] = (drawn[:, 3:] > 0).to(drawn)
    return signed_to_bytes(_mask_from_minus_one(drawn))


def _mask_from_minus_one(images: Float[Tensor, "n 4 h w"]) -> Float[Tensor, "n 4 h w"]:
    """The mask, which is in [0, 1], in the range of the colours."""
    return torch.cat([images[:, :3], unit_to_signed(images[:, 3:])], dim=1)


def generated_features(
    drawn: Drawn,
    network: FeatureNetwork,
    path: Path,
    device: torch.device,
    progress: Callable[[int], None],
    ranks: Ranks,
) -> Float32[Tensor, "n d"]:
    """Features of all drawn images, computed by several processes, resuming from stored results at `path`.

    Raises:
        InputError: the file cannot be written.
    """

    def compute(start: int, end: int) -> Arrays:
        images = drawn.load(start, end, progress)
        return {"features": features_of(network, images[:, :3], device).numpy()}

    key = digest(drawn.key, network.key)
    return torch.from_numpy(in_blocks(path, key, len(drawn), _FEATURES_IN_BLOCK, compute, ranks=ranks)["features"])


def real_features(
    images: ImageDataset, network: FeatureNetwork, device: torch.device, ranks: Ranks, chosen: Int[Tensor, " n"]
) -> Float32[Tensor, "n d"]:
    """Features of images of a split with the given indices.

    Several processes can divide the work. Only the first one gets the result.
    """
    found = ranks.each(
        chosen.split(_AT_ONCE), lambda part: features_of(network, _on_black(images, part, False)[:, :3], device)
    )
    return torch.cat(found) if found else torch.empty(0, 0)
