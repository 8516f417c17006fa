"""Interpolates vertex values at the covered pixels."""

from jaxtyping import Float, Int
from torch import Tensor

from get3d.render.rasterize import Fragments

__all__ = ["interpolate"]


def interpolate(
    attributes: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"], fragments: Fragments
) -> Float[Tensor, "p c"]:
    """Vertex attributes at the covered pixels; differentiable with respect to attributes and vertex positions.

    Args:
        attributes: values at the vertices; `meshes.vertices` gives the visible positions.
        faces: the rasterised faces, as indices into `attributes`; attributes with seams can have separate faces.
        fragments: the result of `rasterize`.
    """
    a, b, c = (
        attributes.index_select(0, faces.index_select(0, fragments.face).flatten()).unflatten(0, (-1, 3)).unbind(1)
    )
    u, v, w = fragments.barycentric.split(1, dim=1)
    return a * u + b * v + c * w
