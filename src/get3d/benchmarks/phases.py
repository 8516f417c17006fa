"""Steps of both phases of training, against the rate of a matrix product; the adversarial one eager and compiled."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from get3d.benchmarks.rows import Row, compared
from get3d.benchmarks.step import make_dataset
from get3d.benchmarks.timing import side_by_side
from get3d.devices import device_named
from get3d.training.config import TrainConfig, compilers, prepare_run
from get3d.training.loop import start, train_step
from get3d.training.warmup_step import begin_warmup, warmup_step

__all__ = ["rows"]

SIDE = 2048
"""Of the matrices whose product tells the machine's rate."""

WARMUP, ADVERSARIAL = "a step of the warm-up", "an adversarial step without R1"


def rows(preset: str, config: TrainConfig, repeats: int, warm: int, *, compiled: bool) -> list[Row]:
    """What share of the rate of a matrix product steps reach, and how much faster than an eager step a compiled one is.

    Args:
        preset: name of the configuration.
        config: what is trained.
        repeats: of each measurement.
        warm: steps trained before. Random networks begin with far more surface than training sees soon after.
        compiled: whether to compile, too, which takes minutes; not done where there is no compiler.
    """
    group = f"Both phases of the preset {preset}, after {warm} steps: {config.batch} images of {config.resolution}²"
    device = device_named(config.device)
    matrix = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, data=Path(folder) / "data", out=Path(folder) / "run")
        make_dataset(config.data, config)
        # Random shapes belong to the warm-up in some of its steps, so that several are timed as one.
        together = {WARMUP: max(1, config.warmup.random_interval), ADVERSARIAL: 1}
        steps = {WARMUP: _warmup(config, together[WARMUP]), ADVERSARIAL: _adversarial(config)}
        flops = {name: _flops(step) for name, step in steps.items()}
        if compiled and compilers():
            steps["compiled"] = _adversarial(replace(config, compile=True))
        for step in steps.values():
            for _ in range(warm):
                step()
        seconds = side_by_side(device, repeats, **steps, product=lambda: torch.mm(matrix, matrix))
    rate = 2 * SIDE**3 / seconds["product"]
    found = []
    for name, count in flops.items():
        each, products = seconds[name] / together[name], count / rate / together[name]
        note = (
            f"{config.batch / each:.0f} images per second, {count / together[name] / 1e9:.0f} GFLOP; "
            f"matrix products at {rate / 1e9:.0f} GFLOP/s"
        )
        found.append(
            Row(group, name, each, {"only its products and convolutions": products}, products / each, "%", note=note)
        )
    if "compiled" in steps:
        found.append(compared(group, "a compiled step", seconds["compiled"], "eager", seconds[ADVERSARIAL], 1.0))
    return found


def _flops(step: Callable[[], None]) -> int:
    """Two operations for each multiplication of products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def _warmup(config: TrainConfig, together: int) -> Callable[[], None]:
    run = prepare_run(replace(config, warmup_kimg=config.kimg))
    state, hulls = start(run.config, len(run.images.objects)), run.hulls()
    assert state.codes is not None
    begin_warmup(state, run.initial_codes())
    known = run.images.object_batches(run.config.batch, run.config.warmup.views, run.config.seed)

    def steps() -> None:
        for _ in range(together):
            warmup_step(state, next(known), run.config, hulls=hulls)

    return steps


def _adversarial(config: TrainConfig) -> Callable[[], None]:
    run = prepare_run(replace(config, warmup_kimg=0.0))
    state, images = start(run.config), run.images.batches(config.batch, config.seed)

    def step() -> None:
        # R1 is taken at 0, and never compiled.
        state.cur_nimg = config.batch
        train_step(state, next(images), run.config)

    return step
