"""Images of textured meshes in a light fixed to the world or rotated about +Y, with our own rasteriser."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from get3d.assets.asset import Asset, Textures
from get3d.cameras import Cameras
from get3d.color import linear_to_srgb, srgb_to_linear, unit_to_bytes
from get3d.export.write import TexturedMesh
from get3d.light_prior import LightName, ShadingName
from get3d.meshes import MeshBatch
from get3d.render import Fragments, interpolate, rasterize, rasterize_through
from get3d.render.lights import LIGHTS, Even, Light
from get3d.render.shade import Surface as Seen
from get3d.render.shade import shade as reflected
from get3d.render.shade import views_of

__all__ = ["shade"]

_SAMPLES_AT_ONCE = 2**19
"""Samples drawn at once, which bounds the memory and keeps it in the cache."""


def shade(
    mesh: TexturedMesh | Asset,
    cameras: Cameras,
    resolution: int,
    supersample: int = 3,
    light: LightName | Light = "studio",
    *,
    shading: ShadingName = "matte",
    turns: Float[Tensor, " n"] | None = None,
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    """Images of an object from each camera, RGBA with a transparent background, on the device of its tensors.

    The texture is read bilinearly, light is added up and pixels are averaged in linear light. Alpha is the share of a
    pixel that the object covers; the colour is that of the covered share only, black where there is none. Both sides
    of faces are lit as the side that is seen.

    Args:
        mesh: what to show.
        cameras: n views.
        resolution: side of the images in pixels.
        supersample: samples per pixel and axis.
        light: what falls on the object.
        shading: "matte" shows only the base colour, "pbr" also the other maps.
        turns: angle in radians by which the light is turned about +Y in each view; None: it never is.
    """
    asset = mesh if isinstance(mesh, Asset) else Asset.of(mesh)
    surface = _Surface.of(asset.glossy if shading == "pbr" else asset.matte)
    device = asset.vertices.device
    cameras, turns = cameras.to(device), None if turns is None else turns.to(device, torch.float32)
    lamp = LIGHTS[light] if isinstance(light, str) else light
    step = max(1, _SAMPLES_AT_ONCE // (resolution * supersample) ** 2)
    chunks = [slice(start, start + step) for start in range(0, len(cameras), step)]
    return torch.cat(
        [
            _shade(surface, cameras[each], resolution, supersample, lamp, None if turns is None else turns[each])
            for each in chunks
        ]
    )


@dataclass(frozen=True)
class _Surface:
    """An asset in the form that is read at pixels: one table of vertex values and one of face values.

    Attributes:
        mesh: the bare mesh.
        at_vertices: [V, 8] places in the texture, normals, colours.
        planes: [F, 4] normal and offset of each face's plane, times twice its area: positive on its outer side.
        material: [F] number of each face's material.
        textures: of the materials.
        cutoffs: [M] of the materials.
        maps: of the materials, besides the base colour, by name.
        tangents: [F, 3] where u grows in each face, of any length; None where no map needs it.
        mirrored: [F, 1] −1 for faces whose texture is mirrored, else 1; None likewise.
    """

    mesh: MeshBatch
    at_vertices: Float[Tensor, "v 8"]
    planes: Float[Tensor, "f 4"]
    material: Int[Tensor, " f"]
    textures: Textures
    cutoffs: Float[Tensor, " m"]
    maps: Mapping[str, Textures]
    tangents: Float[Tensor, "f 3"] | None
    mirrored: Float[Tensor, "f 1"] | None

    @classmethod
    def of(cls, asset: Asset) -> "_Surface":
        mesh = MeshBatch.from_meshes([asset.mesh])
        crosses = mesh.face_crosses()
        offsets = (crosses * asset.vertices[asset.faces[:, 0]]).sum(1, keepdim=True)
        tangents, mirrored = _tangents(asset) if "normal" in asset.maps else (None, None)
        return cls(
            mesh=mesh,
            at_vertices=torch.cat([asset.uv, asset.normals, asset.colors], dim=1),
            planes=torch.cat([crosses, -offsets], dim=1),
            material=asset.material,
            textures=Textures.pack(asset.textures),
            cutoffs=asset.cutoffs,
            maps={name: Textures.pack(each) for name, each in asset.maps.items()},
            tangents=tangents,
            mirrored=mirrored,
        )

    def face(self, fragments: Fragments) -> Int[Tensor, " p"]:
        """The face at each covered pixel of all views."""
        return fragments.face % len(self.material)

    def values(self, fragments: Fragments) -> Float[Tensor, "p 8"]:
        """Interpolated vertex values at each covered pixel."""
        views = fragments.face_index.shape[0]
        return interpolate(self.at_vertices, self.mesh.faces.repeat(views, 1), fragments)

    def solid(self, fragments: Fragments) -> Bool[Tensor, " p"]:
        """Covered pixels that are not in a hole."""
        material = self.material.index_select(0, self.face(fragments))
        alpha = self.textures.sample(material, self.values(fragments)[:, :2])[:, 3]
        return alpha >= self.cutoffs.index_select(0, material)


def _tangents(asset: Asset) -> tuple[Float[Tensor, "f 3"], Float[Tensor, "f 1"]]:
    """The direction of increasing u in each face, and whether its texture is mirrored."""
    a, b, c = asset.vertices[asset.faces].unbind(1)
    (u1, v1), (u2, v2) = (
        edge.unbind(1) for edge in (asset.uv[asset.faces] - asset.uv[asset.faces[:, :1]]).unbind(1)[1:]
    )
    turn = u1 * v2 - u2 * v1
    along = ((b - a) * v2[:, None] - (c - a) * v1[:, None]) * turn.sign()[:, None]
    return along, torch.where(turn < 0, -1.0, 1.0)[:, None]


def _bumped(
    surface: _Surface, face: Int[Tensor, " p"], normals: Float[Tensor, "p 3"], texels: Float[Tensor, "p 3"]
) -> Float[Tensor, "p 3"]:
    """Normals from a normal map: x along u, y along v, z along the smooth normal (glTF 2.0, section 3.9.3)."""
    assert surface.tangents is not None and surface.mirrored is not None
    tangent = surface.tangents.index_select(0, face)
    tangent = normalize(tangent - (tangent * normals).sum(1, keepdim=True) * normals, dim=1)
    other = torch.linalg.cross(normals, tangent) * surface.mirrored.index_select(0, face)
    x, y, z = (2 * texels - 1).split(1, dim=1)
    return normalize(x * tangent + y * other + z.clamp(min=1e-3) * normals, dim=1)


def _shade(
    surface: _Surface,
    cameras: Cameras,
    resolution: int,
    supersample: int,
    light: Light,
    turns: Float[Tensor, " n"] | None,
) -> UInt8[Tensor, "n 4 {resolution} {resolution}"]:
    views = surface.mesh.select(torch.zeros(len(cameras), dtype=torch.long, device=surface.material.device))
    samples = resolution * supersample
    if (surface.cutoffs > 0).any():
        fragments = rasterize_through(views, cameras, samples, surface.solid)
    else:
        fragments = rasterize(views, cameras, samples)
    face = surface.face(fragments)
    uv, normals, colors = surface.values(fragments).split((2, 3, 3), dim=1)
    material = surface.material.index_select(0, face)
    color = srgb_to_linear(surface.textures.sample(material, uv)[:, :3]) * colors
    if not isinstance(light, Even):
        maps = {name: texels.sample(material, uv) for name, texels in surface.maps.items()}
        if "normal" in maps:
            normals = _bumped(surface, face, normalize(normals, dim=1), maps["normal"])
        plane = surface.planes.index_select(0, face)
        seen_from = (plane[:, :3] * cameras.positions.index_select(0, fragments.shape)).sum(1) + plane[:, 3]
        # The side that the camera sees is lit, whichever way the face and its normals are turned.
        turned = seen_from * (plane[:, :3] * normals).sum(1) < 0
        normals = normalize(torch.where(turned[:, None], -normals, normals), dim=1)
        points = interpolate(views.vertices, views.faces, fragments)
        seen = Seen(color, maps.get("roughness"), maps.get("metallic"))
        turn = None if turns is None else turns.index_select(0, fragments.shape)
        color = reflected(seen, normals, views_of(points, cameras, fragments), light, turn)
        if "emission" in maps:
            color = color + srgb_to_linear(maps["emission"])

    radiance = avg_pool2d(fragments.scatter(color, background=0.0), supersample)
    alpha = avg_pool2d(fragments.covered.float(), supersample)
    rgb = linear_to_srgb(radiance / alpha.clamp(min=1e-6))
    return unit_to_bytes(torch.cat([rgb, alpha], dim=1))
