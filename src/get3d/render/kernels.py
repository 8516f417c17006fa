"""The visible face of each pixel: the one loop that does not suit PyTorch, in NVIDIA Warp for CPUs and NVIDIA GPUs.

The loop walks over the rows through pixel centres. On such a row a triangle covers an interval, whose ends are the
crossings of two of its edges; it covers the pixels with their centres in the interval, the left end included. A
crossing is computed from only its edge, always from the upper end to the lower, so that two triangles with a common
edge get the same number: no pixel between them is left out, and none is drawn twice.
"""

import contextlib
import functools
import os
from collections.abc import Iterator

import torch
import warp as wp
from torch import Tensor

from get3d.render.kernel_cache import use_writable_cache

__all__ = ["faces_of", "keys_below", "start_warp", "visible_faces"]

wp.set_module_options({"enable_backward": False})

_GPU_THREADS = 2**20
"""As many threads as keep a large GPU busy."""


@wp.func
def _first_centre(low: float, limit: int):
    """The first pixel whose centre is at or after `low`, in [0, limit]."""
    return int(wp.clamp(wp.ceil(low - 0.5), 0.0, float(limit)))


@wp.func
def _slope(upper: wp.vec3d, lower: wp.vec3d):
    return (lower[0] - upper[0]) / (lower[1] - upper[1])


@wp.kernel
def _draw(
    screen: wp.array2d[wp.float32],
    faces: wp.array2d[wp.int64],
    face_image: wp.array[wp.int64],
    strands: int,
    limit: wp.array3d[wp.int64],
    nearest: wp.array3d[wp.int64],
):
    """Keeps the nearest face of each pixel: the highest (depth, −1 − face), packed into 64 bits, below the limit.

    An empty limit is none. Thread (f, s) draws every `strands`-th row of face f, so that few large faces still give a
    GPU enough to do.
    """
    face, strand = wp.tid()
    i = faces[face, 0]
    j = faces[face, 1]
    k = faces[face, 2]
    ax = screen[i, 0]
    ay = screen[i, 1]
    az = screen[i, 2]
    bx = screen[j, 0]
    by = screen[j, 1]
    bz = screen[j, 2]
    cx = screen[k, 0]
    cy = screen[k, 1]
    cz = screen[k, 2]
    height = nearest.shape[1]
    width = nearest.shape[2]
    limited = limit.shape[0] > 0
    row = _first_centre(wp.min(ay, wp.min(by, cy)), height)
    end_row = _first_centre(wp.max(ay, wp.max(by, cy)), height)
    if row >= end_row:
        return
    low_x = wp.min(ax, wp.min(bx, cx))
    high_x = wp.max(ax, wp.max(bx, cx))
    if _first_centre(low_x, width) >= _first_centre(high_x, width):
        return
    farthest = wp.min(az, wp.min(bz, cz))
    closest = wp.max(az, wp.max(bz, cz))
    total = ax + ay + az + bx + by + bz + cx + cy + cz
    if farthest <= 0.0 or total - total != 0.0:
        return

    top = wp.vec3d(wp.float64(ax), wp.float64(ay), wp.float64(az))
    middle = wp.vec3d(wp.float64(bx), wp.float64(by), wp.float64(bz))
    bottom = wp.vec3d(wp.float64(cx), wp.float64(cy), wp.float64(cz))
    if top[1] > middle[1]:
        top, middle = middle, top
    if middle[1] > bottom[1]:
        middle, bottom = bottom, middle
    if top[1] > middle[1]:
        top, middle = middle, top
    long = _slope(top, bottom)
    first = _slope(top, middle)
    second = _slope(middle, bottom)
    p = middle - top
    q = bottom - top
    normal = wp.cross(p, q)
    if normal[2] == wp.float64(0.0):
        return
    depth_x = -normal[0] / normal[2]
    depth_y = -normal[1] / normal[2]

    image = int(face_image[face])
    order = wp.int64(-1 - face) & wp.int64(0xFFFFFFFF)
    row += strand
    while row < end_row:
        y = wp.float64(row) + wp.float64(0.5)
        x = top[0] + (y - top[1]) * long
        if y < middle[1]:
            other = top[0] + (y - top[1]) * first
        else:
            other = middle[0] + (y - middle[1]) * second
        column = _first_centre(wp.max(low_x, float(wp.min(x, other))), width)
        end_column = _first_centre(wp.min(high_x, float(wp.max(x, other))), width)
        base = top[2] + depth_y * (y - top[1]) + depth_x * (wp.float64(0.5) - top[0])
        while column < end_column:
            depth = wp.clamp(float(base + depth_x * wp.float64(column)), farthest, closest)
            key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | order
            if not limited or key < limit[image, row, column]:
                wp.atomic_max(nearest, image, row, column, key)
            column += 1
        row += strands


@functools.cache
def start_warp() -> None:
    """Starts Warp, silently."""
    if wp.config.kernel_cache_dir is None:
        use_writable_cache()
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


@torch.library.custom_op("get3d::visible_faces", mutates_args=())
def visible_faces(screen: Tensor, faces: Tensor, face_offsets: Tensor, height: int, width: int) -> Tensor:
    """The visible face at each pixel centre of B images.

    Args:
        screen: [V, 3] float32: x right and y down in pixels, so that pixel (row i, column j) has its centre at
            (j + ½, i + ½), and a depth that is positive, affine on the screen and larger where nearer. A face with a
            coordinate that is not finite, or a depth that is not positive, is not drawn.
        faces: [F, 3] int64, vertex numbers; both sides are seen.
        face_offsets: [B + 1] int64; image b shows the faces from face_offsets[b] up to face_offsets[b + 1].
        height: rows of an image.
        width: columns of an image.

    Returns:
        [B, height, width] int32: index of the face, −1 for none. Of faces at the same depth, the one with the lowest
        index is visible.
    """
    no_limit = torch.zeros(0, height, width, dtype=torch.int64, device=screen.device)
    return faces_of(_keys(screen, faces, face_offsets, no_limit, height, width))


@visible_faces.register_fake
def _(screen: Tensor, faces: Tensor, face_offsets: Tensor, height: int, width: int) -> Tensor:
    return screen.new_empty(face_offsets.shape[0] - 1, height, width, dtype=torch.int32)


@torch.library.custom_op("get3d::keys_below", mutates_args=())
def keys_below(screen: Tensor, faces: Tensor, face_offsets: Tensor, limit: Tensor) -> Tensor:
    """The keys of the nearest faces behind others, to look through faces layer by layer; see `faces_of`.

    Args:
        screen: as in `visible_faces`.
        faces: as in `visible_faces`.
        face_offsets: as in `visible_faces`.
        limit: [B, height, width] int64, the keys of the faces to look behind; 0 where nothing more is looked for, and
            the largest number to begin with.

    Returns:
        [B, height, width] int64: keys, larger where nearer, 0 where there is no face.
    """
    return _keys(screen, faces, face_offsets, limit.contiguous(), limit.shape[1], limit.shape[2])


@keys_below.register_fake
def _(screen: Tensor, faces: Tensor, face_offsets: Tensor, limit: Tensor) -> Tensor:
    return torch.empty_like(limit)


def faces_of(keys: Tensor) -> Tensor:
    """[B, height, width] int32: numbers of the faces of the keys, −1 where there is none."""
    # The lower half of the highest key holds −1 − face, and 0 where nothing was drawn.
    return keys.view(torch.int32)[..., ::2].bitwise_not()


def _keys(screen: Tensor, faces: Tensor, face_offsets: Tensor, limit: Tensor, height: int, width: int) -> Tensor:
    start_warp()
    device = screen.device
    nearest = torch.zeros(len(face_offsets) - 1, height, width, dtype=torch.int64, device=device)
    if len(faces):
        strands = 1 if device.type == "cpu" else min(height, max(1, _GPU_THREADS // len(faces)))
        face_image = torch.repeat_interleave(face_offsets.diff(), output_size=len(faces))
        points, corners, images, limits, keys = (
            wp.from_torch(t) for t in (screen.detach(), faces, face_image, limit, nearest)
        )
        wp.launch(
            _draw,
            dim=(len(faces), strands),
            inputs=[points, corners, images, strands, limits, keys],
            device=wp.device_from_torch(device),
            stream=wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None,
        )
    return nearest
