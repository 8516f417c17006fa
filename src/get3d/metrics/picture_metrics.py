"""How a model's pictures compare with those of a dataset."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from get3d.data.dataset import Pictures, to_network
from get3d.generator import Generator
from get3d.metrics.blocks import Arrays, digest, in_blocks
from get3d.metrics.features import FeatureNetwork, frechet_feature_distance, kernel_distance, precision_recall
from get3d.metrics.images import sliced_wasserstein_distance
from get3d.ranks import Ranks

__all__ = [
    "Drawn",
    "as_bytes",
    "compare_features",
    "compare_pictures",
    "generated_features",
    "real_features",
    "real_pictures",
]

_AT_ONCE = 32
_FEATURES_IN_BLOCK = 128


class Drawn:
    """Pictures of the shapes of the seeds seed, seed + 1, … by cameras from the dataset's prior, on black.

    Attributes:
        key: tells these pictures from others.
    """

    def __init__(self, generator: Generator, count: int, seed: int, psi: float, resolution: int) -> None:
        """Draws the cameras.

        Args:
            generator: what makes the shapes.
            count: how many pictures there are, each of another shape.
            seed: of the first shape, and of the cameras.
            psi: truncation.
            resolution: side in pixels.
        """
        self._generator, self._seed, self._psi, self._resolution = generator, seed, psi, resolution
        self._cameras = generator.config.cameras.sample(count, torch.Generator().manual_seed(seed))
        state = [tensor for _, tensor in sorted(generator.state_dict().items())]
        self.key = digest(*state, self._cameras.positions, self._cameras.focal_lengths, seed, psi, resolution)

    def __len__(self) -> int:
        return len(self._cameras)

    @torch.no_grad()
    def load(self, start: int, end: int, progress: Callable[[int], None]) -> UInt8[Tensor, "n 4 r r"]:
        """RGB and mask as bytes, on the CPU; `progress` is told how many are done, these or before these."""
        found = []
        for first in range(start, end, _AT_ONCE):
            last = min(first + _AT_ONCE, end)
            latents = self._generator.sample_latents(last - first, self._seed + first)
            cameras = self._cameras[first:last].to(latents.geometry.device)
            images = self._generator.render(latents, cameras, self._resolution, self._psi)
            found.append(as_bytes(torch.cat([images.rgb, 2 * images.mask - 1], dim=1)).cpu())
            progress(last)
        return torch.cat(found)

    def first(self, count: int, ranks: Ranks, progress: Callable[[int], None]) -> UInt8[Tensor, "n 4 r r"]:
        """The first of them, drawn by several processes. The first process alone gets them, the others get none."""
        starts = range(0, count, _AT_ONCE)
        return _joined(ranks.each(starts, lambda start: self.load(start, min(start + _AT_ONCE, count), progress)))


def real_pictures(pictures: Pictures, count: int, seed: int, ranks: Ranks) -> UInt8[Tensor, "n 4 r r"]:
    """A random choice of a dataset's pictures, at most `count`, on black: RGB and mask as bytes.

    Of several processes, which share the work, the first alone gets them, the others get none.
    """
    chosen = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))[:count]
    return _joined(ranks.each(chosen.split(_AT_ONCE), lambda part: _on_black(pictures, part)))


def _joined(parts: list[Tensor]) -> UInt8[Tensor, "n 4 r r"]:
    return torch.cat(parts) if parts else torch.empty(0, 4, 1, 1, dtype=torch.uint8)


def _on_black(pictures: Pictures, numbers: Tensor) -> UInt8[Tensor, "n 4 r r"]:
    images = to_network(pictures.load(numbers))
    return as_bytes(torch.cat([images[:, :3], 2 * images[:, 3:] - 1], dim=1))


def as_bytes(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Pictures of [−1, 1] as bytes."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def compare_pictures(some: UInt8[Tensor, "n 4 r r"], others: UInt8[Tensor, "m 4 r r"], seed: int) -> dict[str, float]:
    """Sliced Wasserstein distances of pictures ("swd-rgb") and masks ("swd-mask"), of as many as both sets have."""
    count = min(len(some), len(others))
    draw = torch.Generator().manual_seed(seed)
    return {
        "swd-rgb": sliced_wasserstein_distance(some[:count, :3], others[:count, :3], draw),
        "swd-mask": sliced_wasserstein_distance(some[:count, 3:], others[:count, 3:], draw),
    }


def generated_features(
    drawn: Drawn,
    network: FeatureNetwork,
    path: Path,
    device: torch.device,
    progress: Callable[[int], None],
    ranks: Ranks,
) -> Float32[Tensor, "n d"]:
    """Features of all drawn pictures, made by several processes, going on with what an earlier run left at `path`.

    Raises:
        InputError: the file cannot be written.
    """

    def compute(start: int, end: int) -> Arrays:
        images = drawn.load(start, end, progress)
        return {"features": network.of_batches(part[:, :3].to(device) for part in images.split(_AT_ONCE)).numpy()}

    key = digest(drawn.key, network.sha256)
    return torch.from_numpy(in_blocks(path, key, len(drawn), _FEATURES_IN_BLOCK, compute, ranks=ranks)["features"])


def real_features(
    pictures: Pictures, network: FeatureNetwork, device: torch.device, ranks: Ranks
) -> Float32[Tensor, "n d"]:
    """Features of all pictures of a split.

    Of several processes, which share the work, the first alone gets them, the others get none.
    """
    parts = torch.arange(len(pictures)).split(_AT_ONCE)
    found = ranks.each(parts, lambda part: network.of_batches([_on_black(pictures, part)[:, :3].to(device)]))
    return torch.cat(found) if found else torch.empty(0, 0)


def compare_features(some: Float32[Tensor, "n d"], real: Float32[Tensor, "m d"], seed: int) -> dict[str, float]:
    """FID ("fid"), 10³ times KID ("kid"), precision and recall in per cent."""
    reached = precision_recall(real, some)
    return {
        "fid": frechet_feature_distance(some, real),
        "kid": 1000 * kernel_distance(some, real, torch.Generator().manual_seed(seed)),
        "precision": 100 * reached.precision,
        "recall": 100 * reached.recall,
    }
