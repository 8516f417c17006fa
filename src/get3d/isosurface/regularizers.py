"""Regularisers of surfaces that do not depend on the isosurface method."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch.nn.functional import normalize

from get3d.isosurface.signs import Found, find, look_up, offsets, pack
from get3d.isosurface.surfaces import Surfaces
from get3d.meshes import MeshBatch
from get3d.topology import joined

__all__ = ["SURFACE_REGULARIZERS", "floaters", "gaps", "normal_consistency", "regularizers_of"]

LARGEST_FLOATER = 0.02
"""Surface of the largest floating piece as a share of that of the largest component."""

_STEP = 1e-6
"""What an edge between two vertices inside costs a way."""

_LEAST_ANGLE = 0.01
"""Chord between normals below which the deviation is taken as quadratic."""

_EDGE = 0.1
"""Chord between normals that counts half of what it would if sharper ones were ripples, too: about 6°."""


def floaters(sdf: Float[Tensor, "n v"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, " n"]:
    """How much of a shape floats beside its largest component: the SDF there, over all vertices inside the shape.

    The components are those of the grid's vertices with a positive value, joined by edges; those with less than
    `LARGEST_FLOATER` of the largest one's surface float. What counts as surface are the edges that cross it, so that a
    thin handle is no smaller than it looks beside a solid body. Such a piece has no image that asks for it where a
    shape is of no training object; the gradient, the same at each of its vertices, makes it vanish. Larger pieces are
    left as they are: a shape that falls into parts must not lose one after the other, because empty shapes have no
    floaters.

    Args:
        sdf: signed distances at the vertices of a grid, positive inside.
        edges: vertices of the edges of the grid.

    Returns:
        [n], 0 for shapes without floaters.
    """
    pieces = _pieces(sdf, edges)
    shapes = len(sdf)
    loose = (pieces.sizes < LARGEST_FLOATER * pieces.largest[pieces.inside.shape]).nonzero()[:, 0]
    values = sdf.reshape(-1).index_select(0, pieces.at[loose])
    summed = sdf.new_zeros(shapes).index_add(0, pieces.inside.shape[loose], values)
    return summed / offsets(pieces.inside.shape, shapes).diff().clamp(min=1)


def gaps(sdf: Float[Tensor, "n v"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, " n"]:
    """How far the larger pieces of a shape are from its largest component: the distance outside along the way there.

    A piece is larger if it is not among the `floaters`. Its way is the one along edges with the least sum of distances
    outside the shape, and it counts with their mean, so that the gradient fills the narrowest gap: that of the lowest
    saddle, as in losses of persistent homology (Clough et al. 2020, "A Topological Loss Function for Deep-Learning
    Based Image Segmentation Using Persistent Homology").

    Args:
        sdf: signed distances at the vertices of a grid, positive inside.
        edges: vertices of the edges of the grid.

    Returns:
        [n], sums over the pieces; 0 for shapes with one larger piece.
    """
    pieces = _pieces(sdf, edges)
    larger = pieces.sizes >= LARGEST_FLOATER * pieces.largest[pieces.inside.shape]
    columns = [pieces.inside.shape[larger], pieces.label[larger], pieces.sizes[larger]]
    shape, label, size = torch.stack(columns, 1).unique(dim=0).cpu().numpy().T
    found, shares = [np.empty(0, np.int64)], [np.empty(0)]
    for broken in np.flatnonzero(np.bincount(shape, minlength=len(sdf)) > 1):
        within = pieces.inside.shape == broken
        component = np.full(sdf.shape[1], -1)
        component[pieces.inside.element[within].cpu().numpy()] = pieces.label[within].cpu().numpy()
        bulk = int(label[shape == broken][size[shape == broken].argmax()])
        others = label[(shape == broken) & (label != bulk)]
        for way in _ways(sdf.detach()[broken].cpu().double().numpy(), edges.cpu().numpy(), component, bulk, others):
            found.append(broken * sdf.shape[1] + way)
            shares.append(np.full(len(way), 1 / len(way)))
    at = torch.from_numpy(np.concatenate(found)).to(sdf.device)
    depth = -sdf.reshape(-1).index_select(0, at) * torch.from_numpy(np.concatenate(shares)).to(sdf)
    return sdf.new_zeros(len(sdf)).index_add(0, at // sdf.shape[1], depth)


def _ways(
    sdf: Float[np.ndarray, " v"],
    edges: Int[np.ndarray, "e 2"],
    component: Int[np.ndarray, " v"],
    bulk: int,
    others: Int[np.ndarray, " c"],
) -> Iterator[Int[np.ndarray, " w"]]:
    """The vertices outside on the way of each other component to the bulk."""
    depth = np.maximum(-sdf, 0)
    # Edges inside are not free, or a way might turn in circles there.
    costs = depth[edges].sum(1) + _STEP
    graph = coo_array((costs, tuple(edges.T)), shape=(len(sdf), len(sdf)))
    far, before, _ = dijkstra(
        graph, directed=False, indices=np.flatnonzero(component == bulk), return_predecessors=True, min_only=True
    )
    for piece in others:
        members = np.flatnonzero(component == piece)
        vertex, way = members[far[members].argmin()], []
        while component[vertex] != bulk:
            way.append(vertex)
            vertex = before[vertex]
        yield np.array([vertex for vertex in way if component[vertex] < 0])


@dataclass(frozen=True)
class _Pieces:
    """The components of what lies inside each shape.

    Attributes:
        inside: vertices inside.
        at: [k] their numbers among those of all shapes.
        label: [k] component of each, by one count for all shapes.
        sizes: [k] edges that cross the surface of the component of each.
        largest: [n] those of the largest component of each shape.
    """

    inside: Found
    at: Int[Tensor, " k"]
    label: Int[Tensor, " k"]
    sizes: Int[Tensor, " k"]
    largest: Int[Tensor, " n"]


def _pieces(sdf: Float[Tensor, "n v"], edges: Int[Tensor, "e 2"]) -> _Pieces:
    shapes, count = sdf.shape
    positive = pack(sdf > 0)
    low, high = edges.unbind(1)
    inside, touching = find(positive), find(look_up(positive, low) | look_up(positive, high))
    at = inside.shape * count + inside.element
    number = torch.full((shapes * count,), -1, device=sdf.device)
    number[at] = torch.arange(len(at), device=sdf.device)
    start, end = (
        number[touching.shape * count + ends.index_select(0, touching.element)].cpu().numpy() for ends in (low, high)
    )
    # Whether both ends are inside or one is told on the host, which needs them anyway.
    joining = (start >= 0) & (end >= 0)
    components = joined(len(at), start[joining], end[joining])
    surface = np.bincount(components.label[np.maximum(start, end)[~joining]], minlength=components.count)
    label = torch.from_numpy(components.label).to(sdf.device)
    sizes = torch.from_numpy(surface[components.label]).to(sdf.device)
    largest = inside.shape.new_zeros(shapes).scatter_reduce(0, inside.shape, sizes, "amax")
    return _Pieces(inside, at, label, sizes, largest)


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
    "gaps": lambda surfaces: gaps(surfaces.sdf, surfaces.edges).mean(),
    "normals": lambda surfaces: normal_consistency(surfaces.meshes),
}
"""Those of every method, by name; each is computed only where it has a weight."""


def regularizers_of(surfaces: Surfaces, weights: Mapping[str, float]) -> dict[str, Float[Tensor, ""]]:
    """The regularisers of the method that made surfaces, and of the others those that have a weight; without it."""
    further = {name: compute(surfaces) for name, compute in SURFACE_REGULARIZERS.items() if weights.get(name)}
    return surfaces.regularizers | further
