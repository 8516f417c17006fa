"""What a training run is, and the proof that it can be done."""

import os
import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from get3d.data.dataset import Pictures
from get3d.files import InputError, require_writable
from get3d.generator import GeneratorConfig, model_file
from get3d.metrics.watched import default_metrics
from get3d.networks import DiscriminatorConfig
from get3d.storage import checksum, describe, read_description, restore
from get3d.training.run_config import GRID_MARGIN, OptimizerConfig, TrainConfig
from get3d.training.trackers import require_trackers

__all__ = ["Opened", "OptimizerConfig", "TrainConfig", "facts", "opened"]


_COMPARED = 16
"""Pictures by whose content processes see that they have the same dataset."""


@dataclass(frozen=True)
class Opened:
    """A run that can be done.

    Attributes:
        config: with what follows from the dataset filled in.
        pictures: to train on.
        held_out: pictures of objects that training never sees.
    """

    config: TrainConfig
    pictures: Pictures
    held_out: Pictures


def opened(config: TrainConfig, world: int = 1) -> Opened:
    """Opens the dataset and proves that the run can be done, before any work.

    Args:
        config: the run.
        world: processes that share a batch; each has whole groups of it, so that pictures are compared with the same
            others however many processes there are.

    Raises:
        InputError: an option is out of its range, the dataset cannot be used, or the folder cannot be written to.
    """
    if config.source is not None:
        config = _with_networks_of(config.source, config)
    elif config.grow_planes is not None or config.grow_grid is not None:
        raise InputError("--grow-planes and --grow-grid are of a model that training starts from; name it with --from")
    _require(config.batch > 0, "--batch", config.batch, "a positive number")
    group = config.discriminator.group
    _require(config.accumulate > 0, "--accumulate", config.accumulate, "at least 1")
    whole = group * world * config.accumulate
    shared = f", for each of {world} processes" if world > 1 else ""
    parted = f", in {config.accumulate} parts (--accumulate)" if config.accumulate > 1 else ""
    groups = f"a multiple of --discriminator.group, {group}{shared}{parted}"
    _require(config.batch % whole == 0, "--batch", config.batch, groups + (f": {whole}" if whole > group else ""))
    power = config.resolution >= 8 and config.resolution & (config.resolution - 1) == 0
    _require(power, "--resolution", config.resolution, "a power of two, at least 8")
    for name in ("kimg", "log_kimg", "snapshot_kimg"):
        _require(getattr(config, name) > 0, "--" + name.replace("_", "-"), getattr(config, name), "positive")
    for name in ("metric_pictures", "metric_objects"):
        _require(getattr(config, name) > 1, "--" + name.replace("_", "-"), getattr(config, name), "at least 2")
    _require(config.metrics != (), "--metrics", "empty", "one metric or more, swd for one")
    _require(config.keep > 0, "--keep", config.keep, "at least 1")
    require_trackers(config.trackers)
    if config.compile and not _compilers():
        raise InputError("--compile needs a C++ compiler, and there is none; install g++, or train without it")
    pictures = Pictures(config.data, "train", config.splits, assumed=config.assumed)
    if config.source is not None and pictures.resolution > config.resolution:
        config = replace(config, resolution=pictures.resolution)
    if pictures.resolution != config.resolution:
        raise InputError(
            f"{config.data}: its pictures are {pictures.resolution}², this run asks for {config.resolution}²; "
            f"use --resolution {pictures.resolution}, or make the dataset again at {config.resolution}²"
        )
    require_writable(config.out)
    grid_size = pictures.scale + GRID_MARGIN if config.grid_size is None else config.grid_size
    longest = f"longer than the objects of {config.data}, {pictures.scale}, and below 2"
    _require(pictures.scale <= grid_size < 2, "--grid-size", grid_size, longest)
    resolved = replace(
        config,
        grid_size=grid_size,
        metrics=default_metrics() if config.metrics is None else config.metrics,
        generator=replace(config.generator, cameras=pictures.prior, grid_size=grid_size, classes=pictures.classes),
    )
    return Opened(resolved, pictures, Pictures(config.data, "val", config.splits, assumed=config.assumed))


def facts(run: Opened) -> dict[str, str]:
    """What processes must have in common to train together: versions, settings and pictures, by name."""
    pictures = run.pictures
    some = torch.linspace(0, len(pictures) - 1, min(_COMPARED, len(pictures))).long()
    content = {"angles": pictures.angles, "labels": pictures.labels, "pictures": pictures.load(some)}
    versions = {f"version of {name}": version(name) for name in ("get3d", "torch")}
    settings = _flat(describe(run.config), "--")
    own = tuple("--" + name for name in ("data", "splits", "out", "source", "ranks", "device"))
    return (
        versions
        | {name: value for name, value in settings.items() if not name.startswith(own)}
        | {"a dataset of pictures": f"{len(pictures)}, fingerprint {checksum(content)}"}
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
    generator = restore(GeneratorConfig, description["generator"], path)
    planes = generator.synthesis.planes
    side = planes.resolution if config.grow_planes is None else config.grow_planes
    finer = side >= planes.resolution and side & (side - 1) == 0
    _require(finer, "--grow-planes", side, f"a power of two, at least the {planes.resolution} of {path}")
    grid = generator.grid_resolution if config.grow_grid is None else config.grow_grid
    _require(grid > 1, "--grow-grid", grid, "at least 2")
    synthesis = replace(generator.synthesis, planes=replace(planes, resolution=side))
    return replace(
        config,
        generator=replace(generator, synthesis=synthesis, grid_resolution=grid),
        discriminator=restore(DiscriminatorConfig, description["discriminator"], path),
        resolution=description["resolution"],
        grid_size=generator.grid_size,
    )


def _compilers() -> list[str]:
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return [name for name in names if name and shutil.which(name)]


def _require(holds: bool, option: str, value: object, mend: str) -> None:
    if not holds:
        raise InputError(f"{option} is {value}; it must be {mend}")
