"""Images of textured meshes: a soft key light and light from the sky, fixed to the world, on our own rasteriser."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from get3d.assets.asset import Asset, Textures
from get3d.cameras import Cameras
from get3d.color import linear_to_srgb, srgb_to_linear, unit_to_bytes
from get3d.export.write import TexturedMesh
from get3d.light_prior import LightName
from get3d.meshes import MeshBatch
from get3d.render import Fragments, interpolate, rasterize, rasterize_through
from get3d.render.lights import STUDIO

__all__ = ["shade"]

_SAMPLES_AT_ONCE = 2**19
"""Views are drawn in groups of so many samples, which bounds the memory and keeps it near the processor."""


def shade(
    mesh: TexturedMesh | Asset, cameras: Cameras, resolution: int, supersample: int = 3, light: LightName = "studio"
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    """Images of an object from each camera, RGBA on nothing, made where its tensors are.

    The texture is read bilinearly, light is added up and pixels are averaged in linear light. Alpha is the share of a
    pixel that the object covers; the colour is that of the covered share alone, black where there is none. Both sides
    of faces are lit as the side that is seen.

    Args:
        mesh: what to show.
        cameras: n views.
        resolution: side of the images in pixels.
        supersample: samples per pixel and axis.
        light: what falls on the object.
    """
    asset = mesh if isinstance(mesh, Asset) else Asset.of(mesh)
    surface = _Surface.of(asset)
    cameras = cameras.to(asset.vertices.device)
    at_once = max(1, _SAMPLES_AT_ONCE // (resolution * supersample) ** 2)
    chunks = [cameras[start : start + at_once] for start in range(0, len(cameras), at_once)]
    return torch.cat([_shade(surface, chunk, resolution, supersample, light) for chunk in chunks])


@dataclass(frozen=True)
class _Surface:
    """An asset as it is read at pixels: all that vertices have in one table, all that faces have in another.

    Attributes:
        mesh: the bare mesh.
        at_vertices: [V, 8] places in the texture, normals, colours.
        planes: [F, 4] normal and offset of each face's plane, times twice its area: positive on its outer side.
        material: [F] number of each face's material.
        textures: of the materials.
        cutoffs: [M] of the materials.
    """

    mesh: MeshBatch
    at_vertices: Float[Tensor, "v 8"]
    planes: Float[Tensor, "f 4"]
    material: Int[Tensor, " f"]
    textures: Textures
    cutoffs: Float[Tensor, " m"]

    @classmethod
    def of(cls, asset: Asset) -> "_Surface":
        mesh = MeshBatch.from_meshes([asset.mesh])
        crosses = mesh.face_crosses()
        offsets = (crosses * asset.vertices[asset.faces[:, 0]]).sum(1, keepdim=True)
        return cls(
            mesh=mesh,
            at_vertices=torch.cat([asset.uv, asset.normals, asset.colors], dim=1),
            planes=torch.cat([crosses, -offsets], dim=1),
            material=asset.material,
            textures=Textures.pack(asset.textures),
            cutoffs=asset.cutoffs,
        )

    def face(self, fragments: Fragments) -> Int[Tensor, " p"]:
        """The face at each covered pixel of all views."""
        return fragments.face % len(self.material)

    def values(self, fragments: Fragments) -> Float[Tensor, "p 8"]:
        """What vertices have, at each covered pixel."""
        views = fragments.face_index.shape[0]
        return interpolate(self.at_vertices, self.mesh.faces.repeat(views, 1), fragments)

    def solid(self, fragments: Fragments) -> Bool[Tensor, " p"]:
        """Where the covered pixels do not show a hole."""
        material = self.material.index_select(0, self.face(fragments))
        alpha = self.textures.sample(material, self.values(fragments)[:, :2])[:, 3]
        return alpha >= self.cutoffs.index_select(0, material)


def _shade(
    surface: _Surface, cameras: Cameras, resolution: int, supersample: int, light: LightName
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    views = surface.mesh.select(torch.zeros(len(cameras), dtype=torch.long, device=surface.material.device))
    samples = resolution * supersample
    if (surface.cutoffs > 0).any():
        fragments = rasterize_through(views, cameras, samples, surface.solid)
    else:
        fragments = rasterize(views, cameras, samples)
    face = surface.face(fragments)
    uv, normals, colors = surface.values(fragments).split((2, 3, 3), dim=1)
    texels = surface.textures.sample(surface.material.index_select(0, face), uv)
    color = srgb_to_linear(texels[:, :3]) * colors
    if light == "studio":
        plane = surface.planes.index_select(0, face)
        seen_from = (plane[:, :3] * cameras.positions.index_select(0, fragments.shape)).sum(1) + plane[:, 3]
        # The side that the camera sees is lit, whichever way the face and its normals are turned.
        turned = seen_from * (plane[:, :3] * normals).sum(1) < 0
        color = color * STUDIO.diffuse(normalize(torch.where(turned[:, None], -normals, normals), dim=1))

    radiance = avg_pool2d(fragments.scatter(color, background=0.0), supersample)
    alpha = avg_pool2d(fragments.covered.float(), supersample)
    rgb = linear_to_srgb(radiance / alpha.clamp(min=1e-6))
    return unit_to_bytes(torch.cat([rgb, alpha], dim=1))
