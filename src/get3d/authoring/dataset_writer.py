"""Common parts of the commands that make datasets: resuming, processes, cameras, images."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from get3d.camera_prior import CameraPrior
from get3d.cameras import sample_angles
from get3d.datasets.config import require_images
from get3d.datasets.index import Description
from get3d.files import InputError, require_space, require_writable, writing
from get3d.light_prior import LightPrior

__all__ = [
    "begin",
    "draw_angles",
    "draw_turns",
    "in_processes",
    "progress_bar",
    "refuse",
    "require_images",
    "require_room",
    "worker_count",
    "write_images",
]

_PNG_BYTES, _MESH_BYTES = 0.25, 1.0
"""Of a pixel of an image, and of a texel of a mesh's texture: what procedural objects take at least, measured."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def begin(out: Path, wanted: Description) -> Description | None:
    """Makes the dataset's folder, or finds an incomplete dataset there to resume. Returns what its `dataset.json` says.

    Raises:
        InputError: the folder cannot be written to, or contains other files or a dataset with other settings.
    """
    root = require_writable(out)
    if not (root / "dataset.json").exists():
        if any(root.iterdir()):
            raise InputError(f"{root}: is not empty and holds no dataset.json; choose a new folder with --out")
        return None
    found = Description.read(root)
    for name in ("kind", "resolution", "scale", "prior", "licence"):
        if getattr(found, name) != getattr(wanted, name):
            refuse(root, name, getattr(found, name), getattr(wanted, name))
    # Datasets of before light was noted are matte, in a light that stays; which one is in their settings.
    old = found.light is None and wanted.light == replace(wanted.light or LightPrior(), turned=False, shading="matte")
    if not old and found.light != wanted.light:
        refuse(root, "light", found.light, wanted.light)
    for name in ("seed", "settings"):
        if found.source.get(name) != wanted.source[name]:
            refuse(root, name, found.source.get(name), wanted.source[name])
    return found


def require_room(out: Path, objects: int, views: int, resolution: int, texture: int = 0) -> None:
    """Sees to it that a disk has room for a dataset, before any image is drawn.

    Args:
        out: folder of the dataset.
        objects: that are still to be made.
        views: images of each.
        resolution: side of the images in pixels.
        texture: side of each mesh's texture in texels, where it is known.

    Raises:
        InputError: it has less than such images and meshes take at least.
    """
    needed = objects * (views * resolution**2 * _PNG_BYTES + texture**2 * _MESH_BYTES)
    require_space(out, round(needed), f"{objects * views} images of {resolution} × {resolution} of {objects} objects")


def refuse(root: Path, name: str, found: object, wanted: object) -> None:
    """Raises the error for a dataset that was made with another setting.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{root / 'dataset.json'}: the dataset there has {name} {found}, requested is {wanted}; "
        "choose another --out, or use the same settings to resume"
    )


def worker_count(asked: int, items: int, sharers: int = 1) -> int:
    """Number of worker processes: as many as requested, or one for each core.

    Args:
        asked: requested number; 0: one for each core.
        items: number of items, which limits the number of processes.
        sharers: number of processes that divide the cores of this machine.
    """
    return max(1, min(asked or (os.cpu_count() or 1) // sharers, items))


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, *, isolated: bool = False
) -> Iterator[Result]:
    """Yields the results of a function for items, in the order in which they are finished.

    Args:
        function: a module-level function, or a partial of one, so that other processes can import it.
        items: the items, taken when a process is free.
        workers: number of processes. A single one is this process, unless isolated.
        isolated: whether this process must survive if a worker is killed; it then raises `BrokenProcessPool`.
    """
    if workers == 1 and not isolated:
        yield from map(function, items)
        return
    left = iter(items)
    waiting: set[Future[Result]] = set()
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
        try:
            while True:
                # A second one for each process is at hand when it is done with the first.
                with _kept_from_interrupts():
                    waiting |= {pool.submit(_work, function, item) for item in islice(left, 2 * workers - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            # An object can take minutes, and nobody waits for it any more.
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """What a process does first."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def _work(function: Callable[[Item], Result], item: Item) -> Result:
    """Calls the function; a process that is told to stop ends after removing what is half written."""
    try:
        return function(item)
    except SystemExit:
        os._exit(1)


@contextmanager
def _kept_from_interrupts() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C, which the terminal sends to all: only this one stops.

    Here it is not lost, but waits until the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def progress_bar(console: Console) -> Progress:
    """A bar that counts objects."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)


def draw_angles(prior: CameraPrior, views: int, seeds: Sequence[int]) -> Float[Tensor, "n 2"]:
    """(azimuth, polar) of cameras drawn from the prior, in radians; the same seeds always give the same angles."""
    seed = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]
    return sample_angles(prior, views, torch.Generator().manual_seed(int(seed) & (2**63 - 1)))


def draw_turns(views: int, seeds: Sequence[int]) -> Float[Tensor, " n"]:
    """Angles in radians by which the light is turned, drawn evenly; the same numbers always give the same."""
    seed = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]
    return 2 * torch.pi * torch.rand(views, generator=torch.Generator().manual_seed(int(seed) & (2**63 - 1)))


def write_images(folder: Path, images: UInt8[Tensor, "n 4 r r"]) -> None:
    """Writes the views of one object: 000.png, 001.png and so on."""
    for view, image in enumerate(images.permute(0, 2, 3, 1).cpu().numpy()):
        with writing(folder / f"{view:03d}.png") as temporary:
            Image.fromarray(image).save(temporary, format="PNG")
