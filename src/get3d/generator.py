"""From latents and cameras to meshes and images: where networks, surface and render meet.

A latent's way: `Generator.styles` (mapping), `Generator.fields` (tri-planes), `Generator.extract` (SDF and deformation
on the grid; triangles), then `Generator.draw` (visibility, and the texture field at the covered pixels) or
`Generator.textured` (for other programs).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from jaxtyping import Float
from torch import Tensor, nn

from get3d.bundled import MODEL_FILE, bundled
from get3d.cameras import CameraPrior, Cameras
from get3d.devices import device_named
from get3d.export import TexturedMesh, textured_mesh
from get3d.files import InputError, require_names
from get3d.isosurface import ISOSURFACES, IsosurfaceName, Surfaces
from get3d.isosurface.memory import grid_memory, require_grid_fits
from get3d.latents import Latents
from get3d.materials import BASE_COLOR, Material, require_channels
from get3d.meshes import MeshBatch
from get3d.networks import Fields, MappingNetwork, SeparateConfig, UnifiedConfig
from get3d.ranges import Range
from get3d.render import interpolate, mask_of, rasterize
from get3d.storage import load_tensors, read_description, require_same_shapes, restore, without_prefix

__all__ = [
    "WEIGHTS",
    "Field",
    "Generator",
    "GeneratorConfig",
    "Images",
    "Shapes",
    "Styles",
    "load",
    "mix",
    "model_file",
    "read_config",
]

WEIGHTS = "generator_ema."
"""What the names of a model's tensors begin with in its file."""

BACKGROUND = -1.0
"""Colour where nothing is seen: black."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator.

    Attributes:
        z_dim: size of a latent, for geometry and for texture.
        w_dim: size of a style.
        mapping_layers: dense layers from latent to style.
        synthesis: the synthesis network and its sizes.
        isosurface: how surfaces are extracted: marching tetrahedra, or FlexiCubes.
        grid_resolution: steps of the grid along a side, while training.
        grid_size: side of the cube that shapes live in. Training sets it from the dataset.
        cameras: the cameras of the images it learns from. Training sets them from the dataset.
        classes: names of the classes it tells apart; none for objects of one kind. Training sets them from the dataset.
    """

    z_dim: Annotated[int, Range(1, 65_536)] = 512
    w_dim: Annotated[int, Range(1, 65_536)] = 512
    mapping_layers: Annotated[int, Range(1, 64)] = 8
    synthesis: Annotated[UnifiedConfig | SeparateConfig, tyro.conf.AvoidSubcommands] = field(
        default_factory=UnifiedConfig
    )
    isosurface: IsosurfaceName = "tetrahedra"
    grid_resolution: Annotated[int, Range(2, 1024)] = 90
    grid_size: Annotated[float, tyro.conf.Suppress, Range(0, 2, above=True, below=True)] = 1.0
    cameras: Annotated[CameraPrior, tyro.conf.Suppress] = field(default_factory=CameraPrior)
    classes: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()


@dataclass(frozen=True)
class Styles:
    """A style for every layer of the synthesis network.

    Attributes:
        geometry: [n, layers, w].
        texture: [n, layers, w].
    """

    geometry: Float[Tensor, "n lg w"]
    texture: Float[Tensor, "n lt w"]


@dataclass(frozen=True)
class Images:
    """Images of n shapes.

    Attributes:
        rgb: [n, 3, r, r] in about [−1, 1]; black where nothing is seen.
        mask: [n, 1, r, r] in [0, 1], how much of a pixel is covered.
    """

    rgb: Float[Tensor, "n 3 r r"]
    mask: Float[Tensor, "n 1 r r"]


@dataclass(frozen=True)
class Shapes:
    """n shapes, ready to be drawn.

    Attributes:
        surfaces: their meshes, and what regularises them.
        fields: what they are made from.
    """

    surfaces: Surfaces
    fields: Fields

    def material(self, number: int) -> Material:
        """What the surface of one of them looks like, at points [p, 3]."""

        def material(points: Float[Tensor, "p 3"]) -> dict[str, Float[Tensor, "p _"]]:
            shape = torch.full(points.shape[:1], number, device=points.device)
            return self.fields.texture.at_packed(points, shape)

        return material


@dataclass(frozen=True)
class Field:
    """n shapes as functions of space.

    Attributes:
        fields: what the synthesis network made.
    """

    fields: Fields

    def sdf(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 1"]:
        """Signed distance, positive inside."""
        return self.fields.geometry.at(points).sdf

    def deformation(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        """Offset of a grid vertex before tanh and scaling."""
        return self.fields.geometry.at(points).deformation

    def color(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        """RGB in about [−1, 1]."""
        return self.fields.texture.at(points)[BASE_COLOR]


class Generator(nn.Module):
    """Makes textured shapes from latents (GET3D, section 3)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        sizes = {"z_dim": config.z_dim, "w_dim": config.w_dim, "layers": config.mapping_layers}
        self.mapping_geometry = MappingNetwork(**sizes, label_dim=len(config.classes))
        self.mapping_texture = MappingNetwork(**sizes, label_dim=len(config.classes))
        self.use_grid(config.grid_resolution)
        self.synthesis = config.synthesis.build(
            style=config.w_dim, size=config.grid_size, cell_values=self.isosurface.cell_values
        )

    def use_grid(self, resolution: int) -> None:
        """Extracts surfaces of the same fields on a finer or coarser grid from now on.

        Args:
            resolution: steps of the grid along a side.
        """
        config, device = self.config, self.mapping_geometry.w_avg.device
        with torch.device("cpu"):  # Whatever the default is, "meta" for one.
            isosurface = ISOSURFACES[config.isosurface](resolution, config.grid_size, config.grid_resolution)
        self.isosurface = isosurface.to(device).train(self.training)

    def sample_latents(self, n: int, seed: int, label: str | None = None) -> Latents:
        """Latents of the shapes with the seeds seed, seed + 1, …; a seed is the same shape however many are asked for.

        Args:
            n: how many.
            seed: of the first.
            label: their class, of a generator of several; None draws one for each.

        Raises:
            InputError: there is no such class.
        """
        z_dim, classes = self.config.z_dim, self.config.classes
        if label is not None and label not in classes:
            known = f"it knows {', '.join(classes)}" if classes else "it knows objects of one kind, so leave it out"
            raise InputError(f"--label is {label}, which this model does not know; {known}")
        generators = [torch.Generator().manual_seed(seed + i) for i in range(n)]
        device = self.mapping_geometry.w_avg.device
        codes = torch.stack([torch.randn(2, z_dim, generator=generator) for generator in generators]).to(device)
        labels = None
        if classes:
            drawn = torch.cat([torch.randint(len(classes), (1,), generator=generator) for generator in generators])
            labels = (drawn if label is None else torch.full((n,), classes.index(label))).to(device)
        return Latents(codes[:, 0], codes[:, 1], labels)

    def styles(self, latents: Latents, psi: float = 1.0) -> Styles:
        """The styles of latents, the same for every layer.

        Args:
            latents: of n shapes.
            psi: truncation towards the mean style: w̄ + ψ·(w − w̄).
        """
        label = latents.label
        geometry = self.mapping_geometry.truncate(self.mapping_geometry(latents.geometry, label), psi, label)
        texture = self.mapping_texture.truncate(self.mapping_texture(latents.texture, label), psi, label)
        return Styles(
            geometry[:, None].expand(-1, self.synthesis.num_geometry_styles, -1),
            texture[:, None].expand(-1, self.synthesis.num_texture_styles, -1),
        )

    @torch.no_grad()
    def estimate_mean_styles(self, samples: int = 100_000, seed: int = 0) -> None:
        """Sets the mean styles that truncation draws towards, from random latents."""
        for mapping in (self.mapping_geometry, self.mapping_texture):
            generator = torch.Generator(mapping.w_avg.device).manual_seed(seed)
            mapping.w_avg.copy_(mapping.mean_style(samples, generator))

    def fields(self, styles: Styles) -> Fields:
        """The fields of styles; differentiable."""
        fields: Fields = self.synthesis(styles.geometry, styles.texture)
        return fields

    def extract(self, fields: Fields) -> Shapes:
        """Fields with their surfaces; differentiable."""
        return Shapes(self.isosurface(fields.geometry), fields)

    def shapes(self, styles: Styles) -> Shapes:
        """Fields and surfaces of styles; differentiable."""
        return self.extract(self.fields(styles))

    def draw(self, shapes: Shapes, cameras: Cameras, resolution: int) -> Images:
        """Images of shapes, the i-th by the i-th camera; differentiable in shape and colour."""
        meshes = shapes.surfaces.meshes
        fragments = rasterize(meshes, cameras, resolution)
        with torch.no_grad():
            points = interpolate(meshes.vertices, meshes.faces, fragments)
        colors = shapes.fields.texture.at_packed(points, fragments.shape)[BASE_COLOR]
        return Images(fragments.scatter(colors, BACKGROUND), mask_of(meshes, fragments))

    @torch.no_grad()
    def field(self, latents: Latents, psi: float = 1.0) -> Field:
        """The shapes of latents as functions of space."""
        return Field(self.fields(self.styles(latents, psi)))

    @torch.no_grad()
    def meshes(self, latents: Latents, psi: float = 0.7) -> MeshBatch:
        """The surfaces of latents."""
        return self.shapes(self.styles(latents, psi)).surfaces.meshes

    @torch.no_grad()
    def render(self, latents: Latents, cameras: Cameras, resolution: int, psi: float = 0.7) -> Images:
        """Images of latents, the i-th by the i-th camera."""
        return self.draw(self.shapes(self.styles(latents, psi)), cameras, resolution)

    @torch.no_grad()
    def textured(
        self, latents: Latents, psi: float = 0.7, texture_resolution: int = 1024, faces: int | None = None
    ) -> list[TexturedMesh]:
        """Meshes with a texture, for other programs.

        Args:
            latents: of n shapes.
            psi: truncation.
            texture_resolution: side of the texture in pixels.
            faces: most triangles of a mesh; None keeps all.
        """
        shapes = self.shapes(self.styles(latents, psi))
        meshes = shapes.surfaces.meshes.split()
        return [textured_mesh(mesh, shapes.material(i), texture_resolution, faces) for i, mesh in enumerate(meshes)]


def mix(first: Styles, second: Styles, kept: Float[Tensor, "n 2"]) -> Styles:
    """Style mixing: early layers from the first styles, later ones from the second (Karras et al. 2019, section 3.1).

    Args:
        first: styles of n shapes.
        second: styles of as many others.
        kept: share of the layers that the first keep, for geometry and texture; at least one layer, 1 keeps all.
    """

    def crossed(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        layers = a.shape[1]
        cut = 1 + torch.floor(share * (layers - 1))
        return torch.where((torch.arange(layers, device=a.device) < cut[:, None])[..., None], a, b)

    return Styles(
        crossed(first.geometry, second.geometry, kept[:, 0]), crossed(first.texture, second.texture, kept[:, 1])
    )


def load(path_or_name: str | Path, device: torch.device | str = "cpu") -> Generator:
    """Reads a model.

    Args:
        path_or_name: a model file, its folder, the folder of a training run (its newest checkpoint), a checkpoint, or
            the name of a model that comes with the package.
        device: where to put it; "auto" takes a GPU where there is one.

    Raises:
        InputError: there is no model, its file is damaged or another program's, its grid does not fit into memory, or
            there is no such device.
    """
    path, place = model_file(path_or_name), device_named(str(device))
    config = read_config(path)
    taken = grid_memory(config.isosurface, config.synthesis)
    resolution = f"{path}: generator.grid_resolution"
    require_grid_fits(resolution, config.grid_resolution, taken, place, "convert it with --grid")
    generator = Generator(config)
    generator.load_state_dict(without_prefix(WEIGHTS, load_tensors(path, prefix=WEIGHTS).tensors))
    return generator.to(place).eval().requires_grad_(False)


def read_config(path: Path) -> GeneratorConfig:
    """The sizes of a model, or of a checkpoint's generators, which are those of the averaged weights in it.

    Nothing is built of what a file says before it was compared with what the file holds.

    Raises:
        InputError: the file is no model's, a size is out of its range, or the weights have other sizes.
    """
    config = restore(GeneratorConfig, read_description(path).get("generator"), path)
    require_names(config.classes, f"{path}: generator.classes")
    require_channels(config.synthesis.channels, f"{path}: generator.synthesis.channels")
    # The grid is no part of the weights, and is built.
    small = replace(config, grid_resolution=4)
    require_same_shapes(path, WEIGHTS, lambda: Generator(small))
    return config


def model_file(path_or_name: str | Path) -> Path:
    """The file that `load` reads.

    Raises:
        InputError: there is none.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    if (path / MODEL_FILE).is_file():
        return path / MODEL_FILE
    checkpoints = sorted(path.glob("checkpoints/checkpoint-*.safetensors"))
    if checkpoints:
        return checkpoints[-1]
    named = bundled()
    if str(path_or_name) in named:
        return named[str(path_or_name)]
    fix = f"train first, or give a model file, its folder, the folder of a training run, or one of {', '.join(named)}"
    if path.is_dir():
        raise InputError(f"{path}: holds neither {MODEL_FILE} nor checkpoints; {fix}")
    raise InputError(f"{path}: no such model; {fix}")
