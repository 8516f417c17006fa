"""Training in one process, or in several on this machine that are started again when one is lost.

On several machines torchrun starts the processes; `loop.train` then finds them in the environment.
"""

import json
import signal
import sys
from uuid import uuid4

import torch
from rich.console import Console
from torch.distributed import is_torchelastic_launched

from get3d.files import InputError
from get3d.ranks import RanksError
from get3d.storage import describe, restore
from get3d.training.config import TrainConfig, opened
from get3d.training.loop import train

__all__ = ["run"]


def run(config: TrainConfig, console: Console) -> None:
    """Trains in `config.ranks.processes` processes, unless this is already one of those that a launcher started.

    A process that is lost ends the others; all are started again and go on from the last checkpoint.

    Raises:
        InputError: the configuration, the dataset or the folder cannot be used; said before a process is started.
        FloatingPointError: gradients stayed non-finite; names the tensor.
        RanksError: a process was lost more than `config.ranks.max_restarts` times.
    """
    count = config.ranks.processes
    if count < 1:
        raise InputError(f"--processes is {count}; it must be at least 1")
    if count == 1 or is_torchelastic_launched():
        train(config, console)
        return
    gpus = torch.cuda.device_count()
    if config.device != "cpu" and 0 < gpus < count:
        raise InputError(f"--processes is {count}, and this machine has {gpus} GPUs; each takes one, so lower it")
    opened(config, count)
    # The launcher takes a second to import; a run in one process should not wait for it.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=config.ranks.max_restarts,
    )
    try:
        # A command, not a function: torch's processes for functions wait 30 seconds when they are told to stop.
        elastic_launch(launch, sys.executable)("-m", "get3d.training.launching", json.dumps(describe(config)))
    except SignalException:
        return  # The processes were told, finished their step and wrote a checkpoint.
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = (
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}, as it says above"
        )
        raise RanksError(f"rank {rank} {how}; the same command goes on from the last checkpoint") from error


def _work(described: str) -> None:
    """What each process does."""
    try:
        train(restore(TrainConfig, json.loads(described), "the launcher"), Console())
    except (InputError, FloatingPointError, RanksError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    _work(sys.argv[1])
