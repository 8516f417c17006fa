"""The training loop, and one step of it, each on a page.

The same command again resumes a run. All randomness of a step follows from the seed and the number
of real images shown, which is also the data position.
"""

import copy
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.distributed import is_torchelastic_launched
from torch.profiler import record_function

from get3d import spans
from get3d.cameras import Cameras, sample_angles
from get3d.checkpoints.model import model_file
from get3d.datasets.loader import Batch, to_network
from get3d.devices import device_named
from get3d.distributed.processes import SINGLE_PROCESS, Ranks, joined
from get3d.generator import Generator, mix
from get3d.isosurface import Surfaces, regularizers_of
from get3d.latents import Latents
from get3d.networks import Discriminator, Logits
from get3d.reconstruction.codes import ObjectCodes
from get3d.training.checkpoint import TrainingState, resume, start_from
from get3d.training.config import TrainConfig, cross_rank_fingerprint, prepare_run
from get3d.training.folder import locked, require_room
from get3d.training.gradients import averaging
from get3d.training.monitor import add_statistic
from get3d.training.objective import (
    discriminator_loss,
    fake_loss,
    generator_loss,
    gradient_penalty,
    real_loss,
    surface_loss,
)
from get3d.training.run_logger import RunLogger
from get3d.training.update import finish_step, seed_of, update
from get3d.training.warmup_step import begin_warmup, end_warmup, warmup_step

__all__ = ["start", "train", "train_step"]


def train(config: TrainConfig, console: Console) -> Path:
    """Trains until `config.kimg`, or until it is stopped, and returns the last checkpoint.

    If the environment names several processes (as torchrun sets it), all of them call this function, and train
    together.

    Raises:
        InputError: the configuration, the dataset or the folder cannot be used, the folder has another run or is in use
            by another process, or its disk has no space for checkpoints; raised before any work starts.
        FloatingPointError: gradients stayed non-finite; the message names the tensor.
        RanksError: another process is lost or hangs; the message names it.
        KeyboardInterrupt: stopped by SIGINT (Ctrl-C) after writing the last checkpoint. SIGTERM ends in the same way,
            but without an error, as schedulers expect.
    """
    with joined(config.ranks, config.device) as ranks:
        console = ranks.console(console)
        run = ranks.require_agreement(lambda: prepare_run(config, ranks.world), cross_rank_fingerprint)
        config = run.config
        with locked(config.out, console, ranks, take_over=config.take_over):
            logger = ranks.require_agreement(lambda: RunLogger(run, console, ranks))
            state = start(config, len(run.images.objects))
            resumed = resume(logger.folder, state, run.description, console, ranks)
            if state.codes is not None and not resumed:
                # One process finds them, so that rounding cannot make them others elsewhere.
                begin_warmup(state, ranks.from_first(run.initial_codes))
            labels = run.object_labels.to(state.generator.device)
            if state.cur_nimg >= config.warmup_total:
                state.warmup_optimizer = None
            finished = state.cur_nimg >= config.total
            ranks.from_first(lambda: None if finished else require_room(logger.folder, state, config.keep))
            with logger.recording(state, resumed=resumed), _stop_signals() as stop:
                shared = (ranks.rank, ranks.world)
                known = run.images.object_batches(
                    config.batch, config.warmup.views, config.seed, state.cur_nimg, *shared
                )
                hulls = run.hulls()
                first = max(state.cur_nimg, config.warmup_total)
                batches = run.images.batches(config.batch, config.seed, first, *shared)
                while not finished:
                    if state.warmup_optimizer is None:
                        train_step(state, next(batches), config, ranks)
                    else:
                        warmup_step(state, next(known), config, ranks, hulls, labels)
                        if state.cur_nimg >= config.warmup_total:
                            end_warmup(state, labels)
                    stopped, late = ranks.any(stop.signal is not None, logger.late)
                    finished = stopped or state.cur_nimg >= config.total
                    logger.log_step(state, finished=finished, late=late)
        path = logger.folder / f"checkpoint-{state.cur_nimg:012d}.safetensors"
        if state.cur_nimg < config.total:
            done = f"{path}: stopped at {state.cur_nimg / 1000:.2f} kimg; repeat the command to resume"
            if stop.signal == signal.SIGINT:
                raise KeyboardInterrupt(done)
            console.print(done, soft_wrap=True, markup=False, highlight=False)
    return path


def train_step(state: TrainingState, batch: Batch, config: TrainConfig, ranks: Ranks = SINGLE_PROCESS) -> None:
    """One batch: updates the discriminator, then the generator, then its moving average (EMA).

    Both use the same generated images, so they are drawn once. With several micro-batches, only the images of the last
    one are kept for the generator, which processes the micro-batches in reverse order; the others are drawn again.

    Args:
        state: changed in place.
        batch: real images, with their cameras and classes; this process's share of them.
        config: the run's configuration.
        ranks: this process among those that share the batch.

    Raises:
        FloatingPointError: too many steps in a row had a gradient that is not finite.
        RanksError: another process is lost or hangs.
    """
    objective = config.objective
    device = next(state.generator.parameters()).device
    parts = _parts(batch, config, state.cur_nimg, device, ranks)
    first, last = parts[0], parts[-1]
    everything = objective.adversarial == "all"
    state.generator.requires_grad_(everything)
    state.generator.synthesis.texture.requires_grad_(True)

    def note(name: str, value: Tensor) -> None:
        add_statistic(state.sums, name, value, 1 / len(parts))

    state.discriminator.requires_grad_(True)
    state.discriminator.mask.requires_grad_(everything)
    for part in parts:
        with torch.set_grad_enabled(part is last):
            drawn = _drawn(state.generator, part, config)
        images = to_network(part.images.to(device, non_blocking=True))
        # Each term has a backward pass of its own, so that only one of them is in memory; the last one meets the ranks.
        with record_function(spans.DISCRIMINATOR), config.autocast(device):
            fake = state.discriminator(drawn.fakes.detach(), part.fake_angles, part.label, masks=everything)
        (fake_loss(*fake.branches.values()) / len(parts)).backward()
        meets = ranks if part is last else SINGLE_PROCESS
        if state.cur_nimg // config.batch % objective.r1_interval == 0:
            real, penalty = _real_with_penalty(state, images, part, config, 1 / len(parts), meets)
            note("loss/r1", penalty)
        else:
            with record_function(spans.DISCRIMINATOR), config.autocast(device):
                real = state.discriminator(images, part.angles, part.label, masks=everything)
            with averaging(state.discriminator, meets):
                (real_loss(*real.branches.values()) / len(parts)).backward()
        with torch.no_grad():
            note("loss/discriminator", discriminator_loss(real, fake))
        for kind, judged in (("real", real), ("fake", fake)):
            for name, logits in judged.branches.items():
                note(f"logits/{name}_{kind}", logits.mean())
    moved = [update(state.discriminator, state.discriminator_optimizer, "discriminator")]
    fix = "lower --optimizer.learning-rate or raise --objective.r1-gamma"
    if state.cur_nimg < config.generator_from:
        finish_step(state, config, moved, fix)
        return

    state.discriminator.requires_grad_(False)
    for part in reversed(parts):
        if part is not last:
            drawn = _drawn(state.generator, part, config)
        with record_function(spans.GENERATOR_LOSS):
            with config.autocast(device):
                judged = state.discriminator(drawn.fakes, part.fake_angles, part.label, masks=everything)
            loss = generator_loss(judged)
        note("loss/generator", loss)
        surfaces = drawn.surfaces
        regularizers = regularizers_of(surfaces, objective.regularizers)
        for name, value in regularizers.items():
            note(f"surface/{name}", value)
        note("surface/empty", surfaces.empty.float().mean())
        note("surface/faces", surfaces.meshes.face_offsets.diff().float().mean())
        loss = loss + surface_loss(regularizers, objective)
        with averaging(state.generator, ranks if part is first else SINGLE_PROCESS):
            (loss / len(parts)).backward()
    moved.append(update(state.generator, state.generator_optimizer, "generator"))
    finish_step(state, config, moved, fix)


def _real_with_penalty(
    state: TrainingState, images: Tensor, part: "_Part", config: TrainConfig, share: float, ranks: Ranks
) -> tuple[Logits, Tensor]:
    """Backward passes of the real term and of R1, branch by branch: second derivatives need the most memory.

    Args:
        state: with the discriminator, whose gradients are added to.
        images: real ones, on the device.
        part: what is played.
        config: the run's configuration.
        share: of the part in the step.
        ranks: the processes that gradients are averaged over, SINGLE_PROCESS for none.

    Returns:
        The logits, and R1 without its weight.
    """
    objective, discriminator = config.objective, state.discriminator
    images = images.requires_grad_(True)
    branches: dict[str, Tensor] = {}
    penalties = []
    names: tuple[Literal["rgb", "mask"], ...] = ("rgb", "mask") if objective.adversarial == "all" else ("rgb",)
    for name in names:
        network: nn.Module = getattr(discriminator, name)
        with record_function(spans.DISCRIMINATOR), config.autocast(images.device):
            logits = discriminator.branch(name, images, part.angles, part.label)
        with record_function(spans.R1):
            penalty = gradient_penalty(logits, images)
        loss = real_loss(logits) + 0.5 * objective.r1_gamma * objective.r1_interval * penalty
        with averaging(network, ranks):
            (loss * share).backward()
        # The images have a gradient of their own that nobody asked for.
        images.grad = None
        branches[name] = logits.detach()
        penalties.append(penalty.detach())
        del logits, penalty, loss
    return Logits(branches["rgb"], branches.get("mask")), torch.stack(penalties).sum()


@dataclass(frozen=True)
class _Part:
    """A micro-batch: real images, on the CPU, and the randomness of as many generated ones."""

    images: Tensor
    angles: Tensor
    label: Tensor | None
    fake_angles: Tensor
    cameras: Cameras
    latents: Latents
    others: Latents
    kept: Tensor
    turn: Tensor | None


def _parts(batch: Batch, config: TrainConfig, cur_nimg: int, device: torch.device, ranks: Ranks) -> list[_Part]:
    """The step after `cur_nimg` images, in parts of this process's share.

    Randomness is drawn for the whole batch, so that shares and parts fit together, and on the CPU, so that every device
    sees the same. Fakes are of the classes of the reals, so that the class itself tells nothing.
    """
    generator = torch.Generator().manual_seed(seed_of(config.seed, cur_nimg))
    count, z_dim = config.batch, config.generator.z_dim
    prior = config.generator.cameras
    drawn_angles = sample_angles(prior, count, generator)
    codes = torch.randn(2, 2, count, z_dim, generator=generator).to(device, non_blocking=True)
    kept = torch.rand(count, 2, generator=generator)
    mixed = torch.rand(count, 2, generator=generator) < config.objective.style_mixing
    kept = torch.where(mixed, kept, 1.0)
    turns = 2 * torch.pi * torch.rand(count, generator=generator) if config.generator.light.turned else None
    share = ranks.share(count)
    size = (share.stop - share.start) // config.grad_accum_steps
    parts = []
    for start in range(0, size * config.grad_accum_steps, size):
        mine, rows = slice(start, start + size), slice(share.start + start, share.start + start + size)
        label = None if batch.label is None else batch.label[mine].to(device, non_blocking=True)
        latents, others = (Latents(geometry[rows], texture[rows], label) for geometry, texture in codes)
        angles = batch.angles[mine].to(device, non_blocking=True)
        fake_angles = drawn_angles[rows].to(device, non_blocking=True)
        cameras, share_kept = Cameras.of_prior(prior, fake_angles), kept[rows].to(device, non_blocking=True)
        turn = None if turns is None else turns[rows].to(device, non_blocking=True)
        parts.append(_Part(batch.images[mine], angles, label, fake_angles, cameras, latents, others, share_kept, turn))
    return parts


@dataclass(frozen=True)
class _Drawn:
    """Generated images of a part, [m, 4, r, r] with their masks, and their surfaces."""

    fakes: Tensor
    surfaces: Surfaces


def _drawn(generator: Generator, part: _Part, config: TrainConfig) -> _Drawn:
    styles = mix(generator.styles(part.latents), generator.styles(part.others), part.kept)
    with config.autocast(part.angles.device):
        fields = generator.fields(styles)
    shapes = generator.extract(fields)
    images = shapes.draw(part.cameras, config.resolution, turn=part.turn)
    return _Drawn(torch.cat([images.rgb, images.mask], dim=1), shapes.surfaces)


def start(config: TrainConfig, objects: int = 0) -> TrainingState:
    """Networks and optimisers before the first step.

    Args:
        config: the run's configuration.
        objects: training objects, which a run with a warm-up has codes of.
    """
    device = device_named(config.device)
    # Layers draw their initial weights from the global generator; this is the only place that sets it.
    torch.manual_seed(seed_of(config.seed))
    generator = Generator(config.generator).to(device)
    classes = len(config.generator.classes)
    discriminator = Discriminator(config.discriminator, resolution=config.resolution, label_dim=classes).to(device)
    ema = copy.deepcopy(generator).eval().requires_grad_(False)
    if config.compile:
        generator.synthesis.compile()
        discriminator.compile()
    optimizer = config.optimizer
    state = TrainingState(
        generator=generator,
        generator_ema=ema,
        discriminator=discriminator,
        generator_optimizer=optimizer.build(generator, optimizer.generator_interval),
        discriminator_optimizer=optimizer.build(discriminator, config.objective.r1_interval),
    )
    if config.warmup_total:
        state.codes = ObjectCodes(objects, config.generator.w_dim).to(device)
        groups = [{"params": list(module.parameters())} for module in state.warmup_learners]
        state.warmup_optimizer = torch.optim.Adam(groups, betas=config.warmup.betas, fused=device.type != "cpu")
    if config.init_from is not None:
        start_from(model_file(config.init_from), state)
    return state


@dataclass
class _Stop:
    signal: int | None = None


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Turns the first SIGINT or SIGTERM into a wish that the loop grants after its step; the second acts at once.

    Under a launcher the second does nothing: it passes on what the terminal has already sent to everyone.
    """
    stop = _Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.signal = stop.signal or number
        if not is_torchelastic_launched():
            signal.signal(number, before[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)
