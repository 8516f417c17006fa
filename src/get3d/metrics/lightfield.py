"""The light field descriptor: compares shapes by their silhouettes from all sides.

Chen, Tian, Shen and Ouhyoung 2003, "On Visual Similarity Based 3D Model Retrieval", in the form of the program that
the published tables of generative models were made with, to the byte: ten light fields, each of ten silhouettes seen
from the vertices of a rotated dodecahedron. Comments mention where that program differs from its paper.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources

import torch
from jaxtyping import Float64, Int32, Int64, UInt8
from torch import Tensor

from get3d.meshes import Mesh, MeshBatch
from get3d.metrics.distance_kernels import DIMENSIONS, FIELDS
from get3d.metrics.kernel_ops import (
    describe_contours,
    draw_silhouettes,
    gather_cells,
    match_descriptors,
    measure_silhouettes,
    project_vertices,
)
from get3d.metrics.sampling import in_unit_cube
from get3d.metrics.silhouette_kernels import CELLS

__all__ = ["VERSION", "LightFieldDescriptors", "light_field_descriptors", "light_field_distance", "silhouettes"]

VERSION = 1
"""Increases when descriptors change, so that stored descriptors are not mixed."""

CAMERAS = 10
VIEWS = FIELDS * CAMERAS
MESHES_AT_ONCE = 16
VERTICES_AT_ONCE = 2**18
DISTANCES_AT_ONCE = 2**24

ANGULAR = 12
RADIAL = 3
_PI = 3.141592653
_FOUR_PI = 12.5663704
"""Both as the original has them."""


@dataclass(frozen=True)
class LightFieldDescriptors:
    """Descriptors of n shapes, in bytes, by light field and camera.

    Attributes:
        region: [n, 10, 10, 35], angular radial transform of the silhouette.
        contour: [n, 10, 10, 10], Fourier coefficients of the distance from the centre along the contour.
        circularity: [n, 10, 10].
        eccentricity: [n, 10, 10].
    """

    region: UInt8[Tensor, "n 10 10 35"]
    contour: UInt8[Tensor, "n 10 10 10"]
    circularity: UInt8[Tensor, "n 10 10"]
    eccentricity: UInt8[Tensor, "n 10 10"]

    def __len__(self) -> int:
        return self.region.shape[0]

    def __getitem__(self, index: slice | Tensor) -> "LightFieldDescriptors":
        return type(self)(*(value[index] for value in self.tensors().values()))

    @classmethod
    def cat(cls, parts: Sequence["LightFieldDescriptors"]) -> "LightFieldDescriptors":
        """Concatenates descriptors."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def to(self, device: torch.device | str) -> "LightFieldDescriptors":
        """The same descriptors on another device."""
        return type(self)(*(value.to(device) for value in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """The attributes by name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Features:
    """The numbers before they become bytes, of n views; `points` is −1 where the contour could not be traced."""

    region: Float64[Tensor, "n 35"]
    contour: Float64[Tensor, "n 10"]
    circularity: Float64[Tensor, " n"]
    eccentricity: Float64[Tensor, " n"]
    points: Int32[Tensor, " n"]
    bridges: Int32[Tensor, " n"]


def light_field_descriptors(meshes: Sequence[Mesh]) -> LightFieldDescriptors:
    """Descriptors of shapes, independent of position and size.

    Args:
        meshes: any triangle meshes, closed or not, of any orientation of faces.

    Returns:
        The descriptors, on the device of the meshes.

    Raises:
        ValueError: a mesh has no face, no extent, or a vertex that is not finite.
    """
    if not meshes:
        raise ValueError("there is no mesh to describe")
    parts = []
    for first, group in _groups(meshes):
        features = _features(silhouettes(group, first))
        # Truncation, and twice the range for the contour, are the original's.
        doubled = 512 * features.contour
        bytes_ = [
            value.clamp(max=255).to(torch.uint8).unflatten(0, (len(group), FIELDS, CAMERAS))
            for value in (256 * features.region, doubled, 256 * features.circularity, 256 * features.eccentricity)
        ]
        parts.append(LightFieldDescriptors(*bytes_))
    return LightFieldDescriptors.cat(parts)


def _groups(meshes: Sequence[Mesh]) -> Iterator[tuple[int, list[Mesh]]]:
    """Runs of meshes that fit into memory together, each with the number of its first mesh."""
    group: list[Mesh] = []
    vertices = 0
    for number, mesh in enumerate(meshes):
        vertices += mesh.vertices.shape[0]
        if group and (len(group) == MESHES_AT_ONCE or vertices > VERTICES_AT_ONCE):
            yield number - len(group), group
            group, vertices = [], mesh.vertices.shape[0]
        group.append(mesh)
    yield len(meshes) - len(group), group


def silhouettes(meshes: Sequence[Mesh], first: int = 0) -> Int32[Tensor, "views 256 8"]:
    """The hundred silhouettes of each mesh, 256 × 256 pixels, a bit each.

    Args:
        meshes: the shapes.
        first: index of the first mesh, for error messages.

    Returns:
        A row of an image is eight words; bit j of word w is column 32 w + j. Row 0 is at the bottom.

    Raises:
        ValueError: as `light_field_descriptors`.
    """
    batch = MeshBatch.from_meshes(meshes)
    exact = MeshBatch(batch.vertices.double(), batch.faces, batch.vertex_offsets, batch.face_offsets)
    vertices = in_unit_cube(exact, first).vertices.float().contiguous()
    screen = project_vertices(vertices, _view_axes().to(vertices))
    return draw_silhouettes(screen, batch.faces.contiguous(), batch.face_mesh, len(meshes))


@functools.cache
def _view_axes() -> Float64[Tensor, "100 2 3"]:
    """Right and up of every view, in the world."""
    eyes = torch.tensor(_eyes(), dtype=torch.float64).flatten(0, 1)
    forward = -torch.nn.functional.normalize(eyes, dim=1)
    right = torch.linalg.cross(forward, forward.new_tensor([[0, 1, 0]]).expand_as(forward))
    right = torch.nn.functional.normalize(right, dim=1)
    return torch.stack([right, torch.linalg.cross(right, forward)], dim=1)


@functools.cache
def _eyes() -> list[list[list[float]]]:
    """Where the cameras stand: for each light field, one of each two opposite vertices of a dodecahedron."""
    return json.loads(resources.files("get3d.metrics").joinpath("lightfield.json").read_text())["eyes"]


def _features(bits: Int32[Tensor, "views 256 8"]) -> Features:
    """Region, contour, circularity and eccentricity of each silhouette; views of one light field are neighbours."""
    bounds, counts, reach, moments = measure_silhouettes(bits)
    # The centre is the middle of the bounds, and the radius is shared by a light field's ten views.
    radius = reach.view(-1, CAMERAS).amax(dim=1).double().sqrt() / 2
    scale = torch.where(radius > 0, CELLS // 2 / radius, 0).repeat_interleave(CAMERAS)
    cells = gather_cells(bits, bounds, scale)
    points, bridges, contour = describe_contours(bits, bounds)
    pixels, rim = counts.double().unbind(dim=1)
    real, imaginary = (cells.flatten(1) @ _basis().to(bits.device)).unflatten(1, (2, -1)).unbind(dim=1)
    xx, yy, xy = moments.double().unbind(dim=1)
    spread = ((xx - yy).square() + 4 * xy.square()) / (xx + yy).square()
    return Features(
        # The first coefficient is the share of the pixels that the basis covers; the original drops it.
        region=torch.where(pixels > 0, torch.hypot(real, imaginary).T / pixels, 0).T[:, 1:],
        contour=contour,
        circularity=torch.where(pixels > 0, _FOUR_PI * pixels / rim.square(), 0).clamp(max=1),
        eccentricity=torch.where(pixels > 1, spread, 0).clamp(max=1),
        points=points,
        bridges=bridges,
    )


@functools.cache
def _basis() -> Float64[Tensor, "cells 72"]:
    """The angular radial transform on a table of 101 × 101 cells: real parts, then imaginary, angle by angle."""
    axis = torch.arange(CELLS, dtype=torch.float64) - CELLS // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    rho, theta = torch.hypot(x, y).flatten()[:, None, None], torch.atan2(y, x).flatten()[:, None, None]
    p = torch.arange(ANGULAR, dtype=torch.float64)[:, None]
    r = torch.arange(RADIAL, dtype=torch.float64)
    limit = CELLS // 2
    radial = torch.where(rho < limit, torch.cos(_PI * r * rho / limit), 0)
    return torch.cat([(radial * torch.cos(p * theta)).flatten(1), (radial * torch.sin(p * theta)).flatten(1)], dim=1)


def light_field_distance(a: LightFieldDescriptors, b: LightFieldDescriptors) -> Int64[Tensor, "a b"]:
    """Light field distance of each shape of `a` to each of `b`.

    The sum over ten pairs of views of the differences of their bytes (contour and circularity count twice), for the
    best of all pairs of light fields and of all 60 rotations of the dodecahedron.

    Args:
        a: the shapes of the rows.
        b: the shapes of the columns, on the same device.

    Returns:
        Integers from 0 to 147,900; symmetric, 0 for a shape and itself.
    """
    device = a.region.device
    result = torch.zeros(len(a), len(b), dtype=torch.int64, device=device)
    if result.numel() == 0:
        return result
    rows = _weighted(a).flatten(1, 2).contiguous()
    columns = _weighted(b).permute(0, 3, 2, 1).contiguous()
    rotations = torch.tensor(_rotations(), dtype=torch.int32, device=device)
    at_once = max(1, DISTANCES_AT_ONCE // (FIELDS * len(b)))
    for start in range(0, len(a), at_once):
        block = rows[start : start + at_once]
        best = match_descriptors(block, columns, rotations)
        result[start : start + at_once] = best.amin(dim=2).long()
    return result


def _weighted(descriptors: LightFieldDescriptors) -> Tensor:
    """All numbers of a view side by side, times their weight; whole numbers below 2²⁴ in sum, exact as floats."""
    parts = [
        descriptors.region,
        2.0 * descriptors.contour,
        2.0 * descriptors.circularity[..., None],
        descriptors.eccentricity[..., None],
    ]
    joined = torch.cat([part.float() for part in parts], dim=3)
    if joined.shape[3] != DIMENSIONS:
        raise ValueError(f"a view has {joined.shape[3]} numbers, not {DIMENSIONS}")
    return joined


@functools.cache
def _rotations() -> list[list[int]]:
    """The 60 rotations of the dodecahedron, each as the camera that takes each camera's place; opposites are one."""
    half = torch.tensor(_eyes()[0], dtype=torch.float64)
    vertices = torch.cat([half, -half])
    inner = vertices @ vertices.T
    # Neighbours have the greatest inner product below that of a vertex with itself: an edge can go to any edge.
    edge = inner.fill_diagonal_(-1).amax()
    starts, ends = torch.nonzero(inner > 0.99 * edge, as_tuple=True)

    def frame(start: Tensor, end: Tensor) -> Tensor:
        return torch.stack([start, end, torch.linalg.cross(start, end)], dim=-1)

    edges = frame(vertices[starts], vertices[ends])
    turned = edges @ torch.linalg.inv(edges[0]) @ half.T
    return (half @ turned).abs().argmax(dim=1).tolist()
