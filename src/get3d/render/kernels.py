"""The two loops that PyTorch cannot say well, in NVIDIA Warp: they run on the CPU and on NVIDIA GPUs, without copies.

Both walk over the lines through pixel centres. On such a line a triangle covers an interval, whose ends are the
crossings of two of its edges. A crossing is computed from its edge alone, always from the lower end to the higher, so
that two triangles with a common edge get the same number: between them there is never a gap. An edge crosses the line
at y when exactly one of its ends is at or before y, so that the closed loop of a triangle's edges is crossed twice or
not at all.
"""

import contextlib
import functools
import os
from collections.abc import Iterator

import torch
import warp as wp
from torch import Tensor

__all__ = ["outline", "visible_faces"]

wp.set_module_options({"enable_backward": False})

_MAX_THREADS = 2**20

_SUBPIXELS = 2**20
"""Crossings are compared in these parts of a pixel."""


@wp.func
def _corner(screen: wp.array2d(dtype=wp.float32), faces: wp.array2d(dtype=wp.int64), face: int, corner: int):
    vertex = faces[face, corner]
    return wp.vec3(screen[vertex, 0], screen[vertex, 1], screen[vertex, 2])


@wp.func
def _usable(a: wp.vec3, b: wp.vec3, c: wp.vec3):
    """Whether all coordinates are finite and all three vertices lie in front of the camera."""
    return wp.isfinite(a) and wp.isfinite(b) and wp.isfinite(c) and wp.min(a[2], wp.min(b[2], c[2])) > 0.0


@wp.func
def _first_centre(low: wp.float64, limit: int):
    """The first pixel whose centre is at or after `low`, in [0, limit]."""
    return int(wp.clamp(wp.ceil(low - wp.float64(0.5)), wp.float64(0.0), wp.float64(limit)))


@wp.func
def _crosses(a: wp.vec2d, b: wp.vec2d, y: wp.float64):
    return (a[1] <= y) != (b[1] <= y)


@wp.func
def _crossing(a: wp.vec2d, b: wp.vec2d, y: wp.float64):
    """Where the edge crosses the line at y; the same number for (a, b) and (b, a)."""
    low = a
    high = b
    if a[1] > b[1]:
        low = b
        high = a
    x = low[0] + (y - low[1]) * ((high[0] - low[0]) / (high[1] - low[1]))
    return wp.clamp(x, wp.min(a[0], b[0]), wp.max(a[0], b[0]))


@wp.kernel
def _draw(
    screen: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int64),
    face_image: wp.array(dtype=wp.int64),
    strands: int,
    nearest: wp.array3d(dtype=wp.int64),
):
    """Keeps the nearest face of each pixel: the highest (1/distance, −1 − face), packed into 64 bits.

    Thread (f, s) draws every `strands`-th row of face f, so that few large faces still give a GPU enough to do.
    """
    face, strand = wp.tid()
    a = _corner(screen, faces, face, 0)
    b = _corner(screen, faces, face, 1)
    c = _corner(screen, faces, face, 2)
    if not _usable(a, b, c):
        return
    a2 = wp.vec2d(wp.float64(a[0]), wp.float64(a[1]))
    b2 = wp.vec2d(wp.float64(b[0]), wp.float64(b[1]))
    c2 = wp.vec2d(wp.float64(c[0]), wp.float64(c[1]))
    height = nearest.shape[1]
    width = nearest.shape[2]
    low = wp.min(a2, wp.min(b2, c2))
    high = wp.max(a2, wp.max(b2, c2))
    first_row = _first_centre(low[1], height)
    end_row = _first_centre(high[1], height)
    if first_row >= end_row or _first_centre(low[0], width) >= _first_centre(high[0], width):
        return
    ab = b2 - a2
    ac = c2 - a2
    area = ab[0] * ac[1] - ab[1] * ac[0]
    if area == wp.float64(0.0):
        return
    nearness = wp.float64(a[2])
    dab = wp.float64(b[2]) - nearness
    dac = wp.float64(c[2]) - nearness
    slope = wp.vec2d((dab * ac[1] - dac * ab[1]) / area, (dac * ab[0] - dab * ac[0]) / area)
    farthest = wp.min(a[2], wp.min(b[2], c[2]))
    closest = wp.max(a[2], wp.max(b[2], c[2]))
    image = int(face_image[face])
    order = wp.int64(-1 - face) & wp.int64(0xFFFFFFFF)
    row = first_row + strand
    while row < end_row:
        y = wp.float64(row) + wp.float64(0.5)
        left = high[0]
        right = low[0]
        if _crosses(a2, b2, y):
            x = _crossing(a2, b2, y)
            left = wp.min(left, x)
            right = wp.max(right, x)
        if _crosses(b2, c2, y):
            x = _crossing(b2, c2, y)
            left = wp.min(left, x)
            right = wp.max(right, x)
        if _crosses(c2, a2, y):
            x = _crossing(c2, a2, y)
            left = wp.min(left, x)
            right = wp.max(right, x)
        column = _first_centre(left, width)
        end_column = _first_centre(right, width)
        base = nearness + slope[1] * (y - a2[1]) + slope[0] * (wp.float64(0.5) - a2[0])
        while column < end_column:
            here = wp.clamp(float(base + slope[0] * wp.float64(column)), farthest, closest)
            wp.atomic_max(nearest, image, row, column, (wp.int64(wp.cast(here, wp.int32)) << wp.int64(32)) | order)
            column += 1
        row += strands


@wp.kernel
def _count_intervals(
    screen: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int64),
    resolution: int,
    count: wp.array2d(dtype=wp.int64),
):
    """How many rows (axis 0) and columns (axis 1) each face crosses."""
    axis, face = wp.tid()
    a = _corner(screen, faces, face, 0)
    b = _corner(screen, faces, face, 1)
    c = _corner(screen, faces, face, 2)
    if _usable(a, b, c):
        low = wp.min(a, wp.min(b, c))
        high = wp.max(a, wp.max(b, c))
        first = _first_centre(wp.float64(low[1 - axis]), resolution)
        count[axis, face] = wp.int64(_first_centre(wp.float64(high[1 - axis]), resolution) - first)


@wp.func
def _subpixel(x: wp.float64, limit: int):
    return wp.int64(wp.clamp(x, wp.float64(0.0), wp.float64(limit)) * wp.float64(_SUBPIXELS))


@wp.kernel
def _write_intervals(
    screen: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int64),
    face_image: wp.array(dtype=wp.int64),
    images: int,
    resolution: int,
    end_slot: wp.array2d(dtype=wp.int64),
    ends: wp.array2d(dtype=wp.int64),
    edges: wp.array2d(dtype=wp.int32),
):
    axis, face = wp.tid()
    a = _corner(screen, faces, face, 0)
    b = _corner(screen, faces, face, 1)
    c = _corner(screen, faces, face, 2)
    if not _usable(a, b, c):
        return
    a2 = wp.vec2d(wp.float64(a[axis]), wp.float64(a[1 - axis]))
    b2 = wp.vec2d(wp.float64(b[axis]), wp.float64(b[1 - axis]))
    c2 = wp.vec2d(wp.float64(c[axis]), wp.float64(c[1 - axis]))
    low = wp.min(a2, wp.min(b2, c2))
    high = wp.max(a2, wp.max(b2, c2))
    row = _first_centre(low[1], resolution)
    end_row = _first_centre(high[1], resolution)
    slot = int(end_slot[axis, face]) - (end_row - row)
    line = (axis * images + int(face_image[face])) * resolution
    while row < end_row:
        y = wp.float64(row) + wp.float64(0.5)
        left = high[0]
        right = low[0]
        left_edge = 0
        right_edge = 0
        if _crosses(a2, b2, y):
            left = _crossing(a2, b2, y)
            right = left
        if _crosses(b2, c2, y):
            x = _crossing(b2, c2, y)
            if x <= left:
                left = x
                left_edge = 1
            if x >= right:
                right = x
                right_edge = 1
        if _crosses(c2, a2, y):
            x = _crossing(c2, a2, y)
            if x <= left:
                left = x
                left_edge = 2
            if x >= right:
                right = x
                right_edge = 2
        start = wp.int64(line + row) * wp.int64(resolution + 1) * wp.int64(_SUBPIXELS)
        ends[0, slot] = start + _subpixel(left, resolution)
        ends[1, slot] = start + _subpixel(right, resolution)
        edges[0, slot] = 3 * face + left_edge
        edges[1, slot] = 3 * face + right_edge
        slot += 1
        row += 1


@functools.cache
def _start() -> None:
    """Starts Warp, silently."""
    wp.config.log_level = wp.LOG_WARNING
    with contextlib.nullcontext() if torch.cuda.is_available() else _muted_stderr():
        wp.init()


@contextlib.contextmanager
def _muted_stderr() -> Iterator[None]:
    """Warp's C library says on stderr that there is no GPU driver; PyTorch's users know that already."""
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _launch(kernel: wp.Kernel, dim: tuple[int, ...], device: torch.device, *arguments: Tensor | wp.array | int) -> None:
    """Runs a kernel on PyTorch's current stream; tensors are passed in place."""
    _start()
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None
    inputs = [wp.from_torch(value.detach()) if isinstance(value, Tensor) else value for value in arguments]
    wp.launch(kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device), stream=stream)


def _face_image(faces: Tensor, face_offsets: Tensor) -> Tensor:
    """The picture that each face is in."""
    return torch.repeat_interleave(face_offsets.diff(), output_size=len(faces))


@torch.library.custom_op("get3d::visible_faces", mutates_args=())
def visible_faces(screen: Tensor, faces: Tensor, face_offsets: Tensor, height: int, width: int) -> Tensor:
    """The face that is seen at each pixel centre of B pictures.

    Args:
        screen: [V, 3] float32: x right and y down in pixels, so that pixel (row i, column j) has its centre at
            (j + ½, i + ½), and a depth that is positive, affine on the screen and larger where nearer. A face with a
            coordinate that is not finite, or a depth that is not positive, is not drawn.
        faces: [F, 3] int64, vertex numbers; both sides are seen.
        face_offsets: [B + 1] int64; picture b shows the faces from face_offsets[b] up to face_offsets[b + 1].
        height: rows of a picture.
        width: columns of a picture.

    Returns:
        [B, height, width] int32: the face's number, −1 where there is none. Of faces at the same depth the one with
        the lowest number is seen.
    """
    device = screen.device
    nearest = torch.zeros(len(face_offsets) - 1, height, width, dtype=torch.int64, device=device)
    if len(faces):
        strands = 1 if device.type == "cpu" else min(height, max(1, _MAX_THREADS // len(faces)))
        _launch(_draw, (len(faces), strands), device, screen, faces, _face_image(faces, face_offsets), strands, nearest)
    # The lower half of the highest key holds −1 − face, and 0 where nothing was drawn.
    return nearest.view(torch.int32)[..., ::2].bitwise_not()


@visible_faces.register_fake
def _(screen: Tensor, faces: Tensor, face_offsets: Tensor, height: int, width: int) -> Tensor:
    return screen.new_empty(face_offsets.shape[0] - 1, height, width, dtype=torch.int32)


@torch.library.custom_op("get3d::outline", mutates_args=())
def outline(screen: Tensor, faces: Tensor, face_offsets: Tensor, resolution: int) -> Tensor:
    """Where the lines through pixel centres enter and leave B shapes, the union of each shape's triangles.

    Args:
        screen: as for `visible_faces`.
        faces: as for `visible_faces`.
        face_offsets: as for `visible_faces`.
        resolution: side of the square pictures in pixels.

    Returns:
        [2, S, 4] int64: S places where a line enters (first) and S where it leaves (last): the line's number, 0 for
        rows and 1 for columns, and the numbers of the vertices at both ends of the edge that is crossed. Rows come
        first: picture b has the lines b · resolution onwards, and (B + b) · resolution onwards for columns.
    """
    device = screen.device
    images = len(face_offsets) - 1
    count = torch.zeros(2, len(faces), dtype=torch.int64, device=device)
    if len(faces):
        _launch(_count_intervals, count.shape, device, screen, faces, resolution, count)
    end_slot = count.flatten().cumsum(0)
    total = int(end_slot[-1]) if len(faces) else 0
    if total == 0:
        return screen.new_empty(2, 0, 4, dtype=torch.int64)
    ends = torch.empty(2, total, dtype=torch.int64, device=device)
    edges = torch.empty(2, total, dtype=torch.int32, device=device)
    face_image = _face_image(faces, face_offsets)
    arguments = screen, faces, face_image, images, resolution, end_slot.view(2, -1), ends, edges
    _launch(_write_intervals, count.shape, device, *arguments)
    starts, order = ends[0].sort()
    reach, farthest = ends[1, order].cummax(0)
    # An interval that starts where all before it have ended starts a new part of the union.
    (first,) = torch.nonzero(torch.cat([starts.new_ones(1, dtype=torch.bool), starts[1:] > reach[:-1]]), as_tuple=True)
    last = torch.cat([first[1:], first.new_full((1,), total)]) - 1
    line = starts[first] // ((resolution + 1) * _SUBPIXELS)
    edge = torch.stack([edges[0, order[first]], edges[1, order[farthest[last]]]]).long()
    face, corner = edge // 3, edge % 3
    columns = line >= images * resolution
    parts = [line.expand(2, -1), columns.expand(2, -1), faces[face, corner], faces[face, (corner + 1) % 3]]
    return torch.stack(parts, dim=2)


@outline.register_fake
def _(screen: Tensor, faces: Tensor, face_offsets: Tensor, resolution: int) -> Tensor:
    return screen.new_empty(2, torch.library.get_ctx().new_dynamic_size(), 4, dtype=torch.int64)
