"""An object with indices of their own for positions, texture coordinates and normals: seams cut no surface apart."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from get3d.export.repair import distinct_rows, has_three_corners
from get3d.export.write import TexturedMesh

__all__ = ["WeldedMesh"]


@dataclass(frozen=True)
class WeldedMesh:
    """The faces of an object; each of their corners names a position, a place in the texture and a normal.

    Attributes:
        positions: [P, 3], each once, so that neighbouring faces share their edges.
        uv: [T, 2], each once.
        normals: [N, 3], each once.
        position: [F, 3] numbers of positions; a face has three different ones.
        place: [F, 3] numbers of places in the texture.
        normal: [F, 3] numbers of normals.
    """

    positions: Float[Tensor, "p 3"]
    uv: Float[Tensor, "t 2"]
    normals: Float[Tensor, "n 3"]
    position: Int[Tensor, "f 3"]
    place: Int[Tensor, "f 3"]
    normal: Int[Tensor, "f 3"]

    @classmethod
    def of(cls, textured: TexturedMesh) -> "WeldedMesh":
        """Joins what is equal, and drops faces that thereby have less than three corners."""
        found = [distinct_rows(rows) for rows in (textured.vertices, textured.uv, textured.normals)]
        position, place, normal = (number[textured.faces.long()] for _, number in found)
        kept = has_three_corners(position)
        return cls(
            positions=textured.vertices[found[0][0]],
            uv=textured.uv[found[1][0]],
            normals=textured.normals[found[2][0]],
            position=position[kept],
            place=place[kept],
            normal=normal[kept],
        )
