"""Reading and writing that never leaves half a file behind, and the one error that bad input gets."""

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["InputError", "contained", "not_written", "read_json", "require_writable", "write_json", "writing"]


class InputError(ValueError):
    """What a user gave cannot be used. The message names the file or option, the value, and the fix."""


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


def read_json(path: Path | str) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
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
