"""Writes the results of a run: statistics, images of the same latents, metrics, checkpoints."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from get3d.cameras import Cameras
from get3d.datasets.loader import ImageDataset, to_network
from get3d.devices import device_named
from get3d.distributed.processes import Ranks
from get3d.evaluation.snapshot_metrics import SnapshotMetrics
from get3d.storage import describe
from get3d.training.checkpoint import CheckpointWriter, TrainingState
from get3d.training.config import PreparedRun, TrainConfig
from get3d.training.folder import write_config
from get3d.training.monitor import Monitor
from get3d.training.trackers import open_trackers
from get3d.training.warmup_step import fit_prior

__all__ = ["RunLogger"]

_GRID, _COLUMNS = 32, 8


class RunLogger:
    """Writes what is due after each step. Of several processes, only the first one writes, means over all of them.

    Attributes:
        folder: where the checkpoints are.
    """

    folder: Path

    def __init__(self, run: PreparedRun, console: Console, ranks: Ranks) -> None:
        """Opens what the metrics need, before any work.

        Raises:
            InputError: a held-out image, or what the metrics need, cannot be used.
        """
        config = run.config
        self.folder = config.out / "checkpoints"
        self._config, self._images, self._console, self._ranks = config, run.images, console, ranks
        self._description, self._labels, self._remarks = run.description, run.object_labels, run.remarks
        self._monitor: Monitor | None = None
        self._saved = time.monotonic()
        self._checkpoints = CheckpointWriter(self.folder, config.keep, console)
        if ranks.rank == 0:
            self._held_out = _held_out(run.held_out, config)
            self._snapshot_metrics = SnapshotMetrics(
                config.metrics or (),
                self._held_out,
                config.data,
                config.splits,
                config.metric_objects,
                config.seed,
                config.out / "metrics",
                device_named(config.device),
            )

    @contextmanager
    def recording(self, state: TrainingState, *, resumed: bool) -> Iterator[None]:
        """A context for the steps of a new or resumed run; the last checkpoint is written at the end.

        Raises:
            InputError: a file cannot be written, or a tracker cannot be reached.
        """
        config, world = self._config, self._ranks.world
        names = () if self._ranks.rank else config.trackers
        # Written before anything else, since it is what makes the folder a run's.
        self._ranks.from_first(lambda: write_config(config.out, self._description))
        trackers = self._ranks.require_agreement(lambda: open_trackers(names, config.out, describe(config)))
        if self._ranks.rank:
            yield
            return
        with (
            Monitor(
                config.out, self._console, cur_nimg=state.cur_nimg, total=config.total, trackers=trackers
            ) as self._monitor,
            self._checkpoints,
        ):
            before = state.cur_nimg
            if before >= config.total:
                done = f"already finished, at {before / 1000:g} kimg; a larger --kimg continues"
                self._monitor.say(f"{config.out}: {done}")
            else:
                beginning = f"{'resumes' if resumed else 'starts'} at {before / 1000:.2f} kimg"
                self._monitor.say(f"{config.out}: {beginning}{f' in {world} processes' if world > 1 else ''}")
                for remark in self._remarks:
                    self._monitor.say(remark)
            if not resumed:
                _show_reals(self._monitor, self._images)
            yield
        if before < config.total <= state.cur_nimg:
            files = "checkpoints/, fakes-*.png, reals.png, stats.jsonl, config.json and TensorBoard's events"
            reached = f"{config.out}: finished at {state.cur_nimg / 1000:g} kimg"
            done = f"{reached}: {files}; next: get3d generate {config.out}"
            self._console.print(done, highlight=False, markup=False, soft_wrap=True)

    @property
    def late(self) -> bool:
        """Whether the last checkpoint is too old, or could not be written, for the process that writes them."""
        old = time.monotonic() - self._saved > 60 * self._config.checkpoint_minutes
        return self._monitor is not None and (old or self._checkpoints.failed)

    def log_step(self, state: TrainingState, *, finished: bool, late: bool) -> None:
        """Writes what is due after a step.

        Args:
            state: after the step.
            finished: whether it was the last one, now.
            late: whether the last checkpoint is too old, or could not be written.

        Raises:
            InputError: a file cannot be written, or the last checkpoint could not. The processes that do not write end
                without a word.
        """
        config = self._config
        snapshot = _due(state.cur_nimg, config.batch, config.snapshot_kimg) or state.cur_nimg >= config.total
        tick = snapshot or _due(state.cur_nimg, config.batch, config.log_kimg)
        checkpoint = snapshot or finished or late
        if self._monitor is not None:
            self._monitor.progress(state.cur_nimg)
        if tick or checkpoint:
            self._ranks.mean_of_sums(state.sums)
            self._ranks.from_first(lambda: self._write(state, snapshot, tick, checkpoint))
        if tick:
            state.sums.clear()

    def _write(self, state: TrainingState, snapshot: bool, tick: bool, checkpoint: bool) -> None:
        assert self._monitor is not None
        best = False
        if state.warmup_optimizer is not None and (snapshot or checkpoint):
            fit_prior(state.generator_ema, state.codes, self._labels)
        if snapshot:
            best = self._snapshot(state, self._monitor)
        elif tick:
            self._monitor.write(state.sums, state.cur_nimg)
        if checkpoint:
            # The step leaves the EMA with the trained network's buffers; a checkpoint is a model to use. A tenth of
            # the usual samples moves a mean by a hundredth of the spread, and training waits for it.
            state.generator_ema.estimate_mean_styles(samples=10_000)
            self._checkpoints.save(state, self._description, best=best)
            self._saved = time.monotonic()

    @torch.no_grad()
    def _snapshot(self, state: TrainingState, monitor: Monitor) -> bool:
        """Draws fixed latents, takes the metrics and writes the tick; whether the first metric is the best so far."""
        config, generator_ema, total = self._config, state.generator_ema, len(self._held_out)
        generator = torch.Generator().manual_seed(config.seed)
        cameras = Cameras.sample(config.generator.cameras, total, generator)
        size = config.batch // (self._ranks.world * config.grad_accum_steps)
        fakes = []
        for start in range(0, total, size):
            rows = slice(start, min(start + size, total))
            latents = generator_ema.sample_latents(rows.stop - start, config.seed + start)
            images = generator_ema.render(
                latents, cameras[rows].to(latents.geometry.device), config.resolution, psi=1.0
            )
            fakes.append(torch.cat([images.rgb, images.mask], dim=1).cpu())
        drawn = torch.cat(fakes)
        measured = self._snapshot_metrics(generator_ema, drawn)
        name = f"fakes-{state.cur_nimg / 1000:09.2f}"
        monitor.images(name, drawn[:_GRID, :3], state.cur_nimg, columns=_COLUMNS)
        monitor.write(state.sums, state.cur_nimg, measured.values)
        best = measured.badness is not None and (state.best is None or measured.badness < state.best)
        state.best = measured.badness if best else state.best
        return best


def _due(cur_nimg: int, batch: int, every_kimg: float) -> bool:
    """Whether the last batch crossed a multiple of `every_kimg` thousand images."""
    every = 1000 * every_kimg
    return math.floor(cur_nimg / every) > math.floor((cur_nimg - batch) / every)


def _held_out(images: ImageDataset, config: TrainConfig) -> Tensor:
    """A fixed choice of held-out images, [n, 4, r, r] in the networks' range."""
    generator = torch.Generator().manual_seed(config.seed)
    chosen = torch.randperm(len(images), generator=generator)[: config.metric_images]
    return to_network(images.load(chosen))


def _show_reals(monitor: Monitor, images: ImageDataset) -> None:
    chosen = torch.linspace(0, len(images) - 1, _GRID).long()
    monitor.images("reals", to_network(images.load(chosen))[:, :3], 0, columns=_COLUMNS)
