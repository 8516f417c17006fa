"""File formats of objects: one table row for each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from get3d.export.gltf import write_glb
from get3d.export.material_mesh import MaterialMesh
from get3d.export.obj import companions, write_obj
from get3d.export.ply import write_ply
from get3d.export.printing import write_3mf, write_stl
from get3d.export.usd import write_usdz
from get3d.files import InputError
from get3d.materials import BASE_COLOR

__all__ = ["FORMATS", "files_of", "require_savable", "write"]

PRINT_SIZE = 100.0
"""Default longest side of prints in millimetres."""


def _only_itself(stem: str, channels: Sequence[str]) -> list[str]:
    return []


@dataclass(frozen=True)
class _Format:
    """A format.

    Attributes:
        write: writes an object to a path; one for printing, with the longest side in millimetres.
        print: whether it is for printing.
        companions: names of the files written together with `<stem>.<suffix>`, for textures of the named channels.
        package: what must be installed for it, and the extra that has it.
    """

    write: Callable[..., None]
    print: bool = False
    companions: Callable[[str, Sequence[str]], list[str]] = _only_itself
    package: tuple[str, str] | None = None


_FORMATS: dict[str, _Format] = {
    ".glb": _Format(write_glb),
    ".obj": _Format(write_obj, companions=companions),
    ".ply": _Format(write_ply),
    ".stl": _Format(write_stl, print=True),
    ".3mf": _Format(write_3mf, print=True),
    ".usdz": _Format(write_usdz, package=("pxr", "usd")),
}

FORMATS = tuple(_FORMATS)


def write(textured: MaterialMesh, path: Path, size: float | None) -> None:
    """Writes an object; see `TexturedMesh.save`.

    Raises:
        InputError: as `require_savable`, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    require_savable(suffix, size, path)
    row = _FORMATS[suffix]
    if row.print:
        row.write(textured, path, PRINT_SIZE if size is None else size)
    else:
        row.write(textured, path)


def require_savable(suffix: str, size: float | None, where: object) -> None:
    """Checks that objects can be written in a format, before any is made.

    Args:
        suffix: suffix of the format, for example ".glb".
        size: requested longest side in millimetres, or None.
        where: the file or option, for the message.

    Raises:
        InputError: there is no such format, the format has no size, the size is not a length, or the package that
            writes the format is missing.
    """
    row = _FORMATS.get(suffix)
    if row is None:
        raise InputError(f"{where}: unknown format {suffix!r}; end the name in one of {', '.join(FORMATS)}")
    if row.package is not None and find_spec(row.package[0]) is None:
        raise InputError(f"{where}: {suffix} needs another package; pip install 'get3d[{row.package[1]}]'")
    if size is not None and not row.print:
        printed = " or ".join(name for name, other in _FORMATS.items() if other.print)
        raise InputError(f"{where}: a size of {size:g} mm is for printing, and {suffix} has no size; use {printed}")
    if size is not None and not (math.isfinite(size) and size > 0):
        raise InputError(f"{where}: a size of {size:g} mm is not a length; give the longest side in millimetres")


def files_of(stem: str, suffix: str, channels: Sequence[str] = (BASE_COLOR,)) -> list[str]:
    """The names of the files that `TexturedMesh.save` writes for `<stem>.<suffix>`.

    Args:
        stem: the name without its suffix.
        suffix: the format, for example "glb".
        channels: channels with a texture.
    """
    return [f"{stem}.{suffix}", *_FORMATS[f".{suffix}"].companions(stem, channels)]
