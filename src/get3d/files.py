"""Reading and writing that never leaves half a file behind, and the one error that bad input gets."""

import errno
import io
import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "InputError",
    "contained",
    "not_written",
    "open_file",
    "read_json",
    "read_text",
    "require_writable",
    "text_lines",
    "write_json",
    "writing",
]

_MOST_TEXT = 2**28
"""Bytes of a text file that is read as a whole."""
_LONGEST_LINE = 2**24
"""Characters of a line, for files that are read line by line."""


class InputError(ValueError):
    """What a user gave cannot be used. The message names the file or option, the value, and the mend."""


@contextmanager
def writing(path: Path | str) -> Iterator[Path]:
    """Gives a path beside `path` to write to; renames it to `path` when the block ends well, removes it otherwise.

    The name keeps the suffix of `path`, so writers that choose a format by suffix work. Missing parent folders
    are made.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise not_written(path, error.strerror) from error
    finally:
        # Where a disk has become read-only meanwhile, it stays, and what went wrong is told.
        with suppress(OSError):
            temporary.unlink()


def not_written(path: Path | str, why: str | None) -> InputError:
    """What to raise where a file cannot be written."""
    return InputError(f"{path}: not written ({why}); free some space or choose another folder")


_asking = threading.Lock()


def _umask() -> int:
    with _asking:  # It can only be read by being changed, and it is the whole process's.
        mask = os.umask(0)
        os.umask(mask)
    return mask


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def open_file(path: Path | str) -> io.BufferedReader:
    """Opens a regular file for reading. A FIFO, device or socket is never waited for.

    Raises:
        OSError: there is no such file, it cannot be opened, or it is not a regular file.
    """
    # Without O_NONBLOCK, opening a FIFO waits until somebody writes to it; on regular files it has no effect.
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is a folder, pipe, device or socket, not a regular file", str(path))
    return os.fdopen(number, "rb")


def read_text(path: Path | str) -> str:
    """Reads an untrusted text file as a whole: UTF-8, with or without a byte order mark, at most 256 MiB.

    Raises:
        InputError: the file is missing, cannot be read, is too large, is in another encoding, or holds NUL characters.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            content = file.read(_MOST_TEXT + 1)
    except OSError as error:
        raise _not_read(path, error) from error
    if len(content) > _MOST_TEXT:
        raise InputError(f"{path}: is larger than {_MOST_TEXT >> 20} MiB, the most that is read; divide it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, content[:2], f"it has the byte 0x{content[error.start]:02x} at {error.start}") from error
    if "\0" in text:
        raise _not_utf8(path, content[:2], f"it has a NUL character at {text.index(chr(0))}")
    return text


def text_lines(path: Path | str, most: int) -> Iterator[str]:
    """Reads an untrusted text file line by line: UTF-8, with or without a byte order mark. Lines keep their ends.

    Args:
        path: the file.
        most: how many lines it may have.

    Raises:
        InputError: the file is missing, cannot be read, has too many or too long lines, is in another encoding, or
            holds NUL characters.
    """
    path = Path(path)
    try:
        with open_file(path) as binary:
            first = binary.read(2)
            binary.seek(0)
            number = 0
            with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
                while line := file.readline(_LONGEST_LINE):
                    number += 1
                    if number > most:
                        raise InputError(f"{path}: has more than {most:,} lines, the most that are read; divide it")
                    if len(line) == _LONGEST_LINE:
                        raise InputError(f"{path}: line {number} is longer than {_LONGEST_LINE:,} characters")
                    if "\0" in line:
                        raise _not_utf8(path, first, f"it has a NUL character in line {number}")
                    yield line
    except UnicodeDecodeError as error:
        raise _not_utf8(path, first, f"it has the byte 0x{error.object[error.start]:02x}") from error
    except OSError as error:
        raise _not_read(path, error) from error


def _not_read(path: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file")
    return InputError(f"{path}: cannot be read ({error.strerror or error}); restore it")


def _not_utf8(path: Path, first: bytes, found: str) -> InputError:
    found = "it is UTF-16" if first in (b"\xff\xfe", b"\xfe\xff") else found
    return InputError(f"{path}: is not UTF-8 text ({found}); save it again with the encoding UTF-8")


def read_json(path: Path | str) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(read_text(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: is not readable JSON ({error}); write it again or restore it") from error


def require_writable(folder: Path | str) -> Path:
    """Makes `folder` where it is missing and proves that a file can be written there, before any work starts.

    Raises:
        InputError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); choose another --out") from error
    return folder


def contained(root: Path | str, name: str) -> Path:
    """The file `name`, a relative path found in a stranger's file, inside `root`.

    Raises:
        InputError: the path leads out of `root`, directly or through a link.
    """
    root = Path(root)
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{root}: the path {name!r} leads out of this folder; files must lie inside it")
    return path
