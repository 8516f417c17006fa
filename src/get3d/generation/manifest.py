"""`shapes.json`: the objects in a folder, how to make them again, and which files get3d wrote."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from get3d.files import FORMAT, InputError, read_json, require_format, require_names, write_json

__all__ = ["MANIFEST", "begin_manifest", "extend_manifest", "finish_manifest", "read_manifest"]

MANIFEST = "shapes.json"

_ANOTHER = "it is not a list of shapes of this version; choose another --out, or move it away"


def read_manifest(path: Path, remedy: str = _ANOTHER) -> dict[str, Any]:
    """Reads a `shapes.json`.

    Raises:
        InputError: it cannot be read, or has another format.
    """
    return require_format(read_json(path), path, remedy)


def begin_manifest(out: Path, names: Iterable[str], description: dict[str, Any] | None = None) -> dict[str, str | None]:
    """Records in a folder which files will be written, before any is written.

    A later command then knows them even if this one is stopped. An existing file that is not in the manifest belongs to
    somebody else: it may be replaced, but is never removed.

    Args:
        out: the folder.
        names: names of all files that may be written, relative to the folder.
        description: other content of the manifest; by default the previous one.

    Returns:
        The files in the previous manifest with their digests; None for a file that may be incomplete.

    Raises:
        InputError: there is a `shapes.json` of another program, or it cannot be written.
    """
    path = out / MANIFEST
    before: dict[str, Any] = read_manifest(path) if path.exists() else {}
    files = before.get("files", {})
    if not isinstance(files, dict) or not all(value is None or isinstance(value, str) for value in files.values()):
        raise InputError(f"{path}: its `files` is not a table of digests; {_ANOTHER}")
    require_names(list(files), f"{path}: files")
    new = {name: None for name in names if name not in files and not (out / name).exists()}
    write_json(path, (before if description is None else description) | {"format": FORMAT, "files": files | new})
    return files


def finish_manifest(
    out: Path,
    names: Iterable[str],
    description: dict[str, Any],
    before: dict[str, str | None],
    console: Console,
) -> None:
    """Removes the files of an earlier command, and records the files of this one.

    Args:
        out: the folder.
        names: names of all files that may have been written.
        description: other content of the manifest.
        before: the result of `begin_manifest`.
        console: console for the names of files that were changed since an earlier command; these stay.

    Raises:
        InputError: the manifest cannot be written, or a file cannot be removed.
    """
    files = {name: _digest(out / name) for name in names if (out / name).is_file()}
    changed = []
    for name, digest in before.items():
        path = out / name
        if name in files or not path.is_file():
            continue
        if not path.parent.resolve().is_relative_to(out.resolve()) or digest not in (None, _digest(path)):
            changed.append(name)
            continue
        try:
            path.unlink()
        except OSError as error:
            raise InputError(f"{path}: cannot be removed ({error.strerror}); make its folder writable") from error
    write_json(out / MANIFEST, description | {"format": FORMAT, "files": files})
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        names = f"{', '.join(changed[:3])}{more}"
        text = f"{out}: kept, because they have changed since an earlier command wrote them: {names}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def extend_manifest(
    out: Path, names: Iterable[str], description: dict[str, Any], before: dict[str, str | None]
) -> None:
    """Says what is in a folder to which files were added, and removes none.

    Args:
        out: the folder.
        names: of the files that were written.
        description: what else the manifest says.
        before: what `begin_manifest` gave.

    Raises:
        InputError: the manifest cannot be written.
    """
    files = before | {name: _digest(out / name) for name in names if (out / name).is_file()}
    write_json(out / MANIFEST, description | {"format": FORMAT, "files": files})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
