"""Reading untrusted files, writing files completely or not at all, and the one error for bad input."""

import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "FORMAT",
    "InputError",
    "contained",
    "make_name",
    "not_written",
    "open_file",
    "parse_json",
    "read_json",
    "read_text",
    "require_format",
    "require_name",
    "require_names",
    "require_space",
    "require_writable",
    "text_lines",
    "write_json",
    "writing",
]

MOST_TEXT = 2**28
"""Maximum size in bytes of a text file that is read at once."""
LONGEST_LINE = 2**24
"""Maximum characters per line, for files that are read line by line."""
FORMAT = 1
"""Format number of runs, checkpoints, models, datasets and shape lists. Files of another format are refused."""

_HUGE = re.compile(r"[eE]\+?\d{3}|\d{19}")
"""In JSON: what may be a number that is not finite or does not fit in 64 bits."""

NAME_BYTES = 200
"""Longest part of a name: a file may be called 255 bytes, and suffixes and marks of unfinished files are added."""

_NOT_A_NAME = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x09\x0b-\x1f\x7f\\]", re.MULTILINE)
"""In names, one a line: a part that is empty, `.` or `..`, or a character that no name has on every system."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InputError(ValueError):
    """User input that cannot be used. The message names the file or option, the value, and the fix.

    It is one line: breaks and other control characters, which values from files may have, stand in it as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), message))


@contextmanager
def writing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, and renames it to `path` if the block succeeds.

    If the block fails, the temporary file is removed. It has the suffix of `path`, for writers that choose a format by
    suffix. Missing parent folders are made.

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
    """The error for a file that cannot be written."""
    return InputError(f"{path}: not written ({why}); free some space or choose another folder")


_asking = threading.Lock()


def _umask() -> int:
    with _asking:  # It can only be read by being changed, and it is the whole process's.
        mask = os.umask(0)
        os.umask(mask)
    return mask


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` as indented JSON, completely or not at all."""
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
    """Reads an untrusted text file: UTF-8, with or without a byte order mark, at most 256 MiB.

    Raises:
        InputError: the file is missing, cannot be read, is too large, has another encoding, or contains NUL characters.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            content = file.read(MOST_TEXT + 1)
    except OSError as error:
        raise _not_read(path, error) from error
    if len(content) > MOST_TEXT:
        raise InputError(f"{path}: is larger than {MOST_TEXT >> 20} MiB, the maximum; split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, content[:2], f"it has the byte 0x{content[error.start]:02x} at {error.start}") from error
    if "\0" in text:
        raise _not_utf8(path, content[:2], f"it has a NUL character at {text.index(chr(0))}")
    return text


@contextmanager
def text_lines(path: Path | str, most: int) -> Iterator[Iterator[str]]:
    """Yields the lines of an untrusted text file, read one by one: UTF-8, with or without a byte order mark.

    Lines keep their ends. The file is closed with the block, also when not all lines are read.

    Args:
        path: the file.
        most: maximum number of lines.

    Raises:
        InputError: the file is missing, cannot be read, has too many or too long lines, has another encoding, or
            contains NUL characters.
    """
    with closing(_lines(Path(path), most)) as lines:
        yield lines


def _lines(path: Path, most: int) -> Generator[str, None, None]:
    try:
        with open_file(path) as binary:
            first = binary.read(2)
            binary.seek(0)
            number = 0
            with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    if number > most:
                        raise InputError(f"{path}: has more than {most:,} lines, the maximum; split it")
                    if len(line) == LONGEST_LINE:
                        raise InputError(f"{path}: line {number} is longer than {LONGEST_LINE:,} characters")
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


def read_json(path: Path | str, *, finite: bool = True) -> Any:
    """Reads a JSON file of at most 256 MiB; see `parse_json`.

    Args:
        path: the file.
        finite: refuse numbers that are not finite.

    Raises:
        InputError: the file is missing, too large, not a file, or not usable JSON.
    """
    return parse_json(read_text(path), path, finite=finite)


def parse_json(text: str, where: object, *, finite: bool = True) -> Any:
    """Parses untrusted JSON. Numbers must be finite and fit in 64 bits, and strings must not contain NUL.

    Args:
        text: the JSON text.
        where: the file, for the message.
        finite: refuse numbers that are not finite.

    Raises:
        InputError: the text is not such JSON, or is nested too deeply.
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
        raise ValueError(f"{text[:20]}… is too large")
    return value


def require_format(values: Any, where: object, remedy: str, wanted: int = FORMAT) -> dict[str, Any]:
    """Returns a JSON object after checking its format number.

    Args:
        values: the JSON value.
        where: the file, for the message.
        remedy: the fix for another format.
        wanted: the expected number.

    Raises:
        InputError: the value is not an object, or its format number is missing or another.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: is a {type(values).__name__}, not a table; {remedy}")
    found = values.get("format")
    if type(found) is not int or found != wanted:
        said = "has no format number" if found is None else f"format is {found!r}"
        raise InputError(f"{where}: {said}, this version reads {wanted}; {remedy}")
    return values


def require_writable(folder: Path | str) -> Path:
    """Makes `folder` if it is missing, and checks that a file can be written there, before any work starts.

    Raises:
        InputError: the folder cannot be made or written to.
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
    """Checks that a disk has enough free space, before any work starts.

    Args:
        folder: the folder to write to; it need not exist yet.
        needed: bytes that will be written.
        what: what will be written, for the message.

    Raises:
        InputError: the disk has less free space.
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
    """The path `root / name`, for a relative path from an untrusted file.

    Raises:
        InputError: the path leads out of `root`, directly or through a link.
    """
    root = Path(root)
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{root}: the path {name!r} leads out of this folder; files must lie inside it")
    return path


def require_names(names: Sequence[str], where: object) -> None:
    """Checks that names can be appended to a folder and stay inside it: relative, with `/` between their parts.

    Every name of an object, an image, a class or a shape from a file or an option is checked here, or made by
    `make_name`. Millions of names take a second.

    Args:
        names: relative names of files or folders.
        where: the file or option with the names, for the message.

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
    """Returns a name after checking it with `require_names`.

    Raises:
        InputError: the name is not valid.
    """
    require_names([name], where)
    return name


def make_name(text: str) -> str:
    """Makes a name that `require_names` accepts from any text, such as a path in a list.

    Valid names are unchanged. Drives, leading and doubled slashes and the parts `.` and `..` are left out,
    other invalid characters become `-`, and long parts are shortened and end in a digest of the complete part.
    Different texts can give the same name.
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
