"""A lock that allows one process at a time in a folder. Machines that share the folder see it too.

The lock is a file that names its holder. The holder also locks it with the operating system (flock). That lock ends
with the process, so a dead holder on the same machine is recognised. Shared file systems need not pass such locks on.
For a holder on another machine, the content of the file counts until a user says that the holder has ended.
"""

import fcntl
import json
import os
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from get3d.files import InputError, parse_json

__all__ = ["LOCK", "FolderLock", "lock_folder"]

LOCK = "run.lock"
"""Name of the lock file."""

_LARGEST = 4096
"""Maximum bytes that are read from a lock file."""


@dataclass(frozen=True)
class _Holder:
    """The process that a lock's file names.

    Attributes:
        host: its machine's name.
        pid: its number there.
        started: when it was started, in seconds since the epoch, since numbers are used again.
        since: when it took the lock.
    """

    host: str
    pid: int
    started: float
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    @property
    def runs_here(self) -> bool:
        """Whether it is of this machine, and goes on."""
        with suppress(psutil.NoSuchProcess):
            return self.host == socket.gethostname() and abs(_started(self.pid) - self.started) < 1
        return False


@dataclass(frozen=True)
class FolderLock:
    """A lock that this process holds.

    Attributes:
        path: its file.
        descriptor: descriptor of the open file; closing it releases the system lock.
        taken_from: the ended process that had left the lock; None if there was none.
    """

    path: Path
    descriptor: int
    taken_from: str | None = None

    def release(self) -> None:
        """Removes the lock, unless another process has taken it over meanwhile."""
        with suppress(OSError):
            if _is_at(self.descriptor, self.path):
                self.path.unlink()
        os.close(self.descriptor)


def lock_folder(folder: Path, *, take_over: bool) -> FolderLock:
    """Locks a folder for this process.

    A lock is taken over if its holder was on this machine and has ended.

    Args:
        folder: an existing folder.
        take_over: also take a lock whose holder was on another machine, so that it cannot be checked whether it has
            ended. A holder that is known to be running keeps its lock.

    Raises:
        InputError: another process holds the lock (the message names it and its machine), or the folder cannot be
            written to.
    """
    path = folder / LOCK
    try:
        while True:
            descriptor = _created(path)
            if descriptor is not None:
                return FolderLock(path, descriptor)
            lock = _taken_over(path, take_over)
            if lock is not None:
                return lock
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def _created(path: Path) -> int | None:
    """The new lock's file, which appears with its content, and locked; None where there is one already."""
    descriptor, name = tempfile.mkstemp(prefix=".lock.", dir=path.parent)
    try:
        _write(descriptor)
        _lock(descriptor)
        try:
            os.link(name, path)
        except FileExistsError:
            os.close(descriptor)
            return None
        except OSError:
            # Without hard links, only that a file of the name is new can be had at once.
            os.close(descriptor)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                return None
            _lock(descriptor)
            _write(descriptor)
        return descriptor
    finally:
        Path(name).unlink()


def _taken_over(path: Path, take_over: bool) -> FolderLock | None:
    """The lock that a process left; None where it has just been released."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        free = _lock(descriptor)
        if not _is_at(descriptor, path):
            os.close(descriptor)
            return None
        holder = _read(descriptor, path)
        if not free or (holder is not None and holder.runs_here):
            who = "another process" if holder is None else str(holder)
            raise InputError(f"{path.parent}: is in use by {who}; wait until it ends, or choose another --out")
        if not take_over and (holder is None or holder.host != socket.gethostname()):
            who = "is damaged" if holder is None else f"was left by {holder}"
            raise InputError(
                f"{path}: {who}, and it cannot be checked from here whether that process has ended; "
                "if you know that it has, repeat with --take-over"
            )
        _write(descriptor)
        return FolderLock(path, descriptor, str(holder or "an unknown process"))
    except InputError:
        os.close(descriptor)
        raise


def _lock(descriptor: int) -> bool:
    """Whether nobody else on this machine has it; where the file system knows no locks, nobody has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = _Holder(socket.gethostname(), os.getpid(), _started(os.getpid()), now)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
    os.fsync(descriptor)


def _read(descriptor: int, path: Path) -> _Holder | None:
    try:
        values = parse_json(os.pread(descriptor, _LARGEST, 0).decode("utf-8", "replace"), path)
        return _Holder(str(values["host"]), int(values["pid"]), float(values["started"]), str(values["since"]))
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _started(pid: int) -> float:
    return float(psutil.Process(pid).create_time())
