"""Processes ("ranks") that divide work. A process that is lost or hangs is named.

Two process groups connect them: one for gradients, on the backend of the device, and one on the CPU for barriers, so
that a process that hangs is found.
"""

import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor

from get3d.devices import device_named
from get3d.distributed.config import RanksConfig, RanksError
from get3d.distributed.loopback import ONE_MACHINE, loopback_store
from get3d.files import InputError

__all__ = ["SINGLE_PROCESS", "Ranks", "RanksConfig", "RanksError", "joined"]

_WHILE = 10.0
"""Seconds in which processes that wait for the same process notice that it is lost."""

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process and its process groups.

    Attributes:
        rank: rank of this process.
        world: number of processes.
        names: machine and process id of each.
        timeout: how long to wait for the others.
        control: the CPU group for barriers.
        gradients: the group for gradients; by default that of all processes.
        store: store for counters.
        local: number of processes on this machine.
    """

    rank: int = 0
    world: int = 1
    names: tuple[str, ...] = ()
    timeout: timedelta = timedelta(minutes=30)
    control: dist.ProcessGroup | None = None
    gradients: dist.ProcessGroup | None = None
    store: dist.Store | None = None
    local: int = 1
    _rounds: Iterator[int] = field(default_factory=count, repr=False)

    def console(self, console: Console) -> Console:
        """The console of this process: only the first one prints."""
        return Console(quiet=True) if self.rank else console

    def share(self, batch: int) -> slice:
        """The rows of a batch that belong to this process."""
        size = batch // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean_of_sums(self, sums: dict[str, Tensor]) -> None:
        """Replaces each [2] (sum, count) by its mean over the processes. All must pass the same names."""
        if self.world == 1 or not sums:
            return
        pairs = torch.stack([sums[name] for name in sorted(sums)])
        together = pairs.cpu()
        with self.telling():
            self.barrier()
            dist.all_reduce(together, group=self.control)
        sums.update(zip(sorted(sums), (together / self.world).to(pairs.device), strict=True))

    def any(self, *wishes: bool) -> list[bool]:
        """For each of several flags, whether any process has set it. All processes must call this at the same point.

        Raises:
            RanksError: a process is lost or hangs.
        """
        if self.world == 1:
            return list(wishes)
        wished = torch.tensor(wishes, dtype=torch.uint8)
        with self.telling():
            self.barrier()
            dist.all_reduce(wished, dist.ReduceOp.MAX, group=self.control)
        return wished.bool().tolist()

    def require_agreement(
        self, make: Callable[[], T], fingerprint: Callable[[T], dict[str, str]] = lambda made: {}
    ) -> T:
        """Calls `make` on each process, and checks that all succeed with the same result.

        The first process of each machine calls it first, so that the others can use what it cached, such as a listing.

        Args:
            make: called on each process.
            fingerprint: values of the result, by name, that must be the same on all processes.

        Raises:
            InputError: a process failed, or its result differs; the message names the process and the difference. The
                first process raises it, and the others end silently.
        """
        if self.world == 1:
            return make()
        problem, made, mine = None, None, {}
        hosts = [name.partition(",")[0] for name in self.names]
        first_here = hosts.index(hosts[self.rank]) == self.rank
        if not first_here:
            with self.telling():
                self.barrier()
        try:
            made = make()
            mine = fingerprint(made)
        except InputError as error:
            problem = str(error)
        if first_here:
            with self.telling():
                self.barrier()
        found: list[tuple[str | None, dict[str, str]]] = [(None, {})] * self.world
        with self.telling():
            dist.all_gather_object(found, (problem, mine), group=self.control)
        for rank, (told, theirs) in enumerate(found):
            if told is not None:
                self._refuse(f"rank {rank} ({self.names[rank]}): {told}")
            for name, value in found[0][1].items():
                if theirs.get(name) != value:
                    self._refuse(
                        f"rank {rank} ({self.names[rank]}) has {name} {theirs.get(name)}, rank 0 ({self.names[0]}) "
                        f"has {value}; use the same in all processes"
                    )
        return made  # type: ignore[return-value]

    def from_first(self, make: Callable[[], T]) -> T:
        """Calls a function on the first process, and returns the result on all.

        Raises:
            InputError: the function raised it. The others end silently.
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
            self.barrier()
            dist.broadcast_object_list(made, group=self.control)
        if made[1] is not None:
            self._refuse(str(made[1]))
        return made[0]  # type: ignore[return-value]

    def work_queue(self, items: Sequence[Item]) -> Iterator[Item]:
        """The items for this process: a free process takes the next item, so that all end at about the same time.

        All processes must pass the same items and start at the same point.
        """
        if self.world == 1:
            yield from items
            return
        key = self._new_key()
        while (number := self._count(key, 1) - 1) < len(items):
            yield items[number]

    def each(self, items: Sequence[Item], work: Callable[[Item], T]) -> list[T]:
        """Results of all items, computed by free processes, in order. Only the first process gets them.

        Args:
            items: the items, the same on all processes.
            work: called with each item on one of the processes. Its result must be picklable.

        Raises:
            InputError: `work` raised it; the others then take no further item. The first process raises it, and the
                others end silently.
        """
        if self.world == 1:
            return [work(item) for item in items]
        key = self._new_key()
        made: list[tuple[int, T]] = []
        problem: tuple[int, str] | None = None
        while problem is None and (number := self._count(key, 1) - 1) < len(items):
            try:
                made.append((number, work(items[number])))
            except InputError as error:
                problem = number, str(error)
                self._count(key, len(items))
        (failed,) = self.any(problem is not None)
        if failed:
            problems = sorted(told for told in self.gather(problem) if told is not None)
            self._refuse(problems[0][1] if problems else "")
        return [each for _, each in sorted(chain(*self.gather(made)), key=itemgetter(0))]

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of the ranks. Only the first process gets them."""
        if self.world == 1:
            return [value]
        found = [value] * self.world if self.rank == 0 else None
        with self.telling():
            self.barrier()
            dist.gather_object(value, found, group=self.control)
        return found or []

    def require_same(self, folder: Path) -> None:
        """Checks that all processes see the same folder, also on several machines.

        Raises:
            InputError: a process does not; the message names it.
        """
        if self.world == 1:
            return
        name = self.from_first(lambda: _sign(folder))

        def look() -> None:
            if not (folder / name).exists():
                raise InputError(f"{folder}: is not the folder of rank 0; use one that all machines share")

        try:
            self.require_agreement(look)
        finally:
            if self.rank == 0:
                (folder / name).unlink()

    def _named(self, numbers: list[int]) -> str:
        return ", ".join(f"rank {number} ({self.names[number]})" for number in numbers)

    def _silent(self) -> list[int]:
        """Who does not say within a while that it waits in vain, too; nobody where the store is lost as well.

        A process that hangs after it has met the others leaves them waiting where nobody is named.
        """
        silent = []
        try:
            assert self.store is not None
            until = time.monotonic() + min(_WHILE, self.timeout.total_seconds())
            for rank in range(self.world):
                left = timedelta(seconds=max(until - time.monotonic(), 0.01))
                try:
                    self.store.wait([f"lost {rank}"], left)
                except dist.DistStoreError:
                    silent.append(rank)
        except RuntimeError:
            return []
        return silent

    def _new_key(self) -> str:
        return f"round {next(self._rounds)}"

    def _count(self, key: str, number: int) -> int:
        assert self.store is not None
        with self.telling():
            return self.store.add(key, number)

    def _refuse(self, problem: str) -> NoReturn:
        """Ends what all processes know to be impossible; the first one says why."""
        if self.rank:
            # Launchers end all processes when one of them ends, so the first must have said it by then.
            with suppress(RuntimeError):
                dist.recv(torch.zeros(1), 0, group=self.control)
            sys.exit(2)
        raise InputError(problem)

    def barrier(self) -> None:
        """Waits until all processes have reached this point; call it within `telling`."""
        dist.monitored_barrier(self.control, self.timeout, wait_all_ranks=True)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """A context for collective operations, which names processes that could not be reached.

        Raises:
            RanksError: a process is lost or hangs.
        """
        try:
            yield
        except RuntimeError as error:
            if self.store is not None:
                with suppress(RuntimeError):
                    self.store.set(f"lost {self.rank}", "")
            said = str(error).splitlines()[0]
            missing = re.search(r"Ranks? ([\d, ]+) failed to pass", said)
            message = f"rank {self.rank} ({self.names[self.rank]}) lost the others: {said}"
            if missing is not None:
                lost, minutes = [int(number) for number in missing[1].split(",")], self.timeout.total_seconds() / 60
                message = (
                    f"{self._named(lost)} did not respond within {minutes:g} minutes (--timeout): it hangs or is lost"
                )
            elif "Timed out" in said and (lost := self._silent()):
                message = f"{self._named(lost)} does not answer: it hangs or is lost"
            raise RanksError(f"{message}; repeat the command to resume") from error


def _sign(folder: Path) -> str:
    """The name of a new file in a folder."""
    handle, path = tempfile.mkstemp(prefix=".shared.", dir=folder)
    os.close(handle)
    return Path(path).name


SINGLE_PROCESS = Ranks()
"""A single process."""


@contextmanager
def joined(config: RanksConfig, device: str) -> Iterator[Ranks]:
    """Joins the processes in the environment, as torchrun sets it (RANK, WORLD_SIZE, …); otherwise a single process.

    Args:
        config: how long to wait for them.
        device: device for computing; each process uses its own GPU.

    Raises:
        InputError: there is no GPU for this process; torchrun on several machines lacks a setting.
        RanksError: the others could not be reached.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield SINGLE_PROCESS
        return
    rank, number = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    backend = "gloo"
    if device_named(device).type == "cuda":
        _take_gpu(device, number)
        backend = "nccl"
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // local))
    timeout = timedelta(minutes=config.timeout)
    # Whoever waits in a group must not give up before the first process can say for whom all of them wait.
    try:
        store = _store(2 * timeout)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=2 * timeout)
        control = dist.new_group(backend="gloo", timeout=2 * timeout)
        names = [""] * world
        dist.all_gather_object(names, f"{socket.gethostname()}, process {os.getpid()}", group=control)
    except RuntimeError as error:
        raise RanksError(f"rank {rank} of {world} could not join the others: {str(error).splitlines()[0]}") from error
    yield Ranks(rank, world, tuple(names), timeout, control, store=store, local=local)
    # After an error the others may never come to this point, and the process ends anyway.
    dist.destroy_process_group()


def _take_gpu(device: str, number: int) -> None:
    gpus = torch.cuda.device_count()
    if torch.device("cuda" if device == "auto" else device).index is not None:
        raise InputError(f"--device is {device}; each process uses its own GPU: use cuda or auto")
    if number >= gpus:
        raise InputError(f"this machine has {gpus} GPUs, too few for process {number + 1}; start fewer processes on it")
    torch.cuda.set_device(number)


def _store(timeout: timedelta) -> dist.Store:
    """Where the processes find each other.

    torchrun keeps its own store while it starts processes again; where these read what those before them had written,
    they would wait for the dead. On one machine it counts the starts; on several, each machine counts its own.
    """
    if ONE_MACHINE in os.environ:
        return loopback_store(timeout)
    store, _, _ = next(dist.rendezvous("env://", timeout=timeout))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return store
    if os.environ["GROUP_WORLD_SIZE"] != "1":
        raise InputError(
            "torchrun on several machines cannot restart processes in the store it keeps; "
            "set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it, on all of them"
        )
    return dist.PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
