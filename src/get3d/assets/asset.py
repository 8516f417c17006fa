"""An untrusted model in a simple form, with several materials, for both renderers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from get3d.color import unit_to_bytes
from get3d.export.write import TexturedMesh
from get3d.files import writing
from get3d.meshes import Mesh

__all__ = ["Asset", "Textures"]


@dataclass(frozen=True)
class Asset:
    """A mesh with one of several materials per face: a repeating texture, with or without holes.

    Attributes:
        vertices: [V, 3] positions, +Y up; a vertex comes once for each normal, colour and place in a texture.
        faces: [F, 3] vertex numbers; both sides are seen.
        normals: [V, 3] unit normals.
        uv: [V, 2] places in the texture, as in `TexturedMesh`.
        colors: [V, 3] linear, 0 to 1; the texture's colours are multiplied by them.
        material: [F] number of each face's material.
        textures: of each material, sRGB and alpha, the first row on top.
        cutoffs: [M] of each material: where alpha is below, there is a hole; 0: there are none.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    uv: Float[Tensor, "v 2"]
    colors: Float[Tensor, "v 3"]
    material: Int[Tensor, " f"]
    textures: tuple[UInt8[Tensor, "_ _ 4"], ...]
    cutoffs: Float[Tensor, " m"]

    @classmethod
    def of(cls, textured: TexturedMesh) -> "Asset":
        """A mesh with one texture as an asset."""
        texture = textured.texture
        return cls(
            vertices=textured.vertices,
            faces=textured.faces,
            normals=textured.normals,
            uv=textured.uv,
            colors=torch.ones_like(textured.vertices),
            material=torch.zeros_like(textured.faces[:, 0]),
            textures=(torch.cat([texture, torch.full_like(texture[..., :1], 255)], dim=2),),
            cutoffs=textured.vertices.new_zeros(1),
        )

    @property
    def mesh(self) -> Mesh:
        """The bare mesh."""
        return Mesh(self.vertices, self.faces)

    def to(self, device: torch.device | str) -> "Asset":
        """The same on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if name != "textures"}
        return replace(self, **moved, textures=tuple(texture.to(device) for texture in self.textures))

    def save(self, path: Path | str) -> None:
        """Writes a .glb, completely or not at all; the same object gives the same bytes.

        Raises:
            InputError: the file cannot be written.
        """
        scene = trimesh.Scene()
        for number, texture in enumerate(self.textures):
            faces = self.faces[self.material == number]
            if len(faces):
                vertices, corners = faces.unique(return_inverse=True)
                shape = self._shape(vertices, corners, texture, float(self.cutoffs[number]), number)
                scene.add_geometry(shape, geom_name=f"part{number}", node_name=f"part{number}")
        with writing(path) as temporary:
            temporary.write_bytes(trimesh.exchange.gltf.export_glb(scene, include_normals=True))

    def _shape(
        self, vertices: Int[Tensor, " k"], faces: Int[Tensor, "f 3"], texture: Tensor, cutoff: float, number: int
    ) -> trimesh.Trimesh:
        holes = cutoff > 0
        material = trimesh.visual.material.PBRMaterial(
            name=f"material{number}",
            baseColorTexture=Image.fromarray((texture if holes else texture[..., :3]).contiguous().cpu().numpy()),
            alphaMode="MASK" if holes else "OPAQUE",
            alphaCutoff=cutoff if holes else None,
            metallicFactor=0.0,
            roughnessFactor=0.6,
            doubleSided=True,
        )
        visual = trimesh.visual.TextureVisuals(uv=self.uv[vertices].cpu().numpy(), material=material)
        colors = self.colors[vertices]
        if (colors < 1).any():
            opaque = torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1)
            visual.vertex_attributes["color"] = unit_to_bytes(opaque).cpu().numpy()
        return trimesh.Trimesh(
            vertices=self.vertices[vertices].cpu().numpy(),
            faces=faces.cpu().numpy(),
            vertex_normals=self.normals[vertices].cpu().numpy(),
            visual=visual,
            process=False,
            validate=False,
        )


@dataclass(frozen=True)
class Textures:
    """Textures of any sizes, one after the other, so that each place can be looked up in one of its own.

    Attributes:
        texels: [N, 4] all texels, row by row.
        start: [M] where each texture begins.
        size: [M, 2] width and height of each.
    """

    texels: UInt8[Tensor, "n 4"]
    start: Int[Tensor, " m"]
    size: Int[Tensor, "m 2"]

    @classmethod
    def pack(cls, textures: Sequence[UInt8[Tensor, "_ _ 4"]]) -> "Textures":
        """All textures as one."""
        texels = torch.cat([texture.flatten(0, 1) for texture in textures])
        size = torch.tensor([[texture.shape[1], texture.shape[0]] for texture in textures], device=texels.device)
        return cls(texels, size.prod(1).cumsum(0) - size.prod(1), size)

    def sample(self, number: Int[Tensor, " p"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p 4"]:
        """Colours and alpha in [0, 1] at places of the numbered textures, bilinear between texel centres, repeating."""
        width, height = self.size.index_select(0, number).unbind(1)
        # A texture repeats, so only the fraction counts; large numbers would lose the places between texels.
        u, v = uv.sub(uv.floor()).unbind(1)
        x = u * width - 0.5
        y = (1 - v) * height - 0.5
        left, top = x.floor(), y.floor()
        across, down = x - left, y - top
        columns = [(left.long() + step) % width for step in (0, 1)]
        rows = [self.start.index_select(0, number) + (top.long() + step) % height * width for step in (0, 1)]
        places = torch.cat([row + column for row in rows for column in columns])
        weights = torch.stack([a * b for a in (1 - down, down) for b in (1 - across, across)])[..., None]
        texels = self.texels.index_select(0, places).view(4, len(uv), 4)
        return (texels * weights).sum(0) / 255
