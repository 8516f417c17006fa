"""Finds models in a folder or a list, and their names in the dataset."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from get3d.assets.loading import SUFFIXES
from get3d.files import InputError, contained, require_name

__all__ = ["Found", "Source", "find_models"]

_GENERIC = ("model", "models", "model_normalized", "scene", "mesh", "meshes", "source")
"""Generic names: such a file gets the name of its folder, as ShapeNet's <synset>/<model>/model.obj."""
_LONGEST_LIST = 2**26
"""Bytes of a list of files."""
_FOREIGN = (
    *(".3mf", ".abc", ".c4d", ".ma", ".max", ".mb", ".skp", ".step", ".stp"),
    *(".usd", ".usda", ".usdc", ".vrm", ".wrl", ".x3d", ".zip"),
)
"""Formats of models that are not read; such files are reported."""


@dataclass(frozen=True)
class Source:
    """A model to render.

    Attributes:
        name: name of the object in the dataset.
        file: path relative to the folder, with `/`.
    """

    name: str
    file: str


@dataclass(frozen=True)
class Found:
    """The content of a folder or a list.

    Attributes:
        root: the folder that must contain all files.
        sources: models, in the order of their files.
        refused: the reason for each of the other files.
    """

    root: Path
    sources: list[Source]
    refused: dict[str, str]


def find_models(assets: Path) -> Found:
    """Finds the models of a folder and its subfolders, of a list of files, or a single one.

    A list has one file per line, relative to the list or absolute. Files must be in the folder of the list.

    Raises:
        InputError: there is no such folder or list, or it names no model.
    """
    refused: dict[str, str] = {}
    if assets.is_dir():
        root, files = assets, _walk(assets, refused)
    elif assets.suffix.lower() in (*SUFFIXES, *_FOREIGN):
        root, files = assets.parent, [assets.name]
    else:
        root, files = assets.parent, _listed(assets)
    models = []
    for file in files:
        reason = _refusal(root, file)
        if reason is None:
            models.append(file)
        else:
            refused[file.encode("utf-8", "backslashreplace").decode()] = reason
    if not models and not refused:
        raise InputError(f"{assets}: holds no model; put files of the formats {', '.join(SUFFIXES)} there")
    plain = [_name(file) for file in models]
    taken = Counter(plain)
    # Of files that differ in their suffix only, or are several in one folder.
    names = [name if taken[name] == 1 else file for name, file in zip(plain, models, strict=True)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{assets}: two files would both be the object {twice[0]!r}; rename one")
    return Found(root, [Source(name, file) for name, file in zip(names, models, strict=True)], refused)


def _walk(root: Path, refused: dict[str, str]) -> list[str]:
    """The files of a folder and its folders that look like models. Links to folders elsewhere are refused by name."""
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        within = Path(place).relative_to(root)
        for name in folders:
            path = Path(place) / name
            # A link to a folder within the root is no loss: what is there is found where it lies.
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                link = (within / name).as_posix().encode("utf-8", "backslashreplace").decode()
                refused[link] = (
                    f"is a link to the folder {path.resolve()}, outside {root}; copy it, or render it separately"
                )
        wanted = (name for name in files if Path(name).suffix.lower() in (*SUFFIXES, *_FOREIGN))
        found += [(within / name).as_posix() for name in sorted(wanted) if not name.startswith(".")]
    return sorted(found)


def _listed(path: Path) -> list[str]:
    """The files of a list, relative to its folder wherever they lie in it."""
    if not path.exists():
        raise InputError(f"{path}: no such folder or list of files")
    if not path.is_file():
        raise InputError(f"{path}: is neither a folder nor a list of files; give one of these")
    try:
        if path.stat().st_size > _LONGEST_LIST:
            raise InputError(f"{path}: is longer than {_LONGEST_LIST} bytes, so it is not a list of files; split it")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a list of files, one per line ({error})") from error
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    folder = path.parent.absolute()
    files = set()
    for line in lines:
        place = Path(os.path.normpath(folder / line))
        files.add(place.relative_to(folder).as_posix() if place.is_relative_to(folder) else line)
    return sorted(files)


def _refusal(root: Path, file: str) -> str | None:
    try:
        path = contained(root, file)
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise InputError("not a name within the folder")
    except (InputError, ValueError, OSError):
        return f"leads out of the folder {root}; files must lie inside it"
    try:
        require_name(file, "its path")
        file.encode()
    except InputError as error:
        return str(error)
    except UnicodeEncodeError:
        return "its name is not in UTF-8; rename it"
    if path.suffix.lower() not in SUFFIXES:
        packed = "pack it as .usdz" if path.suffix.lower().startswith(".usd") else "export it as .glb"
        return f"the format {path.suffix or 'without a suffix'} is not supported; {packed}"
    if not path.exists():
        return "no such file"
    if not path.is_file():
        return "is not a regular file"
    return None


def _name(file: str) -> str:
    """The name of the object, always within its dataset: the file is relative, and has no `..` in it."""
    parts = list(PurePosixPath(file).with_suffix("").parts)
    while len(parts) > 1 and parts[-1].lower() in _GENERIC:
        parts.pop()
    return "/".join(parts)
