"""Pictures of textured meshes: a soft key light and light from the sky, fixed to the world, on our own rasteriser."""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from get3d.cameras import Cameras
from get3d.data.assets.asset import Asset, Textures
from get3d.export.write import TexturedMesh
from get3d.meshes import MeshBatch
from get3d.render import Fragments, rasterize, rasterize_through

__all__ = ["Light", "irradiance", "shade"]

Light = Literal["studio", "even"]
"""A key light and the sky, or light from all sides alike, in which colours are those of the texture."""

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
    mesh: TexturedMesh | Asset, cameras: Cameras, resolution: int, supersample: int = 3, light: Light = "studio"
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    """Pictures of an object from each camera, RGBA on nothing, made where its tensors are.

    The texture is read bilinearly, light is added up and pixels are averaged in linear light. Alpha is the share of a
    pixel that the object covers; the colour is that of the covered share alone, black where there is none. Both sides
    of faces are lit as the side that is seen.

    Args:
        mesh: what to show.
        cameras: n views.
        resolution: side of the pictures in pixels.
        supersample: samples per pixel and axis.
        light: what falls on the object.
    """
    asset = mesh if isinstance(mesh, Asset) else Asset.of(mesh)
    textures = Textures.pack(asset.textures)
    cameras = cameras.to(asset.vertices.device)
    at_once = max(1, _SAMPLES_AT_ONCE // (resolution * supersample) ** 2)
    chunks = [cameras[start : start + at_once] for start in range(0, len(cameras), at_once)]
    return torch.cat([_shade(asset, textures, chunk, resolution, supersample, light) for chunk in chunks])


def _shade(
    asset: Asset, textures: Textures, cameras: Cameras, resolution: int, supersample: int, light: Light
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    one = MeshBatch.from_meshes([asset.mesh])
    views = one.select(torch.zeros(len(cameras), dtype=torch.long, device=one.faces.device))
    if (asset.cutoffs > 0).any():
        fragments = rasterize_through(
            views, cameras, resolution * supersample, partial(_solid, asset=asset, textures=textures)
        )
    else:
        fragments = rasterize(views, cameras, resolution * supersample)
    color = _linear(_texels(fragments, asset, textures)[:, :3]) * _interpolated(asset.colors, asset, fragments)
    if light == "studio":
        color = color * irradiance(_normals(fragments, asset, cameras))

    radiance = avg_pool2d(fragments.scatter(color, background=0.0), supersample)
    alpha = avg_pool2d(fragments.covered.float(), supersample)
    rgb = _encoded(radiance / alpha.clamp(min=1e-6))
    return (torch.cat([rgb, alpha], dim=1) * 255).round().to(torch.uint8)


def _texels(fragments: Fragments, asset: Asset, textures: Textures) -> Float[Tensor, "p 4"]:
    """sRGB and alpha of the texture at each covered pixel."""
    material = asset.material[fragments.face % asset.faces.shape[0]]
    return textures.sample(material, _interpolated(asset.uv, asset, fragments))


def _interpolated(values: Float[Tensor, "v c"], asset: Asset, fragments: Fragments) -> Float[Tensor, "p c"]:
    """Values at the asset's vertices, at each covered pixel of all views."""
    corners = asset.faces[fragments.face % asset.faces.shape[0]]
    return (values[corners] * fragments.barycentric[..., None]).sum(1)


def _solid(fragments: Fragments, asset: Asset, textures: Textures) -> Bool[Tensor, " p"]:
    """Where the covered pixels do not show a hole."""
    cutoffs = asset.cutoffs[asset.material[fragments.face % asset.faces.shape[0]]]
    return _texels(fragments, asset, textures)[:, 3] >= cutoffs


def _normals(fragments: Fragments, asset: Asset, cameras: Cameras) -> Float[Tensor, "p 3"]:
    """Unit normals at the covered pixels, on the side of the face that the camera sees."""
    normals = _interpolated(asset.normals, asset, fragments)
    a, b, c = asset.vertices[asset.faces[fragments.face % asset.faces.shape[0]]].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    towards = ((cameras.positions[fragments.shape] - a) * across).sum(1) * (normals * across).sum(1)
    return normalize(torch.where((towards < 0)[:, None], -normals, normals), dim=1)


def _linear(color: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """sRGB to linear light (IEC 61966-2-1)."""
    return torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _encoded(light: Float[Tensor, "n 3 r r"]) -> Float[Tensor, "n 3 r r"]:
    """Linear light, cut at 1, to sRGB (IEC 61966-2-1)."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
