"""Processes that train together, for tests: started by hand, as torchrun would, from a server that has all imported.

That includes what torch imports later, with the first optimiser (`torch._dynamo`): seconds for each process.
"""

import io
import json
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch._dynamo
import torch.utils.tensorboard.writer
from rich.console import Console

from get3d.datasets.loader import ImageDataset
from get3d.distributed.processes import joined
from get3d.storage import checksum, load_tensors
from get3d.training.checkpoint import checkpoints_in
from get3d.training.config import TrainConfig
from get3d.training.loop import start, train, train_step

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ranks"])


class Ranks:
    """Processes that run `work` with a configuration each; the first writes `said`."""

    def __init__(self, configs: list[TrainConfig], work: Callable[[TrainConfig, Console], object] = train) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._pipes, self.processes = [], []
        for rank, config in enumerate(configs):
            here, there = _context.Pipe()
            process = _context.Process(target=_run, args=(rank, len(configs), port, config, work, there))
            process.start()
            there.close()
            self._pipes.append(here)
            self.processes.append(process)

    def wait(self, rank: int = 0, timeout: float = 550) -> str:
        """What a process printed, and its error if it had one, once it has ended."""
        self.processes[rank].join(timeout)
        assert self.processes[rank].exitcode is not None, f"rank {rank} is still there"
        return self._pipes[rank].recv() if self._pipes[rank].poll() else ""

    def end(self) -> list[str]:
        """What all of them printed."""
        return [self.wait(rank) for rank in range(len(self.processes))]


def statistics(out):
    """The lines of a run's `stats.jsonl`."""
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


def assert_same_course(mine, theirs, tolerance):
    """Two runs have the same statistics, line by line, and end with the same networks."""
    # What depends on the clock is left out; an alarm may be of the speed.
    clock = {"images_per_second", "alarms"}
    for one, other in zip(statistics(mine), statistics(theirs), strict=True):
        assert one.keys() - clock == other.keys() - clock
        for name in one.keys() - clock:
            close = pytest.approx(other[name], rel=tolerance, abs=tolerance)
            assert one[name] == close, (one["cur_nimg"], name)
    one, other = (load_tensors(checkpoints_in(out / "checkpoints")[0]).tensors for out in (mine, theirs))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        if name.startswith(("generator.", "generator_ema.", "discriminator.")):
            torch.testing.assert_close(tensor, other[name], rtol=tolerance, atol=tolerance, msg=name)


def three_steps_one_not_finite(config, console):
    """Says how often in a row gradients were not finite after each step, how often D moved, and a fingerprint of it."""
    with joined(config.ranks, "cpu") as ranks:
        state, bad = start(config), []
        batches = ImageDataset(config.data, "train").batches(8, 0, 0, ranks.rank, ranks.world)
        for number, batch in zip(range(3), batches, strict=False):
            if number == ranks.rank == 1:
                batch = replace(batch, angles=torch.full_like(batch.angles, torch.nan))
            train_step(state, batch, config, ranks)
            bad.append(state.nonfinite_steps)
        moved = next(iter(state.discriminator_optimizer.state.values()))["step"]
        everything = state.discriminator.state_dict() | state.generator.state_dict()
        console.print(str(bad).replace(" ", ""), int(moved), checksum(everything), highlight=False, markup=False)


def _run(rank, world, port, config, work, pipe):
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    said, code = io.StringIO(), 0
    try:
        work(config, Console(file=said, width=500))
    except SystemExit as end:
        code = end.code
    except Exception as error:
        traceback.print_exc()
        said.write(f"{type(error).__name__}: {error}")
        code = 1
    pipe.send(said.getvalue())
    sys.exit(code)
