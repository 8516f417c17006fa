"""A finished object, mesh and texture, and the files that other programs open: .glb, .obj and .ply."""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from get3d.export.repair import weld
from get3d.export.report import mesh_report
from get3d.files import InputError, writing
from get3d.meshes import Mesh

__all__ = ["FORMATS", "TexturedMesh", "files_of", "sample_texture"]


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh with an image on it, ready to be saved. All tensors are on the CPU.

    A vertex on a seam of the texture comes once for each side, at the same position and with the same normal.

    Attributes:
        vertices: [V, 3] positions, +Y up.
        faces: [F, 3] vertex numbers, counter-clockwise seen from outside.
        normals: [V, 3] unit normals, outward.
        uv: [V, 2] places in the texture; (0, 0) is its lower left corner, (1, 1) its upper right; outside, it repeats.
        texture: [H, W, 3] sRGB colours 0..255, the first row on top.
        metallic: 0 for paint, wood or cloth, 1 for bare metal (glTF 2.0, section 3.9.2).
        roughness: 0 for a mirror, 1 for chalk.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    uv: Float[Tensor, "v 2"]
    texture: UInt8[Tensor, "h w 3"]
    metallic: float = 0.0
    roughness: float = 0.6

    @classmethod
    def nothing(cls, device: torch.device) -> "TexturedMesh":
        """What a shape without a surface comes to: no face."""
        none = torch.empty(0, 3, device=device)
        texture = torch.zeros(1, 1, 3, dtype=torch.uint8, device=device)
        return cls(none, none.long(), none, none[:, :2], texture)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see or to save: no face."""
        return self.faces.shape[0] == 0

    @property
    def mesh(self) -> Mesh:
        """The bare mesh, its vertices numbered as here (seams split them; `get3d.export.weld` joins them again)."""
        return Mesh(self.vertices, self.faces)

    def save(self, path: Path | str) -> None:
        """Writes the object in the format of the suffix: .glb, .obj (with an .mtl and a .png beside it) or .ply.

        A .ply holds the colours at the vertices only. The same object gives the same bytes. A file is written whole or
        not at all; of an .obj the files it needs are in place before it appears.

        Raises:
            InputError: the suffix is none of these, or the file cannot be written.
            ValueError: the object has no face, or numbers that are not finite.
        """
        path = Path(path)
        write = _WRITERS.get(path.suffix.lower())
        if write is None:
            raise InputError(f"{path}: unknown format {path.suffix!r}; end the name in one of {', '.join(FORMATS)}")
        if self.faces.shape[0] == 0:
            raise ValueError("a textured mesh without faces cannot be saved; check the mesh before it is textured")
        for name in ("vertices", "normals", "uv"):
            if not getattr(self, name).isfinite().all():
                raise ValueError(f"{name} of the textured mesh hold numbers that are not finite; it cannot be saved")
        write(self, path)


def sample_texture(texture: UInt8[Tensor, "h w 3"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p 3"]:
    """Colours in [0, 1] at places of a texture, as renderers read it: bilinear between texel centres, repeating."""
    height, width = texture.shape[:2]
    x = uv[:, 0] * width - 0.5
    y = (1 - uv[:, 1]) * height - 0.5
    left, top = x.floor(), y.floor()
    across, down = (x - left)[:, None], (y - top)[:, None]
    columns = [(left.long() + step) % width for step in (0, 1)]
    rows = [(top.long() + step) % height for step in (0, 1)]
    above, below = (texture[row, columns[0]] * (1 - across) + texture[row, columns[1]] * across for row in rows)
    return (above * (1 - down) + below * down) / 255


def _write_glb(textured: TexturedMesh, path: Path) -> None:
    report = mesh_report(textured.mesh)
    material = trimesh.visual.material.PBRMaterial(
        name="surface",
        baseColorTexture=Image.fromarray(textured.texture.numpy()),
        metallicFactor=textured.metallic,
        roughnessFactor=textured.roughness,
        doubleSided=not (report.closed and report.volume > 0),
    )
    shape = trimesh.Trimesh(
        vertices=textured.vertices.numpy(),
        faces=textured.faces.numpy(),
        vertex_normals=textured.normals.numpy(),
        visual=trimesh.visual.TextureVisuals(uv=textured.uv.numpy(), material=material),
        process=False,
        validate=False,
    )
    scene = trimesh.Scene({"object": shape})
    with writing(path) as temporary:
        temporary.write_bytes(trimesh.exchange.gltf.export_glb(scene, include_normals=True))


def _write_obj(textured: TexturedMesh, path: Path) -> None:
    name = _plain_name(path.stem)
    material = [
        "newmtl surface",
        "Ka 0 0 0",
        "Kd 1 1 1",
        "Ks 0 0 0",
        "illum 1",
        f"Pm {textured.metallic:g}",
        f"Pr {textured.roughness:g}",
        f"map_Kd {name}.png",
    ]
    corners = textured.faces.numpy() + 1
    lines = [
        f"mtllib {name}.mtl",
        "o object",
        *_lines("v %.9g %.9g %.9g", textured.vertices),
        *_lines("vt %.9g %.9g", textured.uv),
        *_lines("vn %.6g %.6g %.6g", textured.normals),
        "usemtl surface",
        *["f {0}/{0}/{0} {1}/{1}/{1} {2}/{2}/{2}".format(*face) for face in corners.tolist()],
    ]
    # All three are written before the first is renamed; the one that names the others comes last.
    with (
        writing(path) as object_file,
        writing(path.with_name(f"{name}.mtl")) as material_file,
        writing(path.with_name(f"{name}.png")) as texture_file,
    ):
        object_file.write_text("\n".join(lines) + "\n", encoding="ascii")
        material_file.write_text("\n".join(material) + "\n", encoding="ascii")
        texture_file.write_bytes(_png(textured.texture))


def _write_ply(textured: TexturedMesh, path: Path) -> None:
    welded, source = weld(textured.mesh)
    colors = sample_texture(textured.texture, textured.uv[source]).mul(255).round().to(torch.uint8)
    shape = trimesh.Trimesh(
        vertices=welded.vertices.numpy(),
        faces=welded.faces.numpy(),
        vertex_normals=textured.normals[source].numpy(),
        vertex_colors=colors.numpy(),
        process=False,
        validate=False,
    )
    with writing(path) as temporary:
        temporary.write_bytes(trimesh.exchange.ply.export_ply(shape, vertex_normal=True))


_WRITERS: dict[str, Callable[[TexturedMesh, Path], None]] = {
    ".glb": _write_glb,
    ".obj": _write_obj,
    ".ply": _write_ply,
}

FORMATS = tuple(_WRITERS)


def files_of(stem: str, suffix: str) -> list[str]:
    """The names of the files that `TexturedMesh.save` writes for `<stem>.<suffix>`."""
    plain = _plain_name(stem)
    return [f"{stem}.{suffix}", *([f"{plain}.mtl", f"{plain}.png"] if suffix == "obj" else [])]


def _plain_name(stem: str) -> str:
    """The stem itself where every reader of .obj and .mtl takes it as one word, otherwise a plain one of its own."""
    if re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", stem):
        return stem
    digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9_.]+", "_", stem) + "_" + digest


def _lines(form: str, rows: Tensor) -> list[str]:
    return [form % tuple(row) for row in rows.tolist()]


def _png(texture: UInt8[Tensor, "h w 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(texture.numpy())).save(buffer, format="png")
    return buffer.getvalue()
