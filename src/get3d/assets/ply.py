"""PLY files as scenes of trimesh."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8

from get3d.assets.files import FolderResolver
from get3d.assets.ply_elements import PlyElement, read_elements
from get3d.assets.polygons import triangles
from get3d.files import InputError

__all__ = ["load_ply"]

_INDICES = ("vertex_indices", "vertex_index")
_COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))


def load_ply(path: Path, resolver: FolderResolver) -> trimesh.Scene:
    """The polygons and strips of a .ply, with colours of vertices or faces, or a texture.

    Args:
        path: the file.
        resolver: gives the textures that it names, and notes what is missing of them.

    Raises:
        InputError: the file is truncated, or a face names a vertex that is not there.
    """
    elements, comments = read_elements(path)
    if "vertex" not in elements:
        raise InputError("it has no vertices; export it again")
    vertex = elements["vertex"]
    points = _columns(vertex, (("x", "y", "z"),))
    if points is None:
        raise InputError("its vertices have no x, y and z; export it again")
    counts, corners, colors, uv, number = _faces(elements, vertex)
    if corners.min(initial=0) < 0 or corners.max(initial=-1) >= len(points):
        raise InputError(f"a face names the vertex {corners.max(initial=-1)} of {len(points)}; export it again")
    polygon, cut = triangles(counts, points[corners])
    materials = [_material(name, resolver) for name in _textures(comments)]
    normals = _columns(vertex, (("nx", "ny", "nz"),))
    at_vertices = _bytes(_columns(vertex, _COLORS, scaled=True))
    if uv is None:
        places = _columns(vertex, _PLACES)
        uv = None if places is None else places[corners]
    scene = trimesh.Scene()
    for index in np.unique(number[polygon]):
        chosen = number[polygon] == index
        if uv is None or not 0 <= index < len(materials):
            scene.add_geometry(_plain(points, corners[cut[chosen]], polygon[chosen], normals, at_vertices, colors))
            continue
        flat = cut[chosen].ravel()
        scene.add_geometry(
            trimesh.Trimesh(
                points[corners[flat]],
                np.arange(len(flat)).reshape(-1, 3),
                vertex_normals=None if normals is None else normals[corners[flat]],
                visual=trimesh.visual.TextureVisuals(uv=uv[flat], material=materials[index]),
                process=False,
                validate=False,
            )
        )
    return scene


def _faces(
    elements: dict[str, PlyElement], vertex: PlyElement
) -> tuple[
    Int[np.ndarray, " p"],
    Int[np.ndarray, " c"],
    UInt8[np.ndarray, "p 3"] | None,
    Float[np.ndarray, "c 2"] | None,
    Int[np.ndarray, " p"],
]:
    """Polygons: corner counts, vertex indices, face colours, UVs of the corners, texture indices."""
    face = elements.get("face")
    if face is None:
        corners = _strips(elements.get("tristrips"))
        return np.full(len(corners), 3), corners.ravel(), None, None, np.zeros(len(corners), np.int64)
    lists = _list(face, _INDICES)
    if lists is None:
        return (*np.zeros((2, 0), np.int64), None, None, np.zeros(0, np.int64))
    counts, corners = lists
    coordinates = _list(face, ("texcoord",))
    uv = None
    if coordinates is not None and np.array_equal(coordinates[0], 2 * counts):
        uv = coordinates[1].reshape(-1, 2).astype(np.float64)
    number = np.nan_to_num(face.numbers.get("texnumber", np.zeros(len(counts)))).astype(np.int64)
    return counts, corners.astype(np.int64), _bytes(_columns(face, _COLORS, scaled=True)), uv, number


def _strips(element: PlyElement | None) -> Int[np.ndarray, "t 3"]:
    """Triangles of strips, separated by −1; every second one is flipped."""
    found = [np.zeros((0, 3), np.int64)]
    lists = None if element is None else _list(element, _INDICES)
    if lists is not None:
        counts, flat = lists
        breaks = np.flatnonzero(flat == -1)
        ends = np.union1d(counts.cumsum(), breaks)
        for strip in np.split(flat.astype(np.int64), ends):
            strip = strip[strip != -1]
            if len(strip) > 2:
                triples = np.lib.stride_tricks.sliding_window_view(strip, 3).copy()
                triples[1::2] = triples[1::2, ::-1]
                found.append(triples)
    return np.concatenate(found)


def _list(element: PlyElement, names: tuple[str, ...]) -> tuple[Int[np.ndarray, " p"], np.ndarray] | None:
    """Lengths and values of the first list that exists, by name."""
    found = next((element.lists[name] for name in names if name in element.lists), None)
    return None if found is None else (found.counts, found.values)


def _columns(
    element: PlyElement, choices: tuple[tuple[str, ...], ...], *, scaled: bool = False
) -> Float[np.ndarray, "n k"] | None:
    """The first group of columns that exists; integers are divided by their maximum if scaled."""
    for names in choices:
        if all(name in element.numbers for name in names):
            return np.stack([element.numbers[n] / (element.greatest[n] if scaled else 1) for n in names], axis=1)
    return None


def _bytes(colors: Float[np.ndarray, "n 3"] | None) -> UInt8[np.ndarray, "n 3"] | None:
    """Colours in 0 to 1 as bytes; floats up to 255 count as bytes."""
    if colors is None:
        return None
    colors = np.nan_to_num(colors, posinf=0, neginf=0)
    return np.rint(colors * (255 if colors.max(initial=0) <= 1 else 1)).clip(0, 255).astype(np.uint8)


def _textures(comments: list[str]) -> list[str]:
    found = [re.match(r"\s*TextureFile\s+(.+)", comment) for comment in comments]
    return [match[1] for match in found if match]


def _material(name: str, resolver: FolderResolver) -> Any:
    return trimesh.visual.material.SimpleMaterial(image=resolver.image(name), diffuse=[204, 204, 204, 255])


def _plain(
    points: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "t 3"],
    polygon: Int[np.ndarray, " t"],
    normals: Float[np.ndarray, "n 3"] | None,
    at_vertices: UInt8[np.ndarray, "n 3"] | None,
    of_faces: UInt8[np.ndarray, "p 3"] | None,
) -> trimesh.Trimesh:
    """Triangles without a texture."""
    mesh = trimesh.Trimesh(points, faces, vertex_normals=normals, process=False, validate=False)
    if at_vertices is not None:
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=at_vertices)
    elif of_faces is not None:
        mesh.visual = trimesh.visual.ColorVisuals(mesh, face_colors=of_faces[polygon])
    return mesh
