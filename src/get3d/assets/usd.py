"""USD packages, .usdz, as shapes in a scene; needs the package usd-core."""

from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from get3d.assets.files import FolderResolver
from get3d.assets.placed import Placed, require_few
from get3d.assets.usd_budget import require_composable, require_within
from get3d.assets.usd_materials import UsdMaterials
from get3d.assets.usd_shapes import shapes_of
from get3d.files import InputError

__all__ = ["load_usdz", "up_of_usdz"]

_SHAPED = ("Mesh", "Sphere", "Cube", "Cylinder", "Cone", "Capsule", "Plane")
_DEEPEST = 8
"""Maximum depth of nested instancers."""


def up_of_usdz(path: Path) -> str:
    """The up axis: y or z."""
    from pxr import UsdGeom

    return str(UsdGeom.GetStageUpAxis(_stage(path.resolve()))).lower()


def load_usdz(path: Path, resolver: FolderResolver, max_faces: int, texture: int) -> list[Placed]:
    """All visible shapes, with the base colours and textures of their preview surfaces, at the earliest time.

    Args:
        path: the file.
        resolver: takes notes of textures that cannot be read, and of what is not supported.
        max_faces: most faces that are accepted, instances counted.
        texture: side in texels to which larger textures are reduced.

    Raises:
        InputError: a layer or a texture lies outside the package, or there is too much of something.
    """
    path = path.resolve()  # All names that USD gives are absolute.
    return _Stage(_stage(path), UsdMaterials(path, resolver, texture), resolver, max_faces).placed


def _stage(path: Path) -> Any:
    from pxr import Tf, Usd

    require_composable(path)
    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        raise InputError("USD cannot open it; get or export it again") from error
    for layer in stage.GetUsedLayers():
        if not layer.anonymous:
            require_within(path, layer.realPath)
    return stage


class _Stage:
    """Traverses a stage.

    Attributes:
        placed: the shapes found.
    """

    def __init__(self, stage: Any, materials: UsdMaterials, resolver: FolderResolver, max_faces: int) -> None:
        from pxr import Usd, UsdGeom

        self._materials, self._resolver, self._max_faces = materials, resolver, max_faces
        self._time = Usd.TimeCode.EarliestTime()
        self._places = UsdGeom.XformCache(self._time)
        self._made: dict[str, list[trimesh.Trimesh]] = {}
        self._faces = 0
        self.placed: list[Placed] = []
        self._walk(stage.GetPseudoRoot(), np.eye(4)[None], 0)

    def _walk(self, root: Any, outer: Float[np.ndarray, "i 4 4"], depth: int) -> None:
        """Places the subtree of a prim, once for each matrix."""
        from pxr import Usd, UsdGeom

        walk = iter(Usd.PrimRange(root, Usd.TraverseInstanceProxies()))
        for prim in walk:
            if not prim.IsA(UsdGeom.Imageable):
                continue
            seen = UsdGeom.Imageable(prim)
            hidden = seen.ComputeVisibility(self._time) == "invisible"
            if hidden or seen.ComputePurpose() in ("guide", "proxy"):
                continue
            if prim.IsA(UsdGeom.PointInstancer):
                walk.PruneChildren()  # What is copied is not seen itself.
                self._copy(prim, outer, depth)
            elif prim.GetTypeName() in _SHAPED:
                self._place(prim, outer)
            elif prim.IsA(UsdGeom.Gprim):
                self._resolver.missing.append(f"{prim.GetTypeName()} {prim.GetName()}")

    def _copy(self, prim: Any, outer: Float[np.ndarray, "i 4 4"], depth: int) -> None:
        from pxr import UsdGeom

        instancer = UsdGeom.PointInstancer(prim)
        which = np.array(instancer.GetProtoIndicesAttr().Get(self._time) or [], dtype=np.int64)
        targets = instancer.GetPrototypesRel().GetForwardedTargets()
        require_few(len(which) * len(outer))
        if depth == _DEEPEST:
            raise InputError(f"its instancers lie {_DEEPEST} deep in each other; export it with plain meshes")
        if not len(which):
            return
        if which.min() < 0 or which.max() >= len(targets):
            raise InputError(f"an instancer names the prototype {which.max()} of {len(targets)}; export it again")
        # Only unmasked instances are returned, so the indices must be masked as well.
        mask = instancer.ComputeMaskAtTime(self._time)
        matrices = instancer.ComputeInstanceTransformsAtTime(
            self._time, self._time, UsdGeom.PointInstancer.ExcludeProtoXform
        )
        inner = np.array([np.array(matrix).T for matrix in matrices]).reshape(-1, 4, 4)
        which = which[np.array(mask, dtype=bool)] if mask else which
        if len(inner) != len(which):
            raise InputError(f"an instancer has {len(inner)} places for {len(which)} instances; export it again")
        here = self._matrix(prim)
        for number, target in enumerate(targets):
            chosen = inner[which == number]
            prototype = prim.GetStage().GetPrimAtPath(target)
            if not len(chosen) or not prototype:
                continue
            # The subtree of the prototype is placed in world coordinates; convert them to the prototype's own
            # coordinates: undo its parent's transform, but not its own.
            undone = np.linalg.pinv(self._matrix(prototype.GetParent()))
            copies = outer[:, None] @ (here @ chosen @ undone)[None]
            self._walk(prototype, copies.reshape(-1, 4, 4), depth + 1)

    def _matrix(self, prim: Any) -> Float[np.ndarray, "4 4"]:
        # USD uses row vectors, we use columns.
        return np.array(self._places.GetLocalToWorldTransform(prim)).T

    def _place(self, prim: Any, outer: Float[np.ndarray, "i 4 4"]) -> None:
        # Instances share one prototype in memory, which is read once.
        shared = prim.GetPrimInPrototype() if prim.IsInstanceProxy() else prim
        key = str(shared.GetPath())
        if key not in self._made:
            self._made[key] = shapes_of(prim, self._time, self._materials, self._resolver, self._max_faces)
        shapes = self._made[key]
        self._faces += len(outer) * sum(len(shape.faces) for shape in shapes)
        require_few(len(self.placed) + len(outer) * len(shapes), self._faces, self._max_faces)
        matrices = outer @ self._matrix(prim)
        self.placed += [Placed(matrix, shape) for shape in shapes for matrix in matrices]
