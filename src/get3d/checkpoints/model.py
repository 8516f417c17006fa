"""Model files: found by path or name, validated, and loaded."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from get3d.bundled import MODEL_FILE, bundled
from get3d.devices import device_named
from get3d.files import InputError, require_names
from get3d.generator import Generator
from get3d.generator_config import GeneratorConfig
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.latents import Styles
from get3d.materials import require_channels
from get3d.storage import (
    checksum,
    describe,
    load_tensors,
    read_description,
    require_same_shapes,
    restore,
    save_tensors,
    with_prefix,
    without_prefix,
)

__all__ = [
    "CODES",
    "WEIGHTS",
    "images_shown",
    "load",
    "load_weights",
    "model_file",
    "read_config",
    "save_tuned",
    "training_objects",
    "training_styles",
]

WEIGHTS = "generator_ema."
"""Prefix of the names of a model's tensors in its file."""

_TUNED, _CHANGES = "tuned_from", "change."
"""In a tuned model: the entry of its description that names its base, and the prefix of what is added to weights."""

CODES = "codes."
"""What the names of the tensors of training objects' codes begin with, in a checkpoint of a run with a warm-up."""


@torch.inference_mode(False)
def load(path_or_name: str | Path, device: torch.device | str = "auto") -> Generator:
    """Loads a model.

    Args:
        path_or_name: a model file, its folder, the folder of a training run (its newest checkpoint), a checkpoint, or
            the name of a bundled model.
        device: device of the model; "auto" uses a GPU if there is one.

    Raises:
        InputError: there is no model, its file is damaged or from another program, its grid does not fit into memory,
            or there is no such device.
    """
    path, place = model_file(path_or_name), device_named(str(device))
    config = read_config(path)
    taken = grid_memory(config.isosurface, config.synthesis)
    resolution = f"{path}: generator.grid_resolution"
    require_grid_fits(resolution, config.grid_resolution, taken, place, "convert it with --grid")
    generator = Generator(config)
    generator.load_state_dict(load_weights(path))
    return generator.to(place).eval().requires_grad_(False)


def read_config(path: Path) -> GeneratorConfig:
    """Reads the configuration of a model, or of the generators of a checkpoint.

    The sizes are compared with the tensors in the file before anything is built.

    Raises:
        InputError: the file is not a model, a size is out of range, or the weights have other sizes.
    """
    description = read_description(path)
    if _TUNED in description:
        return read_config(_base(path, description))
    config = restore(GeneratorConfig, description.get("generator"), path)
    require_names(config.classes, f"{path}: generator.classes")
    require_channels(config.channels, f"{path}: generator.synthesis.channels")
    # The grid is no part of the weights, and is built.
    small = replace(config, grid_resolution=4)
    require_same_shapes(path, WEIGHTS, lambda: Generator(small))
    return config


def images_shown(description: Mapping[str, Any]) -> int:
    """Real images that a model or checkpoint has learnt from, including those of the runs that it goes on from.

    0 where its description does not say so.
    """
    progress, about = description.get("progress"), description.get("about")
    if isinstance(progress, dict):
        counts = [progress.get("cur_nimg"), progress.get("before_nimg")]
        return sum(count for count in counts if isinstance(count, int) and count > 0)
    kimg = about.get("kimg") if isinstance(about, dict) else None
    return round(1000 * kimg) if isinstance(kimg, int | float) and 0 < kimg < math.inf else 0


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a model by name: those in its file, or of a tuned model those of its base with its changes.

    Raises:
        InputError: the file cannot be read, or is of a tuned model whose base is no bundled model or has other weights.
    """
    description = read_description(path)
    if _TUNED not in description:
        return without_prefix(WEIGHTS, load_tensors(path, prefix=WEIGHTS).tensors)
    base = _base(path, description)
    weights = load_weights(base)
    if checksum(weights) != description[_TUNED].get("weights"):
        raise InputError(f"{path}: was tuned from other weights than those of {base}; tune it again")
    for name, change in without_prefix(_CHANGES, load_tensors(path, prefix=_CHANGES).tensors).items():
        if name not in weights or weights[name].shape != change.shape or not change.is_floating_point():
            raise InputError(f"{path}: its change of {name} does not fit {base}; use another copy")
        weights[name] = weights[name] + change.to(weights[name].dtype)
    return weights


def save_tuned(path: Path, base: str | Path, generator: Generator) -> None:
    """Writes a tuned model, which `load` reads, and rounds the generator to what is in the file.

    Of one that was tuned from a bundled model, only what differs is written. Others are written whole: a file names no
    other file, since whoever gave it could name any.

    Args:
        path: file of the tuned model.
        base: the model, as `load` takes it.
        generator: the tuned model; its weights become exactly those that `load` gives.

    Raises:
        InputError: the file cannot be written.
    """
    source = model_file(base)
    described = read_description(source)
    if _TUNED in described:
        source = _base(source, described)
    name = next((name for name, file in bundled().items() if file.resolve() == source.resolve()), None)
    if name is None:
        tensors = {name: tensor.cpu() for name, tensor in generator.state_dict().items()}
        save_tensors(path, with_prefix(WEIGHTS, tensors), {"generator": describe(generator.config)})
        return
    known, weights = load_weights(source), generator.state_dict()
    # Half precision: changes are small, and so is their file.
    changes = {name: (weights[name].cpu() - value).half() for name, value in known.items() if name in weights}
    changes = {name: change for name, change in changes.items() if bool(change.any())}
    description = {_TUNED: {"model": name, "weights": checksum(known)}, "generator": describe(generator.config)}
    save_tensors(path, with_prefix(_CHANGES, changes), description)
    generator.load_state_dict(load_weights(path))


def _base(path: Path, description: dict[str, Any]) -> Path:
    """The file of the bundled model that a model was tuned from."""
    tuned, known = description[_TUNED], bundled()
    name = tuned.get("model") if isinstance(tuned, dict) else None
    if not isinstance(name, str) or name not in known:
        raise InputError(
            f"{path}: was tuned from {name!r:.200}, which is no bundled model ({', '.join(known)}); tune it again"
        )
    return known[name]


def training_objects(path_or_name: str | Path) -> list[str]:
    """Names of the training objects that a run has codes for; none for a model without.

    Raises:
        InputError: there is no such run or model.
    """
    path = model_file(path_or_name)
    known = read_description(path).get("training_objects", [])
    if not isinstance(known, list) or not all(isinstance(name, str) for name in known):
        raise InputError(f"{path}: its training objects are no list of names; give another checkpoint")
    return known


def training_styles(path_or_name: str | Path, names: Sequence[str], device: torch.device) -> Styles:
    """The styles (W) that a run has found for objects of its training set.

    Args:
        path_or_name: a run or checkpoint, as `load` takes it.
        names: of objects.
        device: where to put them.

    Raises:
        InputError: there are no such codes, or no such object; the message names objects with a similar spelling.
    """
    path, known = model_file(path_or_name), training_objects(path_or_name)
    if not known:
        raise InputError(f"{path}: holds no codes of training objects; give a run that began with a warm-up")
    number = {name: i for i, name in enumerate(known)}
    for name in names:
        if name not in number:
            near = ", ".join(difflib.get_close_matches(name, known, 3, 0.0))
            raise InputError(f"--training-object {name}: no object of this run's training set; like it are {near}")
    codes = load_tensors(path, prefix=CODES).tensors.get(f"{CODES}styles")
    if codes is None or codes.ndim != 3 or codes.shape[:2] != (len(known), 2):
        raise InputError(f"{path}: its codes are not those of its {len(known)} objects; give another checkpoint")
    chosen = codes[[number[name] for name in names]].to(device)
    return Styles(chosen[:, 0], chosen[:, 1])


def model_file(path_or_name: str | Path) -> Path:
    """Finds the file that `load` reads.

    Raises:
        InputError: there is no model.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    if (path / MODEL_FILE).is_file():
        return path / MODEL_FILE
    checkpoints = sorted(path.glob("checkpoints/checkpoint-*.safetensors"))
    if checkpoints:
        return checkpoints[-1]
    named = bundled()
    if str(path_or_name) in named:
        return named[str(path_or_name)]
    fix = f"train first, or give a model file, its folder, the folder of a training run, or one of {', '.join(named)}"
    if path.is_dir():
        raise InputError(f"{path}: holds neither {MODEL_FILE} nor checkpoints; {fix}")
    raise InputError(f"{path}: no such model; {fix}")
