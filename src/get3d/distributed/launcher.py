"""Runs a command in one process, or in several on this machine that are restarted when one is lost.

On several machines torchrun starts the processes; `get3d.distributed.processes.joined` then finds them in the
environment.
Nothing heavy is imported before `_work` has installed the handler of Ctrl-C.
"""

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol, TypeVar, get_type_hints, runtime_checkable
from uuid import uuid4

from rich.console import Console

from get3d.console import prepare_process, terminal
from get3d.distributed.config import RanksConfig, RanksError
from get3d.files import InputError
from get3d.ranges import require_ranges

__all__ = ["Shared", "run"]

_SAID = 2
"""Exit status of a process that must not be restarted, because the error would repeat."""


@runtime_checkable
class Shared(Protocol):
    """The configuration of work that processes divide."""

    @property
    def ranks(self) -> RanksConfig:
        """How they divide it."""

    @property
    def device(self) -> str:
        """The device of each process."""


Config = TypeVar("Config", bound=Shared)


def run(
    work: Callable[[Config, Console], object],
    config: Config,
    console: Console,
    validate: Callable[[], object],
    *,
    ends_well: bool = False,
) -> None:
    """Runs work in `config.ranks.processes` processes, unless this is already a process of a launcher.

    If a process is lost, the others end. All are started again and resume from what they have written.

    Args:
        work: a function of a module whose first argument is called `config`. Each process gets the same arguments and
            finds the others with `get3d.distributed.processes.joined`.
        config: the configuration.
        console: the console.
        validate: called before processes are started; raises InputError if the work cannot be done.
        ends_well: whether processes stop cleanly on a signal, so that this one ends with success too.

    Raises:
        InputError: the configuration cannot be used; raised before a process is started.
        RanksError: a process was lost more than `config.ranks.max_restarts` times, or all were told to stop.
        SystemExit: a process ended with an error that it has printed and that would repeat.
        KeyboardInterrupt: the processes were told to stop by SIGINT.
    """
    import torch
    from torch.distributed import is_torchelastic_launched

    from get3d.devices import device_named
    from get3d.distributed.loopback import loopback_environment
    from get3d.storage import describe

    count = config.ranks.processes
    require_ranges(config)
    if count == 1 or is_torchelastic_launched():
        work(config, console)
        return
    gpus = torch.cuda.device_count()
    if gpus == 0:
        device_named(config.device)
    elif config.device != "cpu" and gpus < count:
        raise InputError(f"--processes is {count}, and this machine has {gpus} GPUs; each takes one, so lower it")
    validate()
    # The launcher takes a second to import; work in one process should not wait for it.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    # A command, not a function: torch's processes for functions wait 30 seconds when they are told to stop.
    name = f"{work.__module__}:{work.__qualname__}"
    command = (
        "-m",
        "get3d.distributed.launcher",
        name,
        json.dumps(describe(config)),
        json.dumps(console.quiet),
        *sys.argv[1:],
    )
    # What it logs of processes that are told to stop, or are lost, is said here; each of its loggers has its own level.
    for logger in [each for each in logging.root.manager.loggerDict if each.startswith("torch.distributed")]:
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    # torch's own restarts would also begin again what cannot succeed.
    try:
        for restarts in range(config.ranks.max_restarts, -1, -1):
            try:
                with _environment(loopback_environment()), tempfile.NamedTemporaryFile(prefix="get3d-") as meeting:
                    elastic_launch(_group(count, meeting.name), sys.executable)(*command)
                return
            except ChildFailedError as error:
                if any(failure.exitcode == _SAID for failure in error.failures.values()):
                    sys.exit(1)
                rank, failure = error.get_first_failure()
                code = failure.exitcode
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
                if not restarts:
                    raise RanksError(f"rank {rank} {how}; repeat the command to resume") from error
                console.print(f"rank {rank} {how}; all processes are started again", highlight=False)
    except SignalException as told:
        if told.sigval == signal.SIGINT:
            raise KeyboardInterrupt from told
        # The processes were told, too, and have ended in their own way; or there were none, between two starts.
        if not ends_well:
            raise RanksError("stopped before the work was done; repeat the command to resume") from told


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Values in the environment, for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _group(count: int, meeting: str) -> Any:
    """How processes are started on this machine; the file is the rendezvous of the launcher."""
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=meeting,
        rdzv_configs={"store_type": "file"},
        local_addr="localhost",
        max_restarts=0,
    )


def _work(name: str, described: str, quiet: bool) -> None:
    """What each process does. Ctrl-C, which the terminal sends to all, ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from get3d.storage import restore

    module, function = name.split(":")
    work = getattr(import_module(module), function)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work(restore(get_type_hints(work)["config"], json.loads(described), "the launcher"), terminal(quiet=quiet))
    except (InputError, FloatingPointError, RanksError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1 if isinstance(error, RanksError) else _SAID)
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    _, _name, _described, _quiet, *_arguments = sys.argv
    # What records the command that it was made by, records the one that people gave.
    sys.argv = ["get3d", *_arguments]
    prepare_process()
    _work(_name, _described, json.loads(_quiet))
