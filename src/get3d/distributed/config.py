"""How processes share work. This module imports nothing heavy: options are made from it."""

from dataclasses import dataclass
from typing import Annotated

from get3d.options import Option
from get3d.ranges import Range

__all__ = ["RanksConfig", "RanksError"]


class RanksError(RuntimeError):
    """A process is lost, or hangs; the message names it."""


@dataclass(frozen=True)
class RanksConfig:
    """How processes share the work.

    Attributes:
        processes: on this machine, one for each GPU, so --gpus is the same; on a CPU as many as wanted. Under torchrun
            its own number counts.
        max_restarts: how often all of them are started again after one was lost; training goes on from its checkpoint.
        timeout: minutes to wait for a process, in training also for the first one to measure a snapshot, before it
            counts as lost.
    """

    processes: Annotated[int, Option(aliases=("--gpus",)), Range(1)] = 1
    max_restarts: Annotated[int, Range(0)] = 3
    timeout: Annotated[float, Range(0, 1e6, above=True)] = 30.0
