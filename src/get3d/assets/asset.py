"""An untrusted model with several materials, in the form that both renderers read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from get3d.assets.materials import MAPS, constant
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
        maps: other textures at the same places, by their names in `materials.MAPS`, each for every material.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    uv: Float[Tensor, "v 2"]
    colors: Float[Tensor, "v 3"]
    material: Int[Tensor, " f"]
    textures: tuple[UInt8[Tensor, "_ _ 4"], ...]
    cutoffs: Float[Tensor, " m"]
    maps: Mapping[str, tuple[UInt8[Tensor, "_ _ _"], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, textured: TexturedMesh) -> "Asset":
        """A mesh with one texture as an asset."""
        texture = textured.texture
        maps = {name: textured.textures[name] for name in MAPS if name in textured.textures}
        maps |= {name: torch.from_numpy(constant(*value)) for name, value in textured.constants.items() if name in MAPS}
        return cls(
            vertices=textured.vertices,
            faces=textured.faces,
            normals=textured.normals,
            uv=textured.uv,
            colors=torch.ones_like(textured.vertices),
            material=torch.zeros_like(textured.faces[:, 0]),
            textures=(torch.cat([texture, torch.full_like(texture[..., :1], 255)], dim=2),),
            cutoffs=textured.vertices.new_zeros(1),
            maps={name: (texels.to(texture.device),) for name, texels in maps.items()},
        )

    @property
    def mesh(self) -> Mesh:
        """The bare mesh."""
        return Mesh(self.vertices, self.faces)

    def to(self, device: torch.device | str) -> "Asset":
        """The same on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        textures = tuple(texture.to(device) for texture in self.textures)
        maps = {name: tuple(texels.to(device) for texels in each) for name, each in self.maps.items()}
        return replace(self, **moved, textures=textures, maps=maps)

    @property
    def glossy(self) -> "Asset":
        """The asset with roughness and metallic maps; defaults where it has none."""
        texels = {name: torch.tensor([[MAPS[name]]], dtype=torch.uint8) for name in ("roughness", "metallic")}
        device = self.vertices.device
        missing = {
            name: (one.to(device),) * len(self.textures) for name, one in texels.items() if name not in self.maps
        }
        return replace(self, maps={**missing, **self.maps})

    @property
    def matte(self) -> "Asset":
        """The asset with only its base colour."""
        return replace(self, maps={})

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
            doubleSided=True,
            **self._further(number),
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

    def _further(self, number: int) -> dict[str, Any]:
        """The other maps of a material in the form of trimesh; roughness and metallic share an image."""
        maps = {name: each[number].cpu() for name, each in self.maps.items()}
        lanes = [maps.get(name, torch.tensor([[MAPS[name]]], dtype=torch.uint8)) for name in ("roughness", "metallic")]
        if all(lane.shape[:2] == (1, 1) for lane in lanes):
            roughness, metallic = (round(float(lane) / 255, 6) for lane in lanes)
            further: dict[str, Any] = {"metallicFactor": metallic, "roughnessFactor": roughness}
        else:
            size = max(lane.shape[0] for lane in lanes), max(lane.shape[1] for lane in lanes)
            images = [Image.fromarray(lane[..., 0].numpy()).resize(size[::-1]) for lane in lanes]
            further = {
                "metallicRoughnessTexture": Image.merge("RGB", [Image.new("L", size[::-1], 255), *images]),
                "metallicFactor": 1.0,
                "roughnessFactor": 1.0,
            }
        if "normal" in maps and maps["normal"].numel() > 3:
            further["normalTexture"] = Image.fromarray(maps["normal"].contiguous().numpy())
        if "emission" in maps and maps["emission"].any():
            further["emissiveTexture"] = Image.fromarray(maps["emission"].contiguous().numpy())
            further["emissiveFactor"] = [1.0, 1.0, 1.0]
        return further


@dataclass(frozen=True)
class Textures:
    """Textures of any sizes, packed one after the other, so that each point can be looked up in its own texture.

    Attributes:
        texels: [N, C] all texels, row by row.
        start: [M] where each texture begins.
        size: [M, 2] width and height of each.
    """

    texels: UInt8[Tensor, "n c"]
    start: Int[Tensor, " m"]
    size: Int[Tensor, "m 2"]

    @classmethod
    def pack(cls, textures: Sequence[UInt8[Tensor, "_ _ _"]]) -> "Textures":
        """All textures, packed."""
        texels = torch.cat([texture.flatten(0, 1) for texture in textures])
        size = torch.tensor([[texture.shape[1], texture.shape[0]] for texture in textures], device=texels.device)
        return cls(texels, size.prod(1).cumsum(0) - size.prod(1), size)

    def sample(self, number: Int[Tensor, " p"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
        """Values in [0, 1] at UV coordinates of textures given by index, bilinear and repeating."""
        width, height = self.size.index_select(0, number).unbind(1)
        # A texture repeats, so only the fraction counts; large coordinates would lose precision between texels.
        u, v = uv.sub(uv.floor()).unbind(1)
        x = u * width - 0.5
        y = (1 - v) * height - 0.5
        left, top = x.floor(), y.floor()
        across, down = x - left, y - top
        columns = [(left.long() + step) % width for step in (0, 1)]
        rows = [self.start.index_select(0, number) + (top.long() + step) % height * width for step in (0, 1)]
        places = torch.cat([row + column for row in rows for column in columns])
        weights = torch.stack([a * b for a in (1 - down, down) for b in (1 - across, across)])[..., None]
        texels = self.texels.index_select(0, places).view(4, len(uv), self.texels.shape[1])
        return (texels * weights).sum(0) / 255
