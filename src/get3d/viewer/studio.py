"""What the page of a model makes: previews, textured objects, variations, and files to keep."""

import copy
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import UInt8

from get3d.color import srgb_to_linear, unit_to_bytes
from get3d.export.gltf import glb_bytes
from get3d.generation.config import Settings
from get3d.generation.objects import add_object, require_addable, shapes_of, textured_object
from get3d.generation.settings import open_generator
from get3d.generation.shape_list import ShapeList
from get3d.generation.turntable import columns_for, seen_from, sheet
from get3d.generator import Generator
from get3d.latents import Latents, Styles, between, near
from get3d.materials import BASE_COLOR

__all__ = ["NEIGHBOURS", "Neighbours", "Pick", "Studio"]

COARSE = 32
"""Steps along a side of the grid of previews, which are made while a slider moves."""
NEIGHBOURS = 8
_THUMBNAIL = 128


@dataclass(frozen=True)
class Pick:
    """An object that somebody looks at.

    Attributes:
        latents: of the one shape.
        psi: their truncation.
        geometry_seed: the seed that its geometry is of; None where it is of none.
        texture_seed: the same of its texture.
    """

    latents: Latents
    psi: float
    geometry_seed: int | None = None
    texture_seed: int | None = None

    @property
    def title(self) -> str:
        """What it is called where several are told apart."""
        parts = [
            f"{what} {'varied' if seed is None else seed}"
            for what, seed in (("geometry", self.geometry_seed), ("texture", self.texture_seed))
        ]
        return f"{', '.join(parts)}, ψ {self.psi:g}"


@dataclass(frozen=True)
class Neighbours:
    """Variations of an object.

    Attributes:
        picks: the variations.
        image: all of them, in rows of four, from the first to the last.
    """

    picks: list[Pick]
    image: UInt8[np.ndarray, "h w 3"]


class Studio:
    """A model that several windows use at once; each call takes its turn."""

    def __init__(self, settings: Settings) -> None:
        """Loads the model.

        Raises:
            InputError: as `get3d generate`.
        """
        self.settings = settings
        self.generator = open_generator(settings).requires_grad_(False)
        require_addable(self.generator, settings)
        # Their own grid, and no waiting for textures.
        self._coarse: Generator = copy.deepcopy(self.generator)
        self._coarse.use_grid(min(COARSE, self.generator.isosurface.grid.resolution))
        self._turn, self._coarse_turn = threading.Lock(), threading.Lock()

    def pick(self, geometry_seed: int, texture_seed: int, psi: float, label: str | None = None) -> Pick:
        """The geometry of one seed with the texture of another; of one seed, the shape of `get3d generate`.

        Args:
            geometry_seed: of the geometry.
            texture_seed: of the texture.
            psi: truncation.
            label: class, of a model of several.
        """
        geometry, texture = (self.generator.sample_latents(1, seed, label) for seed in (geometry_seed, texture_seed))
        return self.mixed(
            Pick(geometry, psi, geometry_seed=geometry_seed), Pick(texture, psi, texture_seed=texture_seed)
        )

    def mixed(self, geometry: Pick, texture: Pick) -> Pick:
        """The geometry of one, with its class and truncation, with the texture of another."""
        latents = Latents(geometry.latents.geometry, texture.latents.texture, geometry.latents.label)
        return Pick(latents, geometry.psi, geometry.geometry_seed, texture.texture_seed)

    def between(self, start: Pick, end: Pick, share: float) -> Pick:
        """What lies between two of a class.

        Raises:
            ValueError: they are of two classes.
        """
        if share in (0.0, 1.0):
            return end if share else start
        psi = (1 - share) * start.psi + share * end.psi
        return Pick(between(start.latents, end.latents, share, share), psi)

    @torch.no_grad()
    def preview(self, pick: Pick) -> bytes | None:
        """A coarse mesh with colours at its vertices, as a .glb; None where the shape has no surface."""
        with self._coarse_turn:
            shapes = self._coarse.shapes(pick.latents, pick.psi)
            if shapes.empty[0]:
                return None
            (mesh,) = shapes.meshes.split()
            color = (shapes.material(0)(mesh.vertices)[BASE_COLOR].clamp(-1, 1) + 1) / 2
        # Colours at vertices are light in glTF, not encoded.
        colors = unit_to_bytes(srgb_to_linear(color)).cpu().numpy()
        body = trimesh.Trimesh(
            mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy(), vertex_colors=colors, process=False, validate=False
        )
        content: bytes = trimesh.exchange.gltf.export_glb(trimesh.Scene({"object": body}), include_normals=True)
        return content

    @torch.no_grad()
    def textured(self, pick: Pick) -> bytes | None:
        """The object as it would be saved, as a .glb; None where the shape has no surface."""
        with self._turn:
            shapes = shapes_of(self.generator, self._shape_list(pick, ""), range(1), self.settings.small_components)
            _, textured = textured_object(shapes, 0, self.settings)
        return None if textured is None else glb_bytes(textured)

    @torch.no_grad()
    def neighbours(self, pick: Pick, strength: float, seed: int) -> Neighbours:
        """Variations of an object, as `get3d vary` makes them.

        Args:
            pick: the object.
            strength: how much changes, from 0 to 1.
            seed: of what changes.
        """
        drawn = near(
            pick.latents,
            NEIGHBOURS,
            geometry=strength,
            texture=strength,
            generator=torch.Generator().manual_seed(seed),
        )
        label = pick.latents.label
        label = None if label is None else label.expand(NEIGHBOURS)
        drawn = Latents(drawn.geometry, drawn.texture, label)
        picks = [Pick(drawn[number : number + 1], pick.psi) for number in range(NEIGHBOURS)]
        images = []
        for one in picks:
            # On the grid of objects: a coarse one loses thin parts, which is what one wants to compare.
            with self._turn:
                shapes = shapes_of(self.generator, self._shape_list(one, ""), range(1), self.settings.small_components)
                images.append(seen_from(shapes, self.generator.config.cameras, _THUMBNAIL))
        return Neighbours(picks, np.asarray(sheet(torch.cat(images), columns_for(4)).convert("RGB")))

    @torch.no_grad()
    def save(self, pick: Pick, name: str) -> dict[str, Any]:
        """Writes the object to the folder of `settings`, and to the shapes.json there.

        Args:
            pick: the object.
            name: of its file, without suffix.

        Returns:
            What shapes.json says of it.

        Raises:
            InputError: the name cannot be a file's, or there is such a file; or the shape has no surface.
        """
        with self._turn:
            return add_object(self.generator, self._shape_list(pick, name), self.settings)

    def _shape_list(self, pick: Pick, name: str) -> ShapeList:
        """In styles: objects of a shapes.json share one truncation, those of a page need not."""
        styles: Styles = self.generator.styles(pick.latents, pick.psi)
        return ShapeList([name], styles, [{"psi": pick.psi}])
