"""`get3d train --dry-run`: what a run would be, and what it needs, before hours are spent.

The memory is measured: a process of its own trains a few steps on two small batches, as the run does, and the peak of
the run's batch is on a straight line with theirs. Each image adds the same features, graph and pixels.
"""

import math
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from get3d.datasets.loader import Batch, ImageDataset
from get3d.devices import device_named, free_memory
from get3d.files import InputError
from get3d.storage import describe
from get3d.training.checkpoint import TrainingState, checkpoint_bytes
from get3d.training.config import PreparedRun, TrainConfig, hulls_of, prepare_run, settings
from get3d.training.folder import CONFIG, read_config
from get3d.training.loop import start, train_step
from get3d.training.runs import status
from get3d.training.warmup_step import warmup_step

__all__ = ["Needs", "dry_run", "measure"]

_LARGE = 256
"""Side of images of which not even a group may fit, so that one image and two are measured."""

RESERVE = 0.03
"""Share of the machine's memory that must stay free while measuring."""

_SAME = ("resolution", "batch", "grad_accum_steps", "generator", "discriminator", "precision", "compile", "device")
"""Settings of which the speed of a run depends."""


@dataclass(frozen=True)
class Needs:
    """What one process of a run needs.

    Attributes:
        parameters: weights of each network, by its name.
        images: images that are computed at once.
        state: bytes of networks, gradients and optimisers.
        base: bytes that do not depend on the images: the state, the program, libraries and the grid.
        by_image: bytes that each image adds.
        checkpoint: bytes of a checkpoint; while one is written, a copy of it is in memory.
        images_per_second: estimated from the steps that were measured; R1 included.
    """

    parameters: dict[str, int]
    images: int
    state: int
    base: int
    by_image: int
    checkpoint: int
    images_per_second: float

    def peak(self, images: int) -> int:
        """Most bytes with so many images at once."""
        return self.base + self.by_image * images


@dataclass(frozen=True)
class _Measured:
    peak: int
    seconds: float
    """Of the mean step of the run."""


def dry_run(config: TrainConfig, console: Console) -> None:
    """Prints the resolved configuration of a run, and its needs in memory, disk and time.

    Raises:
        InputError: the run cannot be done, or does not fit into memory or on the disk; names what fits.
    """
    world = config.ranks.processes
    run = prepare_run(replace(config, dry_run=False), world)
    for name, value in settings(run.config).items():
        console.print(f"{name} {value}", soft_wrap=True, markup=False, highlight=False)
    device = device_named(config.device)
    needs = measure(run, world)
    free, sharing = free_memory(device), world if device.type == "cpu" else 1
    peak = needs.peak(needs.images)
    disk = (run.config.keep + 2) * needs.checkpoint
    place = next(
        folder for folder in (run.config.out.absolute(), *run.config.out.absolute().parents) if folder.is_dir()
    )
    table = Table("needed", "", box=None)
    for name, count in needs.parameters.items():
        table.add_row(f"parameters of the {name}", f"{count / 1e6:.2f} M")
    table.add_row("networks, gradients, optimisers", _gigabytes(needs.state))
    table.add_row(f"activations, {needs.images} images at once", _gigabytes(needs.by_image * needs.images))
    table.add_row("program and grid", _gigabytes(max(needs.base - needs.state, 0)))
    table.add_row(f"peak of each process on {device}", f"{_gigabytes(peak)}, of {_gigabytes(free)} free")
    table.add_row(
        f"checkpoints, {run.config.keep + 2} of {needs.checkpoint / 1e6:.0f} MB",
        f"{_gigabytes(disk)}, of {_gigabytes(shutil.disk_usage(place).free)} free",
    )
    table.add_row("images per second, estimated", f"{needs.images_per_second * world:.3g}")
    known = _known_speed(run)
    if known is not None:
        table.add_row(f"images per second, {known[0]}", f"{known[1]:.3g}")
    speed = needs.images_per_second * world if known is None else known[1]
    table.add_row(
        f"time for {run.config.kimg:g} kimg", f"{run.config.total / speed / 3600:.1f} hours, without snapshots"
    )
    console.print(table, markup=False, highlight=False)
    _require_fits(run.config, needs, free // sharing, world)
    if disk > shutil.disk_usage(place).free:
        raise InputError(f"{run.config.out}: {disk / 1e9:.1f} GB of checkpoints do not fit; choose another --out")
    console.print("it fits")


def _require_fits(config: TrainConfig, needs: Needs, free: int, world: int) -> None:
    peak = needs.peak(needs.images)
    if peak <= free:
        return
    group, share = config.discriminator.group, config.batch // world
    steps = [count for count in range(2, share // group + 1) if share % (count * group) == 0]
    enough = next((count for count in steps if needs.peak(share // count) <= free), None)
    fix = f"use --grad-accum-steps {enough}" if enough else "use a smaller --resolution or smaller networks"
    each = f" for each of {world} processes" if world > 1 else ""
    raise InputError(
        f"--batch {config.batch} needs about {peak / 1e9:.1f} GB{each}, and {free / 1e9:.1f} GB are free; {fix}"
    )


def measure(run: PreparedRun, world: int = 1) -> Needs:
    """Measures a few steps on small batches, and tells what the run's batch needs.

    Args:
        run: one that can be done.
        world: processes that share a batch.

    Raises:
        InputError: not even a small batch fits.
    """
    config, images = replace(run.config, init_from=None), run.images
    state = start(replace(config, device="cpu", compile=False), len(images.objects))
    networks = {"generator": state.generator, "discriminator": state.discriminator}
    trained = [parameter for network in networks.values() for parameter in network.parameters()]
    weights = sum(parameter.nbytes for parameter in trained)
    ema = sum(parameter.nbytes for parameter in state.generator_ema.parameters())
    checkpoint = checkpoint_bytes(state)
    parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    del state, networks, trained
    at_once = config.batch // (world * config.grad_accum_steps)
    many = min(at_once, 2 if config.resolution > _LARGE else 4 * config.discriminator.group)
    few = max(many // 2, 1)
    found = {count: _in_process(config, count) for count in {few, many}}
    by_image = (found[many].peak - found[few].peak) // (many - few) if many > few else 0
    hulls = run.hulls()
    kept = images.kept_bytes + (0 if hulls is None else hulls.kept_bytes)
    # A checkpoint is copied, and written while the next steps go on; ranks send a copy of the gradients.
    base = found[many].peak - by_image * many + checkpoint + kept + (weights if world > 1 else 0)
    # Weights, gradients, two moments.
    return Needs(parameters, at_once, 4 * weights + ema, base, by_image, checkpoint, many / found[many].seconds)


def _in_process(config: TrainConfig, images: int) -> _Measured:
    """Trains on batches of so many images in a process that may die of it."""
    group = min(config.discriminator.group, images)
    warmup = replace(config.warmup, views=math.gcd(config.warmup.views, images))
    small = replace(
        config,
        batch=images,
        grad_accum_steps=1,
        warmup=warmup,
        discriminator=replace(config.discriminator, group=group),
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train_some, args=(small, theirs), daemon=True)
    process.start()
    theirs.close()
    least = RESERVE * psutil.virtual_memory().total
    answer: Any = None
    try:
        while not ours.poll(0.05):
            if psutil.virtual_memory().available < least:
                process.kill()
                break
        else:
            answer = ours.recv()
    except EOFError:
        answer = None
    finally:
        process.join()
        ours.close()
    if isinstance(answer, _Measured):
        return answer
    said = "" if answer is None else f" ({answer})"
    raise InputError(
        f"{images} images of {config.resolution}² at once do not fit into memory{said}; "
        "use a smaller --resolution or smaller networks, or free memory"
    )


def _train_some(config: TrainConfig, connection: Connection) -> None:
    """Sends what a few steps took; in a process of its own, whose peak is only theirs."""
    # What a run has loaded, too.
    import torch.utils.tensorboard

    try:
        images = ImageDataset(config.data, "train", config.splits, assumed=config.assumed, resolution=config.resolution)
        state = start(config, len(images.objects))
        device = state.generator.device
        warmup = min(config.warmup_total, config.total)
        played = {"warm-up": warmup, "adversarial": config.total - warmup}
        seconds = 0.0
        if played["warm-up"] > 0:
            known = images.object_batches(config.batch, config.warmup.views, config.seed)
            hulls, batch = hulls_of(config, images), next(known)
            for _ in range(2):
                # The same step again, which has its hulls.
                state.cur_nimg = 0
                taken = _seconds(partial(warmup_step, hulls=hulls), state, batch, config)
            seconds += taken * played["warm-up"] / config.total
        if played["adversarial"] > 0:
            config, state.warmup_optimizer = replace(config, warmup_kimg=0.0), None
            stream, interval, taken_at = images.batches(config.batch, config.seed), config.objective.r1_interval, {}
            # R1 is taken at 0.
            for position in (0, config.batch, 0, config.batch):
                state.cur_nimg = position
                taken_at[position] = _seconds(train_step, state, next(stream), config)
            mean = taken_at[config.batch] + (taken_at[0] - taken_at[config.batch]) / interval
            seconds += mean * played["adversarial"] / config.total
        connection.send(_Measured(_peak(device), seconds))
    except torch.OutOfMemoryError as error:
        connection.send(str(error).partition(". ")[0])
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        connection.send(str(error).partition(". ")[0])


def _seconds(
    step: Callable[[TrainingState, Batch, TrainConfig], None], state: TrainingState, batch: Batch, config: TrainConfig
) -> float:
    begun = time.perf_counter()
    step(state, batch, config)
    if state.generator.device.type == "cuda":
        torch.cuda.synchronize(state.generator.device)
    return time.perf_counter() - begun


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux `ru_maxrss` also counts what the parent had when it started this process.
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    # In bytes on macOS, in KiB elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _known_speed(run: PreparedRun) -> tuple[str, float] | None:
    """A run beside this one that had the same settings and hardware, and its speed."""
    wanted = describe(run.config)
    folder = run.config.out.absolute()
    for path in sorted((folder, *folder.parent.glob("*/")), key=lambda path: path != folder):
        try:
            if not (path / CONFIG).is_file() or not (path / "stats.jsonl").is_file():
                continue
            found = read_config(path)
            if all(found.get(name) == wanted.get(name) for name in _SAME):
                speed = status(path, path.name).speed
                if speed > 0:
                    return f"as in {_short(path)}", speed
        except InputError:
            continue
    return None


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
