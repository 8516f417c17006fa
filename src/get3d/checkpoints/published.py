"""Converts published checkpoints to get3d models and back.

Published files are state dictionaries, saved by `torch.save({"G": …, "G_ema": …, "D": …})`.

A published tensor is a get3d tensor under another name, or a constant low-pass filter, which get3d computes. The kind
of generator in a file, and all sizes, follow from its tensors.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from get3d.bundled import MODEL_FILE
from get3d.checkpoints.model import WEIGHTS, model_file
from get3d.checkpoints.published_config import ConvertConfig, PublishedClass
from get3d.checkpoints.published_file import read_parts
from get3d.checkpoints.published_names import SEPARATE, UNIFIED, discriminator_names, generator_names
from get3d.files import InputError, writing
from get3d.generator import Generator, GeneratorConfig
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.networks import Discriminator, DiscriminatorConfig, PlanesConfig, SeparateConfig, UnifiedConfig, VolumeConfig
from get3d.ranges import Range, require_ranges, whole
from get3d.storage import describe, load_tensors, restore, save_tensors, with_prefix, without_prefix

__all__ = [
    "GRID_SIZES",
    "ConvertConfig",
    "Published",
    "PublishedClass",
    "convert",
    "convert_back",
    "discriminator_from_published",
    "generator_from_published",
    "load_published",
]


GRID_SIZES: dict[PublishedClass, float] = {"car": 1.0, "chair": 0.8, "motorbike": 1.0, "table": 0.8}
"""Side of the training grid of each published model, which its tensors do not contain."""

GENERATOR, DISCRIMINATOR = "generator.", "discriminator."
STORED_MEAN = "published."
"""Begins the names of tensors that a converted model has replaced, kept to be written back."""

_LARGEST = 4096
"""Side of images that a discriminator may be of."""

NAMED = 10
"""Tensors that a message names at most."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Published:
    """The networks of a published checkpoint.

    Attributes:
        generator: the generator in training.
        generator_ema: its moving average, which makes shapes.
        discriminator: the discriminator.
    """

    generator: Generator
    generator_ema: Generator
    discriminator: Discriminator


def load_published(
    path: Path | str, kind: PublishedClass = "car", grid_resolution: int = 90, grid_size: float | None = None
) -> Published:
    """Reads a published checkpoint. Nothing in the file is executed.

    Args:
        path: the file.
        kind: class of the model, which sets the size of its grid.
        grid_resolution: resolution of the grid for extracting surfaces.
        grid_size: side of the grid, instead of the one set by `kind`.

    Raises:
        InputError: a number of the grid is out of range; the file is missing, truncated, not a checkpoint, from another
            project, or would run code; tensors are missing, unexpected, or of the wrong shape.
    """
    path = Path(path)
    parts = read_parts(path)
    size = GRID_SIZES[kind] if grid_size is None else grid_size
    for option, value, allowed in (("--grid", grid_resolution, Range(4, 1024)), ("--grid-size", size, Range(0.01, 2))):
        if not allowed.holds(value):
            raise InputError(f"{option} is {value}; it must be {allowed}")
    grid = (grid_resolution, size)
    return Published(
        generator=generator_from_published(parts["G"], f"{path}: G", *grid),
        generator_ema=generator_from_published(parts["G_ema"], f"{path}: G_ema", *grid),
        discriminator=discriminator_from_published(parts["D"], f"{path}: D"),
    )


def convert(
    path: Path | str,
    out: Path | str,
    kind: PublishedClass = "car",
    grid_resolution: int = 90,
    grid_size: float | None = None,
) -> Path:
    """Converts a published checkpoint to a get3d model, for use or further training. Returns the path of the file.

    The mean styles of the averaged generator, for truncation, are estimated again, as the published inference does.
    Those of the file are also stored, for converting back.

    Args:
        path: the published file.
        out: folder to write to.
        kind: class of the model.
        grid_resolution: resolution of the grid for extracting surfaces.
        grid_size: side of the grid, instead of the one set by `kind`.

    Raises:
        InputError: as `load_published`; the folder cannot be written to.
    """
    published = load_published(path, kind, grid_resolution, grid_size)
    generator_ema = published.generator_ema
    stored = {name: tensor.clone() for name, tensor in generator_ema.state_dict().items() if name.endswith(".w_avg")}
    generator_ema.estimate_mean_styles()
    tensors = with_prefix(WEIGHTS, generator_ema.state_dict()) | with_prefix(STORED_MEAN + WEIGHTS, stored)
    tensors |= with_prefix(GENERATOR, published.generator.state_dict())
    tensors |= with_prefix(DISCRIMINATOR, published.discriminator.state_dict())
    description = {
        "generator": describe(generator_ema.config),
        "discriminator": describe(published.discriminator.config),
        "resolution": published.discriminator.resolution,
    }
    target = Path(out) / MODEL_FILE
    save_tensors(target, tensors, description)
    return target


def convert_back(model: Path | str, path: Path | str) -> None:
    """Converts a get3d model, with its training generator and discriminator, to a published checkpoint.

    Args:
        model: a model or checkpoint with all three networks, as `load` takes it.
        path: the file to write.

    Raises:
        InputError: the model cannot be read, has only an averaged generator, or has parts without a published
            counterpart; the file cannot be written.
    """
    model = model_file(model)
    stored = load_tensors(model)
    absent = [key for key in ("generator", "discriminator", "resolution") if key not in stored.description]
    if absent:
        raise InputError(f"{model}: describes no {absent[0]}; give a complete checkpoint, not only a generator")
    config = restore(GeneratorConfig, stored.description["generator"], model)
    judge = restore(DiscriminatorConfig, stored.description["discriminator"], model)
    try:
        resolution = whole(stored.description["resolution"], "resolution", Range(4, _LARGEST))
    except ValueError as error:
        raise InputError(f"{model}: {error}; use another copy") from error
    tensors = stored.tensors | without_prefix(STORED_MEAN, stored.tensors)
    names = generator_names(config)
    parts = {
        "G": (without_prefix(GENERATOR, tensors), names),
        "G_ema": (without_prefix(WEIGHTS, tensors), names),
        "D": (without_prefix(DISCRIMINATOR, tensors), discriminator_names(judge, resolution)),
    }
    checkpoint = {part: _to_published(ours, table, f"{model}: {part}") for part, (ours, table) in parts.items()}
    with writing(path) as temporary:
        torch.save(checkpoint, temporary)


def generator_from_published(
    tensors: Mapping[str, Tensor], source: str, grid_resolution: int = 90, grid_size: float = 1.0
) -> Generator:
    """The generator of published tensors, unified or separate, for tetrahedra or FlexiCubes.

    Args:
        tensors: a published state dictionary.
        source: the file, for messages.
        grid_resolution: resolution of the grid for extracting surfaces.
        grid_size: side of the grid.

    Raises:
        InputError: the tensors are not of a generator; some are missing, unexpected, or of the wrong shape.
    """
    config = replace(_generator_config(tensors, source), grid_resolution=grid_resolution, grid_size=grid_size)
    require_ranges(config, source)
    require_grid_fits("--grid", grid_resolution, grid_memory(config.isosurface, config.synthesis), torch.device("cpu"))
    # The grid is no part of the weights, and is built.
    shapes = _shapes(lambda: Generator(replace(config, grid_resolution=4)))
    names = generator_names(config)
    _require_published(shapes, tensors, names, source)
    return _filled(Generator(config), tensors, names)


def discriminator_from_published(tensors: Mapping[str, Tensor], source: str) -> Discriminator:
    """The discriminator of published tensors.

    Args:
        tensors: a published state dictionary.
        source: the file, for messages.

    Raises:
        InputError: the tensors are not of a discriminator; some are missing, unexpected, or of the wrong shape.
    """
    resolution = _largest(tensors, r"b(\d+)\.", source)
    width = _Sizes(tensors)
    config = DiscriminatorConfig(
        channel_base=resolution * width(f"b{resolution}.conv0.weight", 0, 32768 // resolution),
        channel_max=width("b4.conv.weight", 0, 512),
        condition=width("b4.out.weight", 0, 512),
        condition_layers=_count(tensors, r"mapping\.fc(\d+)\."),
    )
    require_ranges(config, source)
    if resolution > _LARGEST:
        raise InputError(f"{source}: a block of resolution {resolution} is larger than {_LARGEST}; use another copy")
    shapes = _shapes(lambda: Discriminator(config, resolution=resolution))
    names = discriminator_names(config, resolution)
    _require_published(shapes, tensors, names, source)
    return _filled(Discriminator(config, resolution=resolution), tensors, names)


class _Sizes:
    """Sizes read off tensors; where a tensor is missing the published size, since it will be named as missing."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors

    def __call__(self, name: str, axis: int, default: int) -> int:
        tensor = self.tensors.get(name)
        return tensor.shape[axis] if tensor is not None and tensor.ndim > axis else default


def _generator_config(tensors: Mapping[str, Tensor], source: str) -> GeneratorConfig:
    size = _Sizes(tensors)

    def planes(prefix: str, output: str) -> PlanesConfig:
        resolution = _largest(tensors, rf"{re.escape(prefix)}\.b(\d+)\.", source)
        return PlanesConfig(
            resolution=resolution,
            channels=size(f"{prefix}.b4.{output}.weight", 0, 96) // 3,
            channel_base=resolution * size(f"{prefix}.b{resolution}.conv1.weight", 0, 32768 // resolution),
            channel_max=size(f"{prefix}.b4.conv1.weight", 0, 512),
        )

    synthesis: UnifiedConfig | SeparateConfig
    if any(name.startswith(UNIFIED) for name in tensors):
        synthesis = UnifiedConfig(
            planes=planes(f"{UNIFIED}tri_plane_synthesis", "togeo"),
            texture_features=size(f"{UNIFIED}mlp_synthesis_tex.layers.1.weight", 0, 16),
        )
    else:
        resolution = _largest(tensors, rf"{SEPARATE}sdf\.b(\d+)\.", source)
        synthesis = SeparateConfig(
            volume=VolumeConfig(
                resolution=resolution,
                channel_base=resolution * size(f"{SEPARATE}sdf.b{resolution}.conv1.weight", 0, 2048 // resolution),
                channel_max=size(f"{SEPARATE}sdf.b4.conv1.weight", 0, 256),
                hidden=size(f"{SEPARATE}sdf.layers.0.weight", 0, 256),
            ),
            planes=planes(f"{SEPARATE}tex.tri_plane_synthesis", "torgb"),
            texture_features=size(f"{SEPARATE}tex.mlp_synthesis.layers.1.weight", 0, 16),
        )
    return GeneratorConfig(
        z_dim=size("mapping.fc0.weight", 1, 512),
        w_dim=size("mapping.fc0.weight", 0, 512),
        mapping_layers=_count(tensors, r"mapping\.fc(\d+)\."),
        synthesis=synthesis,
        isosurface="flexicubes" if any(f"{UNIFIED}mlp_synthesis_weight" in name for name in tensors) else "tetrahedra",
    )


def _numbers(tensors: Mapping[str, Tensor], pattern: str) -> list[int]:
    return [int(found[1]) for name in tensors if (found := re.match(pattern, name))]


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return max(_numbers(tensors, pattern), default=7) + 1


def _largest(tensors: Mapping[str, Tensor], pattern: str, source: str) -> int:
    sides = _numbers(tensors, pattern)
    if not sides:
        raise InputError(
            f"{source} is from another project: it has no tensor named like {pattern}; give a GET3D checkpoint"
        )
    side = max(sides)
    if side < 4 or side & (side - 1):
        raise InputError(f"{source}: a block of resolution {side} is not a power of two; use another copy")
    return side


def _filter() -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64


def _shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors, without allocating memory, because the sizes come from an untrusted file."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def _require_published(
    ours: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], names: Mapping[str, str | None], source: str
) -> None:
    """Sees to it that published tensors are those of a network, before it is built.

    Raises:
        InputError: some are missing, too many, or of the wrong shape; a low-pass filter is another.
    """
    shapes = {name: tuple(_filter().shape) if own is None else ours[own] for name, own in names.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = {
        "missing tensors": sorted(shapes.keys() - found.keys()),
        "extra tensors": sorted(found.keys() - shapes.keys()),
        "wrong shapes": [
            f"{name} {list(found[name])} instead of {list(shape)}"
            for name, shape in sorted(shapes.items())
            if found.get(name, shape) != shape
        ],
        "types other than float32": [name for name in sorted(found) if tensors[name].dtype != torch.float32],
        "low-pass filters other than the published one": [
            name
            for name, own in sorted(names.items())
            if own is None and found.get(name) == (4, 4) and not tensors[name].equal(_filter())
        ],
    }
    wrong = "; ".join(f"{what}: {_named(items)}" for what, items in problems.items() if items)
    if wrong:
        raise InputError(f"{source} is not a published network of its kind ({wrong}); use another copy")


def _filled(network: Network, tensors: Mapping[str, Tensor], names: Mapping[str, str | None]) -> Network:
    """The network with published tensors in it."""
    network.load_state_dict({own: tensors[name] for name, own in names.items() if own is not None})
    return network


def _to_published(ours: Mapping[str, Tensor], names: Mapping[str, str | None], source: str) -> dict[str, Tensor]:
    missing = {own for own in names.values() if own is not None} - ours.keys()
    if missing:
        raise InputError(f"{source} lacks tensors: {_named(sorted(missing))}; give a complete checkpoint")
    extra = ours.keys() - set(names.values())
    if extra:
        raise InputError(f"{source} has tensors that no published network has: {_named(sorted(extra))}")
    return {name: _filter() if own is None else ours[own] for name, own in names.items()}


def _named(items: list[str]) -> str:
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more
