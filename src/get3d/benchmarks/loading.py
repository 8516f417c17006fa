"""Reading images for training, from a folder and from shards, compared with the time of a step."""

import tempfile
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console

from get3d.benchmarks import step
from get3d.benchmarks.rows import Row, at_least
from get3d.benchmarks.timing import side_by_side
from get3d.datasets.loader import ImageDataset
from get3d.datasets.pack import PackConfig, pack
from get3d.training.config import TrainConfig

__all__ = ["rows"]

_BATCHES = 16
"""Of a measurement."""


def rows(preset: str, config: TrainConfig, step_seconds: float, repeats: int) -> list[Row]:
    """Batches as training asks for them, each image read and decoded anew; the system has the files in its memory.

    Args:
        preset: name of the configuration.
        config: whose batches are read.
        step_seconds: how long a training step takes, which is done while they are read.
        repeats: of each measurement.
    """
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        step.make_dataset(data, config)
        shards = pack(PackConfig(data, Path(folder) / "shards", meshes=False), quiet)
        sets = {
            name: ImageDataset(root, "train", cache_bytes=0) for name, root in (("folder", data), ("shards", shards))
        }
        times = side_by_side(
            torch.device("cpu"),
            repeats,
            folder=lambda: _read(sets["folder"], config),
            shards=lambda: _read(sets["shards"], config),
        )
    group = (
        f"Reading images, compared with a training step of the preset {preset}: {config.batch} images of "
        f"{config.resolution}², {config.batch / step_seconds:,.1f} of which a step takes in a second"
    )
    found = []
    for name, seconds in times.items():
        each = seconds / _BATCHES
        note = f"{config.batch / each:,.0f} images/s"
        goal = at_least(2.0) if name == "shards" else None
        title = f"from {'a folder' if name == 'folder' else 'shards'}"
        found.append(Row(group, title, each, {"a step": step_seconds}, step_seconds / each, "×", goal, note))
    return found


def _read(images: ImageDataset, config: TrainConfig) -> None:
    stream = images.batches(config.batch, config.seed)
    for _ in islice(stream, _BATCHES):
        pass
    stream.close()
