"""Geomview .off files as scenes of trimesh: polygons, with colours of vertices or faces."""

import re
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8

from get3d.assets.files import FolderResolver
from get3d.assets.mtl import decoded
from get3d.assets.polygons import triangles
from get3d.files import InputError

__all__ = ["load_off"]

_HEADER = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF\b|(ST)?(C)?(N)?OFF(?=\d)")


def load_off(path: Path, resolver: FolderResolver) -> trimesh.Scene:
    """The polygons of an .off. Colours are of vertices (COFF), of faces, or none.

    Args:
        path: the file.
        resolver: notes what cannot be read: textures, whose image no .off names.

    Raises:
        InputError: it is binary or of four dimensions, is truncated, or names a vertex that is not there.
    """
    text = decoded(path.read_bytes())
    lines = [line.partition("#")[0].strip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    header = _HEADER.match(lines[0]) if lines else None
    kinds = header[0][: -len("OFF")] if header else ""
    if "4" in kinds or "n" in kinds or (lines and "BINARY" in lines[0]):
        raise InputError("it is a binary .off or one of other than three dimensions; export it as .ply")
    # The counts follow the keyword or are on their own line; in ModelNet they follow without a space.
    lines = ([lines[0][header.end() :].strip()] if header else lines[:1]) + lines[1:]
    lines = lines if lines and lines[0] else lines[1:]
    try:
        vertices, faces = (int(word) for word in lines[0].split()[:2])
    except (IndexError, ValueError):
        raise InputError("it does not start with OFF and its numbers of vertices and faces; get it again") from None
    if min(vertices, faces) < 0 or vertices + faces > len(lines) - 1:
        raise InputError(
            f"its header says {vertices} vertices and {faces} faces, but it has {len(lines) - 1} lines; get it again"
        )
    points, normals, colors = _vertices(lines[1 : vertices + 1], kinds, resolver)
    return _scene(points, normals, colors, lines[vertices + 1 : vertices + 1 + faces])


def _vertices(
    lines: list[str], kinds: str, resolver: FolderResolver
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v 3"] | None, UInt8[np.ndarray, "v 3"] | None]:
    rows = [line.split() for line in lines]
    width = len(rows[0]) if rows else 3
    if any(len(row) != width for row in rows) or width < 3:
        raise InputError("its vertices do not all have the same number of values; export it again")
    try:
        values = np.array(rows, dtype=np.float64).reshape(-1, width)
    except ValueError as error:
        raise InputError(f"a vertex has a value that is not a number ({error}); export it again") from error
    if "ST" in kinds:
        resolver.missing.append("the texture of an STOFF")
        width -= 2
    start = 6 if "N" in kinds else 3
    # Some programs write colours without the keyword COFF.
    colored = width - start in (3, 4) and ("C" in kinds or kinds == "")
    return (
        values[:, :3],
        values[:, 3:6] if start == 6 else None,
        _bytes(values[:, start : start + 3]) if colored else None,
    )


def _scene(
    points: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"] | None,
    colors: UInt8[np.ndarray, "v 3"] | None,
    lines: list[str],
) -> trimesh.Scene:
    corners: list[int] = []
    counts, tints = [], []
    for line in lines:
        words = line.split()
        try:
            count = int(words[0])
            ring = [int(word) for word in words[1 : count + 1]]
        except ValueError as error:
            raise InputError(f"a face has a value that is not a number ({error}); export it again") from error
        if count < 0 or len(ring) < count:
            raise InputError(f"a face has fewer corners than the {count} it is to have; get it again")
        corners += ring
        counts.append(count)
        tints.append(words[count + 1 : count + 4])
    numbers = np.array(corners, dtype=np.int64)
    if numbers.min(initial=0) < 0 or numbers.max(initial=-1) >= len(points):
        raise InputError(f"a face names the vertex {numbers.max(initial=-1)} of {len(points)}; export it again")
    polygon, cut = triangles(np.array(counts, dtype=np.int64), points[numbers])
    mesh = trimesh.Trimesh(points, numbers[cut], vertex_normals=normals, process=False, validate=False)
    if colors is not None:
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=colors)
    elif any(len(tint) == 3 for tint in tints):
        mesh.visual = trimesh.visual.ColorVisuals(mesh, face_colors=_tints(tints)[polygon])
    return trimesh.Scene(mesh) if len(cut) else trimesh.Scene()


def _tints(tints: list[list[str]]) -> UInt8[np.ndarray, "p 3"]:
    """Colours of faces; light grey if there is none, or only an index of a colour map outside the file."""
    try:
        values = np.array([tint if len(tint) == 3 else ["nan"] * 3 for tint in tints], dtype=np.float64)
    except ValueError as error:
        raise InputError(f"the colour of a face has a value that is not a number ({error}); export it again") from error
    return np.where(np.isnan(values), 204, _bytes(values)).astype(np.uint8)


def _bytes(colors: Float[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """Colours in 0 to 1, or in 0 to 255 if any is greater than 1."""
    colors = np.nan_to_num(colors, posinf=0, neginf=0)
    return np.rint(colors * (255 if colors.max(initial=0) <= 1 else 1)).clip(0, 255).astype(np.uint8)
