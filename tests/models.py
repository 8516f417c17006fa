"""Small models as other programs write them, in many formats, for the tests of `get3d render`."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

RED, GREEN, BLUE = (220, 30, 20), (30, 200, 40), (20, 40, 210)
FORMATS = ("glb", "gltf", "obj", "ply", "stl", "off", "dae", "usdz")


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
    elif path.suffix == ".usdz":
        body = wedge()
        points = ", ".join(f"({x!r}, {y!r}, {z!r})" for x, y, z in body.vertices.tolist())
        corners = ", ".join(map(str, body.faces.ravel().tolist()))
        counts = ", ".join("3" for _ in body.faces)
        text = (
            f"point3f[] points = [{points}]\nint[] faceVertexCounts = [{counts}]\nint[] faceVertexIndices = [{corners}]"
        )
        write_usdz(path, f'def Mesh "wedge" {{\n{text}\n}}')
    else:
        wedge().export(path)
    return path


def write_usdz(path: Path, text: str, *, up: str = "Y", files: Sequence[tuple[str, bytes]] = ()) -> Path:
    """A package of a layer of the text, and files: a plain archive whose contents begin at multiples of 64 bytes."""
    layer = f'#usda 1.0\n(\n    upAxis = "{up}"\n    defaultPrim = "root"\n)\ndef Xform "root" {{\n{text}\n}}\n'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("scene.usda", layer.encode()), *files):
            entry = zipfile.ZipInfo(name)
            start = archive.fp.tell() + 30 + len(name) + 4
            entry.extra = struct.pack("<HH", 0x1986, -start % 64) + b"\0" * (-start % 64)
            archive.writestr(entry, content)
    return path


def square(side: float = 1.0, z: float = 0.0, tiles: float = 1.0) -> dict[str, np.ndarray]:
    """A square of constant z that faces −Z, where the camera of azimuth 0 stands; u runs to that camera's right."""
    half = side / 2
    return {
        "vertices": np.array([[half, -half, z], [-half, -half, z], [-half, half, z], [half, half, z]]),
        "faces": np.array([[0, 1, 2], [0, 2, 3]]),
        "uv": np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * tiles,
    }


def textured(arrays: dict[str, np.ndarray], image: np.ndarray, **material: object) -> trimesh.Trimesh:
    """A mesh with a glTF material."""
    pbr = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image), metallicFactor=0.0, **material)
    visual = trimesh.visual.TextureVisuals(uv=arrays["uv"], material=pbr)
    return trimesh.Trimesh(arrays["vertices"], arrays["faces"], visual=visual, process=False)


def plain(color: tuple[int, ...], side: int = 2) -> np.ndarray:
    """An image of one colour."""
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


def png(image: np.ndarray) -> bytes:
    """An image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def edit_gltf(path: Path, **changes: object) -> Path:
    """Changes the header of a .gltf."""
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | changes))
    return path
