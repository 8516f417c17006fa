"""Loads untrusted models of many formats."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int

from get3d.assets.asset import Asset
from get3d.assets.converted import CONVERTED, load_converted
from get3d.assets.dae import load_dae
from get3d.assets.files import FolderResolver, careful_images, require_loadable
from get3d.assets.gltf_scene import load_gltf
from get3d.assets.materials import MAPS, PLAIN, PlainMaterial, plain_material
from get3d.assets.names import Up
from get3d.assets.obj import load_obj
from get3d.assets.off import load_off
from get3d.assets.placed import Placed, placed_in, require_few
from get3d.assets.ply import load_ply
from get3d.assets.smooth_normals import corner_normals
from get3d.assets.usd import load_usdz, up_of_usdz
from get3d.color import bytes_to_linear
from get3d.files import InputError, contained

__all__ = ["SUFFIXES", "Loaded", "Up", "load_asset"]

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", ".dae", ".usdz", *CONVERTED)
_NEEDED = {".dae": ("collada", "pycollada", "collada"), ".usdz": ("pxr", "usd-core", "usd")}
"""Formats that need an optional package: its module, its name, and our extra that installs it."""
_PLACING = {".dae": load_dae, ".glb": load_gltf, ".gltf": load_gltf, ".usdz": load_usdz}
_OWN = {".obj": load_obj, ".off": load_off, ".ply": load_ply}
_UP = {
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
"""Rotations that turn each direction up, to +Y."""
_STEPS = 2**20
"""When normals are computed, vertices closer than the bounding box's longest side over this are merged."""

_FARTHEST_UV = 2.0**24
"""From here on, single precision has no place within a texture, only its repetitions."""
_FARTHEST = 10_000.0
"""Largest distance of a model from its own origin, in its lengths: farther away, single precision has no details."""


@dataclass(frozen=True)
class Loaded:
    """A loaded model.

    Attributes:
        asset: centred on the origin, upright and scaled.
        missing: referenced files that could not be read; the base colour replaces them.
    """

    asset: Asset
    missing: tuple[str, ...]


def load_asset(
    path: Path,
    root: Path,
    *,
    scale: float = 0.9,
    up: Up = "file",
    max_faces: int = 2_000_000,
    texture: int = 2048,
    blender: Path | None = None,
    centred: bool = True,
    maps: bool = False,
) -> Loaded:
    """Loads a model with its materials and textures, upright and centred at the origin.

    Args:
        path: a file of one of the `SUFFIXES`.
        root: the folder that must contain every file named by the model.
        scale: longest side of the resulting bounding box.
        up: the direction that is up in the file; "file": what the format or the file says.
        max_faces: maximum number of faces.
        texture: side in texels to which larger textures are reduced.
        blender: program for .blend files, or a Python with the module bpy; None: the installed Blender.
        centred: move the middle of the bounding box to the origin; False keeps the origin of the file.
        maps: also read roughness, metallic, normals and emission of .gltf, .glb, .obj and .usdz.

    Raises:
        InputError: the file cannot be read, refers to files outside `root`, or contains nothing that can be drawn.
    """
    contained(root, str(path.relative_to(root)))
    suffix = path.suffix.lower()
    resolver = FolderResolver(root, path.parent, maps=maps)
    try:
        require_loadable(path, max_faces)
        # Untrusted numbers can overflow; the result is checked below.
        with careful_images(), np.errstate(all="ignore"):
            placed = _scene(path, suffix, resolver, max_faces, texture, blender)
            fields = _assembled(placed, resolver, max_faces, texture)
            asset = _placed(fields, _turn(_up(path) if up == "file" else up), scale, centred)
    except InputError:
        raise
    except Exception as error:  # The readers raise whatever their parsers do.
        _require_contained(resolver, root)
        said = " ".join(str(error).split())[:200]
        raise InputError(f"it cannot be read ({type(error).__name__}: {said}); get or export it again") from error
    _require_contained(resolver, root)
    return Loaded(asset, tuple(dict.fromkeys(resolver.missing)))


def _require_contained(resolver: FolderResolver, root: Path) -> None:
    if resolver.refused:
        raise InputError(f"it names the file {resolver.refused[0]!r}, which leads out of the folder {root}")


def _scene(
    path: Path, suffix: str, resolver: FolderResolver, max_faces: int, texture: int, blender: Path | None
) -> list[Placed]:
    if suffix in _NEEDED:
        module, package, extra = _NEEDED[suffix]
        if importlib.util.find_spec(module) is None:
            raise InputError(f"reading {suffix} needs the package {package}: pip install 'get3d[{extra}]'")
    if suffix in _PLACING:
        return _PLACING[suffix](path, resolver, max_faces, texture)
    if suffix in CONVERTED:
        return load_converted(path, resolver, max_faces, texture, blender)
    if suffix in _OWN:
        return placed_in(_OWN[suffix](path, resolver))
    with path.open("rb") as file:
        return placed_in(trimesh.load_scene(file, file_type=suffix[1:], resolver=resolver, process=False))


def _up(path: Path) -> str:
    """The up direction of a file: given by COLLADA and USD, otherwise +Y."""
    if path.suffix.lower() == ".usdz":
        return up_of_usdz(path)
    if path.suffix.lower() == ".dae":
        found = re.search(rb"<up_axis>\s*([XYZ])_UP", path.read_bytes().replace(b"\0", b""))
        if found:
            return found[1].decode().lower()
    return "y"


def _turn(up: str) -> Float[np.ndarray, "3 3"]:
    if up not in _UP:
        raise InputError(f"its up axis is {up!r:.40}, not x, y or z; export it again, or give --up")
    return np.array(_UP[up], dtype=np.float64)


@dataclass(frozen=True)
class _Part:
    """A part of a model with one material, in scene coordinates.

    Attributes:
        vertices: [V, 3].
        faces: [F, 3] numbers of them.
        normals: [V, 3].
        uv: [V, 2].
        colors: [V, 3] linear.
        material: its number.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "v 3"]
    uv: Float[np.ndarray, "v 2"]
    colors: Float[np.ndarray, "v 3"]
    material: int


def _assembled(placed: list[Placed], resolver: FolderResolver, max_faces: int, texture: int) -> dict[str, Any]:
    """The fields of an asset, in the file's own coordinates and double precision."""
    count = sum(len(each.shape.faces) for each in placed)
    if not count:
        raise InputError("it has no faces; export it as triangles")
    require_few(len(placed), count, max_faces)
    materials = [PLAIN]
    numbers: dict[int, int] = {}
    parts = []
    for each in placed:
        number, shape = 0, each.shape
        material = getattr(shape.visual, "material", None)
        if material is not None:
            if id(material) not in numbers:
                numbers[id(material)] = len(materials)
                plain = isinstance(material, PlainMaterial)
                materials.append(material if plain else plain_material(material, resolver, texture))
            number = numbers[id(material)]
        parts.append(_part(shape, each.matrix, number, materials))
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return {
        "vertices": np.concatenate([part.vertices for part in parts]),
        "faces": np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        "normals": np.concatenate([part.normals for part in parts]),
        "uv": np.concatenate([part.uv for part in parts]),
        "colors": np.concatenate([part.colors for part in parts]),
        "material": np.repeat([part.material for part in parts], [len(part.faces) for part in parts]),
        "materials": materials,
    }


def _part(
    shape: trimesh.Trimesh, matrix: Float[np.ndarray, "4 4"], number: int, materials: list[PlainMaterial]
) -> _Part:
    faces = np.asarray(shape.faces, np.int64)
    points = np.asarray(shape.vertices, np.float64)
    faces = np.where(faces < 0, faces + len(points), faces)
    if faces.min() < 0 or faces.max() >= len(points):
        raise InputError(f"a face names the vertex {faces.max()} of {len(points)}; export it again")
    # Values that no face uses may be anything.
    used, corners = np.unique(faces, return_inverse=True)
    faces = corners.reshape(-1, 3)
    points = points[used] @ matrix[:3, :3].T + matrix[:3, 3]
    if not np.isfinite(points).all():
        bad = (~np.isfinite(points).all(axis=1)).sum()
        raise InputError(f"{bad} of its {len(points)} vertices are not finite numbers; export it again")
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    uv = getattr(shape.visual, "uv", None)
    uv = np.zeros((len(used), 2)) if uv is None or len(uv) != len(shape.vertices) else np.asarray(uv, float)[used, :2]
    colors, of_face = _colors(shape, used)
    if colors is not None and number == 0:
        # The default grey would darken vertex colours.
        materials.append(PlainMaterial(np.full((1, 1, 4), 255, np.uint8), 0.0))
        number = len(materials) - 1
    normals = _given_normals(shape, used, matrix)
    if of_face:
        corners = faces.ravel()
        points, uv, normals = points[corners], uv[corners], None if normals is None else normals[corners]
        faces = np.arange(len(points)).reshape(-1, 3)
    if normals is None:
        source, faces, normals = _made_normals(points, faces)
        points, uv = points[source], uv[source]
        colors = None if colors is None else colors[source]
    return _Part(
        vertices=points,
        faces=faces,
        normals=normals,
        uv=np.where(np.abs(uv) < _FARTHEST_UV, uv, 0.0),
        colors=np.ones_like(points) if colors is None else colors,
        material=number,
    )


def _colors(shape: trimesh.Trimesh, used: Int[np.ndarray, " k"]) -> tuple[np.ndarray | None, bool]:
    """Linear colours at the used vertices or at the face corners, and whether they are at corners."""
    visual = shape.visual
    if visual.kind == "face":
        return bytes_to_linear(np.repeat(visual.face_colors[:, :3], 3, axis=0)), True
    if visual.kind == "vertex":
        return bytes_to_linear(visual.vertex_colors[used, :3]), False
    values = getattr(visual, "vertex_attributes", {}).get("color")
    if values is None or len(values) != len(shape.vertices):
        return None, False
    whole = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return np.clip(np.nan_to_num(values[used, :3] / whole), 0, 1).astype(np.float64), False


def _given_normals(
    shape: trimesh.Trimesh, used: Int[np.ndarray, " k"], matrix: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "k 3"] | None:
    """Unit normals from the file, in scene coordinates; None if missing or invalid."""
    if "vertex_normals" not in shape._cache.cache or abs(np.linalg.det(matrix[:3, :3])) < 1e-30:
        return None
    normals = np.asarray(shape.vertex_normals, np.float64)[used] @ np.linalg.inv(matrix[:3, :3])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 1e-12)).all():
        return None
    return normals / lengths


def _made_normals(
    points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "f 3"], Float[np.ndarray, "n 3"]]:
    """Computes normals; vertices at sharp edges are repeated.

    Returns:
        The old number of each vertex, the faces with new numbers, and the normals.
    """
    low = points.min(axis=0)
    cells = np.floor((points - low) * (_STEPS / max((points - low).max(), 1e-300)) + 0.5).astype(np.int64)
    _, place = np.unique((cells[:, 0] * 2**21 + cells[:, 1]) * 2**21 + cells[:, 2], return_inverse=True)
    a, b, c = points[faces].transpose(1, 0, 2)
    numbers = faces.ravel().copy()
    normals = corner_normals(place[numbers], np.cross(b - a, c - a))
    normals[np.linalg.norm(normals, axis=1) < 0.5] = 0.0, 1.0, 0.0
    # The first corner at a vertex keeps it, as do corners with the same normal; others get new vertices.
    kept = np.zeros_like(points)
    kept[numbers[::-1]] = normals[::-1]
    other = np.flatnonzero((kept[numbers] * normals).sum(axis=1) < 1 - 1e-6)
    source = np.concatenate([np.arange(len(points)), numbers[other]])
    numbers[other] = len(points) + np.arange(len(other))
    return source, numbers.reshape(-1, 3), np.concatenate([kept, normals[other]])


def _placed(fields: dict[str, Any], turn: Float[np.ndarray, "3 3"], scale: float, centred: bool) -> Asset:
    """The asset, rotated, optionally centred, and scaled.

    Raises:
        InputError: it has no extent, or lies too far from the origin that is kept.
    """
    points = fields["vertices"] @ turn.T
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    middle = low + (high - low) / 2 if centred else np.zeros(3)
    points = (points - middle) * (scale / extent) if 0 < extent < np.inf else points
    a, b, c = points[fields["faces"]].transpose(1, 0, 2)
    if not (0 < extent < np.inf and np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() > 1e-9 * scale**2):
        raise InputError(f"it has no extent: its longest side is {extent:g} and no face has an area; export it again")
    if np.abs(points).max() > _FARTHEST * scale:
        raise InputError(f"it lies more than {_FARTHEST:,.0f} of its own lengths from the origin; move it there")
    materials = fields["materials"]
    return Asset(
        vertices=_tensor(points),
        faces=torch.from_numpy(np.ascontiguousarray(fields["faces"])),
        normals=_tensor(fields["normals"] @ turn.T),
        uv=_tensor(fields["uv"]),
        colors=_tensor(fields["colors"]),
        material=torch.from_numpy(fields["material"].astype(np.int64)),
        textures=tuple(torch.from_numpy(material.texture) for material in materials),
        cutoffs=torch.tensor([material.cutoff for material in materials], dtype=torch.float32),
        maps=_maps(materials),
    )


def _maps(materials: list[PlainMaterial]) -> dict[str, tuple[torch.Tensor, ...]]:
    """The maps that any material has, with defaults for the other materials."""
    used = [name for name in MAPS if any(name in material.maps for material in materials)]
    defaults = {name: np.array([[MAPS[name]]], np.uint8) for name in used}
    return {
        name: tuple(
            torch.from_numpy(np.ascontiguousarray(material.maps.get(name, defaults[name]))) for material in materials
        )
        for name in used
    }


def _tensor(values: Float[np.ndarray, "..."]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
