"""Faces that cut each other, and how thick a shape is, in NVIDIA Warp for the CPU and NVIDIA GPUs."""

import warp as wp

__all__ = ["mark_intersections", "measure_thickness"]

wp.set_module_options({"enable_backward": False})


@wp.func
def _vertex(mesh: wp.uint64, face: int, corner: int):
    return wp.mesh_get_point(mesh, 3 * face + corner)


@wp.func
def _are_neighbours(indices: wp.array(dtype=wp.int32), face: int, other: int):
    found = bool(False)
    for i in range(3):
        for j in range(3):
            found = found or indices[3 * face + i] == indices[3 * other + j]
    return found


@wp.kernel
def mark_intersections(mesh: wp.uint64, indices: wp.array(dtype=wp.int32), marked: wp.array(dtype=wp.int32)):
    """Marks each face that cuts another one with which it has no vertex in common."""
    face = wp.tid()
    a = _vertex(mesh, face, 0)
    b = _vertex(mesh, face, 1)
    c = _vertex(mesh, face, 2)
    query = wp.mesh_query_aabb(mesh, wp.min(a, wp.min(b, c)), wp.max(a, wp.max(b, c)))
    other = int(0)
    while wp.mesh_query_aabb_next(query, other):
        if other > face and not _are_neighbours(indices, face, other):
            d = _vertex(mesh, other, 0)
            e = _vertex(mesh, other, 1)
            f = _vertex(mesh, other, 2)
            if wp.intersect_tri_tri(a, b, c, d, e, f) == 1:
                marked[face] = 1
                marked[other] = 1


@wp.kernel
def measure_thickness(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    inward: wp.array(dtype=wp.vec3),
    start: float,
    limit: float,
    thickness: wp.array(dtype=wp.float32),
):
    """How far the next face is behind each point, leaving out what is nearer than `start`; `limit` where none is."""
    i = wp.tid()
    hit = wp.mesh_query_ray(mesh, points[i] + start * inward[i], inward[i], limit)
    if hit.result:
        thickness[i] = start + hit.t
    else:
        thickness[i] = limit
