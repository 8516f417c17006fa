"""Wavefront OBJ as scenes of trimesh: the geometry; `mtl` reads the materials.

Names are compared as bytes, so that no encoding has to be guessed: text is UTF-8, and bytes that are not
become surrogates.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8

from get3d.assets.files import FolderResolver, readable_name
from get3d.assets.mtl import Paint, decoded, read_mtl
from get3d.assets.polygons import triangles
from get3d.assets.text_numbers import all_numbers
from get3d.files import InputError

__all__ = ["load_obj"]

_NONE = ("none", "null", "(null)")
"""Names that programs write for no material."""
_SURFACES = ("surf", "curv", "cstype")
_LINES = {"v": 0, "vt": 1, "vn": 2}


def load_obj(path: Path, resolver: FolderResolver) -> trimesh.Scene:
    """The triangles of an .obj, a part for each of its materials.

    What has no material gets the colours of its vertices, or none. A file that uses no material but names a single
    one, as scans do, has that one. Normals count where all corners of a part have one.

    Args:
        path: the file.
        resolver: gives the files that it names, and notes what is missing of them.

    Raises:
        InputError: a number is none, or a face names a vertex that is not there.
    """
    lines = _Lines(decoded(path.read_bytes()))
    paints = _paints(lines, resolver)
    points, colors = _positions(lines.rows[0])
    places = _table(lines.rows[1], 2, "vt")
    normals = _table(lines.rows[2], 3, "vn")
    corners = _corners(lines, (len(points), len(places), len(normals)))
    counts = np.array(lines.counts, np.int64)
    polygon, cut = triangles(counts, points[corners[:, 0]])
    chosen = _choose(lines, paints, resolver)
    part_of_face = np.array(lines.materials, np.int64)[polygon]
    scene = trimesh.Scene()
    for number in np.unique(part_of_face):
        part = corners[cut[part_of_face == number].ravel()]
        scene.add_geometry(_part(part, points, colors, places, normals, chosen[number], resolver))
    return scene


class _Lines:
    """The lines of a file, by kind.

    Attributes:
        rows: of positions, places in textures, and normals.
        tokens: corners of all faces, as written.
        counts: corners of each face.
        before: of faces with numbers counted from the end, how many positions, places and normals there were.
        materials: number of each face's name of a material.
        names: of materials; the first stands for none.
        libraries: rests of lines that name files of materials.
        unread: kinds of lines with surfaces that are no polygons.
    """

    def __init__(self, text: str) -> None:
        self.rows: tuple[list[str], list[str], list[str]] = ([], [], [])
        self.tokens: list[str] = []
        self.counts: list[int] = []
        self.before: dict[int, tuple[int, int, int]] = {}
        self.materials: list[int] = []
        self.names: list[str | None] = [None]
        self.libraries: list[str] = []
        self.unread: set[str] = set()
        known: dict[str, int] = {}
        current = 0
        positions, places, normals = self.rows
        for line in _joined(text):
            word, *rest = line.split(None, 1)
            if word in _LINES:
                self.rows[_LINES[word]].append(rest[0] if rest else "")
            elif word in ("f", "fo"):
                tokens = rest[0].partition("#")[0].split() if rest else []
                self.tokens += tokens
                if rest and "-" in rest[0]:
                    self.before[len(self.counts)] = len(positions), len(places), len(normals)
                self.counts.append(len(tokens))
                self.materials.append(current)
            elif word == "usemtl":
                name = rest[0].strip() if rest else ""
                if name not in known:
                    known[name] = len(self.names)
                    self.names.append(name)
                current = known[name]
            elif word == "mtllib" and rest:
                self.libraries.append(rest[0])
            elif word in _SURFACES:
                self.unread.add(word)


def _joined(text: str) -> list[str]:
    """Lines with content; a backslash at the end continues a line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if "\\\n" not in text and "\\\r" not in text:
        return [line for line in lines if line and not line.isspace()]
    joined: list[str] = []
    held = ""
    for line in lines:
        # In comments and names the byte can be part of an East Asian character.
        if line.endswith("\\") and (held or line.lstrip()[:1] in ("v", "f")):
            held += line[:-1] + " "
            continue
        joined.append(held + line)
        held = ""
    joined.append(held)
    return [line for line in joined if line and not line.isspace()]


def _numbers(rows: Sequence[str], what: str) -> Float[np.ndarray, "n k"]:
    """Rows of numbers; short rows are padded with NaN."""
    widths = {len(row.split()) for row in rows}
    if len(widths) == 1:
        plain = all_numbers(" ".join(rows), np.float64)
        if plain is not None and plain.size == len(rows) * max(widths):
            return plain.reshape(len(rows), max(widths))
    split = [row.partition("#")[0].split() for row in rows]
    width = max(map(len, split), default=0)
    if any(len(row) != width for row in split):
        split = [row + ["nan"] * (width - len(row)) for row in split]
    try:
        return np.array(split, dtype=np.float64).reshape(len(rows), width)
    except ValueError as error:
        raise InputError(f"a line {what!r} has a value that is not a number ({error}); export it again") from error


def _table(rows: Sequence[str], width: int, what: str) -> Float[np.ndarray, "n k"]:
    values = _numbers(rows, what)[:, :width]
    return np.pad(np.nan_to_num(values), ((0, 0), (0, width - values.shape[1])))


def _positions(rows: Sequence[str]) -> tuple[Float[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"] | None]:
    """Positions, and colours if all have one: three numbers after the position or its weight."""
    values = _numbers(rows, "v")
    width = values.shape[1]
    points = np.pad(values[:, :3], ((0, 0), (0, max(0, 3 - width))), constant_values=np.nan)
    if width < 6 or np.isnan(values[:, :6]).any():
        return points, None
    colors = values[:, width - 3 :] if width in (6, 7) and not np.isnan(values[:, -1]).any() else values[:, 3:6]
    return points, np.rint(colors.clip(0, None) * (255 if colors.max(initial=0) <= 1 else 1)).clip(0, 255).astype(
        np.uint8
    )


def _corners(lines: _Lines, sizes: tuple[int, int, int]) -> Int[np.ndarray, "c 3"]:
    """Indices, from 0, of the position, UV and normal of each corner; −1 for none.

    Raises:
        InputError: one is no number, or there is no such position.
    """
    numbers = _corner_numbers(lines.tokens)
    if lines.before:
        before = np.zeros((len(lines.counts), 3), np.int64)
        before[list(lines.before)] = list(lines.before.values())
        numbers = np.where(numbers < 0, numbers + np.repeat(before, lines.counts, axis=0) + 1, numbers)
    bad = (numbers[:, 0] < 1) | (numbers[:, 0] > sizes[0])
    if bad.any():
        raise InputError(f"a face names the vertex {lines.tokens[int(bad.argmax())]} of {sizes[0]}; export it again")
    return np.where((numbers < 1) | (numbers > np.array(sizes)), 0, numbers) - 1


def _corner_numbers(tokens: Sequence[str]) -> Int[np.ndarray, "c 3"]:
    """The indices of all corners as written; 0 for none."""
    slashes = {token.count("/") for token in tokens}
    if len(slashes) == 1 and max(slashes) < 3:
        width = max(slashes) + 1
        plain = all_numbers(" ".join(tokens).replace("//", "/0/").replace("/", " "), np.int64)
        if plain is not None and plain.size == len(tokens) * width:
            return np.pad(plain.reshape(-1, width), ((0, 0), (0, 3 - width)))
    try:
        rows = [[int(part or 0) for part in (*token.split("/"), "", "")[:3]] for token in tokens]
    except ValueError as error:
        raise InputError(f"a corner of a face is not a number ({error}); export it again") from error
    return np.array(rows, np.int64).reshape(-1, 3)


def _paints(lines: _Lines, resolver: FolderResolver) -> dict[str, Paint]:
    """The materials of all named files; the first of a name counts."""
    found: dict[str, Paint] = {}
    for rest in lines.libraries:
        # Names may have spaces, and there may be several.
        names = [rest] if len(rest.split()) == 1 or resolver.find(rest) else rest.split()
        for name in names:
            try:
                content = resolver.get(name)
            except OSError:
                continue
            for key, paint in read_mtl(decoded(content)).items():
                found.setdefault(key, paint)
    return found


def _choose(lines: _Lines, paints: dict[str, Paint], resolver: FolderResolver) -> list[tuple[Any, Paint] | None]:
    """The material of each name, for trimesh; None for none."""
    if lines.unread:
        resolver.missing.append("free-form surfaces (" + ", ".join(sorted(lines.unread)) + ")")
    used = set(lines.materials)
    made: dict[int, tuple[Any, Paint]] = {}
    chosen: list[tuple[Any, Paint] | None] = []
    for number, name in enumerate(lines.names):
        paint = None
        if number in used:
            paint = paints.get(name) if name is not None else _only(paints, lines, resolver)
            # A missing material file is noted already.
            if name and name.lower() not in _NONE and paint is None and (paints or not lines.libraries):
                resolver.missing.append(f"material {readable_name(name)}")
        if paint is not None and id(paint) not in made:
            made[id(paint)] = paint.material(resolver), paint
        chosen.append(None if paint is None else made[id(paint)])
    return chosen


def _only(paints: dict[str, Paint], lines: _Lines, resolver: FolderResolver) -> Paint | None:
    """The material of faces that name none."""
    if len(lines.names) > 1 or not paints:
        return None
    if len(paints) > 1:
        resolver.missing.append("usemtl (no face names one of the materials)")
        return None
    return next(iter(paints.values()))


def _part(
    corners: Int[np.ndarray, "c 3"],
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"] | None,
    places: Float[np.ndarray, "m 2"],
    normals: Float[np.ndarray, "k 3"],
    chosen: tuple[Any, Paint] | None,
    resolver: FolderResolver,
) -> trimesh.Trimesh:
    """Triangles of one material, with a vertex for each combination of position, UV and normal."""
    _, place = np.unique(corners[:, 0] * (len(places) + 1) + corners[:, 1] + 1, return_inverse=True)
    _, first, faces = np.unique(place * (len(normals) + 1) + corners[:, 2] + 1, return_index=True, return_inverse=True)
    position, uv, normal = corners[first].T
    visual: Any = None
    if chosen is not None and (colors is None or chosen[0].image is not None):
        material, paint = chosen
        where = np.where(uv[:, None] < 0, 0.0, places[uv]) if len(places) else np.zeros((len(uv), 2))
        where = where * paint.scale + paint.offset
        if paint.clamped and material.image is not None and max(-where.min(), where.max() - 1) > 1e-3:
            resolver.missing.append(f"-clamp of {material.image.info['file_path']}")
        visual = trimesh.visual.TextureVisuals(uv=where, material=material)
    elif colors is not None:
        visual = trimesh.visual.ColorVisuals(vertex_colors=colors[position])
    return trimesh.Trimesh(
        points[position],
        faces.reshape(-1, 3),
        vertex_normals=normals[normal] if (normal >= 0).all() else None,
        visual=visual,
        process=False,
        validate=False,
    )
