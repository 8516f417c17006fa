"""Reading and writing that never leaves half a file behind, and the one error that bad input gets."""

import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "FORMAT",
    "InputError",
    "contained",
    "make_name",
    "not_written",
    "parse_json",
    "read_json",
    "require_format",
    "require_name",
    "require_names",
    "require_space",
    "require_writable",
    "write_json",
    "writing",
]

FORMAT = 1
"""Of the files that this program writes: runs, checkpoints, models, datasets, lists of shapes. It reads no other."""

_LARGEST_JSON = 2**30
_HUGE = re.compile(r"[eE]\+?\d{3}|\d{19}")
"""In JSON: what may be a number that is not finite or does not fit in 64 bits."""

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


def read_json(path: Path | str, *, finite: bool = True) -> Any:
    """Reads a JSON file, as `parse_json` takes it, of at most 1 GiB.

    Args:
        path: the file.
        finite: whether numbers that are not finite are refused, and not left to the caller.

    Raises:
        InputError: the file is missing, larger, no file, or no JSON that can be used.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is not a file; give a JSON file")
        if status.st_size > _LARGEST_JSON:
            raise InputError(f"{path}: has {status.st_size} bytes; a JSON file may have {_LARGEST_JSON}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not readable JSON ({error}); write it again or restore it") from error
    return parse_json(text, path, finite=finite)


def parse_json(text: str, where: object, *, finite: bool = True) -> Any:
    """The value of a JSON text whose numbers are finite and fit in 64 bits, and whose texts have no NUL.

    Args:
        text: from a file that may be a stranger's.
        where: the file, for the message.
        finite: whether numbers that are not finite are refused.

    Raises:
        InputError: it is no such text, or is nested too deeply.
    """
    # Callbacks for each number make reading slow, so only texts that may have such numbers get them.
    number = _finite if finite else float
    checks: dict[str, Any] = {"parse_float": number, "parse_int": _short} if _HUGE.search(text) else {}
    try:
        if "\\u0000" in text:
            raise ValueError("a text in it has a NUL character")
        return json.loads(text, parse_constant=number, **checks)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{where}: is not readable JSON ({why}); write it again or restore it") from error


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _short(text: str) -> int:
    # The length is compared first, since Python refuses to convert thousands of digits.
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError(f"{text[:20]}… is too large a number")
    return value


def require_format(values: Any, where: object, remedy: str, wanted: int = FORMAT) -> dict[str, Any]:
    """The same table, if it says that it has the format that this program reads.

    Args:
        values: what was read.
        where: the file, for the message.
        remedy: what to do about another format.
        wanted: the number of the format.

    Raises:
        InputError: it is no table, or says another number or none.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: is a {type(values).__name__}, not a table; {remedy}")
    found = values.get("format")
    if type(found) is not int or found != wanted:
        said = "says no format" if found is None else f"format is {found!r}"
        raise InputError(f"{where}: {said}, this program reads {wanted}; {remedy}")
    return values


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


def require_space(folder: Path | str, needed: int, what: str) -> None:
    """Sees to it that a disk has room for what will be written, before any work starts.

    Args:
        folder: where it will be; may not be there yet.
        needed: bytes.
        what: takes them, for the message.

    Raises:
        InputError: the disk has less room.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{folder}: has {free / 1e6:.1f} MB free, and {what} take {needed / 1e6:.1f} MB more than are there; "
            "free some space or choose another --out"
        )


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
