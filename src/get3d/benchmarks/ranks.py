"""A training step of 1, 2, … processes, which alternate in one run, and the share of communication."""

import copy
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from get3d.benchmarks import step
from get3d.benchmarks.profiles import ASKING, STEP, Profiled, given, profiled, windows
from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import Stopwatch
from get3d.datasets.loader import Batch, ImageDataset
from get3d.devices import device_named
from get3d.distributed import launcher as launching
from get3d.distributed.processes import SINGLE_PROCESS, Ranks, RanksConfig, joined
from get3d.files import InputError, read_json, write_json
from get3d.storage import describe, restore
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.gradients import BARRIER, buckets
from get3d.training.loop import start, train_step

__all__ = ["SIZES", "Measured", "Team", "backend", "measured", "processors", "rows"]

_PART = "a share of a step"
SIZES = (2**12, 2**16, 2**20, 2**22, 2**24)
"""Bytes that are added up by themselves, to see what the link gives."""


@dataclass(frozen=True)
class _Work:
    """What the processes measure together.

    Attributes:
        training: the run whose steps are timed; the batch is that of all of them.
        repeats: of each measurement.
        warm: steps trained before.
        result: the file that the first process writes.
    """

    training: TrainConfig
    repeats: int
    warm: int
    result: Path

    @property
    def ranks(self) -> RanksConfig:
        """How many there are."""
        return self.training.ranks

    @property
    def device(self) -> str:
        """Where each computes."""
        return self.training.device


@dataclass(frozen=True)
class Team:
    """What a number of processes found together; medians.

    Attributes:
        count: how many they are.
        step: seconds of a step.
        sums: seconds in which bytes are added up, for each of `SIZES`.
        barrier: seconds of a barrier.
        communication: part of a step, by the profiler.
        waiting: part of a step, by the profiler.
        windows: part of a step between the first and the last bucket, of discriminator and generator.
    """

    count: int
    step: float
    sums: tuple[float, ...]
    barrier: float
    communication: float
    waiting: float
    windows: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """What the processes found.

    Attributes:
        buckets: bytes of the gradients that travel together, of discriminator and generator.
        single: seconds of a step of one process.
        part: seconds of a step of one process with the share that one of all has.
        teams: those of several processes.
    """

    buckets: tuple[tuple[int, ...], ...]
    single: float
    part: float
    teams: tuple[Team, ...]


def processors(device: str) -> int:
    """The GPUs of this machine, or the cores that this process may use."""
    if device_named(device).type == "cuda":
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0))


def backend(device: str) -> str:
    """What carries gradients between processes."""
    return "NCCL" if device_named(device).type == "cuda" else "gloo"


def measured(config: TrainConfig, repeats: int, warm: int, count: int) -> Measured:
    """Times steps of a young run on a few procedural chairs, shared by 1 to `count` processes.

    Args:
        config: what is trained; its batch is that of all processes together.
        repeats: of each measurement.
        warm: steps trained before.
        count: processes, at most; the numbers that divide it are measured.

    Raises:
        InputError: the batch cannot be shared by so many, or there are not as many GPUs.
    """
    there = processors(config.device)
    if backend(config.device) == "NCCL" and there < count:
        raise InputError(f"--ranks is {count}, and this machine has {there} GPUs; each takes one, so lower it")
    with tempfile.TemporaryDirectory() as folder:
        data, result = Path(folder) / "data", Path(folder) / "measured.json"
        config = replace(config, data=data, out=Path(folder) / "run", ranks=RanksConfig(count, max_restarts=0))
        step.make_dataset(data, config)
        work = _Work(prepare_run(config, count).config, repeats, warm, result)
        launching.run(_measure, work, Console(quiet=True), lambda: None)
        return restore(Measured, read_json(result), result)


def rows(preset: str, config: TrainConfig, repeats: int, warm: int, count: int) -> list[Row]:
    """What `measured` finds, as rows; `preset` is the configuration's name."""
    found = measured(config, repeats, warm, count)
    carrier = backend(config.device)
    there = f"{processors(config.device)} {'cores' if carrier == 'gloo' else 'GPUs'}"
    group = (
        f"A training step of the preset {preset} on several processes, after {warm} others: {config.batch} images of "
        f"{config.resolution}² in all; {there}, {carrier}"
    )
    numbers = [len(sizes) for sizes in found.buckets]
    carried = sum(sum(sizes) for sizes in found.buckets)
    note = f"discriminator and generator, in {numbers[0]} and {numbers[1]} buckets"
    table = [
        Row(group, "gradients of a step", result=carried / 1e6, unit="MB", note=note),
        Row(group, "1 process", found.single, {"with the share of one of all": found.part}),
    ]
    for team in found.teams:
        speed = found.single / team.step / team.count
        table += [
            Row(group, f"{team.count} processes", team.step, result=speed, unit="%", note="speed for each"),
            Row(
                group,
                f"{team.count} processes: communication with nothing computed at the same time",
                team.communication * team.step,
                {"waiting for slower processes": team.waiting * team.step},
                team.communication,
                "%",
                at_most(0.1) if team.count == 2 else None,
            ),
        ]
    group = f"Gradients added up, nothing else ({carrier})"
    for team in found.teams:
        for size, seconds in zip(SIZES, team.sums, strict=True):
            table.append(Row(group, f"{size / 2**20:.3g} MiB over {team.count} processes", seconds))
        table.append(Row(group, f"a barrier of {team.count} processes", team.barrier))
    return table


def _measure(config: _Work, console: Console) -> None:
    """What each process does, together with the others; the first writes what was found."""
    # The profiler tells of its stages otherwise.
    os.environ["KINETO_LOG_LEVEL"] = "99"
    with joined(config.ranks, config.device) as everyone:
        training, world = config.training, everyone.world
        state, images = start(training), prepare_run(training, world).images
        device = next(state.generator.parameters()).device
        reals = _share(images, training, everyone)
        for _ in range(config.warm):
            train_step(state, reals, training, everyone)

        numbers = [number for number in range(2, world + 1) if world % number == 0]
        all_teams = {number: _team(everyone, number) for number in numbers}
        teams = {number: team for number, team in all_teams.items() if team is not None}
        runs: dict[tuple[int, str | int], Callable[[], object]] = {}
        if everyone.rank == 0:
            runs[1, STEP] = _step(state, images, training, SINGLE_PROCESS)
            runs[1, _PART] = _step(state, images, replace(training, batch=training.batch // world), SINGLE_PROCESS)
        for number, team in teams.items():
            runs[number, STEP] = _step(state, images, training, team)
            runs[number, BARRIER] = partial(_synchronise, team)
            for size in SIZES:
                runs[number, size] = partial(_add_up, torch.zeros(size // 4, device=device), team)
        names = [(1, STEP), (1, _PART), *((number, name) for number in numbers for name in (STEP, BARRIER, *SIZES))]
        unused, watch = Stopwatch(device), Stopwatch(device)
        for turn in range(config.repeats + 1):
            for number, name in names:
                _synchronise(everyone)
                if (number, name) in runs:
                    if number > 1:
                        _synchronise(teams[number])
                    with (watch if turn else unused).lap(f"{number} {name}"):
                        runs[number, name]()

        found = []
        for number in numbers:
            _synchronise(everyone)
            if number in teams:
                times = {name: watch.medians[f"{number} {name}"] for name in (STEP, BARRIER, *SIZES)}
                found.append(_found(runs[number, STEP], teams[number], device, config.repeats, times))
        if everyone.rank == 0:
            sizes = tuple(
                tuple(sum(parameter.nbytes for parameter in bucket) for bucket in buckets(list(network.parameters())))
                for network in (state.discriminator, state.generator)
            )
            single, part = (watch.medians[f"1 {name}"] for name in (STEP, _PART))
            write_json(config.result, describe(Measured(sizes, single, part, tuple(found))))


def _team(everyone: Ranks, number: int) -> Ranks | None:
    """The first so many of the processes; None for the others, which must call this, too."""
    members = list(range(number))
    control = dist.new_group(members, timeout=2 * everyone.timeout, backend="gloo")
    gradients = dist.new_group(members, timeout=2 * everyone.timeout)
    if everyone.rank >= number:
        return None
    return replace(everyone, world=number, control=control, gradients=gradients)


def _share(images: ImageDataset, config: TrainConfig, ranks: Ranks) -> Batch:
    with closing(images.batches(config.batch, config.seed, 0, ranks.rank, ranks.world)) as stream:
        return next(stream)


def _step(state: TrainingState, images: ImageDataset, config: TrainConfig, ranks: Ranks) -> Callable[[], None]:
    """Steps without R1, of a copy of the state as it is now."""
    own, reals = copy.deepcopy(state), _share(images, config, ranks)

    def run() -> None:
        own.cur_nimg = config.batch
        train_step(own, reals, config, ranks)
        with record_function(ASKING):
            ranks.any(False, False)

    return run


def _synchronise(ranks: Ranks) -> None:
    with ranks.telling():
        ranks.barrier()


def _add_up(numbers: Tensor, ranks: Ranks) -> None:
    with ranks.telling():
        dist.all_reduce(numbers, group=ranks.gradients)


def _found(
    run: Callable[[], object], ranks: Ranks, device: torch.device, repeats: int, times: dict[str | int, float]
) -> Team:
    """What these processes found: the times, and what the profiler says of a few steps more."""
    gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    with profile(activities=[ProfilerActivity.CPU, *gpu]) as recorded:
        for _ in range(repeats):
            with record_function(STEP):
                run()
                if gpu:
                    torch.cuda.synchronize(device)
    of_each: list[list[Profiled]] = [[]] * ranks.world
    with ranks.telling():
        dist.all_gather_object(of_each, profiled(recorded.events()), group=ranks.control)
    steps = list(zip(*of_each, strict=True))
    seconds = [statistics.mean(one.seconds for one in each) for each in steps]
    gave = [given(each) for each in steps]
    return Team(
        ranks.world,
        times[STEP],
        tuple(times[size] for size in SIZES),
        times[BARRIER],
        statistics.median(one.communication / whole for one, whole in zip(gave, seconds, strict=True)),
        statistics.median(one.waiting / whole for one, whole in zip(gave, seconds, strict=True)),
        tuple(statistics.median(parts) for parts in zip(*(windows(each[0]) for each in steps), strict=True)),
    )
