"""The visible face of each pixel, compared with a ray tracer."""

import importlib.util
import math
from dataclasses import replace

import torch
import trimesh

from get3d.benchmarks.plain_render import first_hits, pixel_rays
from get3d.benchmarks.rows import Row, at_least, compared
from get3d.benchmarks.timing import side_by_side
from get3d.camera_prior import DEFAULT_FOV
from get3d.cameras import Cameras
from get3d.meshes import Mesh, MeshBatch
from get3d.render import visible_faces

__all__ = ["rows"]

GROUP = "Visibility, compared with Embree's first hits of the same pixels"


def rows(faces: int, resolution: int, repeats: int, device: torch.device) -> list[Row]:
    """Projection and visible faces of a torus. Embree's tree and rays are made before its time is taken.

    Args:
        faces: of the mesh, about.
        resolution: side of the image.
        repeats: of each measurement.
        device: where to compute; Embree's is always the CPU.
    """
    around = math.isqrt(faces // 4)
    torus = trimesh.creation.torus(0.3, 0.12, major_sections=2 * around, minor_sections=around)
    mesh = Mesh(torch.tensor(torus.vertices, dtype=torch.float32), torch.tensor(torus.faces))
    meshes = MeshBatch.from_meshes([mesh]).to(device)
    cameras = Cameras.orbit(torch.tensor([0.7]), torch.tensor([1.1])).to(device)

    def ours() -> torch.Tensor:
        screen = cameras.project(meshes.vertices, meshes.vertex_shape, resolution)
        return visible_faces(screen, meshes.faces, meshes.face_offsets, resolution, resolution)

    name = f"{len(torus.faces):,} faces, {resolution}²"
    if importlib.util.find_spec("embreex") is None:
        seconds = side_by_side(device, repeats, ours=ours)["ours"]
        return [Row(GROUP, name, seconds, goal=at_least(1.0), note="Embree is not here; pip install 'get3d[dev]'")]
    rays = pixel_rays(cameras.positions[0].cpu(), cameras.rotations[0].cpu(), DEFAULT_FOV, resolution)
    times = side_by_side(device, repeats, ours=ours, embree=lambda: first_hits(torus, *rays))
    seen, hit = ours()[0].flatten().cpu(), torch.from_numpy(first_hits(torus, *rays))
    same = f"{100 * float((seen == hit).float().mean()):.2f} % of the pixels see the same face"
    row = compared(GROUP, name, times["ours"], "Embree", times["embree"], goal=1.0)
    return [replace(row, note=same)]
