"""Regularisers of surfaces that do not depend on the isosurface method."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from get3d.isosurface.signs import find, look_up, offsets, pack
from get3d.isosurface.surfaces import Surfaces
from get3d.meshes import MeshBatch
from get3d.topology import joined

__all__ = ["SURFACE_REGULARIZERS", "floaters", "normal_consistency", "regularizers_of"]

LARGEST_FLOATER = 0.05
"""Vertices of the largest floating piece as a share of those of the largest component."""

_LEAST_ANGLE = 0.01
"""Chord between normals below which the deviation is taken as quadratic."""

_EDGE = 0.1
"""Chord between normals that counts half of what it would if sharper ones were ripples, too: about 6°."""


def floaters(sdf: Float[Tensor, "n v"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, " n"]:
    """How much of a shape floats beside its largest component: the SDF there, over all vertices inside the shape.

    The components are those of the grid's vertices with a positive value, joined by edges; those with less than
    `LARGEST_FLOATER` of the largest one's vertices float. Such a piece has no image that asks for it where a shape is
    of no training object; the gradient, the same at each of its vertices, makes it vanish. Larger pieces are left as
    they are: a shape that falls into parts must not lose one after the other, because empty shapes have no floaters.

    Args:
        sdf: signed distances at the vertices of a grid, positive inside.
        edges: vertices of the edges of the grid.

    Returns:
        [n], 0 for shapes without floaters.
    """
    shapes, count = sdf.shape
    positive = pack(sdf > 0)
    low, high = edges.unbind(1)
    inside, joining = find(positive), find(look_up(positive, low) & look_up(positive, high))
    at = inside.shape * count + inside.element
    # Only the numbers of vertices inside are ever read, so the rest need no value.
    number = torch.empty(shapes * count, dtype=torch.int64, device=sdf.device)
    number[at] = torch.arange(len(at), device=sdf.device)
    start, end = (number[joining.shape * count + ends.index_select(0, joining.element)] for ends in (low, high))
    components = joined(len(at), start.cpu().numpy(), end.cpu().numpy())
    label = torch.from_numpy(components.label).to(sdf.device)
    sizes = torch.bincount(label, minlength=components.count)[label]
    largest = inside.shape.new_zeros(shapes).scatter_reduce(0, inside.shape, sizes, "amax")
    loose = (sizes < LARGEST_FLOATER * largest[inside.shape]).nonzero()[:, 0]
    values = sdf.reshape(-1).index_select(0, at[loose])
    summed = sdf.new_zeros(shapes).index_add(0, inside.shape[loose], values)
    return summed / offsets(inside.shape, shapes).diff().clamp(min=1)


def normal_consistency(meshes: MeshBatch) -> Float[Tensor, ""]:
    """How rough surfaces are: mean distance between the unit normals of a face and of its surroundings.

    The latter is the mean of the normals at the corners, so that a surface which only bends, such as the inside of a
    narrow neck, costs little, as it would not if each corner was compared. The distance is not squared, so that a few
    sharp edges cost less than ripples everywhere, as in total variation (Rudin, Osher and Fatemi 1992), and what it
    costs is bounded, so that edges which are there pay little for being sharper (Geman and Reynolds 1992, "Constrained
    Restoration and the Recovery of Discontinuities"): else the rims of mouths are what it takes away first, by lids
    over them.
    """
    crosses = meshes.face_crosses()
    lengths = crosses.norm(dim=1, keepdim=True)
    normals = crosses / lengths.clamp(min=torch.finfo(crosses.dtype).tiny)
    around = normalize(meshes.vertex_normals()[meshes.faces].sum(1), dim=1)
    chord = ((around - normals).square().sum(1) + _LEAST_ANGLE**2).sqrt() - _LEAST_ANGLE
    deviation = chord / (1 + chord / _EDGE)
    # Faces weigh by their area, but do not shrink to weigh less.
    weights = lengths[:, 0].detach()
    return (weights * deviation).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


SURFACE_REGULARIZERS: dict[str, Callable[[Surfaces], Float[Tensor, ""]]] = {
    "floaters": lambda surfaces: floaters(surfaces.sdf, surfaces.edges).mean(),
    "normals": lambda surfaces: normal_consistency(surfaces.meshes),
}
"""Those of every method, by name; each is computed only where it has a weight."""


def regularizers_of(surfaces: Surfaces, weights: Mapping[str, float]) -> dict[str, Float[Tensor, ""]]:
    """The regularisers of the method that made surfaces, and of the others those that have a weight; without it."""
    further = {name: compute(surfaces) for name, compute in SURFACE_REGULARIZERS.items() if weights.get(name)}
    return surfaces.regularizers | further
