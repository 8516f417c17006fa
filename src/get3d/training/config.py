"""What a training run is, and the proof that it can be done."""

import os
import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import nn
from torch.optim import Adam

from get3d.data.dataset import Pictures
from get3d.data.layout import Assumed
from get3d.devices import device_named
from get3d.files import InputError, require_writable
from get3d.generator import GeneratorConfig, model_file, read_config
from get3d.grid_memory import grid_bytes, require_grid_fits
from get3d.metrics.watched import default_metrics, require_metrics
from get3d.networks import DiscriminatorConfig
from get3d.ranges import SEED, Range, require_ranges
from get3d.ranks import RanksConfig
from get3d.storage import checksum, describe, read_description, require_same_shapes, restore
from get3d.training.folder import require_own
from get3d.training.objective import ObjectiveConfig
from get3d.training.trackers import TrackerName, require_trackers

__all__ = ["Opened", "OptimizerConfig", "TrainConfig", "facts", "opened"]

GRID_MARGIN = 0.1
"""The published grids are this much larger than their objects: 1.0 for 0.9, 0.8 for chairs of 0.7."""

_COMPARED = 16
"""Pictures by whose content processes see that they have the same dataset."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, corrected for terms that are taken lazily (Karras et al. 2020, appendix B).

    Attributes:
        learning_rate: of both networks.
        betas: of both networks.
        generator_interval: steps between the generator's lazy terms that its settings are corrected for; 0 for none.
    """

    learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.002
    betas: Annotated[tuple[float, float], Range(0, 1, below=True)] = (0.0, 0.99)
    generator_interval: Annotated[int, Range(0)] = 4

    def build(self, network: nn.Module, interval: int) -> Adam:
        """The optimiser of a network, one of whose terms is taken every `interval` steps."""
        ratio = interval / (interval + 1) if interval else 1.0
        first, second = (beta**ratio for beta in self.betas)
        return Adam(network.parameters(), lr=self.learning_rate * ratio, betas=(first, second), eps=1e-8)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: dataset folder.
        splits: folder with train.txt, val.txt and test.txt, lists of objects, in place of the dataset's own splits.
        assumed: what the dataset is taken to be where it does not say so itself.
        out: folder of the run; the same folder again goes on.
        source: a model or run whose networks to start from, all three of them, with their sizes. Pictures of a
            higher resolution than its own make the discriminator grow.
        grow_planes: side of the planes that the networks of --from grow to, a power of two.
        grow_grid: steps of the grid along a side, in place of those of --from.
        resolution: side of the pictures in pixels, a power of two; larger ones of the dataset are reduced to it.
        batch: pictures of a step.
        accumulate: parts in which a process plays its share of the batch, one after another, to need less memory; the
            course of the run stays the same.
        kimg: length of the run, in thousands of real pictures shown.
        grid_size: side of the cube that shapes live in; by default 0.1 more than the dataset's objects are long.
        generator: the generator's sizes.
        discriminator: the discriminator's sizes.
        objective: weights of the terms.
        optimizer: settings of Adam.
        ema_half_life: pictures, in thousands, after which a past generator counts half in the average.
        ema_ramp_up: share of the pictures shown that bounds the half-life early on.
        log_kimg: how often statistics are written.
        snapshot_kimg: how often pictures are drawn, the metric is taken and a checkpoint is written.
        checkpoint_minutes: a checkpoint is also written whenever the last one is older than this.
        metrics: what is measured at snapshots, by the names in the table of docs/evaluation.md: swd, fid, fed, mmd_cd,
            watertight and so on. The first says which checkpoint is the best. By default swd with its parts, and before
            it fid and fed where their networks are there.
        metric_pictures: pictures that are compared with as many held-out ones.
        metric_objects: held-out objects, at most, that shapes are compared with; five shapes are made for each.
        keep: how many checkpoints are kept, besides the best.
        trackers: where the run is followed besides TensorBoard: wandb, mlflow.
        bad_steps: steps in a row with a gradient that is not finite after which the run stops.
        precision: of the convolutions: fp32, bf16, or "auto", which is bf16 on GPUs that have it. All else, the weights
            too, is fp32.
        compile: compile the networks first, which takes minutes and a C++ compiler; R1 is not compiled.
        device: "auto" takes a GPU where there is one.
        seed: of everything random.
        take_over: go on in a folder whose lock a process on another machine has left, which you know to be gone.
        ranks: how processes train together; the batch is that of all of them.
    """

    data: Path = Path("data")
    splits: Path | None = None
    assumed: Assumed = field(default_factory=Assumed)
    out: Path = Path("runs/model")
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    grow_planes: Annotated[int | None, Range(4, 4096, power_of_two=True)] = None
    grow_grid: Annotated[int | None, Range(2, 1024)] = None
    resolution: Annotated[int, Range(8, 4096, power_of_two=True)] = 64
    batch: Annotated[int, Range(1, 65_536)] = 32
    accumulate: Annotated[int, Range(1)] = 1
    kimg: Annotated[float, Range(0, 1e9, above=True)] = 1000.0
    grid_size: Annotated[float | None, Range(0, 2, above=True, below=True)] = None
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema_half_life: Annotated[float, Range(0)] = 10.0
    ema_ramp_up: Annotated[float, Range(0)] = 0.05
    log_kimg: Annotated[float, Range(0, above=True)] = 1.0
    snapshot_kimg: Annotated[float, Range(0, above=True)] = 10.0
    checkpoint_minutes: Annotated[float, Range(0)] = 15.0
    metrics: tuple[str, ...] | None = None
    metric_pictures: Annotated[int, Range(2)] = 512
    metric_objects: Annotated[int, Range(2)] = 40
    keep: Annotated[int, Range(1)] = 2
    trackers: tuple[TrackerName, ...] = ()
    bad_steps: Annotated[int, Range(1)] = 10
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    device: str = "auto"
    seed: Annotated[int, SEED] = 0
    take_over: bool = False
    ranks: Annotated[RanksConfig, tyro.conf.arg(name="")] = field(default_factory=RanksConfig)

    @property
    def total(self) -> int:
        """Length of the run in real pictures shown."""
        return round(self.kimg * 1000)

    def autocast(self, device: torch.device) -> torch.autocast:
        """Where the convolutions are, so that they have the run's precision on a device."""
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        wanted = able if self.precision == "auto" else self.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


@dataclass(frozen=True)
class Opened:
    """A run that can be done.

    Attributes:
        config: with what follows from the dataset filled in.
        pictures: to train on.
        held_out: pictures of objects that training never sees; where there are none, those that it sees.
        dataset: what tells the dataset from others: how many images to train on, and a fingerprint of some.
    """

    config: TrainConfig
    pictures: Pictures
    held_out: Pictures
    dataset: str

    @property
    def description(self) -> dict[str, Any]:
        """All settings, and the dataset, as a JSON value."""
        return describe(self.config) | {"dataset": self.dataset}


def opened(config: TrainConfig, world: int = 1) -> Opened:
    """Opens the dataset and proves that the run can be done, before any work.

    Args:
        config: the run.
        world: processes that share a batch; each has whole groups of it, so that pictures are compared with the same
            others however many processes there are.

    Raises:
        InputError: an option is out of its range, the dataset cannot be used, or the folder cannot be written to.
    """
    require_ranges(config)
    if config.source is not None:
        config = _with_networks_of(config.source, config)
    elif config.grow_planes is not None or config.grow_grid is not None:
        raise InputError("--grow-planes and --grow-grid are of a model that training starts from; name it with --from")
    group = config.discriminator.group
    whole = group * world * config.accumulate
    shared = f", for each of {world} processes" if world > 1 else ""
    parted = f", in {config.accumulate} parts (--accumulate)" if config.accumulate > 1 else ""
    groups = f"a multiple of --discriminator.group, {group}{shared}{parted}"
    _require(config.batch % whole == 0, "--batch", config.batch, groups + (f": {whole}" if whole > group else ""))
    if config.metrics is not None:
        require_metrics(config.metrics)
    require_trackers(config.trackers)
    taken = grid_bytes(config.generator.isosurface, config.generator.synthesis)
    option, device = "--generator.grid-resolution", device_named(config.device)
    require_grid_fits(option, config.generator.grid_resolution, taken, device)
    if config.compile and not _compilers():
        raise InputError("--compile needs a C++ compiler, and there is none; install g++, or train without it")
    # What starts from a model takes a dataset's larger images as they are, and grows.
    side = None if config.source is not None else config.resolution
    pictures = Pictures(config.data, "train", config.splits, assumed=config.assumed, resolution=side)
    if pictures.resolution < config.resolution:
        raise InputError(
            f"{config.data}: its images are {pictures.resolution}², {config.source} is of {config.resolution}²; "
            f"make the dataset again at {config.resolution}²"
        )
    config = replace(config, resolution=pictures.resolution)
    require_writable(config.out)
    dataset = _known_by(pictures)
    require_own(config.out, config.seed, dataset)
    grid_size = pictures.scale + GRID_MARGIN if config.grid_size is None else config.grid_size
    longest = f"longer than the objects of {config.data}, {pictures.scale}, and below 2"
    _require(pictures.scale <= grid_size < 2, "--grid-size", grid_size, longest)
    resolved = replace(
        config,
        grid_size=grid_size,
        metrics=default_metrics() if config.metrics is None else config.metrics,
        generator=replace(config.generator, cameras=pictures.prior, grid_size=grid_size, classes=pictures.classes),
    )
    held_out = pictures
    # Sets of a few objects have none to hold out; `get3d check` says so.
    if "val" in pictures.filled:
        held_out = Pictures(config.data, "val", config.splits, assumed=config.assumed, resolution=pictures.resolution)
    return Opened(resolved, pictures, held_out, dataset)


def _known_by(pictures: Pictures) -> str:
    some = torch.linspace(0, len(pictures) - 1, min(_COMPARED, len(pictures))).long()
    content = {"angles": pictures.angles, "labels": pictures.labels, "pictures": pictures.load(some)}
    return f"{len(pictures)}, fingerprint {checksum(content)}"


def facts(run: Opened) -> dict[str, str]:
    """What processes must have in common to train together: versions, settings and pictures, by name."""
    versions = {f"version of {name}": version(name) for name in ("get3d", "torch")}
    settings = _flat(describe(run.config), "--")
    own = tuple("--" + name for name in ("data", "splits", "out", "source", "ranks", "device", "take-over"))
    return (
        versions
        | {name: value for name, value in settings.items() if not name.startswith(own)}
        | {"a dataset of pictures": run.dataset}
    )


def _flat(value: Any, name: str) -> dict[str, str]:
    """The leaves of a JSON value by the option that sets them."""
    if not isinstance(value, dict):
        return {name: str(value)}
    dot = "" if name == "--" else "."
    parts = (_flat(part, f"{name}{dot}{key.replace('_', '-')}") for key, part in value.items())
    return {leaf: text for part in parts for leaf, text in part.items()}


def _with_networks_of(source: Path, config: TrainConfig) -> TrainConfig:
    path = model_file(source)
    description = read_description(path)
    if "discriminator" not in description:
        raise InputError(f"{path}: holds a lone generator; training goes on from a checkpoint or a converted model")
    generator = read_config(path)
    discriminator = restore(DiscriminatorConfig, description["discriminator"], path)
    found = description.get("resolution")
    resolution = found if isinstance(found, int) else 0
    sides = Range(8, 4096, power_of_two=True)
    _require(sides.holds(resolution), f"{path}: resolution", found, str(sides))
    classes = len(generator.classes)
    build = partial(discriminator.build, resolution=resolution, label_dim=classes)
    require_same_shapes(path, "discriminator.", build)
    planes = generator.synthesis.planes
    side = planes.resolution if config.grow_planes is None else config.grow_planes
    finer = f"at least the {planes.resolution} of {path}"
    _require(side >= planes.resolution, "--grow-planes", side, finer)
    grid = generator.grid_resolution if config.grow_grid is None else config.grow_grid
    synthesis = replace(generator.synthesis, planes=replace(planes, resolution=side))
    return replace(
        config,
        generator=replace(generator, synthesis=synthesis, grid_resolution=grid),
        discriminator=discriminator,
        resolution=resolution,
        grid_size=generator.grid_size,
    )


def _compilers() -> list[str]:
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return [name for name in names if name and shutil.which(name)]


def _require(holds: bool, option: str, value: object, mend: str) -> None:
    if not holds:
        raise InputError(f"{option} is {value}; it must be {mend}")
