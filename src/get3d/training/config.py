"""Preparing a training run: opens the dataset and validates all settings."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from get3d.checkpoints.model import load, model_file, read_config, training_objects, training_styles
from get3d.datasets.loader import ImageDataset
from get3d.devices import device_named
from get3d.evaluation.snapshot_metrics import default_metrics, require_metrics
from get3d.files import InputError, require_writable
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.light_prior import LightPrior
from get3d.networks import Discriminator, DiscriminatorConfig, PriorConfig
from get3d.ranges import Range, option_names, require_ranges
from get3d.reconstruction.hulls import Hulls
from get3d.reconstruction.initial import InitialCodes, initial_codes
from get3d.reconstruction.losses import require_losses
from get3d.storage import checksum, describe, read_description, require_same_shapes, restore
from get3d.training.folder import require_own
from get3d.training.run_config import GRID_MARGIN, OptimizerConfig, TrainConfig
from get3d.training.trackers import require_trackers

__all__ = [
    "HULL_VIEWS",
    "OptimizerConfig",
    "PreparedRun",
    "TrainConfig",
    "compilers",
    "cross_rank_fingerprint",
    "hulls_of",
    "prepare_run",
    "settings",
]


HULL_VIEWS = 8
"""Images of an object from which on its visual hull is near enough to it to learn from."""

_COMPARED = 16
"""Images by whose content processes see that they have the same dataset."""


@dataclass(frozen=True)
class PreparedRun:
    """A validated run.

    Attributes:
        config: with what follows from the dataset filled in.
        images: to train on.
        held_out: images of objects that training never sees; where there are none, those that it sees.
        dataset: what tells the dataset from others: how many images to train on, and a fingerprint of some.
        remarks: what a user should know of what was left out.
    """

    config: TrainConfig
    images: ImageDataset
    held_out: ImageDataset
    dataset: str
    remarks: tuple[str, ...] = ()

    @property
    def description(self) -> dict[str, Any]:
        """All settings, and the dataset, as a JSON value."""
        known = {"training_objects": list(self.images.objects)} if self.config.warmup_total else {}
        return describe(self.config) | {"dataset": self.dataset} | known

    @property
    def object_labels(self) -> torch.Tensor:
        """[n] class of each training object, 0 where there are no classes."""
        images = self.images
        labels = torch.zeros(len(images.objects), dtype=torch.long)
        return labels.scatter(0, images.object, images.labels)

    def hulls(self) -> Hulls | None:
        """The visual hulls that the warm-up needs; None where it needs none."""
        return hulls_of(self.config, self.images)

    def initial_codes(self) -> InitialCodes:
        """The codes of the training objects before the warm-up, and the waves that they stand for.

        With `init_from`, those that it has learnt, and its mean for other objects; where only the run has waves, codes
        of textures are new.
        """
        source, objects, sizes = self.config.init_from, self.images.objects, self.config.generator
        device, frequencies = device_named(self.config.device), sizes.synthesis.texture_frequencies
        find = partial(initial_codes, self.images, sizes.grid_size, sizes.w_dim, frequencies, device)
        if source is None:
            return find()
        generator = load(source, "cpu")
        means = torch.stack([mapping.w_avg for mapping in (generator.mapping_geometry, generator.mapping_texture)], -2)
        if means.ndim == 3:
            same = generator.config.classes == self.images.classes
            means = means[self.object_labels] if same else means.mean(0)
        codes, learnt = means.expand(len(objects), 2, -1).clone(), set(training_objects(source))
        known = [number for number, name in enumerate(objects) if name in learnt]
        if known:
            styles = training_styles(source, [objects[number] for number in known], torch.device("cpu"))
            codes[known] = torch.stack([styles.geometry, styles.texture], dim=1)
        if frequencies and not generator.config.synthesis.texture_frequencies:
            new = find()
            return replace(new, styles=torch.stack([codes[:, 0], new.styles[:, 1]], dim=1))
        return InitialCodes(codes)


def hulls_of(config: TrainConfig, images: ImageDataset) -> Hulls | None:
    """The visual hulls of a run's training objects; None where its warm-up needs none."""
    hull = config.warmup.hull
    needed = config.warmup_total and hull.weight
    device = device_named(config.device)
    return Hulls(images, config.generator.grid_size, hull.resolution, device) if needed else None


def prepare_run(config: TrainConfig, world: int = 1) -> PreparedRun:
    """Opens the dataset and checks that the run is possible, before any work.

    Args:
        config: the run.
        world: processes that share a batch; each has whole groups of it, so that images are compared with the same
            others however many processes there are.

    Raises:
        InputError: an option is out of range, the dataset cannot be used, or the folder cannot be written to.
    """
    require_ranges(config)
    if config.init_from is not None:
        config = _with_networks_of(config.init_from, config)
    else:
        sizes = ("planes", "channels", "frequencies", "grid")
        given = [f"--grow-{size}" for size in sizes if getattr(config, f"grow_{size}") is not None]
        if given:
            raise InputError(f"{given[0]} needs a model; give it with --init-from")
    group = config.discriminator.group
    whole = group * world * config.grad_accum_steps
    shared = f", for each of {world} processes" if world > 1 else ""
    parted = f", in {config.grad_accum_steps} micro-batches (--grad-accum-steps)" if config.grad_accum_steps > 1 else ""
    groups = f"a multiple of --discriminator.group, {group}{shared}{parted}"
    _require(config.batch % whole == 0, "--batch", config.batch, groups + (f": {whole}" if whole > group else ""))
    if config.metrics is not None:
        require_metrics(config.metrics)
    require_trackers(config.trackers)
    taken = grid_memory(config.generator.isosurface, config.generator.synthesis)
    option, device = "--generator.grid-resolution", device_named(config.device)
    require_grid_fits(option, config.generator.grid_resolution, taken, device)
    if config.compile and not compilers():
        raise InputError("--compile needs a C++ compiler, but none was found; install g++, or train without --compile")
    # What starts from a model takes a dataset's larger images as they are, and grows.
    side = None if config.init_from is not None else config.resolution
    images = ImageDataset(config.data, "train", config.splits, assumed=config.assumed, resolution=side)
    if images.resolution < config.resolution:
        raise InputError(
            f"{config.data}: its images are {images.resolution}², {config.init_from} is of {config.resolution}²; "
            f"make the dataset again at {config.resolution}²"
        )
    config, remarks = _warmup(replace(config, resolution=images.resolution), images, world)
    if config.init_from is not None and not config.warmup_total:
        _require_discriminator(model_file(config.init_from))
    _require(
        config.objective.adversarial == "all" or bool(config.warmup_total) or config.init_from is not None,
        "--objective.adversarial",
        config.objective.adversarial,
        "all where a run has neither a warm-up nor --init-from, which give it shapes",
    )
    _require(
        config.warmup.learns == "all" or config.init_from is not None,
        "--warmup.learns",
        config.warmup.learns,
        "all without --init-from, which gives a run its shapes",
    )
    require_writable(config.out)
    dataset = _known_by(images)
    require_own(config.out, config.seed, dataset)
    grid_size = images.scale + GRID_MARGIN if config.grid_size is None else config.grid_size
    longest = f"longer than the objects of {config.data}, {images.scale}, and below 2"
    _require(images.scale <= grid_size < 2, "--grid-size", grid_size, longest)
    resolved = replace(
        config,
        grid_size=grid_size,
        metrics=default_metrics() if config.metrics is None else config.metrics,
        generator=replace(
            config.generator,
            cameras=images.prior,
            grid_size=grid_size,
            classes=images.classes,
            light=_light_for(config, images),
            prior=_prior_of(config, images),
        ),
    )
    held_out = images
    # Sets of a few objects have none to hold out; `get3d check` says so.
    if "val" in images.filled:
        held_out = ImageDataset(config.data, "val", config.splits, assumed=config.assumed, resolution=images.resolution)
    return PreparedRun(resolved, images, held_out, dataset, remarks)


def _warmup(config: TrainConfig, images: ImageDataset, world: int) -> tuple[TrainConfig, tuple[str, ...]]:
    """The configuration without a warm-up that cannot be, and what to say of it."""
    if not config.warmup_total:
        return config, ()
    left_out = replace(config, warmup_kimg=0.0)
    if int(images.object.bincount().max()) < 2:
        return left_out, (f"no warm-up: {config.data} has one image of each object",)
    require_losses(config.warmup.losses, "--warmup.losses")
    whole = config.warmup.views * world * config.grad_accum_steps
    shared = (
        f" × processes ({world}) × --grad-accum-steps ({config.grad_accum_steps})"
        if whole > config.warmup.views
        else ""
    )
    _require(
        config.batch % whole == 0,
        "--batch",
        config.batch,
        f"a multiple of {whole}, --warmup.views ({config.warmup.views}){shared}; or use --warmup-kimg 0",
    )
    remarks: tuple[str, ...] = ()
    if config.init_from is not None:
        learnt, count = set(training_objects(config.init_from)), len(images.objects)
        new = sum(name not in learnt for name in images.objects)
        _require(
            config.warmup.learns == "all" or not new,
            "--warmup.learns",
            config.warmup.learns,
            f"all, because {config.init_from} knows only {count - new} of the {count} objects of {config.data}; a run "
            "knows those that it has learnt, a released model none",
        )
        if new == count:
            remarks = (f"{config.init_from} knows no object of {config.data}: all begin as its mean",)
    if config.warmup.learns == "texture":
        # Shapes stay, so what teaches only them is left out.
        hull = replace(config.warmup.hull, weight=0.0)
        warmup = replace(config.warmup, hull=hull, deflation=0.0, random_interval=0)
        return replace(config, warmup=warmup), remarks
    usual = int(images.object.bincount().median())
    if config.warmup.hull.weight and usual < HULL_VIEWS:
        hull = replace(config.warmup.hull, weight=0.0)
        left_out = replace(config, warmup=replace(config.warmup, hull=hull))
        few = f"no visual hulls in the warm-up: they need {HULL_VIEWS} images of an object, not {usual}"
        return left_out, (*remarks, few)
    return config, remarks


def _prior_of(config: TrainConfig, images: ImageDataset) -> PriorConfig:
    """That of the warm-up, or else of the model that the run begins with."""
    if not config.warmup_total:
        return config.generator.prior
    warmup = config.warmup
    return PriorConfig.of(len(images.objects), warmup.components, warmup.bandwidth)


def _light_for(config: TrainConfig, images: ImageDataset) -> LightPrior:
    """The light of the images, if the materials that are asked for can be learnt in it; learnt if it is not known.

    Raises:
        InputError: they cannot.
    """
    materials, option = config.generator.materials, "--generator.materials"
    known = images.light
    if materials == "color":
        if config.light == "learnt":
            raise InputError(
                f"--light is learnt, but with {option} color the light is in the texture; take base_color or pbr, or "
                "leave out --light"
            )
        return LightPrior() if known is None else known
    if known is None:
        return LightPrior("learnt", shading="pbr" if materials == "pbr" else "matte")
    if materials == "pbr" and known.shading != "pbr":
        raise InputError(
            f"{option} is pbr, but the images of {config.data} are matte, so nothing shows roughness and metallic; "
            "take base_color, or make the dataset with --shading pbr"
        )
    return replace(known, kind="learnt") if config.light == "learnt" else known


def _known_by(images: ImageDataset) -> str:
    some = torch.linspace(0, len(images) - 1, min(_COMPARED, len(images))).long()
    content = {"angles": images.angles, "labels": images.labels, "images": images.load(some)}
    return f"{len(images)}, fingerprint {checksum(content)}"


def cross_rank_fingerprint(run: PreparedRun) -> dict[str, str]:
    """What processes must have in common to train together: versions, settings and images, by name."""
    versions = {f"version of {name}": version(name) for name in ("get3d", "torch")}
    return versions | settings(run.config, but=_OWN) | {"a dataset of images": run.dataset}


_OWN = ("data", "splits", "out", "init_from", "ranks", "device", "take_over")
"""Fields in which processes that train together may differ."""


def settings(config: TrainConfig, but: Sequence[str] = ()) -> dict[str, str]:
    """All settings by the option that sets them.

    Args:
        config: the settings.
        but: fields of it that are left out, with all that is in them.
    """
    names = option_names(config)
    flat = _flat({name: value for name, value in describe(config).items() if name not in but}, "")
    return {f"--{names.get(path, path.replace('_', '-'))}": text for path, text in flat.items()}


def _flat(value: Any, path: str) -> dict[str, str]:
    """The leaves of a JSON value by their paths."""
    if not isinstance(value, dict):
        return {path: str(value)}
    parts = (_flat(part, f"{path}.{key}" if path else key) for key, part in value.items())
    return {leaf: text for part in parts for leaf, text in part.items()}


def _require_discriminator(path: Path) -> None:
    if "discriminator" not in read_description(path):
        raise InputError(
            f"{path}: contains only a generator, which is trained further by a warm-up: give --warmup-kimg and several "
            "images of each object; or start from a checkpoint or a converted model"
        )


def _with_networks_of(source: Path, config: TrainConfig) -> TrainConfig:
    path = model_file(source)
    description = read_description(path)
    generator = read_config(path)
    discriminator, resolution = config.discriminator, config.resolution
    if "discriminator" in description:
        discriminator = restore(DiscriminatorConfig, description["discriminator"], path)
        found = description.get("resolution")
        resolution = found if isinstance(found, int) else 0
        sides = Range(8, 4096, power_of_two=True)
        _require(sides.holds(resolution), f"{path}: resolution", found, str(sides))
        classes = len(generator.classes)
        build = partial(Discriminator, discriminator, resolution=resolution, label_dim=classes)
        require_same_shapes(path, "discriminator.", build)
    planes = generator.synthesis.planes
    side = planes.resolution if config.grow_planes is None else config.grow_planes
    finer = f"at least the {planes.resolution} of {path}"
    _require(side >= planes.resolution, "--grow-planes", side, finer)
    base = planes.channel_base if config.grow_channels is None else config.grow_channels
    _require(base >= planes.channel_base, "--grow-channels", base, f"at least the {planes.channel_base} of {path}")
    held = generator.synthesis.texture_frequencies
    frequencies = held if config.grow_frequencies is None else config.grow_frequencies
    _require(frequencies >= held, "--grow-frequencies", frequencies, f"at least the {held} of {path}")
    grid = generator.grid_resolution if config.grow_grid is None else config.grow_grid
    planes = replace(planes, resolution=side, channel_base=base)
    synthesis = replace(generator.synthesis, planes=planes, texture_frequencies=frequencies)
    return replace(
        config,
        generator=replace(generator, synthesis=synthesis, grid_resolution=grid),
        discriminator=discriminator,
        resolution=resolution,
        grid_size=generator.grid_size,
    )


def compilers() -> list[str]:
    """The C++ compilers that `--compile` can use, by name."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return [name for name in names if name and shutil.which(name)]


def _require(holds: bool, option: str, value: object, fix: str) -> None:
    if not holds:
        raise InputError(f"{option} is {value}; it must be {fix}")
