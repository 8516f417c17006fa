"""Which models there are in a folder or on a list, and what each is called in the dataset."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from get3d.assets.loading import SUFFIXES
from get3d.files import InputError

__all__ = ["Found", "Source", "find_models"]

_GENERIC = ("model", "models", "model_normalized", "scene", "mesh", "source")
"""Names that say nothing: such a file takes the name of its folder, as ShapeNet's <synset>/<model>/model.obj."""
_FOREIGN = (
    *(".3ds", ".3mf", ".abc", ".blend", ".c4d", ".fbx", ".ma", ".max", ".mb", ".skp", ".step", ".stp"),
    *(".usd", ".usda", ".usdc", ".vrm", ".wrl", ".x3d", ".zip"),
)
"""Models in formats that are not read, so that none is passed over in silence."""


@dataclass(frozen=True)
class Source:
    """A model to render.

    Attributes:
        name: of the object in the dataset.
        file: relative to the folder, with `/` between.
    """

    name: str
    file: str


@dataclass(frozen=True)
class Found:
    """What a folder or a list holds.

    Attributes:
        root: the folder that all files must lie in.
        sources: models, in the order of their files.
        refused: why each of the other files cannot be one.
    """

    root: Path
    sources: list[Source]
    refused: dict[str, str]


def find_models(assets: Path) -> Found:
    """The models of a folder and its folders, of a list of files (one a line, relative to the list), or a single one.

    Raises:
        InputError: there is no such folder or list, or it names no model.
    """
    if assets.is_dir():
        root, files = assets, _walk(assets)
    elif assets.suffix.lower() in (*SUFFIXES, *_FOREIGN):
        root, files = assets.parent, [assets.name]
    else:
        root, files = assets.parent, _listed(assets)
    refused = {}
    models = []
    for file in files:
        reason = _refusal(root, file)
        if reason is None:
            models.append(file)
        else:
            refused[file] = reason
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


def _walk(root: Path) -> list[str]:
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        within = Path(place).relative_to(root)
        wanted = (name for name in files if Path(name).suffix.lower() in (*SUFFIXES, *_FOREIGN))
        found += [(within / name).as_posix() for name in sorted(wanted) if not name.startswith(".")]
    return sorted(found)


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such folder or list of files") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no list of files, one a line ({error})") from error
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return sorted({Path(os.path.normpath(line)).as_posix() for line in lines})


def _refusal(root: Path, file: str) -> str | None:
    path = root / file
    if not path.resolve().is_relative_to(root.resolve()):
        return f"leads out of the folder {root}; files must lie inside it"
    if path.suffix.lower() not in SUFFIXES:
        return f"the format {path.suffix or 'without a suffix'} is not supported; export it as .glb"
    if not path.is_file():
        return "no such file"
    return None


def _name(file: str) -> str:
    parts = list(PurePosixPath(file).with_suffix("").parts)
    while len(parts) > 1 and parts[-1].lower() in _GENERIC:
        parts.pop()
    return "/".join(parts)
