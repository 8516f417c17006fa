"""Pictures of textured meshes: a soft key light and light from the sky, fixed to the world, on our own rasteriser."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from get3d.cameras import Cameras
from get3d.export.write import TexturedMesh, sample_texture
from get3d.meshes import MeshBatch
from get3d.render import rasterize

__all__ = ["irradiance", "shade"]

KEY_DIRECTION = (-0.45, 0.75, -0.5)
KEY, SKY, GROUND = 0.52, 0.5, 0.24
"""Strengths of the key light and of light from straight above and below; together at most 1, so white is not cut."""
WRAP = 0.35
"""How far the key light reaches around the terminator: the size of the lamp, as it were."""
_SAMPLES_AT_ONCE = 2**19
"""Views are drawn in groups of so many samples, which bounds the memory and keeps it near the processor."""


def irradiance(normals: Float[Tensor, "p 3"]) -> Float[Tensor, "p 1"]:
    """Light that falls on surfaces of the given unit normals, linear: wrapped key light, and a hemisphere's."""
    direction = normalize(normals.new_tensor(KEY_DIRECTION), dim=0)
    key = ((normals @ direction + WRAP) / (1 + WRAP)).clamp(min=0) ** 2
    sky = 0.5 + 0.5 * normals[:, 1]
    return (KEY * key + GROUND + (SKY - GROUND) * sky)[:, None]


def shade(
    mesh: TexturedMesh, cameras: Cameras, resolution: int, supersample: int = 3
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    """Pictures of an object from each camera, RGBA on nothing.

    The texture is read bilinearly, light is added up and pixels are averaged in linear light. Alpha is the share of a
    pixel that the object covers; the colour is that of the covered share alone, black where there is none.

    Args:
        mesh: what to show.
        cameras: n views.
        resolution: side of the pictures in pixels.
        supersample: samples per pixel and axis.
    """
    at_once = max(1, _SAMPLES_AT_ONCE // (resolution * supersample) ** 2)
    chunks = [cameras[start : start + at_once] for start in range(0, len(cameras), at_once)]
    return torch.cat([_shade(mesh, chunk, resolution, supersample) for chunk in chunks])


def _shade(
    mesh: TexturedMesh, cameras: Cameras, resolution: int, supersample: int
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    views = MeshBatch.from_meshes([mesh.mesh]).select(torch.zeros(len(cameras), dtype=torch.long))
    fragments = rasterize(views, cameras, resolution * supersample)
    corners = mesh.faces[fragments.face % mesh.faces.shape[0]]
    weights = fragments.barycentric[..., None]
    normals, uv = ((values[corners] * weights).sum(1) for values in (mesh.normals, mesh.uv))
    color = _linear(sample_texture(mesh.texture, uv)) * irradiance(normalize(normals, dim=1))

    light = avg_pool2d(fragments.scatter(color, background=0.0), supersample)
    alpha = avg_pool2d(fragments.covered.float(), supersample)
    rgb = _encoded(light / alpha.clamp(min=1e-6))
    return (torch.cat([rgb, alpha], dim=1) * 255).round().to(torch.uint8)


def _linear(color: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """sRGB to linear light (IEC 61966-2-1)."""
    return torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _encoded(light: Float[Tensor, "n 3 r r"]) -> Float[Tensor, "n 3 r r"]:
    """Linear light, cut at 1, to sRGB (IEC 61966-2-1)."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
