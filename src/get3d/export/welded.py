"""Objects with separate indices for positions, texture coordinates and normals: seams do not cut the surface."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from get3d.export.material_mesh import MaterialMesh
from get3d.export.repair import distinct_rows, has_three_corners

__all__ = ["WeldedMesh"]


@dataclass(frozen=True)
class WeldedMesh:
    """The faces of an object; each corner has a position, a texture coordinate and a normal.

    Attributes:
        positions: [P, 3] distinct positions, so that neighbouring faces share edges.
        uv: [T, 2] distinct texture coordinates.
        normals: [N, 3] distinct normals.
        position: [F, 3] indices of positions, three different ones per face.
        place: [F, 3] indices of texture coordinates.
        normal: [F, 3] indices of normals.
    """

    positions: Float[Tensor, "p 3"]
    uv: Float[Tensor, "t 2"]
    normals: Float[Tensor, "n 3"]
    position: Int[Tensor, "f 3"]
    place: Int[Tensor, "f 3"]
    normal: Int[Tensor, "f 3"]

    @classmethod
    def of(cls, textured: MaterialMesh) -> "WeldedMesh":
        """Merges equal values, and drops faces that then have less than three corners."""
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
