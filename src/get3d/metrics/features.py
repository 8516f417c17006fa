"""Comparing two sets of images by the features of a trained network: FID, KID, precision and recall.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule" (Fréchet distance); Bińkowski et al. 2018,
"Demystifying MMD GANs" (kernel distance); Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric".
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from get3d.files import InputError

__all__ = [
    "INCEPTION_SHA256",
    "INCEPTION_URL",
    "FeatureNetwork",
    "PrecisionRecall",
    "frechet_distance",
    "frechet_feature_distance",
    "inception_path",
    "kernel_distance",
    "precision_recall",
]

INCEPTION_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""The Inception network of 2015, which defines FID, as TorchScript: bytes in, 2,048 features out."""

ROWS_AT_ONCE = 1024


def inception_path() -> Path:
    """The default path of the network."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "get3d" / INCEPTION_URL.rpartition("/")[2]


class FeatureNetwork:
    """The Inception network, from images to features, as TorchScript.

    Attributes:
        key: the SHA-256 of its file.
    """

    def __init__(self, path: Path | str | None = None, sha256: str = INCEPTION_SHA256) -> None:
        """Reads the network; nothing in the file is read before its hash is found right.

        Args:
            path: the file; by default the one at `inception_path()`.
            sha256: what the file's SHA-256 must be.

        Raises:
            InputError: there is no such file, or it is another one.
        """
        self.key = sha256
        path = inception_path() if path is None else Path(path)
        fix = f"download {INCEPTION_URL} to {path}, or give another place with --inception"
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path}: no Inception network ({error.strerror}); {fix}") from error
        if found != sha256:
            raise InputError(f"{path}: its SHA-256 is {found}, not {sha256}, so it is another file or truncated; {fix}")
        with warnings.catch_warnings():
            # PyTorch advises another format; the standard file is in this one.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch.jit")
            self._network = torch.jit.load(str(path), map_location="cpu").eval()

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n d"]:
        """Features of images of any size, on their device; the network resizes them in its own, customary way."""
        self._network.to(images.device)
        return self._network(images, return_features=True).float()


def frechet_distance(
    mean_a: Float[Tensor, " d"],
    covariance_a: Float[Tensor, "d d"],
    mean_b: Float[Tensor, " d"],
    covariance_b: Float[Tensor, "d d"],
) -> float:
    """The squared Fréchet distance of two normal distributions: |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½).

    Args:
        mean_a: mean of the first.
        covariance_a: covariance of the first, symmetric, possibly singular.
        mean_b: mean of the second.
        covariance_b: covariance of the second.

    Raises:
        ValueError: a number is not finite.
    """
    moments = [tensor.double() for tensor in (mean_a, covariance_a, mean_b, covariance_b)]
    if not all(bool(torch.isfinite(moment).all()) for moment in moments):
        raise ValueError("means or covariances hold numbers that are not finite")
    mean_a, covariance_a, mean_b, covariance_b = moments
    return _distance_of_factors(mean_a, _root(covariance_a), mean_b, _root(covariance_b))


def _distance_of_factors(
    mean_a: Float64[Tensor, " d"], a: Float64[Tensor, "k d"], mean_b: Float64[Tensor, " d"], b: Float64[Tensor, "l d"]
) -> float:
    """The distance by factors R of the covariances Σ = Rᵀ R.

    The eigenvalues of Σa Σb are the squared singular values of Ra Rbᵀ, so no root of a small difference is needed.
    """
    cross = torch.linalg.svdvals(a @ b.T).sum()
    return float((mean_a - mean_b).square().sum() + a.square().sum() + b.square().sum() - 2 * cross)


def _root(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()).T


def frechet_feature_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Fréchet distance of normal distributions fitted to two sets of features; FID for Inception features.

    It falls with the number of images even if nothing else changes, so compare equal numbers only.

    Raises:
        ValueError: a set has fewer than two images, or numbers that are not finite.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"{len(a)} and {len(b)} images; a covariance needs at least 2 on each side")
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features hold numbers that are not finite")
    (mean_a, factor_a), (mean_b, factor_b) = _mean_and_factor(a), _mean_and_factor(b)
    return _distance_of_factors(mean_a, factor_a, mean_b, factor_b)


def _mean_and_factor(features: Float[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "k d"]]:
    """Mean, and a factor R of the covariance Rᵀ R.

    The covariance itself is never formed: of fewer images than features it has many eigenvalues of 0, at which solvers
    may fail.
    """
    features = features.double()
    mean = features.mean(dim=0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    # No more rows than columns are needed.
    return mean, torch.linalg.qr(factor, mode="r").R if len(factor) > factor.shape[1] else factor


def kernel_distance(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    generator: torch.Generator,
    subsets: int = 100,
    subset_size: int = 1000,
) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³; KID for Inception features.

    Args:
        a: features of the first set.
        b: features of the second set.
        generator: random generator for the subsets.
        subsets: number of random subsets, whose mean is returned.
        subset_size: images per subset, at most the size of the smaller set.

    Returns:
        About zero, possibly negative, for two samples of one distribution. Unlike FID it does not depend on their
        number.

    Raises:
        ValueError: a set has fewer than two images.
    """
    size = min(subset_size, len(a), len(b))
    if size < 2:
        raise ValueError(f"{len(a)} and {len(b)} images; an unbiased estimate needs at least 2 on each side")
    total = 0.0
    for _ in range(subsets):
        x, y = (
            features[torch.randperm(len(features), generator=generator, device=generator.device)[:size]].double()
            for features in (a, b)
        )
        xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
        within = (xx.sum() - xx.diagonal().sum() + yy.sum() - yy.diagonal().sum()) / (size * (size - 1))
        total += float(within - 2 * xy.mean())
    return total / subsets


def _kernel(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall, from 0 to 1.

    Attributes:
        precision: share of the generated images within reach of real ones.
        recall: share of the real images within reach of generated ones.
    """

    precision: float
    recall: float


def precision_recall(
    real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], neighbours: int = 3
) -> PrecisionRecall:
    """Improved precision and recall: reach is the distance of an image to its k-th neighbour in its own set.

    Args:
        real: features of real images.
        generated: features of generated images.
        neighbours: k.

    Raises:
        ValueError: a set has at most k images.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(f"{len(real)} and {len(generated)} images; there must be more than {neighbours} of each")
    return PrecisionRecall(_share_within(real, generated, neighbours), _share_within(generated, real, neighbours))


def _share_within(centres: Tensor, queries: Tensor, neighbours: int) -> float:
    # The nearest of an image's own set is itself, at distance 0.
    radii = torch.cat(
        [_distances(block, centres).kthvalue(neighbours + 1, dim=1).values for block in centres.split(ROWS_AT_ONCE)]
    )
    inside = sum(int((_distances(block, centres) <= radii).any(dim=1).sum()) for block in queries.split(ROWS_AT_ONCE))
    return inside / len(queries)


def _distances(x: Tensor, y: Tensor) -> Float64[Tensor, "n m"]:
    return torch.cdist(x.double(), y.double())
