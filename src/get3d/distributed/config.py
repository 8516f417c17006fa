"""Options of processes that divide work. This module imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from get3d.options import Option
from get3d.ranges import Range

__all__ = ["RanksConfig", "RanksError"]


class RanksError(RuntimeError):
    """A process was lost, or hangs; the message names it."""


@dataclass(frozen=True)
class RanksConfig:
    """How processes divide the work.

    Attributes:
        processes: number of processes on this machine: one for each GPU, any number on a CPU. Ignored under torchrun,
            which has its own.
        max_restarts: how often all processes are started again after one was lost; training resumes from its
            checkpoint.
        timeout: minutes to wait for a process before it counts as lost; must be longer than a snapshot takes.
    """

    processes: Annotated[int, Option(aliases=("--gpus",)), Range(1)] = 1
    max_restarts: Annotated[int, Range(0)] = 3
    timeout: Annotated[float, Range(0, 1e6, above=True)] = 30.0
