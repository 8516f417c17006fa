"""UV unwrapping: divides a mesh into charts and packs them into the unit square."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import xatlas
from jaxtyping import Float, Int
from torch import Tensor

from get3d.meshes import Mesh

__all__ = ["UnwrappedMesh", "unwrap"]

# Texels between two charts: reading bilinearly at a border must not reach the neighbour (some are lost in packing).
_PADDING = 3
# xatlas leaves faces of less than about 1e-7 squared units out of its charts: the mesh is unwrapped at this size.
_EXTENT = np.float32(100)
# Faces unwrapped together. xatlas merges charts in a time that grows with the square of their number; at this size that
# is no longer felt, and the cuts between blocks add few seams.
_BLOCK = 2000
# Seconds from the last use of an atlas to its end. xatlas signals the end to its thread without the lock under which
# the thread falls asleep, so the signal can be lost, and the process waits forever (1 in 50,000 on a busy machine). A
# thread that had nothing to do for this long is asleep.
_REST = 0.25

_resting: deque[tuple[float, xatlas.Atlas]] = deque()
_resting_lock = threading.Lock()


@dataclass(frozen=True)
class UnwrappedMesh:
    """A mesh with texture coordinates. Vertices on seams are repeated for each chart.

    Attributes:
        vertices: [V, 3] positions.
        faces: [F, 3] vertex indices, in the order of the original faces.
        uv: [V, 2] in [0, 1]; (0, 0) is the lower left corner of the texture. Charts do not overlap.
        source: [V] index of each vertex in the original mesh.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    uv: Float[Tensor, "v 2"]
    source: Int[Tensor, " v"]


def unwrap(mesh: Mesh, resolution: int = 1024) -> UnwrappedMesh:
    """Divides a mesh into charts with little distortion and packs them, with gaps for a texture of `resolution`.

    Raises:
        ValueError: the mesh has no face.
    """
    if mesh.faces.shape[0] == 0:
        raise ValueError("a mesh without faces cannot be unwrapped; check the mesh first")
    points = mesh.vertices.detach().cpu().float().numpy()
    points = points * (_EXTENT / max(np.ptp(points, axis=0).max(), np.finfo(np.float32).tiny))
    corners = mesh.faces.cpu().numpy()
    with _new_atlas() as atlas:
        faces, source, uv = _charts(atlas, points, corners, resolution)
    device = mesh.vertices.device
    kept = torch.from_numpy(source.astype(np.int64)).to(device)
    return UnwrappedMesh(
        vertices=mesh.vertices[kept],
        faces=torch.from_numpy(faces).to(device),
        uv=torch.from_numpy(uv).to(mesh.vertices),
        source=kept,
    )


def _charts(
    atlas: xatlas.Atlas, points: Float[np.ndarray, "v 3"], corners: Int[np.ndarray, "f 3"], resolution: int
) -> tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, " n"], Float[np.ndarray, "n 2"]]:
    """Faces, the original of each of their vertices, and where those lie in the unit square."""
    blocks = _blocks(points[corners].mean(axis=1))
    block_vertices = []
    for block in blocks:
        used, own = np.unique(corners[block], return_inverse=True)
        atlas.add_mesh(points[used], own.reshape(-1, 3).astype(np.uint32))
        block_vertices.append(used)
    packing = xatlas.PackOptions()
    packing.resolution = resolution
    packing.padding = _PADDING
    packing.bilinear = True
    atlas.generate(pack_options=packing)

    parts = [atlas[number] for number in range(len(blocks))]
    start = np.cumsum([0, *(len(source) for source, _, _ in parts)])
    faces = np.empty_like(corners, dtype=np.int64)
    for block, shift, (_, own, _) in zip(blocks, start[:-1], parts, strict=True):
        faces[block] = own + shift
    source = np.concatenate([used[kept] for used, (kept, _, _) in zip(block_vertices, parts, strict=True)])
    uv = np.concatenate([places for _, _, places in parts])
    # xatlas stretches what it packed, width and height, to the unit square; one scale for both keeps circles round.
    size = np.array([atlas.width, atlas.height], dtype=np.float32)
    return faces, source, uv * (size / size.max())


def _blocks(centres: Float[np.ndarray, "f 3"]) -> list[Int[np.ndarray, " n"]]:
    """Numbers of the faces, in blocks of neighbours: halved across the longest side until they are small."""
    blocks, large = [], [np.arange(len(centres))]
    while large:
        block = large.pop()
        if len(block) <= _BLOCK:
            blocks.append(np.sort(block))
            continue
        inside = centres[block]
        order = np.argsort(inside[:, np.ptp(inside, axis=0).argmax()], kind="stable")
        large += [block[order[: len(order) // 2]], block[order[len(order) // 2 :]]]
    return blocks


@contextmanager
def _new_atlas() -> Iterator[xatlas.Atlas]:
    """An atlas that is not freed before its thread sleeps."""
    with _resting_lock:
        while _resting and time.monotonic() - _resting[0][0] > _REST:
            _resting.popleft()
    atlas = xatlas.Atlas()
    try:
        yield atlas
    finally:
        with _resting_lock:
            _resting.append((time.monotonic(), atlas))


@atexit.register
def _let_rest() -> None:
    """Waits until the atlases can be freed: the interpreter does so when it ends."""
    if _resting:
        time.sleep(max(0.0, _resting[-1][0] + _REST - time.monotonic()))
