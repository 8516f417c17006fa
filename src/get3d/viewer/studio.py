"""Work of the page of a model: previews, textured objects, variations, and saved files."""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from get3d.export import TexturedMesh
from get3d.files import require_writable
from get3d.generation.config import PSI, Settings
from get3d.generation.interpolation import variations
from get3d.generation.objects import add_object, is_taken, require_addable, shapes_of, textured_object
from get3d.generation.settings import open_generator, set_grid
from get3d.generation.shape_list import ShapeList, read_shapes
from get3d.generation.turntable import columns_for, seen_from, sheet
from get3d.generator import Generator
from get3d.latents import Latents, Styles, between, between_styles
from get3d.ranges import require_ranges
from get3d.viewer.directions import DIRECTIONS, directions_file, moved, read_directions, renamed, write_directions
from get3d.viewer.look import Look, Shown, preview_of

__all__ = ["NEIGHBOURS", "Neighbours", "Pick", "Studio"]

COARSE = 48
"""Resolution of the grid of previews, which are made while a slider moves."""
NEIGHBOURS = 8
_THUMBNAIL = 128


@dataclass(frozen=True)
class Pick:
    """An object that is shown in a window.

    Attributes:
        latents: of one shape.
        psi: truncation of the latents.
        geometry_seed: seed of the geometry; None if it does not come from a seed.
        texture_seed: seed of the texture, likewise.
        steps: distance along each of the model's directions in standard deviations; empty if it was not moved.
        styles: of an object that no latents give, for every layer; psi truncates them, too, and the latents say only
            the class.
    """

    latents: Latents
    psi: float
    geometry_seed: int | None = None
    texture_seed: int | None = None
    steps: tuple[float, ...] = ()
    styles: Styles | None = None

    @property
    def title(self) -> str:
        """A title that tells objects apart."""
        unseeded = "varied" if self.styles is None else "fitted"
        parts = [
            f"{what} {unseeded if seed is None else seed}"
            for what, seed in (("geometry", self.geometry_seed), ("texture", self.texture_seed))
        ]
        return f"{', '.join(parts)}, ψ {self.psi:g}{', moved' if any(self.steps) else ''}"


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
    """A model that several windows use; calls run one after the other."""

    def __init__(self, settings: Settings, generator: Generator | None = None, listed: Path | None = None) -> None:
        """Loads the model.

        Args:
            settings: how objects are made.
            generator: the model, of which a copy is used; None loads that of `settings`.
            listed: a shapes.json whose shapes windows begin with.

        Raises:
            InputError: as `get3d generate`.
        """
        self.settings, self.named = settings, generator is None
        if generator is None:
            self.generator = open_generator(settings)
            self._names = directions_file(settings.model, settings.out)
        else:
            self.generator = copy.deepcopy(generator).eval()
            require_ranges(settings)
            require_writable(settings.out)
            set_grid(self.generator, settings.grid)
            self._names = settings.out / DIRECTIONS
        self.generator.requires_grad_(False)
        require_addable(self.generator, settings)
        self.look = Look(self.generator.isosurface.grid.resolution, settings.faces)
        self.directions = read_directions(self._names, self.generator)
        shapes = [] if listed is None else read_shapes([listed], [], self.generator)
        self.listed = {one.names[0]: self._of_list(one) for one in shapes}
        # Their own grid, and no waiting for textures.
        self._coarse: Generator = copy.deepcopy(self.generator)
        self._coarse.use_grid(min(COARSE, self.look.grid))
        self._turn, self._coarse_turn, self._naming = threading.Lock(), threading.Lock(), threading.Lock()

    @property
    def names(self) -> list[str]:
        """The names of the directions."""
        return [direction.name for direction in self.directions]

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
        steps = tuple(
            from_geometry if direction.kind == "geometry" else from_texture
            for direction, from_geometry, from_texture in zip(
                self.directions, self._steps(geometry), self._steps(texture), strict=True
            )
        )
        mixed = Pick(latents, geometry.psi, geometry.geometry_seed, texture.texture_seed, steps)
        if geometry.styles is None and texture.styles is None:
            return mixed
        return replace(mixed, psi=1.0, styles=Styles(self._still(geometry).geometry, self._still(texture).texture))

    def between(self, start: Pick, end: Pick, share: float) -> Pick:
        """An interpolation between two objects of the same class.

        Raises:
            ValueError: they are of different classes.
        """
        if share in (0.0, 1.0):
            return end if share else start
        psi = (1 - share) * start.psi + share * end.psi
        pairs = zip(self._steps(start), self._steps(end), strict=True)
        steps = tuple((1 - share) * low + share * high for low, high in pairs)
        pick = Pick(between(start.latents, end.latents, share, share), psi, steps=steps)
        if start.styles is None and end.styles is None:
            return pick
        return replace(pick, psi=1.0, styles=between_styles(self._still(start), self._still(end), share, share))

    def _of_list(self, one: ShapeList) -> Pick:
        """A shape of a shapes.json."""
        if isinstance(one.latents, Styles):
            return self.of_styles(one.latents)
        seed = one.metadata[0].get("seed")
        return Pick(one.latents, one.psi, seed, seed)

    @torch.no_grad()
    def of_styles(self, styles: Styles, label: str | None = None) -> Pick:
        """An object that no latents give.

        Args:
            styles: of one shape.
            label: its class, of a model of several.
        """
        return Pick(self.generator.sample_latents(1, 0, label), 1.0, styles=self.generator.require_styles(styles))

    def rename(self, number: int, name: str) -> None:
        """Gives a direction a name, and stores all of them beside the model.

        Raises:
            InputError: the name cannot be used, or the file cannot be written.
        """
        with self._naming:
            directions = renamed(self.directions, number, name)
            write_directions(self._names, directions)
            self.directions = directions

    @torch.no_grad()
    def preview(self, pick: Pick, look: Look | None = None) -> Shown | None:
        """A coarse mesh with colours at its vertices; None where the shape has no surface."""
        with self._coarse_turn:
            shapes = self._coarse.shapes(self._styles(pick))
            if shapes.empty[0]:
                return None
            mesh = shapes.surfaces.meshes
            return preview_of(mesh, shapes.material(0)(mesh.vertices), look or self.look)

    @torch.no_grad()
    def textured(self, pick: Pick, look: Look | None = None) -> TexturedMesh | None:
        """The object as it would be saved; None where the shape has no surface.

        Raises:
            InputError: the grid does not fit into memory.
        """
        look = look or self.look
        with self._on(look.grid):
            shapes = shapes_of(self.generator, self._shape_list(pick, ""), range(1), self.settings.small_components)
            return textured_object(shapes, 0, replace(self.settings, faces=look.faces))[1]

    @torch.no_grad()
    def neighbours(self, pick: Pick, strength: float, seed: int) -> Neighbours:
        """Variations of an object, as `get3d vary` makes them.

        Args:
            pick: the object.
            strength: how much changes, from 0 to 1.
            seed: of what changes.
        """
        generator, label = self.generator, pick.latents.label
        codes = variations(
            generator,
            pick.latents if pick.styles is None else self._still(pick),
            NEIGHBOURS,
            geometry=strength,
            texture=strength,
            psi=PSI,
            label=None if label is None else generator.config.classes[int(label)],
            random=torch.Generator().manual_seed(seed),
        )[1:]
        if isinstance(codes, Styles):
            picks = [Pick(pick.latents, 1.0, steps=pick.steps, styles=codes[number]) for number in range(NEIGHBOURS)]
        else:
            picks = [Pick(codes[number], pick.psi, steps=pick.steps) for number in range(NEIGHBOURS)]
        images = []
        for one in picks:
            # On the grid of objects: a coarse one loses thin parts, which is what one wants to compare.
            with self._on(self.look.grid):
                shapes = shapes_of(self.generator, self._shape_list(one, ""), range(1), self.settings.small_components)
                images.append(seen_from(shapes, self.generator.config.cameras, _THUMBNAIL))
        return Neighbours(picks, np.asarray(sheet(torch.cat(images), columns_for(4)).convert("RGB")))

    @torch.no_grad()
    def save(self, pick: Pick, name: str, look: Look | None = None, *, numbered: bool = False) -> dict[str, Any]:
        """Writes the object to the folder of `settings`, and to the shapes.json there.

        Args:
            pick: the object.
            name: of its file, without suffix.
            look: its grid and its number of triangles.
            numbered: whether to take the next number at the end of a name that is taken.

        Returns:
            Its entry in shapes.json.

        Raises:
            InputError: the name cannot be a file's, or there is such a file; the shape has no surface; or the objects
                there have another grid or another maximum number of triangles.
        """
        look = look or self.look
        with self._on(look.grid):
            name = self.unused(name) if numbered else name
            return add_object(self.generator, self._shape_list(pick, name), replace(self.settings, faces=look.faces))

    def unused(self, name: str) -> str:
        """A name of which there is no object in the folder yet: this one, or the next with a number at its end."""
        while is_taken(name, self.generator, self.settings):
            stem = name.rstrip("0123456789")
            name = f"{stem}{int(name[len(stem) :] or 1) + 1}" if stem != name else f"{name}-2"
        return name

    def copy(self) -> Generator:
        """The model on its own grid, for work that takes long."""
        with self._turn:
            copied = copy.deepcopy(self.generator)
        copied.use_grid(copied.config.grid_resolution)
        return copied

    @contextmanager
    def _on(self, grid: int) -> Iterator[None]:
        """The generator for one caller, on a grid."""
        with self._turn:
            set_grid(self.generator, grid)
            yield

    def _steps(self, pick: Pick) -> tuple[float, ...]:
        return pick.steps or (0.0,) * len(self.directions)

    def _still(self, pick: Pick) -> Styles:
        """The styles of an object, where it has not been moved along directions."""
        if pick.styles is None or pick.psi == 1:
            return self.generator.styles(pick.latents, pick.psi) if pick.styles is None else pick.styles
        mean = self.generator.styles(pick.latents, 0.0)
        return between_styles(mean, pick.styles, pick.psi, pick.psi)

    def _styles(self, pick: Pick) -> Styles:
        return moved(self._still(pick), self.directions, self._steps(pick))

    def _shape_list(self, pick: Pick, name: str) -> ShapeList:
        """In styles: objects of a shapes.json share one truncation, those of a page need not."""
        return ShapeList([name], self._styles(pick), [{"psi": pick.psi}])
