"""The folder of a run: its settings, its lock, and its free disk space."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from get3d.distributed.processes import Ranks
from get3d.files import FORMAT, InputError, read_json, require_format, require_space, write_json
from get3d.locks import FolderLock, lock_folder
from get3d.training.checkpoint import TrainingState, checkpoint_bytes, checkpoints_in

__all__ = ["CONFIG", "locked", "read_config", "require_own", "require_room", "write_config"]

CONFIG = "config.json"
"""The file of a run that holds all its settings; a folder that has it is a run's."""

_WRITTEN = ("stats.jsonl", "trackers.json", "checkpoints", "tensorboard", "metrics", "reals.png")
"""What else a run writes under names that other programs might use."""


def write_config(folder: Path, description: dict[str, Any]) -> None:
    """Says in a run's folder what its settings are."""
    write_json(folder / CONFIG, description | {"format": FORMAT})


def read_config(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder.

    Raises:
        InputError: they cannot be read, or are no run's of this format.
    """
    path = folder / CONFIG
    values = require_format(read_json(path), path, "it is not a run of this version; choose another folder")
    if not isinstance(values.get("kimg"), int | float) or not isinstance(values.get("seed"), int):
        raise InputError(f"{path}: has neither kimg nor seed, so it is not a run; choose another folder")
    return values


def require_own(folder: Path, seed: int, dataset: str) -> None:
    """Checks that a run may write to a folder: it is empty, has only other files, or belongs to this same run.

    Args:
        folder: the run's.
        seed: the run's.
        dataset: what its dataset is known by.

    Raises:
        InputError: it has files with names of run files that do not belong to a run, or a run with another seed or
            dataset.
    """
    path = folder / CONFIG
    if not path.exists():
        found = next((name for name in _WRITTEN if (folder / name).exists()), None)
        if found is not None:
            raise InputError(
                f"{folder / found}: does not belong to a run, which has a {CONFIG} in the same folder; "
                "choose another --out"
            )
        return
    saved = read_config(folder)
    if saved["seed"] != seed:
        raise InputError(
            f"{path}: the run there has --seed {saved['seed']}, requested is {seed}; "
            "use its seed to resume it, or choose another --out"
        )
    if saved.get("dataset") != dataset:
        raise InputError(
            f"{path}: the run there is of a dataset of {saved.get('dataset')} images, requested is one of {dataset}; "
            f"use the same --data to resume it, or start a new run with --init-from {folder} and another --out"
        )


@contextmanager
def locked(folder: Path, console: Console, ranks: Ranks, *, take_over: bool) -> Iterator[None]:
    """A context in which no other run may work in the folder. The first of several processes has the lock.

    Raises:
        InputError: another process works there, or one that left its lock may.
    """
    taken: list[FolderLock] = []

    def take() -> None:
        lock = lock_folder(folder, take_over=take_over)
        taken.append(lock)
        if lock.taken_from is not None:
            console.print(f"{lock.path}: taken over from {lock.taken_from}, which has ended", highlight=False)

    try:
        ranks.from_first(take)
        yield
    finally:
        for lock in taken:
            lock.release()


def require_room(folder: Path, state: TrainingState, keep: int) -> None:
    """Checks that the disk has space for the checkpoints of a run, before any step.

    Args:
        folder: of the checkpoints.
        state: the networks and optimisers.
        keep: number of checkpoints that are kept, in addition to the best.

    Raises:
        InputError: it does not.
    """
    size = checkpoint_bytes(state)
    # One more is being written while the old ones are there, and the best may be an older one.
    there = sum(path.stat().st_size for path in checkpoints_in(folder))
    text = f"{keep + 2} checkpoints of {size / 1e6:.1f} MB (--keep {keep}, the best, and one being written)"
    require_space(folder, (keep + 2) * size - there, text)
