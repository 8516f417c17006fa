"""Reading and writing that never leaves half a file behind, and the one error that bad input gets."""

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "InputError",
    "contained",
    "make_name",
    "not_written",
    "read_json",
    "require_name",
    "require_names",
    "require_writable",
    "write_json",
    "writing",
]

NAME_BYTES = 200
"""Longest part of a name: a file may be called 255 bytes, and suffixes and marks of unfinished files are added."""

_NOT_A_NAME = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x09\x0b-\x1f\x7f\\]", re.MULTILINE)
"""In names, one a line: a part that is empty, `.` or `..`, or a character that no name has on every system."""


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


def require_names(names: Sequence[str], where: object) -> None:
    """Sees to it that names can be appended to a folder and stay in it: relative, with `/` between their parts.

    Every name of an object, an image, a class or a shape that comes from a file or an option goes through here, or was
    made by `make_name`. It takes a second for millions of names.

    Args:
        names: one a file or folder.
        where: the file or option that they come from, for the message.

    Raises:
        InputError: a name is empty or absolute, has a part `.` or `..`, a part of more than 200 bytes, a backslash or a
            control character.
    """
    text = "\n".join(names)
    # A character takes at most 4 bytes, so that most names need not be encoded to be measured.
    longest = max(map(len, names), default=0) * (1 if text.isascii() else 4)
    if text.count("\n") == len(names) - 1 and not _NOT_A_NAME.search(text) and longest <= NAME_BYTES:
        return
    for name in names:
        if "\n" in name or _NOT_A_NAME.search(name) or any(_too_long(part) for part in name.split("/")):
            shown = repr(name if len(name) < 100 else f"{name[:100]}…")
            raise InputError(
                f"{where}: {shown} cannot be a name; give a relative one with / between its parts, none of which is "
                f"empty, . or .., longer than {NAME_BYTES} bytes, or has backslashes or control characters"
            )


def require_name(name: str, where: object) -> str:
    """The same name, if `require_names` lets it pass.

    Raises:
        InputError: it does not.
    """
    require_names([name], where)
    return name


def make_name(text: str) -> str:
    """A name that `require_names` lets pass, from any text: a path that a list names, say.

    Names that are valid stay as they are. Drives, leading and doubled slashes and the parts `.` and `..` are left out,
    characters that names cannot have become `-`, and long parts are cut and end in a digest of the whole part. Texts
    that differ may become the same name.
    """
    parts = re.sub(r"^[A-Za-z]:(?=[\\/])", "", text).replace("\\", "/").split("/")
    return "/".join(_made_part(part) for part in parts if part not in ("", ".", "..")) or "unnamed"


def _made_part(part: str) -> str:
    plain = re.sub(r"[\x00-\x1f\x7f]", "-", part)
    if not _too_long(plain):
        return plain
    encoded = plain.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(encoded, digest_size=6).hexdigest()
    return f"{encoded[: NAME_BYTES - 13].decode('utf-8', 'ignore')}-{digest}"


def _too_long(part: str) -> bool:
    return len(part.encode("utf-8", "surrogatepass")) > NAME_BYTES
