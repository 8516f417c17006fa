"""Makes closed meshes manifold: every edge has two faces, also if vertices are merged by position."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from get3d.meshes import Mesh
from get3d.topology import joined

__all__ = ["distinct_rows", "has_three_corners", "repair", "weld"]

_ROUNDS = 8
_NUDGE = 0.02


def weld(mesh: Mesh) -> tuple[Mesh, Int[Tensor, " v"]]:
    """Merges vertices at equal positions and drops faces that then have less than three corners.

    Returns:
        The mesh with vertices in the order of their first appearance, and for each the index of that first vertex.
    """
    source, number = distinct_rows(mesh.vertices)
    faces = number[mesh.faces.long()]
    return Mesh(mesh.vertices[source], faces[has_three_corners(faces)]), source


def distinct_rows(rows: Float[Tensor, "n k"]) -> tuple[Int[Tensor, " d"], Int[Tensor, " n"]]:
    """Where each of the distinct rows comes first, in that order, and for every row which of them it is."""
    values = np.ascontiguousarray(rows.detach().cpu().numpy() + 0.0)  # -0.0 becomes 0.0
    words = values.view(np.dtype((np.void, values.itemsize * values.shape[1]))).ravel()
    _, first, number = np.unique(words, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return torch.from_numpy(first[order]).to(rows.device), torch.from_numpy(rank[number]).to(rows.device)


def has_three_corners(faces: Int[Tensor, "f 3"]) -> Bool[Tensor, " f"]:
    """Which faces have three different corners."""
    return (faces != faces.roll(1, dims=1)).all(dim=1)


def repair(mesh: Mesh) -> Mesh:
    """Repairs a closed surface so that every edge has exactly two faces and every vertex one fan of faces.

    Equal positions are merged, and pairs of coincident opposite faces are removed. If an edge still has more than two
    faces, or a vertex more than one fan, the surface is separated there into the solids that touched. The copies of a
    vertex move a fiftieth of the way into their own solid, so that readers that merge vertices by position do not undo
    this. Unused vertices are dropped. A mesh without these faults keeps its positions. Open borders stay open.
    """
    welded, _ = weld(mesh)
    vertices = welded.vertices.detach().cpu().double().numpy()
    faces = _without_back_to_back(welded.faces.cpu().numpy())
    corner_vertex = _separate(vertices, faces)
    corners = faces.ravel()
    used, first = np.unique(corner_vertex, return_index=True)
    faces = np.searchsorted(used, corner_vertex).reshape(-1, 3)
    origin = corners[first]
    copies = np.bincount(origin, minlength=len(vertices))[origin]
    vertices = vertices[origin]
    summed = np.zeros_like(vertices)
    np.add.at(summed, faces.ravel(), vertices[np.roll(faces, -1, axis=1).ravel()])
    around = summed / np.bincount(faces.ravel(), minlength=len(vertices))[:, None]
    vertices = np.where(copies[:, None] > 1, vertices + _NUDGE * (around - vertices), vertices)
    device = mesh.vertices.device
    return Mesh(torch.from_numpy(vertices).to(mesh.vertices), torch.from_numpy(faces).to(device))


def _without_back_to_back(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "g 3"]:
    """Removes faces in pairs of the same three corners and opposite facing: flakes without volume."""
    low, middle, high = np.sort(faces, axis=1).T
    count = int(faces.max(initial=0)) + 1
    _, side = np.unique(low * count + middle, return_inverse=True)
    _, group = np.unique(side * count + high, return_inverse=True)
    turned = (np.roll(faces, -1, axis=1) < faces).sum(axis=1) == 2
    per_facing = np.bincount(2 * group + turned, minlength=2 * (group.max(initial=-1) + 1))
    pairs = per_facing.reshape(-1, 2).min(axis=1)
    order = np.argsort(2 * group + turned, kind="stable")
    start = np.cumsum(per_facing) - per_facing
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    rank -= start[2 * group + turned]
    return faces[rank >= pairs[group]]


def _separate(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, " corners"]:
    """For each corner of each face the number of its fan: the corners that the pairing of faces at edges connects.

    At an edge of four and more faces the pairing is by the solid between them. Where both pairs at an edge then
    still end in the same two fans, as at a handle that is pinched to an edge, the next pairing is tried.
    """
    halves = np.arange(faces.size)
    after = np.roll(halves.reshape(-1, 3), -1, axis=1).ravel()
    start, end = faces.ravel(), faces.ravel()[after]
    low, high = np.minimum(start, end), np.maximum(start, end)
    _, edge, crowd = np.unique(low * len(vertices) + high, return_inverse=True, return_counts=True)
    backward = start > end
    angle = np.zeros(faces.size)
    crowded = np.flatnonzero(crowd[edge] > 2)
    angle[crowded] = _angles(vertices, low, high, start[after[after]], edge, crowded)
    order = np.lexsort((angle, backward, edge))
    forward_half, backward_half = order[~backward[order]], order[backward[order]]
    forwards = np.bincount(edge[forward_half], minlength=len(crowd))
    backwards = np.bincount(edge[backward_half], minlength=len(crowd))
    first_backward = np.cumsum(backwards) - backwards
    place = np.arange(len(forward_half)) - (np.cumsum(forwards) - forwards)[edge[forward_half]]
    paired = place < backwards[edge[forward_half]]
    ahead, place = forward_half[paired], place[paired]
    first_angle = np.zeros(len(crowd))
    first_angle[edge[ahead[place == 0]]] = angle[ahead[place == 0]]
    shift = np.bincount(edge[backward_half], weights=angle[backward_half] < first_angle[edge[backward_half]])
    shift = np.resize(shift, len(crowd)).astype(np.int64) - 1
    for _ in range(_ROUNDS):
        turn = np.where(forwards == backwards, shift, 0)
        back = backward_half[first_backward[edge[ahead]] + (place + turn[edge[ahead]]) % backwards[edge[ahead]]]
        joins = np.concatenate([ahead, after[ahead]]), np.concatenate([after[back], back])
        fans = joined(faces.size, *joins)
        ends = np.sort(np.stack([fans.label[ahead], fans.label[after[ahead]]]), axis=0)
        _, joint, pairs = np.unique(ends[0] * fans.count + ends[1], return_inverse=True, return_counts=True)
        again = np.unique(edge[ahead[pairs[joint] > 1]])
        if len(again) == 0:
            break
        shift[again] += 1
    return fans.label


def _angles(
    vertices: Float[np.ndarray, "v 3"],
    low: Int[np.ndarray, " h"],
    high: Int[np.ndarray, " h"],
    opposite: Int[np.ndarray, " h"],
    edge: Int[np.ndarray, " h"],
    chosen: Int[np.ndarray, " c"],
) -> Float[np.ndarray, " c"]:
    """Angles of the faces of the chosen half-edges around their edges, from a reference that each edge has once."""
    axis = vertices[high[chosen]] - vertices[low[chosen]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    arm = vertices[opposite[chosen]] - vertices[low[chosen]]
    arm -= (arm * axis).sum(axis=1, keepdims=True) * axis
    _, first, group = np.unique(edge[chosen], return_index=True, return_inverse=True)
    reference = arm[first][group]
    return np.arctan2((axis * np.cross(reference, arm)).sum(axis=1), (reference * arm).sum(axis=1))
