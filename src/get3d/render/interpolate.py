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
    a, b, c = (
        attributes.index_select(0, faces.index_select(0, fragments.face).flatten()).unflatten(0, (-1, 3)).unbind(1)
    )
    u, v, w = fragments.barycentric.split(1, dim=1)
    return a * u + b * v + c * w
