"""What is measured of a generator while it learns, at every snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from get3d.data.layout import read
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.config import WatchedName
from get3d.metrics.features import FeatureNetwork, frechet_feature_distance, inception_path, kernel_distance
from get3d.metrics.glossary import worse
from get3d.metrics.images import sliced_wasserstein_distance
from get3d.metrics.picture_metrics import as_bytes
from get3d.metrics.shape_metrics import DistanceName, compare_sets, distances
from get3d.metrics.shape_sets import Measures, generated_set, mesh_set

__all__ = ["Measured", "Watched", "WatchedName", "default_metrics"]


_OF_FEATURES = ("fid", "kid")
_RATIO = 5
"""Generated shapes for each held-out object, as published."""


def default_metrics() -> tuple[WatchedName, ...]:
    """FID, and by it the best checkpoint, where its network is in the cache folder; else what needs no network."""
    return ("fid", "swd") if inception_path().is_file() else ("swd",)


@dataclass(frozen=True)
class Measured:
    """Metrics at a snapshot.

    Attributes:
        values: by the name they have in the statistics.
        badness: what the best checkpoint has the least of, by the first metric asked for.
    """

    values: dict[str, float]
    badness: float


class Watched:
    """Metrics against held-out pictures and objects; what is real is measured once.

    Metrics of shapes compare the meshes of held-out objects with five times as many generated shapes, at ψ = 1. They
    say little of few objects; `get3d evaluate` says how little.
    """

    def __init__(
        self,
        names: Sequence[WatchedName],
        pictures: Float[Tensor, "n 4 r r"],
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
            pictures: held-out ones, in the networks' range.
            data: dataset folder, whose meshes of the split "val" metrics of shapes need.
            splits: folder of lists of objects, in place of the dataset's own splits.
            objects: of these, at most.
            seed: of generated shapes.
            out: folder for the distances between shapes.
            device: where to compute.

        Raises:
            InputError: the network of FID and KID is not there, or the dataset has no meshes.
        """
        self.names, self._pictures, self._seed, self._out, self._device = names, pictures, seed, out, device
        if any(name in _OF_FEATURES for name in names):
            self._network = FeatureNetwork()
            self._features = self._features_of(pictures)
        self._distances: list[DistanceName] = [d for d in ("cd", "lfd") if any(n.endswith(f"-{d}") for n in names)]
        if self._distances:
            listing = read(data, splits)
            chosen = [listing.objects[number] for number in listing.splits["val"]][:objects]
            if not chosen:
                raise InputError(f"{data}: its split 'val' has no object to compare shapes with; leave {names} out")
            self._measures = Measures(descriptors="lfd" in self._distances)
            self._references = mesh_set(data / "meshes", chosen, self._measures, device, lambda done: None)

    @torch.no_grad()
    def __call__(self, generator: Generator, drawn: Float[Tensor, "n 4 r r"]) -> Measured:
        """Measures a generator.

        Args:
            generator: whose shapes are measured.
            drawn: its pictures, as many as held-out ones, in the networks' range.
        """
        values: dict[str, float] = {}
        if "swd" in self.names:
            values["swd/pictures"] = sliced_wasserstein_distance(drawn[:, :3], self._pictures[:, :3])
            values["swd/masks"] = sliced_wasserstein_distance(drawn[:, 3:], self._pictures[:, 3:])
        found = self._of_features(drawn) | self._of_shapes(generator)
        values |= {f"metrics/{name}": found[name] for name in self.names if name in found}
        first = self.names[0]
        badness = values["swd/pictures"] + values["swd/masks"] if first == "swd" else worse(first, found[first], None)
        assert badness is not None
        return Measured(values, badness)

    def _features_of(self, pictures: Float[Tensor, "n 4 r r"]) -> Float[Tensor, "n d"]:
        return self._network.of_batches(as_bytes(part[:, :3]).to(self._device) for part in pictures.split(32))

    def _of_features(self, drawn: Float[Tensor, "n 4 r r"]) -> dict[str, float]:
        if not any(name in _OF_FEATURES for name in self.names):
            return {}
        features = self._features_of(drawn)
        draw = torch.Generator().manual_seed(self._seed)
        return {
            "fid": frechet_feature_distance(features, self._features),
            "kid": 1000 * kernel_distance(features, self._features, draw),
        }

    def _of_shapes(self, generator: Generator) -> dict[str, float]:
        if not self._distances:
            return {}
        references, out = self._references, self._out
        count = _RATIO * len(references)
        shapes = generated_set(generator, count, self._seed, 1.0, self._measures, out / "shapes.npz", lambda done: None)
        found: dict[str, float] = {}
        for name in self._distances:
            gg, gr, rr = (
                distances(a, b, name, out / f"{name}-{file}.npz", self._device, lambda done: None)
                for a, b, file in (
                    (shapes, shapes, "own"),
                    (shapes, references, "held-out"),
                    (references, references, "real"),
                )
            )
            found |= {f"{metric}-{name}": value.value for metric, value in compare_sets(gg, gr, rr).items()}
        return found
