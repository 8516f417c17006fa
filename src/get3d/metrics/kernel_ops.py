"""The Warp kernels of the metrics as operations of PyTorch, so that every device, mode and compiler of it knows them.

Each allocates its results where its inputs are; its fake says their shapes. None has a gradient.
"""

import torch
import warp as wp
from torch import Tensor

from get3d.metrics.contour_kernels import COEFFICIENTS
from get3d.metrics.contour_kernels import describe_contours as _describe_contours
from get3d.metrics.distance_kernels import FIELDS, Lanes, LeafLanes
from get3d.metrics.distance_kernels import match_descriptors as _match_descriptors
from get3d.metrics.distance_kernels import sum_nearest as _sum_nearest
from get3d.metrics.kernel_launch import in_step, launch
from get3d.metrics.quality_kernels import mark_intersections, measure_thickness
from get3d.metrics.silhouette_kernels import CELLS, SIDE, WORDS
from get3d.metrics.silhouette_kernels import draw_silhouettes as _draw_silhouettes
from get3d.metrics.silhouette_kernels import gather_cells as _gather_cells
from get3d.metrics.silhouette_kernels import measure_silhouettes as _measure_silhouettes
from get3d.metrics.silhouette_kernels import project_vertices as _project_vertices

__all__ = [
    "describe_contours",
    "draw_silhouettes",
    "examine_solid",
    "gather_cells",
    "match_descriptors",
    "measure_silhouettes",
    "project_vertices",
    "sum_nearest",
]


@torch.library.custom_op("get3d::project_vertices", mutates_args=())
def project_vertices(vertices: Tensor, axes: Tensor) -> Tensor:
    """Vertices on the screen of each view, in whole parts of a pixel.

    Args:
        vertices: [V, 3] float32, in the unit cube.
        axes: [views, 2, 3] float32, right and up of each view.

    Returns:
        [views, V, 2] int32.
    """
    screen = torch.empty(len(axes), len(vertices), 2, dtype=torch.int32, device=vertices.device)
    inputs = (vertices, wp.vec3), (axes, wp.vec3), (screen, wp.vec2i)
    launch(_project_vertices, screen.shape[:2], vertices.device, *inputs)
    return screen


@project_vertices.register_fake
def _(vertices: Tensor, axes: Tensor) -> Tensor:
    return vertices.new_empty(axes.shape[0], vertices.shape[0], 2, dtype=torch.int32)


@torch.library.custom_op("get3d::draw_silhouettes", mutates_args=())
def draw_silhouettes(screen: Tensor, faces: Tensor, face_mesh: Tensor, meshes: int) -> Tensor:
    """The silhouette of each mesh in each view, a bit a pixel.

    Args:
        screen: [views, V, 2] int32, as `project_vertices` gives it.
        faces: [F, 3] int64.
        face_mesh: [F] int64, the mesh of each face.
        meshes: how many there are.

    Returns:
        [meshes · views, 256, 8] int32.
    """
    views = len(screen)
    bits = torch.zeros(meshes * views, SIDE, WORDS, dtype=torch.int32, device=screen.device)
    inputs = (screen, wp.vec2i), faces, face_mesh, (bits, wp.uint32)
    launch(_draw_silhouettes, (views, len(faces)), screen.device, *inputs)
    return bits


@draw_silhouettes.register_fake
def _(screen: Tensor, faces: Tensor, face_mesh: Tensor, meshes: int) -> Tensor:
    return screen.new_empty(meshes * screen.shape[0], SIDE, WORDS)


@torch.library.custom_op("get3d::measure_silhouettes", mutates_args=())
def measure_silhouettes(bits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What is counted on silhouettes.

    Args:
        bits: [views, 256, 8] int32.

    Returns:
        Bounds [views, 4] int32, pixels and pixels of the rim [views, 2] int32, the farthest pixel's reach [views]
        int32, second moments [views, 3] int64.
    """
    views = len(bits)
    bounds, counts, reach = (torch.zeros(views, n, dtype=torch.int32, device=bits.device) for n in (4, 2, 1))
    moments = torch.zeros(views, 3, dtype=torch.int64, device=bits.device)
    reach = reach.flatten()
    launch(_measure_silhouettes, (views,), bits.device, (bits, wp.uint32), bounds, counts, reach, moments)
    return bounds, counts, reach, moments


@measure_silhouettes.register_fake
def _(bits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    views = bits.shape[0]
    moments = bits.new_empty(views, 3, dtype=torch.int64)
    return bits.new_empty(views, 4), bits.new_empty(views, 2), bits.new_empty(views), moments


@torch.library.custom_op("get3d::gather_cells", mutates_args=())
def gather_cells(bits: Tensor, bounds: Tensor, scale: Tensor) -> Tensor:
    """Silhouettes, scaled about the middle of their bounds, summed up in cells.

    Args:
        bits: [views, 256, 8] int32.
        bounds: [views, 4] int32.
        scale: [views] float64, cells a pixel.

    Returns:
        [views, 101, 101] float64.
    """
    cells = torch.zeros(len(bits), CELLS, CELLS, dtype=torch.float64, device=bits.device)
    launch(_gather_cells, (len(bits),), bits.device, (bits, wp.uint32), bounds, scale, cells)
    return cells


@gather_cells.register_fake
def _(bits: Tensor, bounds: Tensor, scale: Tensor) -> Tensor:
    return scale.new_empty(bits.shape[0], CELLS, CELLS)


@torch.library.custom_op("get3d::describe_contours", mutates_args=())
def describe_contours(bits: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The contour of each silhouette, and its Fourier coefficients.

    Args:
        bits: [views, 256, 8] int32.
        bounds: [views, 4] int32.

    Returns:
        Points of the contour [views] int32, how parts were bridged [views] int32, coefficients [views, 10] float64.
    """
    views, device = len(bits), bits.device
    points, bridges = (torch.zeros(views, dtype=torch.int32, device=device) for _ in range(2))
    spectrum = torch.zeros(views, COEFFICIENTS, dtype=torch.float64, device=device)
    words, *scratch = ((tensor, wp.uint32) for tensor in (bits, *(torch.zeros_like(bits) for _ in range(3))))
    launch(_describe_contours, (views,), device, words, bounds, *scratch, points, bridges, spectrum)
    return points, bridges, spectrum


@describe_contours.register_fake
def _(bits: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    views = bits.shape[0]
    return bits.new_empty(views), bits.new_empty(views), bits.new_empty(views, COEFFICIENTS, dtype=torch.float64)


@torch.library.custom_op("get3d::match_descriptors", mutates_args=())
def match_descriptors(a: Tensor, b: Tensor, rotations: Tensor) -> Tensor:
    """How differently shapes look, by light field of `a`.

    Args:
        a: [A, views, numbers] float32, weighted descriptors.
        b: [B, numbers, cameras, fields] float32, the same with the light fields last.
        rotations: [60, cameras] int32.

    Returns:
        [A, B, fields] float32.
    """
    best = torch.empty(len(a), len(b), FIELDS, device=a.device)
    launch(_match_descriptors, best.shape, a.device, a, (b, Lanes), rotations, best)
    return best


@match_descriptors.register_fake
def _(a: Tensor, b: Tensor, rotations: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0], FIELDS)


@torch.library.custom_op("get3d::sum_nearest", mutates_args=())
def sum_nearest(
    queries: Tensor, weights: Tensor, query_low: Tensor, query_high: Tensor, leaves: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """The sum of the squared distances of each cloud's points to the nearest of each other cloud.

    Args:
        queries, weights, query_low, query_high: the trees of A clouds, see `point_clouds.Trees`; all float32.
        leaves, low, high: those of B clouds.

    Returns:
        [A, B] float64.
    """
    sums = torch.zeros(len(queries), len(leaves), dtype=torch.float64, device=queries.device)
    asked = (queries, LeafLanes), (weights, LeafLanes), (query_low, wp.vec3), (query_high, wp.vec3)
    launch(_sum_nearest, sums.shape, sums.device, *asked, (leaves, LeafLanes), (low, wp.vec3), (high, wp.vec3), sums)
    return sums


@sum_nearest.register_fake
def _(
    queries: Tensor, weights: Tensor, query_low: Tensor, query_high: Tensor, leaves: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    return queries.new_empty(queries.shape[0], leaves.shape[0], dtype=torch.float64)


@torch.library.custom_op("get3d::examine_solid", mutates_args=())
def examine_solid(
    vertices: Tensor, indices: Tensor, points: Tensor, inward: Tensor, start: float, limit: float
) -> tuple[Tensor, Tensor]:
    """Which faces cut others, and how thick the shape is behind points of its surface.

    Args:
        vertices: [V, 3] float32.
        indices: [3 F] int32, the corners of the faces.
        points: [N, 3] float32, on the surface.
        inward: [N, 3] float32, unit vectors.
        start: what is nearer behind a point is left out.
        limit: the thickness where nothing is found.

    Returns:
        [F] int32, 1 for a face that cuts one which is no neighbour; [N] float32.
    """
    device = vertices.device
    marked, thickness = torch.zeros_like(indices[::3]), torch.empty_like(points[:, 0])
    with in_step(device):
        solid = wp.Mesh(wp.from_torch(vertices, dtype=wp.vec3), wp.from_torch(indices))
    launch(mark_intersections, marked.shape, device, solid.id, indices, marked)
    behind = (points, wp.vec3), (inward, wp.vec3), start, limit, thickness
    launch(measure_thickness, thickness.shape, device, solid.id, *behind)
    return marked, thickness


@examine_solid.register_fake
def _(
    vertices: Tensor, indices: Tensor, points: Tensor, inward: Tensor, start: float, limit: float
) -> tuple[Tensor, Tensor]:
    return indices.new_empty(indices.shape[0] // 3), points.new_empty(points.shape[0])
