"""Distances of many pairs of shapes, in NVIDIA Warp for the CPU and NVIDIA GPUs."""

import warp as wp

__all__ = ["CAMERAS", "DIMENSIONS", "FIELDS", "Lanes", "match_descriptors"]

wp.set_module_options({"enable_backward": False, "max_unroll": 0})

FIELDS = 10
CAMERAS = 10
ROTATIONS = 60
DIMENSIONS = 47

_CAMERA_PAIRS = CAMERAS * CAMERAS
Lanes = wp.types.vector(length=FIELDS, dtype=wp.float32)


@wp.kernel
def match_descriptors(
    a: wp.array3d(dtype=wp.float32),
    b: wp.array3d(dtype=Lanes),
    rotations: wp.array2d(dtype=wp.int32),
    distances: wp.array3d(dtype=wp.float32),
):
    """The distance of descriptor i from j where i's light field s is turned in every way against all of j's.

    `a` is [A, views, dimensions]; `b` is [B, dimensions, cameras] with a lane for each light field, so that one
    instruction works on several; both are weighted. `distances` is [A, B, light fields of a].
    """
    i, j, field = wp.tid()
    cost = wp.zeros(shape=(_CAMERA_PAIRS,), dtype=Lanes)
    for camera in range(CAMERAS):
        for k in range(DIMENSIONS):
            value = Lanes(a[i, CAMERAS * field + camera, k])
            for other in range(CAMERAS):
                pair = CAMERAS * camera + other
                cost[pair] = cost[pair] + wp.abs(b[j, k, other] - value)
    best = Lanes(wp.inf)
    for rotation in range(ROTATIONS):
        total = Lanes(0.0)
        for other in range(CAMERAS):
            total += cost[CAMERAS * rotations[rotation, other] + other]
        best = wp.min(best, total)
    distances[i, j, field] = wp.min(best)
