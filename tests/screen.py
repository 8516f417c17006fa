"""A camera for which positions on the screen are chosen by hand."""

import math

import torch
from torch import Tensor

from get3d.cameras import Cameras
from get3d.meshes import Mesh, MeshBatch

RADIUS = 2.0


def front_cameras(count: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Cameras:
    """Cameras on the +Z axis: world x is right, world y is up."""
    azimuth = torch.full((count,), math.pi, device=device, dtype=dtype)
    return Cameras.orbit(azimuth, torch.full_like(azimuth, math.pi / 2), RADIUS)


def at_pixels(points: Tensor, resolution: int) -> Tensor:
    """World positions [.., 3] in the plane z = 0 that `front_cameras` see at the pixels [.., 2] (x right, y down)."""
    scale = RADIUS * (16 / 35) / (0.5 * resolution)
    x, y = ((points - 0.5 * resolution) * scale).unbind(-1)
    return torch.stack([x, -y, torch.zeros_like(x)], dim=-1)


def flat_mesh(points: Tensor, faces: list[list[int]], resolution: int) -> MeshBatch:
    """One mesh in the plane z = 0, from positions on the screen [V, 2]."""
    return MeshBatch.from_meshes([Mesh(at_pixels(points, resolution), torch.tensor(faces, device=points.device))])


def random_meshes(shapes: int, seed: int, device: torch.device | str = "cpu") -> MeshBatch:
    """Triangle soups with shared vertices, of different sizes, around the origin."""
    generator = torch.Generator().manual_seed(seed)
    meshes = []
    for _ in range(shapes):
        vertices = torch.rand(12, 3, generator=generator) - 0.5
        count = int(torch.randint(1, 20, (), generator=generator))
        meshes.append(Mesh(vertices, torch.randint(0, 12, (count, 3), generator=generator)))
    return MeshBatch.from_meshes(meshes).to(device)
