"""Steps of whole phases: of the warm-up, and of the adversarial phase eager and compiled."""

import tempfile
from dataclasses import replace
from pathlib import Path

from get3d.benchmarks.rows import Row, compared
from get3d.benchmarks.step import make_dataset
from get3d.benchmarks.timing import side_by_side
from get3d.devices import device_named
from get3d.training.config import TrainConfig, compilers, prepare_run
from get3d.training.loop import start, train_step
from get3d.training.warmup_step import warmup_step

__all__ = ["rows"]


def rows(preset: str, config: TrainConfig, repeats: int, warm: int, *, compiled: bool) -> list[Row]:
    """Images per second of the warm-up, and how much faster than an eager step a compiled one is.

    Args:
        preset: name of the configuration.
        config: what is trained.
        repeats: of each measurement.
        warm: steps trained before. Random networks begin with far more surface than training sees soon after.
        compiled: whether to compile, too, which takes minutes; not done where there is no compiler.
    """
    group = f"Both phases of the preset {preset}, after {warm} steps: {config.batch} images of {config.resolution}²"
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, data=Path(folder) / "data", out=Path(folder) / "run")
        make_dataset(config.data, config)
        found = [_warmup_row(group, config, repeats, warm)]
        if compiled and compilers():
            found.append(_compiled_row(group, config, repeats, warm))
    return found


def _warmup_row(group: str, config: TrainConfig, repeats: int, warm: int) -> Row:
    run = prepare_run(replace(config, warmup_kimg=config.kimg))
    state = start(run.config, len(run.images.objects))
    assert state.codes is not None
    state.codes.styles.data.copy_(run.initial_styles())
    known = run.images.object_batches(run.config.batch, run.config.warmup.views, run.config.seed)
    hulls = run.hulls()

    def step() -> None:
        warmup_step(state, next(known), run.config, hulls=hulls)

    for _ in range(warm):
        step()
    seconds = side_by_side(device_named(config.device), repeats, step=step)["step"]
    hulls_too = "" if hulls is None else f", and {run.config.warmup.hull.objects} other for each against its hull"
    views = run.config.warmup.views
    return Row(
        group,
        "a step of the warm-up",
        seconds,
        result=config.batch / seconds,
        note=f"images per second; {config.batch // views} objects with {views} images each{hulls_too}",
    )


def _compiled_row(group: str, config: TrainConfig, repeats: int, warm: int) -> Row:
    """Both networks see the same images. Steps without R1, which is never compiled."""
    steps = {}
    for name, compile_ in (("eager", False), ("compiled", True)):
        run = prepare_run(replace(config, warmup_kimg=0.0, compile=compile_))
        state, images = start(run.config), run.images.batches(config.batch, config.seed)

        def step(state=state, images=images, config=run.config) -> None:  # type: ignore[no-untyped-def]
            state.cur_nimg = config.batch
            train_step(state, next(images), config)

        for _ in range(warm):
            step()
        steps[name] = step
    seconds = side_by_side(device_named(config.device), repeats, **steps)
    return compared(group, "a compiled step", seconds["compiled"], "eager", seconds["eager"], 1.0)
