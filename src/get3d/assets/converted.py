"""Formats read by other programs, which convert a file to .glb in a separate process with limits on time and memory.

assimp's program is taken and not its module: it gives textures that lie within a file, and what a damaged file does to
it stays in its process. Only Blender reads what Blender writes.
"""

import json
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from get3d.assets.blender import find_blender, run_in_blender
from get3d.assets.files import LIMITS, FolderResolver
from get3d.assets.gltf_scene import load_gltf
from get3d.assets.placed import Placed
from get3d.assets.programs import last_words, run_program
from get3d.color import bytes_to_linear, unit_to_bytes
from get3d.files import InputError

__all__ = ["CONVERTED", "load_converted"]

CONVERTED = (".fbx", ".3ds", ".ac", ".lwo", ".blend")
_DISPLAYED = (".3ds", ".ac", ".lwo")
"""Formats whose colours are those of a screen, sRGB; Blender writes and reads linear ones in .fbx."""
_SCRIPT = Path(__file__).with_name("blender_export.py")


def load_converted(
    path: Path, resolver: FolderResolver, max_faces: int, texture: int, blender: Path | None
) -> list[Placed]:
    """The shapes of a file in one of the formats of `CONVERTED`.

    Args:
        path: the file.
        resolver: gives the textures that it names, and notes what is missing of them.
        max_faces: most faces that are accepted.
        texture: side in texels to which larger textures are reduced.
        blender: the Blender program, or a Python that has the module bpy; None: the Blender installed.

    Raises:
        InputError: the program that reads it is not there, fails, or takes too long.
    """
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "made.glb"
        if path.suffix.lower() == ".blend":
            _by_blender(path, made, resolver, find_blender(blender))
        else:
            _by_assimp(path, made)
        return load_gltf(made, resolver, max_faces, texture)


def _by_assimp(path: Path, made: Path) -> None:
    program = shutil.which("assimp")
    if program is None:
        raise InputError(
            f"reading {path.suffix} needs the program assimp: apt install assimp-utils, or brew install assimp"
        )
    # A copy in a folder of its own, so that the program can open no other file.
    copy = made.with_name(f"model{path.suffix.lower()}")
    shutil.copyfile(path, copy)
    run = run_program([program, "export", copy.name, made.name, "-fglb2"], made.parent, "assimp", LIMITS.seconds)
    if not made.is_file():
        raise InputError(f"assimp cannot read it ({last_words(run)}); export it as .glb")
    if path.suffix.lower() in _DISPLAYED:
        _make_linear(made)


def _by_blender(path: Path, made: Path, resolver: FolderResolver, program: Path) -> None:
    job = {"blend": str(path.absolute()), "root": str(resolver.root), "out": str(made), "report": f"{made}.json"}
    (made.with_suffix(".job")).write_text(json.dumps(job), encoding="utf-8")
    run = run_in_blender(program, _SCRIPT, made.with_suffix(".job"), LIMITS.seconds)
    report = Path(job["report"])
    found = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    if "refused" in found:
        raise InputError(str(found["refused"]))
    if not made.is_file():
        raise InputError(f"Blender cannot read it ({last_words(run)}); export it as .glb")
    resolver.missing += [str(name) for name in found.get("missing", [])]


def _make_linear(path: Path) -> None:
    """Converts the base colours that assimp copies unchanged from sRGB to linear, as glTF requires."""
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    header = json.loads(content[20 : 20 + length])
    for material in header.get("materials", []):
        glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
        for layer, key in ((material.get("pbrMetallicRoughness", {}), "baseColorFactor"), (glossy, "diffuseFactor")):
            if key in layer:
                layer[key][:3] = _linear(layer[key][:3])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    path.write_bytes(
        struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest
    )


def _linear(color: Any) -> list[float]:
    return bytes_to_linear(unit_to_bytes(np.array(color, float))).tolist()
