"""Computes normals: smooth, except at sharp edges."""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["corner_normals"]

CREASE = np.cos(np.radians(40))
"""Neighbouring faces at a larger angle than this have a sharp edge; the others are shaded as one surface."""
_CROWD = 512
"""Around a point with more faces all are smooth, because comparing all pairs would take too long."""
_BLOCK = 2**17


def corner_normals(owner: Int[np.ndarray, " k"], crosses: Float[np.ndarray, "f 3"]) -> Float[np.ndarray, "k 3"]:
    """Unit normals at the corners of triangles: the area-weighted mean of adjacent faces with similar normals.

    Args:
        owner: the point at each corner, three for each face, one face after the other; copies of a point count as one.
        crosses: of each face, a vector along its normal, as long as twice its area.
    """
    units = crosses / np.linalg.norm(crosses, axis=1, keepdims=True).clip(1e-300)
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner)
    starts = counts.cumsum() - counts
    spread = np.repeat(crosses, 3, axis=0)
    summed = np.stack([np.bincount(owner, spread[:, axis]) for axis in range(3)], axis=1)
    normals = summed[owner]
    chosen = np.flatnonzero(counts[owner] <= _CROWD)
    for block in np.split(chosen, range(_BLOCK, len(chosen), _BLOCK)):
        # All pairs of corners that share a point: for each corner the run of corners of its point, in sorted order.
        repeats = counts[owner[block]]
        first = np.repeat(np.arange(len(block)), repeats)
        step = np.arange(len(first)) - np.repeat(repeats.cumsum() - repeats, repeats)
        second = order[starts[owner[block[first]]] + step]
        near = (units[block[first] // 3] * units[second // 3]).sum(axis=1) > CREASE
        for axis in range(3):
            alike = crosses[second[near] // 3, axis]
            normals[block, axis] = np.bincount(first[near], alike, minlength=len(block))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-300)
