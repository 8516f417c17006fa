"""Small models as strangers make them, in many formats, for the tests of `get3d render`."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

RED, GREEN, BLUE = (220, 30, 20), (30, 200, 40), (20, 40, 210)
FORMATS = ("glb", "gltf", "obj", "ply", "stl", "off", "dae")


def wedge() -> trimesh.Trimesh:
    """A closed body that equals none of its mirror images: sides 1, 2 and 3, with one corner cut off."""
    box = trimesh.creation.box((1, 2, 3))
    return trimesh.convex.convex_hull(np.concatenate([box.vertices[:-1], [[0.1, 1.0, 1.5], [0.5, 0.2, 1.5]]]))


def save_wedge(path: Path) -> Path:
    """The wedge in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gltf":
        for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(wedge())).items():
            (path if name == "model.gltf" else path.with_name(name)).write_bytes(content)
    else:
        wedge().export(path)
    return path


def square(side: float = 1.0, z: float = 0.0, tiles: float = 1.0) -> dict[str, np.ndarray]:
    """A square of constant z that faces −Z, where the camera of azimuth 0 stands; u runs to that camera's right."""
    half = side / 2
    return {
        "vertices": np.array([[half, -half, z], [-half, -half, z], [-half, half, z], [half, half, z]]),
        "faces": np.array([[0, 1, 2], [0, 2, 3]]),
        "uv": np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * tiles,
    }


def textured(arrays: dict[str, np.ndarray], picture: np.ndarray, **material: object) -> trimesh.Trimesh:
    """A mesh with a glTF material."""
    pbr = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture), metallicFactor=0.0, **material)
    visual = trimesh.visual.TextureVisuals(uv=arrays["uv"], material=pbr)
    return trimesh.Trimesh(arrays["vertices"], arrays["faces"], visual=visual, process=False)


def plain(color: tuple[int, ...], side: int = 2) -> np.ndarray:
    """A picture of one colour."""
    return np.full((side, side, len(color)), color, np.uint8)


OBJ_SQUARE = """mtllib {mtllib}
v 0.5 -0.5 0
v -0.5 -0.5 0
v -0.5 0.5 0
v 0.5 0.5 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl paint
f 1/1 2/2 3/3 4/4
"""


def write_obj(folder: Path, *, mtllib: str = "paint.mtl", mtl: str | None = None, name: str = "model.obj") -> Path:
    """A square in OBJ with its material beside."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(OBJ_SQUARE.format(mtllib=mtllib))
    if mtl is not None:
        (folder / "paint.mtl").write_text("newmtl paint\nKd 0.2 0.4 0.8\n" + mtl)
    return folder / name


def bomb(side: int = 30_000) -> bytes:
    """A PNG file of a few bytes that says it holds side × side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head, rows = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png(picture: np.ndarray) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def edit_gltf(path: Path, **changes: object) -> Path:
    """Changes the header of a .gltf."""
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | changes))
    return path
