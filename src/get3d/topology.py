"""Connected components of meshes. There are three kinds, which differ on purpose:

- By **vertices**: faces that share a vertex are one component, as a person sees it and `small_components` counts it.
- By **edges**: parts that touch only at a vertex are two components, as slicers and `MeshReport.components` count.
- By **fans**: corners are joined across edges that pair two faces, so that a vertex where two solids touch is two
  vertices. Repair cuts surfaces apart there, and handles are counted on these vertices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Components", "edge_components", "joined", "vertex_components"]


@dataclass(frozen=True)
class Components:
    """Connected components.

    Attributes:
        count: number of components.
        label: [n] the component of each node, from 0.
    """

    count: int
    label: Int[np.ndarray, " n"]


def joined(nodes: int, start: Int[np.ndarray, " e"], end: Int[np.ndarray, " e"]) -> Components:
    """The components of a graph.

    Args:
        nodes: number of nodes; an isolated node is its own component.
        start: [e] one end of each edge.
        end: [e] the other end.
    """
    graph = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(nodes, nodes))
    count, label = connected_components(graph, directed=False)
    return Components(int(count), label.astype(np.int64))


def vertex_components(faces: Int[np.ndarray, "f 3"], vertices: int) -> Components:
    """Components of vertices that are joined by faces; label is [vertices]."""
    return joined(vertices, faces.ravel(), np.roll(faces, -1, axis=1).ravel())


def edge_components(edge: Int[np.ndarray, " h"], edges: int) -> Components:
    """Components of faces that share an edge; label is [h / 3 + edges], faces first.

    Args:
        edge: [3 f] index of the edge of each half-edge, three per face.
        edges: number of edges.
    """
    faces = len(edge) // 3
    return joined(faces + edges, np.repeat(np.arange(faces), 3), faces + edge)
