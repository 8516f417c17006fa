"""Commands whose ranks can be killed, and ranks that meet a full disk or a closed folder."""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TypeVar

import psutil

from get3d.training.checkpoint import checkpoints_in
from get3d.training.loop import train

FILLER = "something-else"
T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


class Command:
    """`python -m` in a process of its own, with the ranks that it starts; none of them is left when the block ends."""

    def __init__(self, output: Path, *arguments: object, **environment: str) -> None:
        self._output = output
        self._seen: set[psutil.Process] = set()
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *map(str, arguments)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1", **environment},
            )

    def __enter__(self) -> "Command":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self._seen.update(psutil.Process(self.process.pid).children())
            self.process.kill()
            self.process.wait()
        for rank in self._seen:
            with suppress(psutil.NoSuchProcess):
                rank.kill()

    def until(self, holds: Callable[[], T]) -> T:
        """The first truth that `holds` gives; it is asked again and again while the command runs."""
        while not (found := holds()):
            assert self.process.poll() is None, self.said()
            time.sleep(0.002)
        return found

    def ranks(self, count: int) -> dict[int, psutil.Process]:
        """The ranks that it starts next, once there are so many."""

        def started() -> dict[int, psutil.Process]:
            found = {}
            for child in set(psutil.Process(self.process.pid).children()) - self._seen:
                with suppress(psutil.Error):
                    if "RANK" in (variables := child.environ()):
                        found[int(variables["RANK"])] = child
            return found if len(found) == count else {}

        found = self.until(started)
        self._seen.update(found.values())
        return found

    def end(self, timeout: float = 300) -> str:
        """What it has said, once it has ended."""
        self.process.wait(timeout)
        assert not [rank for rank in self._seen if rank.is_running()]
        return self.said()

    def said(self) -> str:
        return self._output.read_text()


def train_on_a_small_disk(size, kept, config, console):
    """Trains; the first rank's folder is a disk of so many bytes, of which it leaves a copy.

    There is room for the run when it starts; something else fills the disk as soon as it has a checkpoint.
    """
    if os.environ["RANK"] != "0":
        train(config, console)
        return
    config.out.mkdir(parents=True)
    _mount_disk(config.out, size)
    Thread(target=_fill_disk, args=(config.out,), daemon=True).start()
    try:
        train(config, console)
    finally:
        shutil.copytree(config.out, kept, ignore=shutil.ignore_patterns(FILLER))


def _fill_disk(folder: Path) -> None:
    while not checkpoints_in(folder / "checkpoints"):
        time.sleep(0.001)
    with suppress(OSError), (folder / FILLER).open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


def train_as_nobody_special(config, console):
    """Trains without the right to pass over permissions, which the root user has."""
    version, everything = 0x20080522, (ctypes.c_uint32 * 6)()
    _must(_libc.capset((ctypes.c_uint32 * 2)(version, 0), everything))
    train(config, console)


def _mount_disk(folder: Path, size: int) -> None:
    """A disk that only this process sees; raises PermissionError where the kernel does not let it."""
    user, group = os.getuid(), os.getgid()
    new_users, new_mounts = 0x10000000, 0x00020000
    _must(_libc.unshare(new_users | new_mounts))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _must(_libc.mount(b"tmpfs", bytes(folder), b"tmpfs", ctypes.c_ulong(0), f"size={size}".encode()))


def _must(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
