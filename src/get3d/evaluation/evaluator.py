"""Compares one model, or real objects in its place, with a dataset: all numbers of the report."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from rich.progress import Progress
from torch import Tensor

from get3d.datasets.index import read
from get3d.datasets.loader import ImageDataset
from get3d.distributed.processes import Ranks
from get3d.evaluation.config import EvaluateConfig, ProtocolName
from get3d.evaluation.drawing import Sampling
from get3d.evaluation.evidence import Evidence, Features, ImageSets, Need
from get3d.evaluation.image_metrics import Drawn, generated_features, real_features, real_images
from get3d.evaluation.metric_table import METRICS, compute
from get3d.evaluation.shape_metrics import DistanceName, Distances, Value, distances
from get3d.evaluation.shape_sets import Measures, ShapeSet, generated_set, mesh_path, mesh_set
from get3d.evaluation.textures import examine_texture
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.feature_networks import NETWORKS, FeatureName, FeatureNetwork
from get3d.metrics.features import FeatureNetwork as Inception
from get3d.metrics.quality import TextureQuality

__all__ = ["PROTOCOLS", "Comparison", "EvaluateConfig", "Protocol", "ProtocolName", "Result"]

PUBLISHED_IMAGES = 50_000
_SWD_IMAGES = 4096
_REAL_IMAGES = 5
"""Real images that features are compared of, at most, for each generated one: more cost minutes and change little."""
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Protocol:
    """Differences between the published evaluation and the plain one.

    Attributes:
        style_mixing: probability that generated shapes take the styles of a second latent in later layers.
        binary_masks: partly covered pixels of real images count as covered.
        centred: the middle of each shape's bounding box is moved to the origin before point sets are compared.
    """

    style_mixing: float
    binary_masks: bool
    centred: bool


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "plain": Protocol(style_mixing=0.0, binary_masks=False, centred=True),
    "published": Protocol(style_mixing=0.9, binary_masks=True, centred=False),
}


@dataclass(frozen=True)
class Result:
    """Results for one model, or for real objects.

    Attributes:
        metrics: numbers by name.
        shapes: the measured shapes, including which are empty; None if none were measured.
        neighbours: for each shape the nearest training objects, nearest first.
        to_train: for each kind of distance, the distance of each shape to its nearest training object.
    """

    metrics: dict[str, Value]
    shapes: ShapeSet | None = None
    neighbours: list[list[str]] = field(default_factory=list)
    to_train: dict[DistanceName, Tensor] = field(default_factory=dict)


class Comparison:
    """The dataset of a comparison: references, training objects, images; measured once for all models.

    Several processes can divide the work: all of them call the same methods in the same order.
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
        self._protocol = PROTOCOLS[config.protocol]
        self.sampling = Sampling(config.seed, config.psi, self._protocol.style_mixing)
        self.warnings: list[str] = []
        if config.protocol == "published":
            self.warnings.append(
                f"By the published protocol: styles mixed with probability {self._protocol.style_mixing:g}, real masks "
                "1 wherever anything is covered, point sets not centred."
            )
        lightfields, centred = "lfd" in config.distances, self._protocol.centred
        self._measures = Measures(config.points, config.outer_surface, lightfields, centred=centred)
        self._networks: dict[FeatureName, FeatureNetwork] = {}
        self.folder = config.meshes or config.data / "meshes"
        if config.shapes:
            self._open_shapes()
        if config.images:
            self._open_images()

    def _open_shapes(self) -> None:
        config = self._config
        listing = read(config.data, config.splits)
        names = [listing.objects[number] for number in listing.splits[config.split]]
        wanted = len(names) if config.references is None else config.references
        if wanted > len(names):
            raise InputError(
                f"--references is {wanted}, but the split {config.split!r} of {config.data} has {len(names)} objects; "
                f"use fewer, or another --split"
            )
        if wanted == 0:
            raise InputError(f"{config.data}: its split {config.split!r} has no object; use another --split")
        train = [listing.objects[number] for number in listing.splits["train"]][: config.train_objects]
        self._names = {"references": names[:wanted], "training objects": train}
        for name in (*names[:wanted], *train):
            mesh_path(self.folder, name)

    def _open_images(self) -> None:
        config = self._config
        self._held_out = ImageDataset(config.data, config.split, config.splits, resolution=config.resolution)
        self._trained = ImageDataset(config.data, "train", config.splits, resolution=config.resolution)
        self._networks = self._open_networks()

    @property
    def _available(self) -> set[Need]:
        """What metrics can be computed from."""
        config = self._config
        available: set[Need] = set(self._networks)
        if config.shapes:
            available |= {"meshes", "training objects", *config.distances}
        if config.images:
            available.add("images")
        if config.textures:
            available.add("textures")
        return available

    def _values(self, found: Evidence) -> dict[str, Value]:
        """Every metric that can be computed, in the order of the table; only the first process has the images."""

        def present() -> dict[str, Value]:
            absent = {"textures"} if not found.textures else set()
            names = [name for name, row in METRICS.items() if self._available - absent >= set(row.needs)]
            return compute(names, found)

        return self._ranks.from_first(present)

    def measure(self) -> None:
        """Measures the dataset.

        Raises:
            InputError: a mesh or image cannot be read, or no mesh has a surface.
        """
        if self._config.shapes:
            self._measure_shapes()
        if self._config.images:
            self._measure_images()

    def _measure_shapes(self) -> None:
        self.references = self._meshes("references")
        self.train = self._meshes("training objects")
        if len(self.references) == 1:
            self.warnings.append("There is only one reference: coverage and nearest neighbours mean nothing.")
        for role, shapes in (("references", self.references), ("training objects", self.train)):
            if shapes.empty:
                lost = ", ".join(shapes.empty[:5])
                self.warnings.append(f"{len(shapes.empty)} {role} have no surface and were left out: {lost} …")

    def _meshes(self, role: str) -> ShapeSet:
        names = self._names[role]
        with _Task(self._progress, f"measuring {role}", len(names)) as done:
            return mesh_set(self.folder, names, self._measures, self._device, done, self._ranks)

    def _measure_images(self) -> None:
        config, held_out, ranks = self._config, self._held_out, self._ranks
        self._compared = min(config.images, _SWD_IMAGES, len(held_out))
        binary = self._protocol.binary_masks
        self._real = real_images(held_out, self._compared, config.seed, ranks, binary_masks=binary)
        self._stand_in = real_images(self._trained, self._compared, config.seed + 1, ranks, binary_masks=binary)
        # Of objects from all over the splits; as many of training in the place of generated ones.
        draw = torch.Generator().manual_seed(config.seed + 1)
        in_place = torch.randperm(len(self._trained), generator=draw)[: config.images]
        real = torch.randperm(len(held_out), generator=draw)[: _REAL_IMAGES * config.images]
        self._features = {
            name: Features(
                generated=real_features(self._trained, network, self._device, ranks, in_place),
                real=real_features(held_out, network, self._device, ranks, real),
            )
            for name, network in self._networks.items()
        }
        if "inception" in self._networks and config.images != PUBLISHED_IMAGES:
            self.warnings.append(
                f"FID is of {config.images} generated and {len(real)} real images at "
                f"{held_out.resolution}²; published numbers are of {PUBLISHED_IMAGES} generated ones and "
                "cannot be compared."
            )

    def _open_networks(self) -> dict[FeatureName, FeatureNetwork]:
        """The available networks, with warnings for the others; a requested network must be available."""
        found: dict[FeatureName, FeatureNetwork] = {}
        for name, kind in NETWORKS.items():
            if name == "inception" and self._config.inception is not None:
                found[name] = Inception(self._config.inception)
            elif kind.there():
                found[name] = kind.open()
            else:
                try:
                    kind.open()
                except InputError as error:
                    self.warnings.append(f"{kind.metrics} are left out. {error}")
        return found

    def of_real(self) -> Result:
        """Evaluates real objects and images of the training split in place of generated ones."""
        found = Evidence(self._config.seed)
        if self._config.shapes:
            stand_in = self.train.first(self._config.ratio * len(self.references))
            matrices = {
                name: replace(
                    self._matrices(stand_in, name, "real"),
                    to_train=self._distance(self.references, self.train, name, "real").amin(dim=1),
                )
                for name in self._config.distances
            }
            found = replace(found, distances=matrices, shapes=self.references)
        if self._config.images:
            found = replace(found, images=ImageSets(self._stand_in, self._real), features=self._features)
        return Result(self._values(found), found.shapes, to_train=_to_train(found))

    def of_model(self, name: str, generator: Generator) -> Result:
        """Evaluates a model.

        Args:
            name: name of the folder for stored results.
            generator: the model.

        Raises:
            InputError: a file cannot be written.
        """
        found = Evidence(self._config.seed)
        neighbours: list[list[str]] = []
        if self._config.shapes:
            shapes = self._generated(name, generator)
            matrices = {}
            for distance in self._config.distances:
                to_train = self._distance(shapes, self.train, distance, name)
                matrices[distance] = replace(self._matrices(shapes, distance, name), to_train=to_train.amin(dim=1))
                # The last distance asked for decides, the light field's by default: the nearer to what people see.
                nearest = to_train.topk(min(_NEIGHBOURS, len(self.train)), largest=False).indices
                neighbours = [[self.train.names[number] for number in row] for row in nearest.tolist()]
            found = replace(found, distances=matrices, shapes=shapes)
        if self._config.images:
            found = self._with_images(found, name, generator)
        if self._config.textures:
            found = replace(found, textures=self._textures(generator))
        return Result(self._values(found), found.shapes, neighbours, _to_train(found))

    def _generated(self, name: str, generator: Generator) -> ShapeSet:
        config = self._config
        count = config.ratio * len(self.references)
        with _Task(self._progress, f"{name}: shapes", count) as done:
            path = config.out / name / "shapes.npz"
            return generated_set(generator, count, self.sampling, self._measures, path, done, self._ranks)

    def _matrices(self, shapes: ShapeSet, name: DistanceName, folder: str) -> Distances:
        return Distances(
            own=self._distance(shapes, shapes, name, folder),
            across=self._distance(shapes, self.references, name, folder),
            references=self._distance(self.references, self.references, name, "real"),
        )

    def _distance(self, a: ShapeSet, b: ShapeSet, name: DistanceName, folder: str) -> Tensor:
        against = "references" if b is self.references else "train" if b is self.train else "own"
        own = "references" if a is self.references else "shapes"
        path = self._config.out / folder / f"{name}-{own}-{against}.npz"
        with _Task(self._progress, f"{folder}: {name} {own} to {against}", len(a)) as done:
            return distances(a, b, name, path, self._device, done, self._ranks)

    def _with_images(self, found: Evidence, name: str, generator: Generator) -> Evidence:
        config = self._config
        drawn = Drawn(generator, config.images, self.sampling, self._held_out.resolution)
        with _Task(self._progress, f"{name}: images", self._compared) as done:
            images = drawn.first(self._compared, self._ranks, done)
        features = {}
        for kind, network in self._networks.items():
            with _Task(self._progress, f"{name}: {kind} features", config.images) as done:
                path = config.out / name / f"features-{kind}.npz"
                own = generated_features(drawn, network, path, self._device, done, self._ranks)
            features[kind] = Features(own, self._features[kind].real)
        return replace(found, images=ImageSets(images, self._real), features=features)

    def _textures(self, generator: Generator) -> list[TextureQuality]:
        count = self._config.textures
        with _Task(self._progress, "textures", count) as done:

            def examine(number: int) -> TextureQuality | None:
                quality = examine_texture(generator, self.sampling, number)
                done(number + 1)
                return quality

            each = self._ranks.each(range(count), examine)
        return [quality for quality in each if quality is not None]


def _to_train(found: Evidence) -> dict[DistanceName, Tensor]:
    return {name: matrices.to_train for name, matrices in found.distances.items() if matrices.to_train is not None}


class _Task:
    """A line of the progress display while a block of work lasts; gives the function that says how much is done."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def __enter__(self) -> Callable[[int], None]:
        return lambda done: self._progress.update(self._task, completed=done)

    def __exit__(self, *error: object) -> None:
        self._progress.remove_task(self._task)
