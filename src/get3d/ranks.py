"""Processes that work together: each ("rank") does its share, and a process that is lost or hangs is named.

Two groups connect them: one for gradients, on the device's own backend, and one on the CPU by which they wait for each
other, so that a process that hangs is found.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from get3d.devices import device_named
from get3d.files import InputError

__all__ = ["ALONE", "Ranks", "RanksConfig", "RanksError", "joined"]

T = TypeVar("T")


class RanksError(RuntimeError):
    """A process is lost, or hangs; the message names it."""


@dataclass(frozen=True)
class RanksConfig:
    """How processes train together.

    Attributes:
        processes: on this machine, one for each GPU; on a CPU as many as wanted. torchrun's own number counts under it.
        max_restarts: how often all of them are started again, from the last checkpoint, after one was lost.
        timeout: minutes to wait for a process, also while the first one measures a snapshot, before it counts as lost.
    """

    processes: int = 1
    max_restarts: int = 3
    timeout: float = 30.0


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together.

    Attributes:
        rank: its number.
        world: how many there are.
        names: where each of them runs.
        timeout: how long the others may stay away.
        control: the group on the CPU by which they wait for each other.
        gradients: the group in which gradients travel; by default that of all processes.
    """

    rank: int = 0
    world: int = 1
    names: tuple[str, ...] = ()
    timeout: timedelta = timedelta(minutes=30)
    control: dist.ProcessGroup | None = None
    gradients: dist.ProcessGroup | None = None

    def share(self, batch: int) -> slice:
        """Which rows of a batch of all processes are this one's."""
        size = batch // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def average(self, sums: dict[str, Tensor]) -> None:
        """Replaces each [2] (sum, count) by its mean over the processes, which are all given the same names."""
        if self.world == 1 or not sums:
            return
        pairs = torch.stack([sums[name] for name in sorted(sums)])
        together = pairs.cpu()
        with self.telling():
            dist.all_reduce(together, group=self.control)
        sums.update(zip(sorted(sums), (together / self.world).to(pairs.device), strict=True))

    def any(self, *wishes: bool) -> list[bool]:
        """Whether any process wishes something, for each of several things; all are asked at the same point.

        Raises:
            RanksError: a process is lost or hangs.
        """
        if self.world == 1:
            return list(wishes)
        wished = torch.tensor(wishes, dtype=torch.uint8)
        with self.telling():
            self.meet()
            dist.all_reduce(wished, dist.ReduceOp.MAX, group=self.control)
        return wished.bool().tolist()

    def alike(self, make: Callable[[], T], facts: Callable[[T], dict[str, str]] = lambda made: {}) -> T:
        """What each process makes for itself, once all could, and made the same.

        Args:
            make: called on each process.
            facts: what must be the same of that on all of them, by name.

        Raises:
            InputError: a process could not make it, or made another; names the process, and what differs.
        """
        if self.world == 1:
            return make()
        problem, made, mine = None, None, {}
        try:
            made = make()
            mine = facts(made)
        except InputError as error:
            problem = str(error)
        found: list[tuple[str | None, dict[str, str]]] = [(None, {})] * self.world
        with self.telling():
            dist.all_gather_object(found, (problem, mine), group=self.control)
        for rank, (told, theirs) in enumerate(found):
            if told is not None:
                raise InputError(f"rank {rank} ({self.names[rank]}): {told}")
            for name, value in found[0][1].items():
                if theirs.get(name) != value:
                    raise InputError(
                        f"rank {rank} ({self.names[rank]}) has {name} {theirs.get(name)}, rank 0 ({self.names[0]}) "
                        f"has {value}; give all processes the same"
                    )
        return made  # type: ignore[return-value]

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, on all of them.

        Raises:
            InputError: it could not make it.
        """
        if self.world == 1:
            return make()
        made: list[T | str | None] = [None, None]
        if self.rank == 0:
            try:
                made[0] = make()
            except InputError as error:
                made[1] = str(error)
        with self.telling():
            dist.broadcast_object_list(made, group=self.control)
        if made[1] is not None:
            raise InputError(str(made[1]))
        return made[0]  # type: ignore[return-value]

    def meet(self) -> None:
        """Waits until all processes have come to this point; to be called within `telling`."""
        dist.monitored_barrier(self.control, self.timeout, wait_all_ranks=True)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Around what all processes do together: says which of them could not be reached, where that is known.

        Raises:
            RanksError: a process is lost or hangs.
        """
        try:
            yield
        except RuntimeError as error:
            said = str(error).splitlines()[0]
            missing = re.search(r"Ranks? ([\d, ]+) failed to pass", said)
            if missing is None:
                message = f"rank {self.rank} ({self.names[self.rank]}) lost the others: {said}"
            else:
                lost = [int(number) for number in missing[1].split(",")]
                named = ", ".join(f"rank {number} ({self.names[number]})" for number in lost)
                minutes = self.timeout.total_seconds() / 60
                message = f"{named} did not come within {minutes:g} minutes (--timeout): it hangs or is lost"
            raise RanksError(f"{message}; the same command goes on from the last checkpoint") from error


ALONE = Ranks()
"""A process that works by itself."""


@contextmanager
def joined(config: RanksConfig, device: str) -> Iterator[Ranks]:
    """Joins the processes that the environment names, as torchrun sets it (RANK, WORLD_SIZE, …); without it, none.

    Args:
        config: how long to wait for them.
        device: where to compute; of GPUs each process takes its own.

    Raises:
        InputError: there is no GPU for this process; torchrun on several machines lacks a setting.
        RanksError: the others did not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    if device_named(device).type == "cuda":
        _take_gpu(device, local)
        backend = "nccl"
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    timeout = timedelta(minutes=config.timeout)
    # Whoever waits in a group must not give up before the first process can say for whom all of them wait.
    try:
        dist.init_process_group(backend, store=_store(2 * timeout), rank=rank, world_size=world, timeout=2 * timeout)
        control = dist.new_group(backend="gloo", timeout=2 * timeout)
        names = [""] * world
        dist.all_gather_object(names, f"{socket.gethostname()}, process {os.getpid()}", group=control)
    except RuntimeError as error:
        raise RanksError(f"rank {rank} of {world} could not join the others: {str(error).splitlines()[0]}") from error
    yield Ranks(rank, world, tuple(names), timeout, control)
    # After an error the others may never come to this point, and the process ends anyway.
    dist.destroy_process_group()


def _take_gpu(device: str, local: int) -> None:
    count = torch.cuda.device_count()
    if torch.device("cuda" if device == "auto" else device).index is not None:
        raise InputError(f"--device is {device}; processes that train together take one GPU each: use cuda or auto")
    if local >= count:
        raise InputError(f"this machine has {count} GPUs, too few for process {local + 1}; start fewer processes on it")
    torch.cuda.set_device(local)


def _store(timeout: timedelta) -> dist.Store:
    """Where the processes find each other.

    torchrun keeps its own store while it starts processes again; where these read what those before them had written,
    they would wait for the dead. On one machine it counts the starts; on several, each machine counts its own.
    """
    store, _, _ = next(dist.rendezvous("env://", timeout=timeout))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return store
    if os.environ["GROUP_WORLD_SIZE"] != "1":
        raise InputError(
            "torchrun on several machines cannot start processes again in the store it keeps; "
            "set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it, on all of them"
        )
    return dist.PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
