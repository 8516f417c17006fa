"""Distances of many pairs of shapes, in NVIDIA Warp for the CPU and NVIDIA GPUs."""

import warp as wp

__all__ = ["CAMERAS", "DIMENSIONS", "FIELDS", "LEAF", "Lanes", "LeafLanes", "match_descriptors", "sum_nearest"]

wp.set_module_options({"enable_backward": False, "max_unroll": 0})

FIELDS = 10
CAMERAS = 10
ROTATIONS = 60
DIMENSIONS = 47

LEAF = 16
LeafLanes = wp.types.vector(length=LEAF, dtype=wp.float32)

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


@wp.func
def _gap(low_a: wp.vec3, high_a: wp.vec3, low_b: wp.vec3, high_b: wp.vec3):
    """The squared distance between two boxes."""
    return wp.length_sq(wp.max(wp.max(low_b - high_a, low_a - high_b), wp.vec3(0.0)))


@wp.func
def _nearer(
    nearest: LeafLanes, x: LeafLanes, y: LeafLanes, z: LeafLanes, leaves: wp.array3d(dtype=LeafLanes), j: int, leaf: int
):
    """The squared distances `nearest` of the points (x, y, z), lowered to those of the points in a leaf of cloud j."""
    result = nearest
    for k in range(LEAF):
        along_x = x - LeafLanes(leaves[j, leaf, 0][k])
        along_y = y - LeafLanes(leaves[j, leaf, 1][k])
        along_z = z - LeafLanes(leaves[j, leaf, 2][k])
        squares = wp.cw_mul(along_x, along_x) + wp.cw_mul(along_y, along_y) + wp.cw_mul(along_z, along_z)
        result = wp.min(result, squares)
    return result


@wp.kernel
def sum_nearest(
    queries: wp.array3d(dtype=LeafLanes),
    weights: wp.array2d(dtype=LeafLanes),
    query_low: wp.array2d(dtype=wp.vec3),
    query_high: wp.array2d(dtype=wp.vec3),
    leaves: wp.array3d(dtype=LeafLanes),
    low: wp.array2d(dtype=wp.vec3),
    high: wp.array2d(dtype=wp.vec3),
    sums: wp.array2d(dtype=wp.float64),
):
    """The weighted sum of the squared distances from the points of cloud i to the nearest points of cloud j.

    Both are trees of boxes: node n has the children 2 n and 2 n + 1, and the last nodes are leaves, in order. Points
    are asked for a leaf at a time, a lane for each, so that one instruction works on several; the leaf that was best
    for the leaf before is a good first guess.
    """
    i, j = wp.tid()
    inner = low.shape[1] / 2
    total = wp.float64(0.0)
    guess = int(0)
    for query in range(queries.shape[1]):
        x = queries[i, query, 0]
        y = queries[i, query, 1]
        z = queries[i, query, 2]
        query_node = queries.shape[1] + query
        nearest = _nearer(LeafLanes(wp.inf), x, y, z, leaves, j, guess)
        farthest = wp.max(nearest)
        first = guess
        node = int(1)
        going = bool(True)
        while going:
            gap = _gap(query_low[i, query_node], query_high[i, query_node], low[j, node], high[j, node])
            if gap < farthest:
                if node < inner:
                    node = 2 * node
                    continue
                leaf = node - inner
                if leaf != first:
                    nearest = _nearer(nearest, x, y, z, leaves, j, leaf)
                    best = wp.max(nearest)
                    if best < farthest:
                        farthest = best
                        guess = leaf
            # The next subtree: a right brother, or the right brother of the nearest ancestor that has one.
            node += 1
            while node & 1 == 0:
                node = node >> 1
            going = node > 1
        total += wp.float64(wp.dot(nearest, weights[i, query]))
    sums[i, j] = total
