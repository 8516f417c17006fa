"""How the faces of a mesh hang together. There are three kinds of components, which differ on purpose:

- By **vertices**: what shares a vertex is one component, as a person sees it and as `small_components` counts it.
- By **edges**: parts that touch at a vertex alone are two, as slicers and `MeshReport.components` count them.
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
        count: how many there are.
        label: [n] the component of each node, from 0.
    """

    count: int
    label: Int[np.ndarray, " n"]


def joined(nodes: int, start: Int[np.ndarray, " e"], end: Int[np.ndarray, " e"]) -> Components:
    """The components of a graph.

    Args:
        nodes: how many nodes it has; one that nothing joins is a component of its own.
        start: [e] one end of each edge.
        end: [e] the other.
    """
    graph = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(nodes, nodes))
    count, label = connected_components(graph, directed=False)
    return Components(int(count), label.astype(np.int64))


def vertex_components(faces: Int[np.ndarray, "f 3"], vertices: int) -> Components:
    """Components of vertices that faces join; label is [vertices]."""
    return joined(vertices, faces.ravel(), np.roll(faces, -1, axis=1).ravel())


def edge_components(edge: Int[np.ndarray, " h"], edges: int) -> Components:
    """Components of faces that share an edge; label is [h / 3 + edges], faces first.

    Args:
        edge: [3 f] the number of the edge of each half-edge, three to a face.
        edges: how many edges there are.
    """
    faces = len(edge) // 3
    return joined(faces + edges, np.repeat(np.arange(faces), 3), faces + edge)
