"""Objects as Wavefront .obj, with an .mtl and a PNG for each texture."""

import hashlib
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from get3d.export.encoding import png_bytes
from get3d.export.material_mesh import MaterialMesh
from get3d.export.welded import WeldedMesh
from get3d.files import writing
from get3d.materials import BASE_COLOR, CHANNELS

__all__ = ["companions", "write_obj"]


def write_obj(textured: MaterialMesh, path: Path) -> None:
    """Writes an .obj and its companion files in the same folder.

    Positions, texture coordinates and normals have separate indices, so a closed surface stays closed at texture seams.
    """
    stem = _plain_name(path.stem)
    images = {
        _image_name(stem, name): png_bytes(texture)
        for name, texture in textured.textures.items()
        if CHANNELS[name].mtl is not None
    }
    contents = {f"{stem}.mtl": _material(textured, stem).encode("ascii"), **images}
    # All are written before the first is renamed; the one that names the others comes last.
    with ExitStack() as stack:
        shape = stack.enter_context(writing(path))
        for name, content in contents.items():
            stack.enter_context(writing(path.with_name(name))).write_bytes(content)
        shape.write_text(_shape(WeldedMesh.of(textured), f"{stem}.mtl"), encoding="ascii")


def companions(stem: str, channels: Sequence[str]) -> list[str]:
    """Names of the files written together with `<stem>.obj` for an object with textures of these channels."""
    plain = _plain_name(stem)
    return [f"{plain}.mtl", *(_image_name(plain, name) for name in channels if CHANNELS[name].mtl is not None)]


def _shape(welded: WeldedMesh, material_file: str) -> str:
    corners = torch.stack([welded.position, welded.place, welded.normal], dim=2).flatten(1) + 1
    lines = [
        f"mtllib {material_file}",
        "o object",
        *_lines("v %.9g %.9g %.9g", welded.positions),
        *_lines("vt %.9g %.9g", welded.uv),
        *_lines("vn %.6g %.6g %.6g", welded.normals),
        "usemtl surface",
        *_lines("f %d/%d/%d %d/%d/%d %d/%d/%d", corners),
    ]
    return "\n".join(lines) + "\n"


def _material(textured: MaterialMesh, stem: str) -> str:
    lines = ["newmtl surface", "Ka 0 0 0", "Ks 0 0 0", "illum 1"]
    maps = []
    for channel in CHANNELS.values():
        if channel.mtl is None:
            continue
        painted = channel.name in textured.textures
        if painted:
            maps.append(f"{channel.mtl.map} {_image_name(stem, channel.name)}")
        if channel.mtl.value is not None:
            # The format does not say how colours are encoded; Blender reads and writes them linear.
            numbers = [1.0] * channel.components if painted else textured.linear_constant(channel.name)
            lines.append(f"{channel.mtl.value} {' '.join(f'{number:.6g}' for number in numbers)}")
    return "\n".join([*lines, *maps]) + "\n"


def _image_name(stem: str, channel: str) -> str:
    return f"{stem}.png" if channel == BASE_COLOR else f"{stem}_{channel}.png"


def _plain_name(stem: str) -> str:
    """The stem itself where every reader of .obj and .mtl takes it as one word, otherwise a plain one of its own."""
    if re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", stem):
        return stem
    digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9_.]+", "_", stem) + "_" + digest


def _lines(form: str, rows: Tensor) -> list[str]:
    return [form % tuple(row) for row in rows.tolist()]
