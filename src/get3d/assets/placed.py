"""Shapes with their transforms in a scene: the result of all readers."""

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float

from get3d.assets.files import LIMITS
from get3d.files import InputError

__all__ = ["Placed", "placed_in", "require_few"]


@dataclass(frozen=True)
class Placed:
    """A shape with its transform in a scene. Placed shapes may share geometry.

    Attributes:
        matrix: [4, 4] from its coordinates to the scene's; for columns.
        shape: its material is trimesh's, or a `PlainMaterial`.
    """

    matrix: Float[np.ndarray, "4 4"]
    shape: trimesh.Trimesh


def placed_in(scene: trimesh.Scene) -> list[Placed]:
    """All shapes with faces of a scene.

    Raises:
        InputError: there are more than `LIMITS.instances`.
    """
    nodes = scene.graph.nodes_geometry
    require_few(len(nodes))
    found = [scene.graph[node] for node in nodes]
    shapes = [(matrix, scene.geometry[name]) for matrix, name in found]
    return [
        Placed(np.asarray(matrix, np.float64), shape)
        for matrix, shape in shapes
        if isinstance(shape, trimesh.Trimesh) and len(shape.faces)
    ]


def require_few(placed: int, faces: int = 0, max_faces: int = 0) -> None:
    """Refuses too many shapes or faces, before they are created.

    Raises:
        InputError: there are more than `LIMITS.instances` shapes or `max_faces` faces.
    """
    if placed > LIMITS.instances:
        raise InputError(f"it places {placed} meshes, more than {LIMITS.instances} (instances count); join them")
    if faces > max_faces:
        raise InputError(f"it has {faces} faces, more than --max-faces {max_faces}; simplify it, or allow more")
