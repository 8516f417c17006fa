"""Polygons of any number of corners, also concave ones, as triangles."""

import mapbox_earcut
import numpy as np
from jaxtyping import Float, Int

__all__ = ["triangles"]

_FLAT = 1e-9
"""A corner whose cross product, over the square of the polygon's longest side, is smaller counts as straight."""


def triangles(
    counts: Int[np.ndarray, " p"], points: Float[np.ndarray, "c 3"]
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, "t 3"]]:
    """Cuts polygons into triangles of the same orientation.

    Convex polygons become fans of their first corner. Concave ones are cut by their ears in the plane of their mean
    normal (M. Newell), so that what lies outside of them stays open. What has fewer than three corners gives nothing.

    Args:
        counts: corners of each polygon.
        points: positions of all corners, polygon after polygon.

    Returns:
        The polygon of each triangle, in order, and its three corners as numbers of rows of `points`.
    """
    counts = np.asarray(counts, np.int64)
    starts = counts.cumsum() - counts
    fans = (counts - 2).clip(0)
    polygon = np.repeat(np.arange(len(counts)), fans)
    step = np.arange(len(polygon)) - np.repeat(fans.cumsum() - fans, fans)
    first = starts[polygon]
    corners = np.stack([first, first + step + 1, first + step + 2], axis=1)
    places = fans.cumsum() - fans
    for number, normal in zip(*_concave(counts, starts, points), strict=True):
        start, count = starts[number], counts[number]
        ears = _ears(points[start : start + count], normal)
        if ears is not None:
            corners[places[number] : places[number] + count - 2] = ears + start
    return polygon, corners


def _concave(
    counts: Int[np.ndarray, " p"], starts: Int[np.ndarray, " p"], points: Float[np.ndarray, "c 3"]
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 3"]]:
    """The concave polygons, and their mean normals."""
    many = np.flatnonzero(counts > 3)
    if not len(many):
        return many, np.zeros((0, 3))
    sizes = counts[many]
    ends = sizes.cumsum()
    begins = ends - sizes
    owner = np.repeat(np.arange(len(many)), sizes)
    here = np.arange(ends[-1]) + np.repeat(starts[many] - begins, sizes)
    following = here + 1
    following[ends - 1] = starts[many]
    before = here - 1
    before[begins] = starts[many] + sizes - 1
    arriving, leaving = points[here] - points[before], points[following] - points[here]
    turns = np.cross(arriving, leaving)
    # Newell's normal: the sum of cross products of neighbours, seen from the first corner to stay exact far away.
    origin = points[starts[many]][owner]
    normals = np.add.reduceat(np.cross(points[here] - origin, points[following] - origin), begins)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(lengths > 0, lengths, 1)
    longest = np.maximum.reduceat((leaving**2).sum(axis=1), begins)
    inward = (turns * normals[owner]).sum(axis=1) < -_FLAT * longest[owner]
    bad = np.logical_or.reduceat(inward, begins)
    return many[bad], normals[bad]


def _ears(ring: Float[np.ndarray, "n 3"], normal: Float[np.ndarray, " 3"]) -> Int[np.ndarray, "m 3"] | None:
    """Triangles of one polygon by ear clipping; None if it intersects itself or is degenerate."""
    if not (np.isfinite(ring).all() and normal.any()):
        return None
    across = np.eye(3)[np.abs(normal).argmin()]
    u = np.cross(across, normal)
    flat = (ring - ring[0]) @ np.stack([u, np.cross(normal, u)], axis=1)
    flat = np.ascontiguousarray(flat / max(np.abs(flat).max(), 1e-300), dtype=np.float64)
    ears = mapbox_earcut.triangulate_float64(flat, np.array([len(ring)], np.uint32)).astype(np.int64).reshape(-1, 3)
    if len(ears) != len(ring) - 2:
        return None
    a, b, c = flat[ears].transpose(1, 0, 2)
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    ears[turned < 0] = ears[turned < 0, ::-1]
    return ears
