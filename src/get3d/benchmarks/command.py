"""The command: every group of measurements, one table."""

import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import torch
from rich.console import Console
from rich.text import Text

from get3d.benchmarks import extraction, fields, full, generation, live, loading, phases, ranks, start, step, visibility
from get3d.benchmarks.config import BenchConfig
from get3d.benchmarks.rows import Row, to_json, to_table
from get3d.checkpoints.model import load
from get3d.devices import device_named
from get3d.files import InputError, require_writable, write_json
from get3d.presets import PRESETS
from get3d.ranges import require_ranges
from get3d.training.config import TrainConfig
from get3d.training.loop import start as start_training

__all__ = ["FULL_SIZE", "BenchConfig", "run"]

FULL_SIZE = "paper"
"""The preset with the full-size generator."""
LIVE = "chair"
"""The model whose live page is timed where none is named: the one that comes along."""
_Groups: TypeAlias = dict[str, Callable[[], list[Row]]]
"""What is measured, by its name."""


def run(config: BenchConfig, console: Console) -> list[Row]:
    """Measures, prints a table of each group when it is measured, and returns all rows.

    Raises:
        InputError: an option is out of its range, there is no such preset, model or device, or the file cannot be
            written.
    """
    training = _checked(config)
    device = device_named(config.device)
    groups = _shared(config, training) if config.ranks > 1 else _alone(config, training, device)
    rows: list[Row] = []
    machine = _machine(device)
    console.print(f"medians of {config.repeats}; {machine}", highlight=False)
    for name, measured in groups.items():
        with console.status(Text(f"measuring {name} …")):
            found = measured()
        console.print(to_table(found))
        rows += found
    if config.json is not None:
        write_json(config.json, {"machine": machine, "repeats": config.repeats, "rows": to_json(rows)})
        console.print(f"{config.json}: written", highlight=False, markup=False, soft_wrap=True)
    return rows


def _shared(config: BenchConfig, training: TrainConfig) -> _Groups:
    measured = partial(ranks.rows, config.preset, training, config.repeats, config.warm, config.ranks)
    return {"a training step that processes share": measured}


def _alone(config: BenchConfig, training: TrainConfig, device: torch.device) -> _Groups:
    generator = start_training(training).generator_ema if config.model is None else load(config.model, config.device)
    repeats = config.repeats
    of = f"the preset {config.preset}, untrained" if config.model is None else config.model
    groups: _Groups = {
        "response of the command line": lambda: start.rows(repeats),
        "surfaces": lambda: extraction.rows(config.shapes, config.grid, repeats, device),
        "fields": lambda: fields.rows(config.shapes, config.grid, repeats, device),
        "visibility": lambda: visibility.rows(config.mesh_faces, config.image, repeats, device),
        "a training step, and reading images": lambda: _step_rows(config, training),
        "both phases of training": lambda: phases.rows(
            config.preset, training, repeats, config.warm, compiled=config.full
        ),
        "objects": lambda: generation.rows(of, generator, config.faces, config.texture, repeats, goals=False),
        "the live page": lambda: live.rows(config.model or LIVE, config.faces, config.texture, repeats, config.device),
    }
    if config.full:
        size = PRESETS[FULL_SIZE].config.generator
        groups["the full-size generator"] = lambda: full.rows(size, config.faces, config.texture, repeats, device)
    return groups


def _step_rows(config: BenchConfig, training: TrainConfig) -> list[Row]:
    """The stages of a step, and how much faster than the step its images are read."""
    found = step.rows(config.preset, training, config.repeats, config.warm)
    (seconds,) = (row.other_seconds[step.TOTAL] for row in found if step.TOTAL in row.other_seconds)
    return [*found, *loading.rows(config.preset, training, seconds, config.repeats)]


def _checked(config: BenchConfig) -> TrainConfig:
    """The preset on the device asked for, after a look at the options."""
    if config.preset not in PRESETS:
        raise InputError(f"--preset is {config.preset}; choose one of {', '.join(PRESETS)}")
    require_ranges(config)
    if config.json is not None:
        require_writable(config.json.parent)
    return replace(PRESETS[config.preset].config, device=config.device, warmup_kimg=0.0)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return f"{name}, PyTorch {torch.__version__}"
