"""Inputs of metrics: measurements of a generated and a real set. Only what a metric needs is present."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from get3d.evaluation.shape_metrics import DistanceName, Distances
from get3d.evaluation.shape_sets import ShapeSet
from get3d.metrics.feature_networks import FeatureName
from get3d.metrics.features import PrecisionRecall, frechet_feature_distance, kernel_distance, precision_recall
from get3d.metrics.quality import TextureQuality
from get3d.metrics.sliced_wasserstein import sliced_wasserstein_distance

__all__ = ["Evidence", "Features", "ImageSets", "Need"]

Need = Literal["images", "inception", "efficientnet", "cd", "lfd", "training objects", "meshes", "textures"]
"""Inputs of a metric: images of both sets; their features by a network; point sets or light fields of both; the
nearest training objects of each shape; the generated meshes; their baked textures."""


@dataclass(frozen=True)
class ImageSets:
    """Images of both sets, RGB and mask, in the same range.

    Attributes:
        generated: n images.
        real: m images.
    """

    generated: Shaped[Tensor, "n 4 r r"]
    real: Shaped[Tensor, "m 4 r r"]

    @property
    def count(self) -> int:
        """The size of the smaller set."""
        return min(len(self.generated), len(self.real))


@dataclass(frozen=True)
class Features:
    """Features of the images of both sets by one network.

    Attributes:
        generated: features of n images.
        real: features of m images.
    """

    generated: Float[Tensor, "n d1"]
    real: Float[Tensor, "m d2"]

    @property
    def frechet(self) -> float:
        """Their Fréchet distance."""
        return frechet_feature_distance(self.generated, self.real)

    def kernel(self, random: torch.Generator) -> float:
        """10³ times their kernel distance."""
        return 1000 * kernel_distance(self.generated, self.real, random)


@dataclass(frozen=True)
class Evidence:
    """Measurements of a generated and a real set.

    Attributes:
        seed: seed of random numbers in metrics.
        images: images of both sets.
        features: features by network.
        distances: distances by kind.
        shapes: the generated shapes with a surface, and the names of those without.
        textures: textures of some generated shapes with a surface.
    """

    seed: int = 0
    images: ImageSets | None = None
    features: Mapping[FeatureName, Features] = field(default_factory=dict)
    distances: Mapping[DistanceName, Distances] = field(default_factory=dict)
    shapes: ShapeSet | None = None
    textures: Sequence[TextureQuality] = ()

    @property
    def quality(self) -> dict[str, np.ndarray]:
        """Results of `mesh_quality` for each shape with a surface, by name."""
        assert self.shapes is not None
        return self.shapes.quality

    @property
    def asked(self) -> int:
        """Number of requested shapes, including empty ones."""
        assert self.shapes is not None
        return self.shapes.asked

    def random(self) -> torch.Generator:
        """A random generator for one metric, so that no metric depends on which others are computed."""
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def swd(self) -> dict[str, float]:
        """Sliced Wasserstein distances of "rgb" and of "mask", with equal numbers of images."""
        assert self.images is not None
        some, others = (part[: self.images.count] for part in (self.images.generated, self.images.real))
        parts = {"rgb": slice(0, 3), "mask": slice(3, 4)}
        return {
            name: sliced_wasserstein_distance(some[:, part], others[:, part], self.random())
            for name, part in parts.items()
        }

    @cached_property
    def reached(self) -> PrecisionRecall:
        """Precision and recall by Inception features."""
        found = self.features["inception"]
        return precision_recall(found.real, found.generated)
