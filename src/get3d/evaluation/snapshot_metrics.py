"""Metrics of a generator at every training snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.color import signed_to_bytes
from get3d.datasets.index import read
from get3d.evaluation.drawing import Sampling
from get3d.evaluation.evidence import Evidence, Features, ImageSets
from get3d.evaluation.metric_table import METRICS, compute, needs_of, worse
from get3d.evaluation.shape_metrics import DistanceName, Distances, distances
from get3d.evaluation.shape_sets import Measures, ShapeSet, generated_set, mesh_set
from get3d.evaluation.textures import examine_texture
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.feature_networks import NETWORKS, FeatureName, FeatureNetwork, features_of
from get3d.metrics.quality import TextureQuality

__all__ = ["Measured", "SnapshotMetrics", "default_metrics", "require_metrics"]

_RATIO = 5
"""Number of generated shapes for each held-out object, as published."""

_TEXTURES = 8
"""Number of shapes whose texture is baked, if a metric needs it."""

_DISTANCES: tuple[DistanceName, ...] = ("cd", "lfd")


def default_metrics() -> tuple[str, ...]:
    """The default metrics: feature metrics with an available network first, then those that need none."""
    by_features: tuple[tuple[str, FeatureName], ...] = (("fid", "inception"), ("fed", "efficientnet"))
    found = [name for name, network in by_features if NETWORKS[network].there()]
    return (*found, "swd", "swd_rgb", "swd_mask")


def require_metrics(names: Sequence[str]) -> None:
    """Checks that metrics are in the table, and that the first one has a best value for selecting checkpoints.

    Raises:
        InputError: a metric is unknown, there are none, or the first one has no best value.
    """
    if not names:
        raise InputError("--metrics is empty; give one metric or more, for example swd")
    for name in names:
        if name not in METRICS:
            raise InputError(f"--metrics names {name}, which is not a metric; choose from {', '.join(METRICS)}")
    if METRICS[names[0]].better in (None, "real"):
        raise InputError(
            f"--metrics begins with {names[0]}, which has no best value, so it cannot select the best checkpoint; "
            "put another first, such as swd"
        )


@dataclass(frozen=True)
class Measured:
    """Metrics at a snapshot.

    Attributes:
        values: by name, without those that have no number, such as distances of empty shapes.
        badness: distance of the first metric from its best value, smallest for the best checkpoint; None without a
            number.
    """

    values: dict[str, float]
    badness: float | None


class SnapshotMetrics:
    """Metrics against held-out images and objects; the real data are measured once.

    Shape metrics compare the meshes of held-out objects with five times as many generated shapes, at ψ = 1. With few
    objects they are noisy; `get3d evaluate` gives standard errors.
    """

    def __init__(
        self,
        names: Sequence[str],
        images: Float[Tensor, "n 4 r r"],
        data: Path,
        splits: Path | None,
        objects: int,
        seed: int,
        out: Path,
        device: torch.device,
    ) -> None:
        """Opens what the metrics need, before any work.

        Args:
            names: of the metrics; the first says which checkpoint is the best.
            images: held-out ones, in the networks' range.
            data: dataset folder, whose meshes of the split "val" metrics of shapes need.
            splits: folder of lists of objects, in place of the dataset's own splits.
            objects: of these, at most.
            seed: of generated shapes.
            out: folder for the distances between shapes.
            device: where to compute.

        Raises:
            InputError: a network is not there, or the dataset has no meshes.
        """
        self.names, self._images, self._out, self._device = names, images, out, device
        self._sampling = Sampling(seed)
        needs = self._needs = needs_of(names)
        self._networks: dict[FeatureName, FeatureNetwork] = {
            name: kind.open() for name, kind in NETWORKS.items() if name in needs
        }
        self._features = {name: self._features_of(network, images) for name, network in self._networks.items()}
        self._distances = [name for name in _DISTANCES if name in needs]
        self._train: ShapeSet | None = None
        if self._distances or "meshes" in needs:
            listing = read(data, splits)
            chosen, train = (
                [listing.objects[number] for number in listing.splits[split]] for split in ("val", "train")
            )
            if not chosen:
                raise InputError(f"{data}: its split 'val' has no object to compare shapes with; leave {names} out")
            self._measures = Measures(descriptors="lfd" in needs)
            self._objects = len(chosen[:objects])
            if self._distances:
                self._references = self._meshes(data, chosen[:objects])
            if "training objects" in needs:
                self._train = self._meshes(data, train)

    def _meshes(self, data: Path, names: Sequence[str]) -> ShapeSet:
        return mesh_set(data / "meshes", names, self._measures, self._device, lambda done: None)

    @torch.no_grad()
    def __call__(self, generator: Generator, drawn: Float[Tensor, "n 4 r r"]) -> Measured:
        """Measures a generator.

        Args:
            generator: whose shapes are measured.
            drawn: its images, as many as held-out ones, in the networks' range.
        """
        shapes = self._shapes(generator)
        found = compute(
            self.names,
            Evidence(
                seed=self._sampling.seed,
                images=ImageSets(drawn, self._images),
                features={
                    name: Features(self._features_of(network, drawn), self._features[name])
                    for name, network in self._networks.items()
                },
                distances={} if shapes is None else {name: self._matrices(shapes, name) for name in self._distances},
                shapes=shapes,
                textures=self._textures(generator),
            ),
        )
        values = {name: value.value for name, value in found.items()}
        first = self.names[0]
        return Measured(values, worse(first, values[first], None) if first in values else None)

    def _features_of(self, network: FeatureNetwork, images: Float[Tensor, "n 4 r r"]) -> Float[Tensor, "n d"]:
        return features_of(network, signed_to_bytes(images[:, :3]), self._device)

    def _shapes(self, generator: Generator) -> ShapeSet | None:
        if not self._distances and "meshes" not in self._needs:
            return None
        path = self._out / "shapes.npz"
        count = _RATIO * self._objects
        return generated_set(generator, count, self._sampling, self._measures, path, lambda done: None)

    def _matrices(self, shapes: ShapeSet, name: DistanceName) -> Distances:
        def between(a: ShapeSet, b: ShapeSet, file: str) -> Tensor:
            return distances(a, b, name, self._out / f"{name}-{file}.npz", self._device, lambda done: None)

        real = self._references
        return Distances(
            own=between(shapes, shapes, "own"),
            across=between(shapes, real, "held-out"),
            references=between(real, real, "real"),
            to_train=None if self._train is None else between(shapes, self._train, "train").amin(dim=1),
        )

    def _textures(self, generator: Generator) -> list[TextureQuality]:
        if "textures" not in self._needs:
            return []
        found = (examine_texture(generator, self._sampling, number) for number in range(_TEXTURES))
        return [texture for texture in found if texture is not None]
