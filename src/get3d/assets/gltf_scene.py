"""The shapes of a glTF 2.0 file: its nodes, meshes, skins and morph targets, in the pose that the file shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int

from get3d.assets.files import LIMITS, FolderResolver
from get3d.assets.gltf import Document, integer, item, listed, numbers
from get3d.assets.gltf_materials import GltfMaterials, Paint
from get3d.assets.placed import Placed, require_few
from get3d.files import InputError

__all__ = ["load_gltf"]

_MOVES = {"matrix", "translation", "rotation", "scale"}
_UNMOVED = np.eye(4)


def load_gltf(path: Path, resolver: FolderResolver, max_faces: int, texture: int) -> list[Placed]:
    """All visible meshes of the file's scene. What is not supported is noted with the resolver.

    Args:
        path: the file.
        resolver: for the files that it names.
        max_faces: most faces that are accepted, instances counted.
        texture: side in texels to which larger textures are reduced.

    Raises:
        InputError: it is no glTF 2.0, names what is not there, or is too large.
    """
    document = Document(path, resolver, max_faces)
    return list(_Scene(document, texture).shapes(max_faces))


class _Scene:
    def __init__(self, document: Document, texture: int) -> None:
        self.document = document
        self.materials = GltfMaterials(document, texture)
        self.world, self.visible = self._places()
        self._skins: dict[int, Float[np.ndarray, "j 4 4"]] = {}
        self._shapes: dict[tuple[int, bytes], list[trimesh.Trimesh]] = {}

    def shapes(self, max_faces: int) -> Iterator[Placed]:
        """Visible shapes, once for each instance."""
        found = [(number, self._node(number)) for number in self.visible if "mesh" in self._node(number)]
        meshes = [self.document.entry("meshes", node["mesh"]) for _, node in found]
        copies = [self._copies(node) for _, node in found]
        # Sizes are checked before allocation: a few bytes of a hostile file can ask for gigabytes.
        counted = {node["mesh"]: self._counted(mesh) for (_, node), mesh in zip(found, meshes, strict=True)}
        pieces = {number: np.array([faces for faces in drawn if faces > 0]) for number, drawn in counted.items()}
        placed = sum(count * len(pieces[node["mesh"]]) for count, (_, node) in zip(copies, found, strict=True))
        faces = sum(count * int(pieces[node["mesh"]].sum()) for count, (_, node) in zip(copies, found, strict=True))
        require_few(placed, faces, max_faces)
        undrawn = sum(drawn.count(-1) for drawn in counted.values())
        if undrawn:
            self.document.resolver.missing.append(f"points and lines ({undrawn} pieces)")
        for (number, node), mesh in zip(found, meshes, strict=True):
            weights = self._weights(node, mesh)
            if "skin" in node:
                # A skin follows its joints; the transform of its node does not count (glTF 2.0, section 3.7.3.3).
                matrices, shapes = np.eye(4)[None], self._made(mesh, weights, self._joints(node["skin"]))
            else:
                key = node["mesh"], weights.tobytes()
                if key not in self._shapes:
                    self._shapes[key] = self._made(mesh, weights, None)
                matrices, shapes = self._instances(node, self.world[number]), self._shapes[key]
            for matrix in matrices:
                yield from (Placed(matrix, shape) for shape in shapes)

    def _node(self, number: int) -> dict[str, Any]:
        return self.document.entry("nodes", number)

    def _places(self) -> tuple[dict[int, Float[np.ndarray, "4 4"]], list[int]]:
        """The world matrix of each node, and the visible nodes of the scene in file order."""
        count = len(listed(self.document.header, "nodes"))
        if count > LIMITS.nodes:
            raise InputError(f"it has {count} nodes, more than {LIMITS.nodes}; join its parts")
        children: list[list[int]] = []
        parents: dict[int, int] = {}
        for number in range(count):
            children.append(listed(self._node(number), "children"))
            for child in children[-1]:
                item(range(count), child, "nodes")
                if child in parents:
                    raise InputError(f"its nodes[{child}] hangs below several nodes; export it again")
                parents[child] = number
        roots = [number for number in range(count) if number not in parents]
        world, queue = {root: self._local(root) for root in roots}, list(roots)
        while queue:
            number = queue.pop()
            for child in children[number]:
                local = self._local(child)
                world[child] = world[number] if local is _UNMOVED else world[number] @ local
                queue.append(child)
        if len(world) < count:
            raise InputError("its nodes hang in a circle; export it again")
        scenes = listed(self.document.header, "scenes")
        if scenes:
            scene = self.document.entry("scenes", self.document.header.get("scene", 0))
            roots = [item(range(count), root, "nodes") for root in listed(scene, "nodes")]
        seen, queue = set(), list(roots)
        while queue:
            number = queue.pop()
            visibility = self.document.note_extensions(self._node(number)).get("KHR_node_visibility")
            if number in seen or (isinstance(visibility, dict) and visibility.get("visible", True) is False):
                continue
            seen.add(number)
            queue += children[number]
        return world, sorted(seen)

    def _local(self, number: int) -> Float[np.ndarray, "4 4"]:
        node = self._node(number)
        if not _MOVES & node.keys():
            return _UNMOVED
        if "matrix" in node:
            return numbers(node, "matrix", np.eye(4).ravel().tolist()).reshape(4, 4).T
        moved = numbers(node, "translation", (0, 0, 0))
        turned, scaled = numbers(node, "rotation", (0, 0, 0, 1)), numbers(node, "scale", (1, 1, 1))
        return _matrices(moved[None], turned[None], scaled[None])[0]

    def _instancing(self, node: dict[str, Any]) -> dict[str, Any]:
        """Accessors of the instances of a node; empty if it has none."""
        extension = self.document.note_extensions(node).get("EXT_mesh_gpu_instancing")
        attributes = extension.get("attributes") if isinstance(extension, dict) and "skin" not in node else None
        return attributes if isinstance(attributes, dict) else {}

    def _copies(self, node: dict[str, Any]) -> int:
        return max((self.document.count(number) for number in self._instancing(node).values()), default=1)

    def _instances(self, node: dict[str, Any], world: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "i 4 4"]:
        attributes = self._instancing(node)
        if not attributes:
            return world[None]
        count = self._copies(node)
        places = []
        for name, plain in (("TRANSLATION", (0, 0, 0)), ("ROTATION", (0, 0, 0, 1)), ("SCALE", (1, 1, 1))):
            values = np.tile(np.array(plain, np.float64), (count, 1))
            if name in attributes:
                given = self.document.rows(attributes[name])
                if given.shape != values.shape:
                    raise InputError(f"its instances have {len(given)} of {count} values of {name}; export it again")
                values = given
            places.append(values)
        return world @ _matrices(*places)

    def _weights(self, node: dict[str, Any], mesh: dict[str, Any]) -> Float[np.ndarray, " t"]:
        """Weights of the morph targets: the node's, else the mesh's, else zero."""
        for thing in (node, mesh):
            given = listed(thing, "weights")
            if given:
                return numbers(thing, "weights", [0.0] * len(given))
        return np.zeros(0)

    def _joints(self, number: Any) -> Float[np.ndarray, "j 4 4"]:
        """For each joint of a skin, the matrix from the mesh's coordinates to the world's."""
        skin = self.document.entry("skins", number)
        if number not in self._skins:
            self._skins[number] = self._bound(number, skin)
        return self._skins[number]

    def _bound(self, number: int, skin: dict[str, Any]) -> Float[np.ndarray, "j 4 4"]:
        joints = listed(skin, "joints")
        world = np.array([self.world[item(range(len(self.world)), joint, "nodes")] for joint in joints])
        if "inverseBindMatrices" in skin:
            bound = self.document.rows(skin["inverseBindMatrices"])
            if bound.shape[1] != 16 or len(bound) < len(joints):
                raise InputError(f"its skins[{number}] has {len(bound)} matrices for {len(joints)} joints")
            world = world.reshape(-1, 4, 4) @ bound[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        return world.reshape(-1, 4, 4)

    def _counted(self, mesh: dict[str, Any]) -> list[int]:
        return [self._drawn(primitive) for primitive in listed(mesh, "primitives")]

    def _drawn(self, primitive: Any) -> int:
        """Number of faces of a primitive; −1 for points and lines."""
        if not isinstance(primitive, dict):
            raise InputError("one of its primitives is not an object; export it again")
        mode = integer(primitive, "mode", 4)
        attributes = primitive.get("attributes")
        if mode < 4:
            return -1
        if mode > 6 or not isinstance(attributes, dict) or "POSITION" not in attributes:
            return 0
        corners = self.document.count(primitive.get("indices", attributes["POSITION"]))
        return corners // 3 if mode == 4 else max(0, corners - 2)

    def _made(
        self,
        mesh: dict[str, Any],
        weights: Float[np.ndarray, " t"],
        joints: Float[np.ndarray, "j 4 4"] | None,
    ) -> list[trimesh.Trimesh]:
        drawn = [primitive for primitive in listed(mesh, "primitives") if self._drawn(primitive) > 0]
        shapes = [self._shape(primitive, weights, joints) for primitive in drawn]
        return [shape for shape in shapes if len(shape.faces)]

    def _shape(
        self,
        primitive: dict[str, Any],
        weights: Float[np.ndarray, " t"],
        joints: Float[np.ndarray, "j 4 4"] | None,
    ) -> trimesh.Trimesh:
        self.document.note_extensions(primitive)
        attributes = primitive["attributes"]
        count = self.document.count(attributes["POSITION"])
        faces = self._faces(primitive, count)
        # Many primitives may share long lists; each keeps only what it uses.
        used, corners = np.unique(faces, return_inverse=True)
        faces = corners.reshape(-1, 3)

        def values(attribute: str, widths: tuple[int, ...], owner: dict[str, Any]) -> np.ndarray | None:
            if attribute not in owner:
                return None
            array = self.document.array(owner[attribute])
            if array.shape[1] not in widths or len(array) != count:
                raise InputError(f"its {attribute} has {len(array)} values for {count} vertices; export it again")
            return self.document.rows(owner[attribute], used)

        points, normals = values("POSITION", (3,), attributes), values("NORMAL", (3,), attributes)
        assert points is not None
        targets = listed(primitive, "targets") if weights.any() else []
        for weight, target in zip(weights, targets, strict=False):
            if not isinstance(target, dict):
                raise InputError("one of its morph targets is not an object; export it again")
            moved, turned = values("POSITION", (3,), target), values("NORMAL", (3,), target)
            points = points if moved is None else points + weight * moved
            normals = normals if normals is None or turned is None else normals + weight * turned
        if joints is not None:
            blended = _blended(attributes, values, joints, len(used))
            points = np.einsum("vij,vj->vi", blended[:, :3, :3], points) + blended[:, :3, 3]
            turn = _cofactors(blended[:, :3, :3])
            mirrored = np.linalg.det(blended[:, :3, :3]).sum() < 0
            normals = None if normals is None else np.einsum("vij,vj->vi", turn, normals) * (-1 if mirrored else 1)
            faces = faces[:, ::-1] if mirrored else faces
        normals = None if normals is None else _unit(normals)
        return self._painted(points, faces, normals, attributes, primitive.get("material"), values)

    def _painted(
        self,
        points: Float[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        normals: Float[np.ndarray, "v 3"] | None,
        attributes: dict[str, Any],
        material: Any,
        values: Any,
    ) -> trimesh.Trimesh:
        colors = values("COLOR_0", (3, 4), attributes)
        paint = self.materials.paint(material, colored=colors is not None)
        visual = None
        if paint is not None:
            visual = trimesh.visual.TextureVisuals(uv=self._uv(paint, attributes, values), material=paint.material)
            if colors is not None:
                visual.vertex_attributes["color"] = colors[:, :3]
        return trimesh.Trimesh(points, faces, vertex_normals=normals, visual=visual, process=False, validate=False)

    def _uv(self, paint: Paint, attributes: dict[str, Any], values: Any) -> Float[np.ndarray, "v 2"] | None:
        """UV coordinates, v upwards."""
        if paint.uv_set is None:
            return None
        name = f"TEXCOORD_{paint.uv_set}"
        uv = values(name, (2,), attributes)
        if uv is None:
            self.document.resolver.missing.append(name)
            return None
        uv = uv @ paint.transform[:, :2].T + paint.transform[:, 2]
        if not paint.repeats and (uv.min() < -0.01 or uv.max() > 1.01):
            self.document.resolver.missing.append("a texture that does not repeat beyond its edge")
        return np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)

    def _faces(self, primitive: dict[str, Any], count: int) -> Int[np.ndarray, "f 3"]:
        if "indices" in primitive:
            array = self.document.array(primitive["indices"])
            if array.dtype.kind == "f" or array.shape[1] != 1:
                raise InputError("its vertex indices are not integers; export it again")
            corners = array.ravel().astype(np.int64)
        else:
            corners = np.arange(count)
        if corners.min() < 0 or corners.max() >= count:
            raise InputError(f"a face names the vertex {corners.max()} of {count}; export it again")
        mode = primitive.get("mode", 4)
        if mode == 4:
            return corners[: len(corners) // 3 * 3].reshape(-1, 3)
        if mode == 6:
            return np.stack([corners[1:-1], corners[2:], np.full(len(corners) - 2, corners[0])], axis=1)
        # Every second triangle of a strip is flipped, and degenerate ones only connect others.
        odd = np.arange(len(corners) - 2) % 2
        start = np.arange(len(corners) - 2)
        faces = corners[np.stack([start, start + 1 + odd, start + 2 - odd], axis=1)]
        a, b, c = faces.T
        return faces[(a != b) & (b != c) & (c != a)]


def _matrices(
    moved: Float[np.ndarray, "n 3"], turned: Float[np.ndarray, "n 4"], scaled: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 4 4"]:
    """Matrices that scale, then rotate (unit quaternions x, y, z, w), then translate."""
    x, y, z, w = (turned / np.linalg.norm(turned, axis=1, keepdims=True).clip(1e-30)).T
    matrices = np.zeros((len(moved), 4, 4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrices[:, :3, :3] = np.array(rows).transpose(2, 0, 1) * scaled[:, None]
    matrices[:, :3, 3] = moved
    matrices[:, 3, 3] = 1
    return matrices


def _blended(
    attributes: dict[str, Any], values: Any, joints: Float[np.ndarray, "j 4 4"], count: int
) -> Float[np.ndarray, "v 4 4"]:
    """The matrix of each vertex of a skin: the weighted sum of its joints' matrices."""
    sets = [number for number in range(len(attributes)) if f"JOINTS_{number}" in attributes]
    which = [values(f"JOINTS_{number}", (4,), attributes) for number in sets]
    shares = [values(f"WEIGHTS_{number}", (4,), attributes) for number in sets]
    if not sets or not len(joints) or any(share is None for share in shares):
        raise InputError("a part with a skin has no joints and weights; export it again")
    blended = np.zeros((count, 4, 4))
    whole_ = sum(share.sum(axis=1) for share in shares)
    for joint, share in zip(which, shares, strict=True):
        joint = joint.clip(0, 2**31).astype(np.int64)
        if joint[share != 0].max(initial=0) >= len(joints):
            raise InputError(f"a vertex hangs at the joint {joint.max()} of {len(joints)}; export it again")
        for corner in range(4):
            weight = np.where(whole_ > 0, share[:, corner] / np.where(whole_ > 0, whole_, 1), 0)
            blended += weight[:, None, None] * joints[np.where(share[:, corner] != 0, joint[:, corner], 0)]
    # A vertex without weights follows its first joint.
    first = which[0][:, 0].clip(0, len(joints) - 1).astype(np.int64)
    blended[whole_ <= 0] = joints[first[whole_ <= 0]]
    return blended


def _cofactors(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Cofactor matrices, which transform normals: inverse transpose times determinant, also for singular matrices."""
    a, b, c = matrices.transpose(1, 0, 2)
    return np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)


def _unit(vectors: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"] | None:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 1e-30)).all():
        return None
    return vectors / lengths
