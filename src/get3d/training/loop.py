"""How a generator learns: the loop, and one step of it, each on a page.

Running the same command again goes on where it stopped. All randomness of a step follows from the seed and the number
of real pictures shown, which is also the data position.
"""

import copy
import hashlib
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from get3d.cameras import Cameras
from get3d.data.dataset import Batch, Pictures, to_network
from get3d.devices import device_named
from get3d.files import write_json
from get3d.generator import Generator, mix, model_file
from get3d.latents import Latents
from get3d.metrics.watched import Watched
from get3d.storage import describe
from get3d.training.checkpoint import TrainingState, resume, save_checkpoint, start_from
from get3d.training.config import TrainConfig, opened
from get3d.training.ema import update_average
from get3d.training.monitor import Monitor, add_statistic
from get3d.training.objective import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    surface_loss,
)

__all__ = ["start", "train", "train_step"]


def train(config: TrainConfig, console: Console) -> Path:
    """Trains until `config.kimg`, or until it is stopped, and returns the last checkpoint.

    Raises:
        InputError: the configuration, the dataset or the folder cannot be used; said before any work starts.
        FloatingPointError: gradients stayed non-finite; names the tensor.
    """
    run = opened(config)
    config, pictures = run.config, run.pictures
    held_out = _held_out(run.held_out, config)
    description = describe(config)
    folder = config.out / "checkpoints"
    state = start(config)
    device = next(state.generator.parameters()).device
    watched = Watched(
        config.metrics or (), held_out, config.data, config.metric_objects, config.seed, config.out / "metrics", device
    )
    resumed = resume(folder, state, description, console)
    write_json(config.out / "config.json", description)
    total = round(config.kimg * 1000)
    path = folder / f"checkpoint-{state.shown:012d}.safetensors"
    with Monitor(config.out, console, shown=state.shown, total=total) as monitor, _stop_signals() as stop:
        monitor.say(f"{config.out}: {'goes on' if resumed else 'starts'} at {state.shown / 1000:.2f} kimg")
        if not resumed:
            _show_reals(monitor, pictures)
        if state.shown >= total:
            return path
        for batch in pictures.batches(config.batch, config.seed, state.shown):
            train_step(state, batch, config)
            monitor.progress(state.shown)
            finished = state.shown >= total or stop.asked
            best = False
            if _due(state.shown, config.batch, config.snapshot_kimg) or state.shown >= total:
                best = _snapshot(state, config, watched, len(held_out), monitor)
            elif _due(state.shown, config.batch, config.log_kimg):
                monitor.write(state.sums, state.shown)
            if finished or _due(state.shown, config.batch, config.snapshot_kimg):
                # The step leaves the average with the trained network's buffers; a checkpoint is a model to use.
                state.average.estimate_mean_styles()
                path = save_checkpoint(folder, state, description, keep=config.keep, best=best)
            if finished:
                break
    if state.shown < total:
        console.print(f"{path}: stopped at {state.shown / 1000:.2f} kimg; the same command goes on", highlight=False)
    return path


def train_step(state: TrainingState, batch: Batch, config: TrainConfig) -> None:
    """One batch: the discriminator moves, then the generator, then its average.

    Both play on the same generated pictures, so they are drawn once.

    Args:
        state: changed in place.
        batch: real pictures, with their cameras and classes.
        config: the run's configuration.

    Raises:
        FloatingPointError: too many steps in a row had a gradient that is not finite.
    """
    objective = config.objective
    device = next(state.generator.parameters()).device
    images, angles = to_network(batch.pictures.to(device)), batch.angles.to(device)
    # Fakes are of the classes of the reals, so that a class alone tells nothing.
    label = None if batch.label is None else batch.label.to(device)
    draws = _draws(config, state.shown, label, device)
    styles = mix(state.generator.styles(draws.latents), state.generator.styles(draws.others), draws.kept)
    with config.autocast(device):
        fields = state.generator.fields(styles)
    shapes = state.generator.extract(fields)
    drawn = state.generator.draw(shapes, draws.cameras, config.resolution)
    fakes = torch.cat([drawn.rgb, drawn.mask], dim=1)

    state.discriminator.requires_grad_(True)
    with config.autocast(device):
        fake = state.discriminator(fakes.detach(), draws.cameras.angles, label)
        real = state.discriminator(images, angles, label)
    loss = discriminator_loss(real, fake)
    add_statistic(state.sums, "loss/discriminator", loss)
    for name in ("rgb", "mask"):
        add_statistic(state.sums, f"logits/{name}_real", getattr(real, name).mean())
        add_statistic(state.sums, f"logits/{name}_fake", getattr(fake, name).mean())
    if state.shown // config.batch % objective.r1_interval == 0:
        images = images.requires_grad_(True)
        # `forward` itself is never compiled; compiled networks have no second derivative.
        with config.autocast(device):
            real = state.discriminator.forward(images, angles, label)
        penalty = gradient_penalty(real, images)
        add_statistic(state.sums, "loss/r1", penalty)
        loss = loss + 0.5 * objective.r1_gamma * objective.r1_interval * penalty
    loss.backward()
    problem = _update(state.discriminator, state.discriminator_optimizer, "discriminator")

    state.discriminator.requires_grad_(False)
    with config.autocast(device):
        judged = state.discriminator(fakes, draws.cameras.angles, label)
    loss = generator_loss(judged)
    add_statistic(state.sums, "loss/generator", loss)
    surfaces = shapes.surfaces
    for name, value in surfaces.regularizers.items():
        add_statistic(state.sums, f"surface/{name}", value)
    add_statistic(state.sums, "surface/empty", surfaces.empty.float().mean())
    add_statistic(state.sums, "surface/faces", surfaces.meshes.face_offsets.diff().float().mean())
    (loss + surface_loss(surfaces, objective)).backward()
    problem = problem or _update(state.generator, state.generator_optimizer, "generator")

    state.bad_steps = state.bad_steps + 1 if problem else 0
    if problem and state.bad_steps >= config.bad_steps:
        raise FloatingPointError(
            f"{problem} was not finite in {state.bad_steps} steps in a row, at {state.shown / 1000:.2f} kimg; "
            "lower --optimizer.learning-rate or raise --objective.r1-gamma, and go on from the last checkpoint"
        )
    state.shown += config.batch
    update_average(
        state.average,
        state.generator,
        shown=state.shown,
        batch=config.batch,
        half_life=1000 * config.ema_half_life,
        ramp_up=config.ema_ramp_up,
    )


def _update(network: nn.Module, optimizer: Optimizer, name: str) -> str | None:
    """Steps and clears the gradients; skips the step and names the first parameter whose gradient is not finite."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    problem = None
    if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        optimizer.step()
    else:
        parameters = network.named_parameters()
        bad = (key for key, value in parameters if value.grad is not None and not value.grad.isfinite().all())
        problem = f"the gradient of {name}.{next(bad, 'all')}"
    optimizer.zero_grad(set_to_none=True)
    return problem


@dataclass(frozen=True)
class _Draws:
    """The randomness of a step."""

    cameras: Cameras
    latents: Latents
    others: Latents
    kept: Tensor


def _draws(config: TrainConfig, shown: int, label: Tensor | None, device: torch.device) -> _Draws:
    """What the step after `shown` pictures draws; drawn on the CPU, so that every device sees the same."""
    generator = torch.Generator().manual_seed(_mixed(config.seed, shown))
    batch, z_dim = config.batch, config.generator.z_dim
    cameras = config.generator.cameras.sample(batch, generator)
    codes = torch.randn(2, 2, batch, z_dim, generator=generator).to(device)
    first, second = (Latents(geometry, texture, label) for geometry, texture in codes)
    kept = torch.rand(batch, 2, generator=generator)
    mixed = torch.rand(batch, 2, generator=generator) < config.objective.style_mixing
    return _Draws(cameras.to(device), first, second, torch.where(mixed, kept, 1.0).to(device))


def _mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbouring steps and seeds have nothing in common."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")


def _due(shown: int, batch: int, every_kimg: float) -> bool:
    """Whether the last batch crossed a multiple of `every_kimg` thousand pictures."""
    every = 1000 * every_kimg
    return math.floor(shown / every) > math.floor((shown - batch) / every)


def start(config: TrainConfig) -> TrainingState:
    """Networks and optimisers before the first step."""
    device = device_named(config.device)
    # Layers draw their initial weights from the global generator; this is the only place that sets it.
    torch.manual_seed(_mixed(config.seed))
    generator = Generator(config.generator).to(device)
    classes = len(config.generator.classes)
    discriminator = config.discriminator.build(resolution=config.resolution, label_dim=classes).to(device)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    if config.compile:
        generator.synthesis.compile()
        discriminator.compile()
    optimizer = config.optimizer
    state = TrainingState(
        generator=generator,
        average=average,
        discriminator=discriminator,
        generator_optimizer=optimizer.build(generator, optimizer.generator_interval),
        discriminator_optimizer=optimizer.build(discriminator, config.objective.r1_interval),
    )
    if config.source is not None:
        start_from(model_file(config.source), state)
    return state


def _held_out(pictures: Pictures, config: TrainConfig) -> Tensor:
    """A fixed choice of held-out pictures, [n, 4, r, r] in the networks' range."""
    generator = torch.Generator().manual_seed(config.seed)
    chosen = torch.randperm(len(pictures), generator=generator)[: config.metric_pictures]
    return to_network(pictures.load(chosen))


def _show_reals(monitor: Monitor, pictures: Pictures) -> None:
    chosen = torch.linspace(0, len(pictures) - 1, _GRID).long()
    monitor.pictures("reals", to_network(pictures.load(chosen))[:, :3], 0, columns=_COLUMNS)


_GRID, _COLUMNS = 32, 8


@torch.no_grad()
def _snapshot(state: TrainingState, config: TrainConfig, watched: Watched, total: int, monitor: Monitor) -> bool:
    """Draws the fixed latents, takes the metrics and writes the tick; whether the first metric is the best so far."""
    average = state.average
    generator = torch.Generator().manual_seed(config.seed)
    fakes = []
    for start in range(0, total, config.batch):
        count = min(config.batch, total - start)
        latents = average.sample_latents(count, config.seed + start)
        cameras = config.generator.cameras.sample(count, generator).to(latents.geometry.device)
        images = average.render(latents, cameras, config.resolution, psi=1.0)
        fakes.append(torch.cat([images.rgb, images.mask], dim=1).cpu())
    drawn = torch.cat(fakes)
    measured = watched(average, drawn)
    name = f"fakes-{state.shown / 1000:09.2f}"
    monitor.pictures(name, drawn[:_GRID, :3], state.shown, columns=_COLUMNS)
    monitor.write(state.sums, state.shown, measured.values)
    best = state.best is None or measured.badness < state.best
    state.best = measured.badness if best else state.best
    return best


@dataclass
class _Stop:
    asked: bool = False


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Turns the first SIGINT or SIGTERM into a wish that the loop grants after its step; the second acts at once."""
    stop = _Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(number, before[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)
