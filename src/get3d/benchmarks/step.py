"""The stages of a training step, forward and backward each, and the complete step compared with their sum.

The step is the training loop's own, profiled by PyTorch's profiler: the code marks its stages (`get3d.spans`), and an
operation of a backward pass belongs to the stage whose operation it differentiates.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from get3d import spans
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.benchmarks.host import HostWork, host_work
from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import Stopwatch
from get3d.datasets.loader import Batch, ImageDataset
from get3d.training.checkpoint import TrainingState
from get3d.training.config import HULL_VIEWS, TrainConfig, prepare_run
from get3d.training.loop import start, train_step

__all__ = ["STAGES", "TOTAL", "make_dataset", "rows", "stage_seconds"]

DATA, REST = "data loading", "the rest"
STAGES = (
    DATA,
    spans.PLANES,
    spans.FIELDS,
    spans.EXTRACTION,
    spans.RASTER,
    spans.TEXTURE,
    spans.DISCRIMINATOR,
    spans.GENERATOR_LOSS,
    spans.R1,
    spans.UPDATE,
    REST,
)
SURFACE_STAGES = (spans.FIELDS, spans.EXTRACTION, spans.RASTER, spans.TEXTURE)

FORWARD, BACKWARD = "forward", "backward"
STEP, STEP_WITH_R1 = "a step", "a step with R1"
TOTAL = "the step"
"""The time by this name, in one of the rows, is that of a whole step."""
_PROFILED = "a profiled step"
WAITS = 10
"""Of a step, at most: the sizes of what surfaces cross and of what is seen, and whether all gradients are finite."""


def rows(preset: str, config: TrainConfig, repeats: int, warm: int) -> list[Row]:
    """The stages of a step of a young run on a few procedural chairs.

    Args:
        preset: name of the configuration.
        config: what is trained.
        repeats: of each measurement.
        warm: steps trained before. Random networks begin with far more surface than training sees soon after.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "run"
        make_dataset(data, config)
        run = prepare_run(replace(config, data=data, out=out))
        measured = _measure(run.config, run.images, repeats, warm)
    return _rows(preset, run.config, measured, warm)


def make_dataset(folder: Path, config: TrainConfig) -> None:
    """Ten objects, the fewest of which some are held out; images enough for a few batches, and for hulls."""
    views = max(-(-2 * config.batch // 7), HULL_VIEWS)
    settings = SynthConfig(
        "chair", folder, shapes=10, views=views, resolution=config.resolution, texture=256, workers=1
    )
    synthesize(settings, Console(quiet=True))


@dataclass(frozen=True)
class _Measured:
    """A step, taken apart.

    Attributes:
        stages: seconds of each stage by direction, the mean of the profiled steps; R1 of a step that has it.
        medians: seconds of steps that are not profiled, with and without R1, and of data loading.
        faces: of a shape, in the mean.
        host: what a step without R1 asks of the host.
    """

    stages: dict[str, dict[str, float]]
    medians: dict[str, float]
    faces: float
    host: HostWork


def stage_seconds(events: Iterable[FunctionEvent], *, cuda: bool = False) -> dict[str, dict[str, float]]:
    """Seconds of the stages of what the profiler recorded, by stage and direction.

    Each moment counts once, for the innermost stage that is marked around it. A backward operation counts for the stage
    of the operation that has its number on the thread it ran on. What no stage is marked around is "the rest".

    Args:
        events: of one or more steps.
        cuda: count the kernels that operations start, in place of the time they take themselves.
    """
    marks = {getattr(spans, name) for name in spans.__all__}
    found: dict[str, dict[str, float]] = {}
    owner: dict[tuple[int, int], str] = {}
    open_events: list[tuple[float, tuple[str, str]]] = []
    # Kernels are listed too, on a device; they are counted with what started them.
    ordered = (event for event in events if event.device_type == torch.autograd.DeviceType.CPU)
    for event in sorted(ordered, key=lambda event: (event.time_range.start, -event.time_range.end)):
        start, end = event.time_range.start, event.time_range.end
        while open_events and open_events[-1][0] <= start:
            open_events.pop()
        outer = label = open_events[-1][1] if open_events else (REST, FORWARD)
        number = (event.fwd_thread or event.thread, event.sequence_nr)
        if event.name in marks:
            label = (event.name, FORWARD)
        elif event.fwd_thread and number in owner:
            label = (owner[number], BACKWARD)
        elif not event.fwd_thread and event.sequence_nr >= 0 and label[1] == FORWARD:
            owner[number] = label[0]
        spent = event.self_device_time_total if cuda else end - start
        _add(found, label, spent)
        if open_events and not cuda:
            _add(found, outer, start - end)
        open_events.append((end, label))
    return found


def _add(found: dict[str, dict[str, float]], label: tuple[str, str], microseconds: float) -> None:
    stage, direction = label
    ways = found.setdefault(stage, {})
    ways[direction] = ways.get(direction, 0.0) + microseconds / 1e6


def _measure(config: TrainConfig, images: ImageDataset, repeats: int, warm: int) -> _Measured:
    """Profiles steps, and times others that it does not; they take turns."""
    state = start(config)
    device = next(state.generator.parameters()).device
    stream = images.batches(config.batch, config.seed)
    for _ in range(warm):
        train_step(state, next(stream), config)
    unused, watch = Stopwatch(device), Stopwatch(device)
    stages: dict[str, dict[str, float]] = {}
    faces = 0.0
    for turn in range(repeats + 1):
        chosen = watch if turn else unused
        with chosen.lap(DATA):
            batch = next(stream)
        state.sums.clear()
        for name, nimg in ((STEP, config.batch), (STEP_WITH_R1, 0)):
            state.cur_nimg = nimg
            with chosen.lap(name):
                train_step(state, batch, config)
            for stage, ways in profiled_stages(state, batch, config, nimg).items():
                # A step with R1 tells only about R1.
                if turn and (stage == spans.R1) == (name == STEP_WITH_R1):
                    for way, seconds in ways.items():
                        _add(stages, (stage, way), 1e6 * seconds / repeats)
        total, count = state.sums["surface/faces"].tolist()
        faces += total / count / (repeats + 1)
    medians = watch.medians

    def step() -> None:
        state.cur_nimg = config.batch
        train_step(state, batch, config)

    return _Measured({DATA: {FORWARD: medians[DATA]}} | stages, medians, faces, host_work(step, device))


def profiled_stages(state: TrainingState, batch: Batch, config: TrainConfig, nimg: int) -> dict[str, dict[str, float]]:
    """The stages of one step."""
    cuda = next(state.generator.parameters()).device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    state.cur_nimg = nimg
    with profile(activities=activities) as recorded, record_function(_PROFILED):
        train_step(state, batch, config)
    return stage_seconds(recorded.events(), cuda=cuda)


def _rows(preset: str, config: TrainConfig, measured: _Measured, warm: int) -> list[Row]:
    medians = measured.medians
    group = (
        f"A training step of the preset {preset}, after {warm} others: {config.batch} images of {config.resolution}²"
    )
    interval = config.objective.r1_interval
    seconds = {
        stage: {way: time / (interval if stage == spans.R1 else 1) for way, time in measured.stages[stage].items()}
        for stage in STAGES
    }
    total = sum(sum(ways.values()) for ways in seconds.values())
    step = medians[DATA] + medians[STEP] + (medians[STEP_WITH_R1] - medians[STEP]) / interval
    surface = sum(sum(seconds[stage].values()) for stage in SURFACE_STAGES)
    notes = {spans.R1: f"taken every {interval} steps; a step's part of it"}
    return [
        *(
            Row(group, stage, sum(ways.values()), ways, sum(ways.values()) / total, "%", note=notes.get(stage, ""))
            for stage, ways in seconds.items()
        ),
        Row(group, "sum of the stages, and the step", total, {TOTAL: step}, total / step, "%"),
        Row(
            group,
            "rasterising, extraction and field lookup together",
            surface,
            result=surface / total,
            unit="%",
            goal=at_most(0.3),
            note=f"{', '.join(SURFACE_STAGES)}; {measured.faces:,.0f} faces a shape",
        ),
        Row(
            group, "operations that the host dispatches", result=float(measured.host.operations), note="views included"
        ),
        *(
            [Row(group, "waits of the host for the device", result=float(measured.host.waits), goal=at_most(WAITS))]
            if measured.host.waits is not None
            else []
        ),
    ]
