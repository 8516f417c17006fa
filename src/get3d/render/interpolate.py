"""Values at vertices, read at the covered pixels."""

from jaxtyping import Float, Int
from torch import Tensor

from get3d.render.rasterize import Fragments

__all__ = ["interpolate"]


def interpolate(
    attributes: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"], fragments: Fragments
) -> Float[Tensor, "p c"]:
    """The attributes at the covered pixels; differentiable in the attributes, and in the vertices' positions.

    Args:
        attributes: values at the vertices; `meshes.vertices` itself gives the positions that are seen.
        faces: the faces that were rasterised; their numbers are for rows of `attributes`, so attributes with seams
            can be read with faces of their own.
        fragments: what `rasterize` found.
    """
    corners = attributes[faces[fragments.face]]
    return (corners * fragments.barycentric[..., None]).sum(1)
