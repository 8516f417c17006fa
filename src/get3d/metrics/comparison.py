"""One model, or real objects in its place, against a dataset: every number of the report."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from get3d.data.dataset import Pictures
from get3d.data.layout import read
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.config import EvaluateConfig
from get3d.metrics.features import FeatureNetwork, inception_path
from get3d.metrics.picture_metrics import (
    Drawn,
    compare_features,
    compare_pictures,
    generated_features,
    real_features,
    real_pictures,
)
from get3d.metrics.quality import MAIN, texture_quality
from get3d.metrics.shape_metrics import DistanceName, Value, compare_sets, distances
from get3d.metrics.shape_sets import Measures, ShapeSet, generated_set, mesh_path, mesh_set
from get3d.ranks import Ranks

__all__ = ["Comparison", "EvaluateConfig", "Result"]

PUBLISHED_PICTURES = 50_000
_SWD_PICTURES = 4096
_TEXTURE = 512
_TEXTURED_FACES = 20_000
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Result:
    """What was found for one model, or for real objects.

    Attributes:
        metrics: numbers by name.
        shapes: the shapes that were measured; None where none were.
        neighbours: for each shape the nearest training objects, nearest first.
        to_train: for each distance, how far each shape's nearest training object is.
    """

    metrics: dict[str, Value]
    shapes: ShapeSet | None = None
    neighbours: list[list[str]] = field(default_factory=list)
    to_train: dict[DistanceName, Tensor] = field(default_factory=dict)


class Comparison:
    """The dataset's side of a comparison: references, training objects, pictures; measured once for all models.

    Several processes share the measuring and the drawing: all call the same methods in the same order.
    """

    def __init__(self, config: EvaluateConfig, device: torch.device, progress: Progress, ranks: Ranks) -> None:
        """Opens the dataset.

        Args:
            config: what is wanted.
            device: where to compute.
            progress: shows how far the work is.
            ranks: processes that share it.

        Raises:
            InputError: the dataset has too few objects, a mesh is not there, or the network is another file.
        """
        self._config, self._device, self._progress, self._ranks = config, device, progress, ranks
        self.notes: list[str] = []
        self._measures = Measures(config.points, config.outer_surface, "lfd" in config.distances)
        self.folder = config.meshes or config.data / "meshes"
        if config.shapes:
            self._open_shapes()
        if config.pictures:
            self._open_pictures()

    def _open_shapes(self) -> None:
        config = self._config
        listing = read(config.data, config.splits)
        names = [listing.objects[number] for number in listing.splits[config.split]]
        wanted = len(names) if config.references is None else config.references
        if wanted > len(names):
            raise InputError(
                f"--references is {wanted}, but the split {config.split!r} of {config.data} has {len(names)} objects; "
                f"ask for fewer, or take another --split"
            )
        if wanted == 0:
            raise InputError(f"{config.data}: its split {config.split!r} has no object; take another --split")
        train = [listing.objects[number] for number in listing.splits["train"]][: config.train_objects]
        self._names = {"references": names[:wanted], "training objects": train}
        for name in (*names[:wanted], *train):
            mesh_path(self.folder, name)

    def _open_pictures(self) -> None:
        config = self._config
        self._held_out = Pictures(config.data, config.split, config.splits)
        self._trained = Pictures(config.data, "train", config.splits)
        self._network = self._open_network()

    def measure(self) -> None:
        """Measures the dataset, which everything else is compared with.

        Raises:
            InputError: a mesh or picture cannot be read, or no mesh has a surface.
        """
        if self._config.shapes:
            self._measure_shapes()
        if self._config.pictures:
            self._measure_pictures()

    def _measure_shapes(self) -> None:
        self.references = self._meshes("references")
        self.train = self._meshes("training objects")
        if len(self.references) == 1:
            self.notes.append("There is but one reference: coverage and nearest neighbours say nothing.")
        for role, shapes in (("references", self.references), ("training objects", self.train)):
            if shapes.dropped:
                lost = ", ".join(shapes.dropped[:5])
                self.notes.append(f"{len(shapes.dropped)} {role} have no surface and were left out: {lost} …")

    def _meshes(self, role: str) -> ShapeSet:
        names = self._names[role]
        with _Task(self._progress, f"measuring {role}", len(names)) as done:
            return mesh_set(self.folder, names, self._measures, self._device, done, self._ranks)

    def _measure_pictures(self) -> None:
        config, held_out, ranks = self._config, self._held_out, self._ranks
        self._compared = min(config.pictures, _SWD_PICTURES, len(held_out))
        self._real = real_pictures(held_out, self._compared, config.seed, ranks)
        self._stand_in = real_pictures(self._trained, self._compared, config.seed + 1, ranks)
        if self._network is not None:
            self._features = real_features(held_out, self._network, self._device, ranks)
            stand_in = real_features(self._trained, self._network, self._device, ranks)
            self._stand_in_features = stand_in[: config.pictures]
            if config.pictures != PUBLISHED_PICTURES:
                self.notes.append(
                    f"FID is of {config.pictures} generated and {len(held_out)} real pictures at "
                    f"{held_out.resolution}²; published numbers are of {PUBLISHED_PICTURES} generated ones and not "
                    "comparable."
                )

    def _open_network(self) -> FeatureNetwork | None:
        if self._config.inception is None and not inception_path().is_file():
            try:
                return FeatureNetwork()
            except InputError as error:
                self.notes.append(f"FID, KID, precision and recall are left out. {error}")
                return None
        return FeatureNetwork(self._config.inception)

    def of_real(self) -> Result:
        """Real objects and pictures, of the training split, in the place of generated ones: what a model can reach."""
        metrics: dict[str, Value] = {}
        to_train: dict[DistanceName, Tensor] = {}
        if self._config.shapes:
            count = self._config.ratio * len(self.references)
            metrics |= self._shape_values(self.train.first(count), "real")
            to_train = {
                name: self._distance(self.references, self.train, name, "real").amin(dim=1)
                for name in self._config.distances
            }
            metrics |= {f"train-{name}": Value(float(values.median())) for name, values in to_train.items()}
            metrics |= quality_values(self.references)
        if self._config.pictures:
            metrics |= self._compare_pictures(self._stand_in)
            if self._network is not None:
                metrics |= self._compare_features(self._stand_in_features)
        return Result(metrics, self.references if self._config.shapes else None, to_train=to_train)

    def of_model(self, name: str, generator: Generator) -> Result:
        """A model.

        Args:
            name: of the folder for what is stored.
            generator: the model.

        Raises:
            InputError: none of its shapes has a surface, or a file cannot be written.
        """
        metrics: dict[str, Value] = {}
        shapes: ShapeSet | None = None
        neighbours: list[list[str]] = []
        to_train: dict[DistanceName, Tensor] = {}
        if self._config.shapes:
            shapes = self._generated(name, generator)
            metrics |= self._shape_values(shapes, name) | quality_values(shapes)
            for distance in self._config.distances:
                found = self._distance(shapes, self.train, distance, name)
                to_train[distance] = found.amin(dim=1)
                metrics[f"train-{distance}"] = Value(float(to_train[distance].median()))
                # The last distance asked for decides, the light field's by default: the nearer to what people see.
                nearest = found.topk(min(_NEIGHBOURS, len(self.train)), largest=False).indices
                neighbours = [[self.train.names[number] for number in row] for row in nearest.tolist()]
        if self._config.pictures:
            metrics |= self._picture_values(name, generator)
        if self._config.textures:
            metrics |= self._texture_values(generator)
        return Result(metrics, shapes, neighbours, to_train)

    def _generated(self, name: str, generator: Generator) -> ShapeSet:
        config = self._config
        count = config.ratio * len(self.references)
        with _Task(self._progress, f"{name}: shapes", count) as done:
            path = config.out / name / "shapes.npz"
            return generated_set(generator, count, config.seed, config.psi, self._measures, path, done, self._ranks)

    def _shape_values(self, shapes: ShapeSet, folder: str) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name in self._config.distances:
            found = compare_sets(
                self._distance(shapes, shapes, name, folder),
                self._distance(shapes, self.references, name, folder),
                self._distance(self.references, self.references, name, "real"),
            )
            values |= {f"{metric}-{name}": value for metric, value in found.items()}
        return values

    def _distance(self, a: ShapeSet, b: ShapeSet, name: DistanceName, folder: str) -> Tensor:
        against = "references" if b is self.references else "train" if b is self.train else "own"
        own = "references" if a is self.references else "shapes"
        path = self._config.out / folder / f"{name}-{own}-{against}.npz"
        with _Task(self._progress, f"{folder}: {name} {own} to {against}", len(a)) as done:
            return distances(a, b, name, path, self._device, done, self._ranks)

    def _picture_values(self, name: str, generator: Generator) -> dict[str, Value]:
        config = self._config
        drawn = Drawn(generator, config.pictures, config.seed, config.psi, self._held_out.resolution)
        with _Task(self._progress, f"{name}: pictures", self._compared) as done:
            images = drawn.first(self._compared, self._ranks, done)
        values = self._compare_pictures(images)
        if self._network is not None:
            with _Task(self._progress, f"{name}: features", config.pictures) as done:
                path = config.out / name / "features.npz"
                features = generated_features(drawn, self._network, path, self._device, done, self._ranks)
            values |= self._compare_features(features)
        return values

    def _compare_pictures(self, some: Tensor) -> dict[str, Value]:
        """What the first process finds, who alone has all pictures."""
        return self._ranks.from_first(lambda: _plain(compare_pictures(some, self._real, self._config.seed)))

    def _compare_features(self, some: Tensor) -> dict[str, Value]:
        return self._ranks.from_first(lambda: _plain(compare_features(some, self._features, self._config.seed)))

    def _texture_values(self, generator: Generator) -> dict[str, Value]:
        config = self._config
        with _Task(self._progress, "textures", config.textures) as done:

            def examine(number: int) -> dict[str, float]:
                latents = generator.sample_latents(1, config.seed + number)
                quality: dict[str, float] = {}
                if len(generator.meshes(latents, config.psi).faces):
                    (textured,) = generator.textured(latents, config.psi, _TEXTURE, _TEXTURED_FACES)
                    quality = vars(texture_quality(textured))
                done(number + 1)
                return quality

            each = self._ranks.each(range(config.textures), examine)
        found = self._ranks.from_first(lambda: [quality for quality in each if quality])
        names = found[0] if found else []
        return {f"texture-{name}": Value(100 * float(np.mean([each[name] for each in found]))) for name in names}


def quality_values(shapes: ShapeSet) -> dict[str, Value]:
    """Means over the meshes of a set, in per cent where they are shares."""
    quality = shapes.quality
    asked = len(shapes) + len(shapes.dropped)
    closed = quality["genus"][np.isfinite(quality["genus"])]
    angles, aspects = quality["angle_counts"].sum(axis=0), quality["aspect_counts"].sum(axis=0)
    values = {
        "empty": 100 * len(shapes.dropped) / asked,
        "watertight": 100 * quality["watertight"].mean(),
        "manifold": 100 * quality["manifold"].mean(),
        "uncut": 100 * (quality["intersecting"] == 0).mean(),
        "whole": 100 * (quality["watertight"].astype(bool) & (quality["main"] >= MAIN)).mean(),
        "single": 100 * (quality["components"] == 1).mean(),
        "components": quality["components"].mean(),
        "faces": quality["faces"].mean(),
        "slivers": 100 * angles[:2].sum() / angles.sum(),
        "stretched": 100 * aspects[5:].sum() / aspects.sum(),
        "thin": 100 * quality["thin"].mean(),
    }
    if len(closed):
        values["genus"] = closed.mean()
    return {name: Value(float(value)) for name, value in values.items()}


def _plain(values: dict[str, float]) -> dict[str, Value]:
    return {name: Value(value) for name, value in values.items()}


class _Task:
    """A line of the progress display while a block of work lasts; gives the function that says how much is done."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def __enter__(self) -> Callable[[int], None]:
        return lambda done: self._progress.update(self._task, completed=done)

    def __exit__(self, *error: object) -> None:
        self._progress.remove_task(self._task)
