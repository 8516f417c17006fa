"""COLLADA files, .dae, as shapes in a scene; needs the package pycollada.

pycollada reads the lists of a file well. The scene is gone through here, because it drops an instance that names a
material which is not there, and nodes that are not in the order it expects; and because skins and morph targets are
only read there, not applied. assimp draws neither skins nor morph targets, and reads files by itself wherever they lie.
"""

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from get3d.assets.dae_materials import DaeMaterials, Paint
from get3d.assets.files import LIMITS, FolderResolver
from get3d.assets.placed import Placed, require_few
from get3d.assets.polygons import triangles
from get3d.files import InputError

__all__ = ["load_dae"]

_DEEPEST = 500
"""Maximum depth of nodes; deeper trees come from nodes that refer to themselves."""


def load_dae(path: Path, resolver: FolderResolver, max_faces: int, texture: int) -> list[Placed]:
    """All meshes of the file's scene, in the pose that the file shows. What is not supported is noted.

    Args:
        path: the file.
        resolver: for the files that it names.
        max_faces: most faces that are accepted, instances counted.
        texture: side in texels to which larger textures are reduced.

    Raises:
        InputError: it is no COLLADA, or too large.
    """
    import collada

    class Lists(collada.Collada):
        """Reads only the lists of a file: this module traverses the nodes, whose references may be missing."""

        def _loadNodes(self) -> None: ...

        def _loadScenes(self) -> None: ...

        def _loadDefaultScene(self) -> None: ...

        def _loadAnimations(self) -> None: ...

    content = path.read_bytes()
    plain = content.replace(b"\0", b"")  # UTF-16 likewise.
    if plain[:2] == b"PK":
        raise InputError("it is a ZIP archive; unpack it")
    if re.search(rb"<!(DOCTYPE|ENTITY)", plain):
        raise InputError("it defines its own XML entities, which are not read; export it again")
    try:
        file = Lists(io.BytesIO(content), ignore=[collada.common.DaeError])
    except collada.common.DaeError as error:
        raise InputError(f"it is not COLLADA ({' '.join(str(error.msg).split())}); get it again") from error
    return _Scene(file, DaeMaterials(resolver, texture), resolver, max_faces).placed


class _Scene:
    """Traverses the scene of a file.

    Attributes:
        placed: the shapes found.
    """

    def __init__(self, file: Any, materials: DaeMaterials, resolver: FolderResolver, max_faces: int) -> None:
        self._file, self._materials, self._resolver, self._max_faces = file, materials, resolver, max_faces
        self._made: dict[tuple[str, str], list[trimesh.Trimesh]] = {}
        self._joints: dict[str, Float[np.ndarray, "4 4"]] = {}
        self._faces = 0
        self.placed: list[Placed] = []
        found = self._instances()
        require_few(len(found))
        for instance, matrix in found:
            if _kind(instance) == "instance_geometry":
                self._geometry(instance, matrix)
            else:
                self._controller(instance, matrix)

    def _instances(self) -> list[tuple[Any, Float[np.ndarray, "4 4"]]]:
        """All instances of meshes in the scene, and their matrices; notes where the joints are."""
        root = self._file.xmlnode.getroot()
        known = {each.get("id"): each for each in root.iter() if each.get("id")}
        scenes = [each for each in root.iter() if _kind(each) == "visual_scene"]
        chosen = [known.get(_target(each)) for each in root.iter() if _kind(each) == "instance_visual_scene"]
        chosen = [scene for scene in chosen if scene is not None] or scenes
        found: list[tuple[Any, Float[np.ndarray, "4 4"]]] = []
        waiting = [(each, np.eye(4), 0) for each in reversed(chosen[:1])]
        visits = 0
        while waiting:
            node, matrix, depth = waiting.pop()
            visits += 1
            if depth > _DEEPEST or visits > LIMITS.nodes:
                raise InputError(
                    f"its nodes refer to each other more than {LIMITS.nodes} times, or in a circle; export it again"
                )
            for child in node:
                matrix = matrix @ self._transform(child)
            for name in (node.get("id"), node.get("sid")):
                if name:
                    self._joints.setdefault(name, matrix)
            below = []
            for child in node:
                kind = _kind(child)
                if kind == "node":
                    below.append((child, matrix, depth + 1))
                elif kind == "instance_node":
                    target = known.get(_target(child))
                    if target is None or _kind(target) != "node":
                        self._resolver.missing.append(f"node {child.get('url')}")
                    else:
                        below.append((target, matrix, depth + 1))
                elif kind in ("instance_geometry", "instance_controller"):
                    found.append((child, matrix))
            waiting += reversed(below)
        return found

    def _transform(self, element: Any) -> Float[np.ndarray, "4 4"]:
        from collada import common, scene

        kind = _kind(element)
        reader = {
            "translate": scene.TranslateTransform,
            "rotate": scene.RotateTransform,
            "scale": scene.ScaleTransform,
            "matrix": scene.MatrixTransform,
            "lookat": scene.LookAtTransform,
        }.get(kind)
        if kind == "skew":
            self._resolver.missing.append("skew of a node")
        if reader is None:
            return np.eye(4)
        try:
            return np.array(reader.load(self._file, element).matrix, np.float64)
        except common.DaeError as error:
            said = " ".join((element.text or "").split())
            raise InputError(f"its <{kind}> is {said[:60]!r}, and not numbers; export it again") from error

    def _geometry(self, instance: Any, matrix: Float[np.ndarray, "4 4"]) -> None:
        geometry = self._file.geometries.get(_target(instance))
        if geometry is None:
            self._resolver.missing.append(f"geometry {_target(instance)}")
            return
        binding = _binding(instance)
        key = geometry.id, _written(binding)
        if key not in self._made:
            self._made[key] = self._shapes(geometry, binding, None)
        self._place(self._made[key], matrix)

    def _controller(self, instance: Any, matrix: Float[np.ndarray, "4 4"]) -> None:
        """A skinned or morphed mesh."""
        from collada.controller import Morph

        name = _target(instance)
        controller = self._file.controllers.get(name)
        if controller is None:
            self._resolver.missing.append(f"controller {name}")
        elif isinstance(controller, Morph):
            deform = partial(_morphed, controller)
            self._place(self._shapes(controller.source_geometry, _binding(instance), deform), matrix)
        else:
            missing = [joint for joint in controller.joint_matrices if joint not in self._joints]
            if missing:
                self._resolver.missing.append(f"joint {missing[0]} of the skin {name}")
                joints = None
            else:
                # A skin follows its joints; the transform of its node does not count.
                joints, matrix = self._joints, np.eye(4)
            deform = partial(_skinned, controller, joints)
            self._place(self._shapes(controller.geometry, _binding(instance), deform), matrix)

    def _place(self, shapes: list[trimesh.Trimesh], matrix: Float[np.ndarray, "4 4"]) -> None:
        self._faces += sum(len(shape.faces) for shape in shapes)
        require_few(len(self.placed) + len(shapes), self._faces, self._max_faces)
        self.placed += [Placed(matrix, shape) for shape in shapes]

    def _shapes(
        self,
        geometry: Any,
        binding: dict[str, Any],
        deform: Callable[[Float[np.ndarray, "v 3"]], Float[np.ndarray, "v 3"]] | None,
    ) -> list[trimesh.Trimesh]:
        """The triangles of a mesh, a shape for each of its lists, every corner a vertex of its own."""
        shapes = []
        for primitive in geometry.primitives:
            holes = 0 if primitive.xmlnode is None else sum(_kind(each) == "ph" for each in primitive.xmlnode)
            if holes:
                self._resolver.missing.append(f"polygons with holes ({holes} in {geometry.id})")
            if type(primitive).__name__ not in ("TriangleSet", "Polylist", "Polygons"):
                self._resolver.missing.append(f"lines of {geometry.id}")
            elif primitive.index is not None and len(primitive.index):
                shape = self._shape(primitive, binding, deform)
                shapes += [shape] if len(shape.faces) else []
        return shapes

    def _shape(
        self, primitive: Any, binding: dict[str, Any], deform: Callable[..., np.ndarray] | None
    ) -> trimesh.Trimesh:
        flat = np.asarray(primitive.index).reshape(-1, primitive.nindices)
        counts = getattr(primitive, "vcounts", None)
        counts = np.full(len(flat) // 3, 3) if counts is None else np.asarray(counts, np.int64)
        if len(counts) and (counts.min() < 0 or counts.sum() > len(flat)):
            raise InputError("a mesh has too few corners for its faces; export it again")

        def values(semantic: str, width: int, chosen: int | None = None) -> Float[np.ndarray, "c n"] | None:
            inputs = primitive.sources.get(semantic) or []
            wanted = [each for each in inputs if chosen is not None and each[3] == str(chosen)] or inputs
            if not wanted:
                return None
            data = np.asarray(wanted[0][4].data, np.float64)
            if data.ndim != 2 or data.shape[1] < width:
                return None
            data = deform(data[:, :3]) if semantic == "VERTEX" and deform is not None else data
            numbers = flat[:, wanted[0][0]]
            if numbers.min() < 0 or numbers.max() >= len(data):
                raise InputError(f"a mesh names {semantic} {numbers.max()} of {len(data)}; export it again")
            return data[numbers]

        points = values("VERTEX", 3)
        if points is None:
            raise InputError("a mesh has no positions; export it again")
        corners = triangles(counts, points)[1].ravel()
        colors = values("COLOR", 3)
        paint = self._paint(primitive, binding, colored=colors is not None)
        visual = None
        if paint is not None:
            uv = values("TEXCOORD", 2, paint.uv_set) if paint.textured else None
            if paint.textured and uv is None:
                self._resolver.missing.append("texture coordinates")
            visual = trimesh.visual.TextureVisuals(uv=None if uv is None else uv[corners, :2], material=paint.material)
            if colors is not None:
                visual.vertex_attributes["color"] = self._materials.linear(colors[corners, :3])
        # Normals of deformed meshes are recomputed.
        normals = values("NORMAL", 3) if deform is None else None
        return trimesh.Trimesh(
            points[corners],
            np.arange(len(corners)).reshape(-1, 3),
            vertex_normals=None if normals is None else normals[corners, :3],
            visual=visual,
            process=False,
            validate=False,
        )

    def _paint(self, primitive: Any, binding: dict[str, Any], *, colored: bool) -> Paint | None:
        bound = binding.get(primitive.material or "")
        name = None if bound is None else (bound.get("target") or "#").lstrip("#")
        material = None if name is None else self._file.materials.get(name)
        if material is None and name is not None:
            self._resolver.missing.append(f"material {name}")
        return self._materials.paint(material, bound, colored=colored)


def _kind(element: Any) -> str:
    """The name of an element without its namespace; comments have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _target(element: Any) -> str:
    return (element.get("url") or "").lstrip("#")


def _binding(instance: Any) -> dict[str, Any]:
    """The elements that bind materials, by the symbol they are for."""
    return {each.get("symbol") or "": each for each in instance.iter() if _kind(each) == "instance_material"}


def _written(binding: dict[str, Any]) -> str:
    """The content of a binding, to compare two."""
    return repr([[sorted(part.items()) for part in each.iter()] for _, each in sorted(binding.items())])


def _morphed(controller: Any, points: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """Positions after morphing (COLLADA 1.4.1, <morph>)."""
    moved = points.copy()
    relative = any(each.get("method") == "RELATIVE" for each in controller.xmlnode)
    for target, weight in controller.target_list:
        others = np.asarray(target.primitives[0].sources["VERTEX"][0][4].data, np.float64)
        if others.shape != points.shape:
            raise InputError(f"a morph target has {len(others)} positions, its mesh {len(points)}; export it again")
        moved += float(weight) * (others if relative else others - points)
    return moved


def _skinned(
    controller: Any, joints: dict[str, Float[np.ndarray, "4 4"]] | None, points: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "v 3"]:
    """World positions after skinning (COLLADA 1.4.1, <skin>); the bind pose if there are no joints."""
    bound = np.asarray(controller.bind_shape_matrix, np.float64)
    points = points @ bound[:3, :3].T + bound[:3, 3]
    if joints is None:
        return points
    counts = np.asarray(controller.vcounts, np.int64)
    if len(counts) != len(points):
        raise InputError(f"a skin has weights for {len(counts)} of {len(points)} positions; export it again")
    pairs = np.asarray(controller.vertex_weight_index, np.int64).reshape(-1, controller.nindices)[: counts.sum()]
    which, rows = pairs[:, controller.offsets[0]], pairs[:, controller.offsets[1]]
    names = [str(name) for name in np.ravel(controller.weight_joints.data)]
    weights = np.ravel(controller.weights.data).astype(np.float64)
    if len(pairs) and (which.max() >= len(names) or not 0 <= rows.min() <= rows.max() < len(weights)):
        raise InputError("a skin names joints or weights that are not there; export it again")
    matrices = [joints[name] @ controller.joint_matrices[name] for name in names]
    # Joint −1 is the bind shape itself.
    matrices.append(np.eye(4))
    owner = np.repeat(np.arange(len(points)), counts)
    share = weights[rows]
    whole = np.bincount(owner, share, len(points))
    share = share / np.where(whole[owner] != 0, whole[owner], 1)
    ends = np.pad(points, ((0, 0), (0, 1)), constant_values=1)[owner]
    moved = np.zeros_like(points)
    turned = np.einsum("pij,pj->pi", np.array(matrices, np.float64)[which], ends)[:, :3]
    np.add.at(moved, owner, share[:, None] * turned)
    return np.where((whole != 0)[:, None], moved, points)
