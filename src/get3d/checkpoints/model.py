"""Model files: found by path or name, validated, and loaded."""

from dataclasses import replace
from pathlib import Path

import torch

from get3d.bundled import MODEL_FILE, bundled
from get3d.devices import device_named
from get3d.files import InputError, require_names
from get3d.generator import Generator
from get3d.generator_config import GeneratorConfig
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.materials import require_channels
from get3d.storage import load_tensors, read_description, require_same_shapes, restore, without_prefix

__all__ = ["WEIGHTS", "load", "model_file", "read_config"]

WEIGHTS = "generator_ema."
"""Prefix of the names of a model's tensors in its file."""


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
    generator.load_state_dict(without_prefix(WEIGHTS, load_tensors(path, prefix=WEIGHTS).tensors))
    return generator.to(place).eval().requires_grad_(False)


def read_config(path: Path) -> GeneratorConfig:
    """Reads the configuration of a model, or of the generators of a checkpoint.

    The sizes are compared with the tensors in the file before anything is built.

    Raises:
        InputError: the file is not a model, a size is out of range, or the weights have other sizes.
    """
    config = restore(GeneratorConfig, read_description(path).get("generator"), path)
    require_names(config.classes, f"{path}: generator.classes")
    require_channels(config.synthesis.channels, f"{path}: generator.synthesis.channels")
    # The grid is no part of the weights, and is built.
    small = replace(config, grid_resolution=4)
    require_same_shapes(path, WEIGHTS, lambda: Generator(small))
    return config


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
