"""From latents and cameras to meshes and images: combines networks, isosurface and rendering.

A latent passes through `Generator.styles` (mapping), `Generator.fields` (tri-planes), `Generator.extract` (SDF and
deformation on the grid; triangles), then `Shapes.draw` (visibility, and the texture field at the covered pixels) or
`Generator.textured` (for other programs).

Everything works in every mode of PyTorch: gradients are recorded according to the caller's mode, cached values never
depend on the mode they were made in, and autocast lowers only the precision of convolutions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.profiler import record_function

from get3d import spans
from get3d.cameras import Cameras
from get3d.export import TexturedMesh, textured_mesh
from get3d.files import InputError
from get3d.generator_config import PSI, GeneratorConfig
from get3d.images import Images
from get3d.isosurface import ISOSURFACES
from get3d.latents import Latents, Styles, mix
from get3d.materials import BASE_COLOR
from get3d.meshes import MeshBatch
from get3d.networks import Fields, Mapping, MappingNetwork, PriorMapping, build_synthesis
from get3d.render.learnt_light import LearntLight
from get3d.render.lights import LIGHTS, Light
from get3d.shapes import Shapes

__all__ = [
    "LIGHT",
    "PSI",
    "Field",
    "Generator",
    "GeneratorConfig",
    "Images",
    "Shapes",
    "Styles",
    "mix",
]

LIGHT = "learnt_light."
"""What the names of the parameters of a learnt light begin with."""


@dataclass(frozen=True)
class Field:
    """n shapes as functions of space; differentiable, also with respect to the points.

    Attributes:
        fields: outputs of the synthesis network.
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


def _mapping(config: GeneratorConfig) -> Mapping:
    sizes = {"z_dim": config.z_dim, "w_dim": config.w_dim, "label_dim": len(config.classes)}
    if config.prior.styles:
        return PriorMapping(**sizes, prior=config.prior)
    return MappingNetwork(**sizes, layers=config.mapping_layers)


class Generator(nn.Module):
    """Makes textured shapes from latents (GET3D, section 3).

    `field`, `shapes`, `meshes`, `render` and `textured` take latents of n shapes, which are truncated by psi (default
    0.7), or styles, which are used unchanged.
    """

    @torch.inference_mode(False)
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping_geometry, self.mapping_texture = _mapping(config), _mapping(config)
        self.use_grid(config.grid_resolution)
        self.synthesis = build_synthesis(
            replace(config.synthesis, channels=config.channels),
            style=config.w_dim,
            size=config.grid_size,
            cell_values=self.isosurface.cell_values,
        )
        self.learnt_light = LearntLight() if config.light.kind == "learnt" else None

    @torch.inference_mode(False)
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Generator":
        # What `to` makes in inference mode would never take part in a gradient again.
        return super()._apply(fn, recurse)

    @property
    def device(self) -> torch.device:
        """Device of the generator; arguments must be on it."""
        return self.mapping_geometry.w_avg.device

    @property
    def light(self) -> Light:
        """The light of the training images; differentiable in its parameters if it is learnt."""
        return LIGHTS[self.config.light.kind] if self.learnt_light is None else self.learnt_light()

    @torch.inference_mode(False)
    def use_grid(self, resolution: int) -> None:
        """Sets a finer or coarser grid for extracting surfaces of the same fields.

        Args:
            resolution: resolution of the grid.
        """
        config = self.config
        with torch.device("cpu"):  # Whatever the default is, "meta" for one.
            isosurface = ISOSURFACES[config.isosurface](resolution, config.grid_size, config.grid_resolution)
        self.isosurface = isosurface.to(self.mapping_geometry.w_avg).train(self.training)

    @torch.inference_mode(False)
    def sample_latents(self, n: int, seed: int, label: str | None = None) -> Latents:
        """Latents of the shapes with the seeds seed, seed + 1, …; a seed gives the same shape for any `n`.

        Args:
            n: number of shapes.
            seed: seed of the first shape.
            label: class of the shapes, for a generator of several; None draws a class for each.

        Raises:
            InputError: there is no such class.
        """
        z_dim, classes = self.config.z_dim, self.config.classes
        if label is not None and label not in classes:
            known = f"it knows {', '.join(classes)}" if classes else "it knows objects of one kind, so leave it out"
            raise InputError(f"--label is {label}, which this model does not know; {known}")
        generators = [torch.Generator().manual_seed(seed + i) for i in range(n)]
        device = self.device
        codes = torch.stack([torch.randn(2, z_dim, generator=generator) for generator in generators]).to(device)
        labels = None
        if classes:
            drawn = torch.cat([torch.randint(len(classes), (1,), generator=generator) for generator in generators])
            labels = (drawn if label is None else torch.full((n,), classes.index(label))).to(device)
        return Latents(codes[:, 0], codes[:, 1], labels)

    @record_function(spans.PLANES)
    def styles(self, latents: Latents, psi: float = 1.0, *, per_layer: bool = True) -> Styles:
        """The styles of latents, the same for every layer.

        Args:
            latents: latents of n shapes.
            psi: truncation towards usual styles, see `truncate` of the mapping: w̄ + ψ·(w − w̄).
            per_layer: return a style for every layer (W+); False returns one for all layers (W).
        """
        label = latents.label
        geometry = self.mapping_geometry.truncate(self.mapping_geometry(latents.geometry, label), psi, label)
        texture = self.mapping_texture.truncate(self.mapping_texture(latents.texture, label), psi, label)
        styles = Styles(geometry, texture)
        return self.require_styles(styles) if per_layer else styles

    def require_styles(self, styles: Styles) -> Styles:
        """Returns styles for every layer (W+), after checking that they fit this generator.

        Raises:
            ValueError: the number of layers or the size differs.
        """
        synthesis, w_dim, found = self.synthesis, self.config.w_dim, {}
        for kind, layers in (("geometry", synthesis.num_geometry_styles), ("texture", synthesis.num_texture_styles)):
            style = getattr(styles, kind)
            if style.shape[1:] not in ((w_dim,), (layers, w_dim)):
                raise ValueError(
                    f"{kind} styles are {list(style.shape[1:])} for each shape; this generator takes [{w_dim}] (W) "
                    f"or [{layers}, {w_dim}] (W+)"
                )
            found[kind] = style[:, None].expand(-1, layers, -1) if style.ndim == 2 else style
        return Styles(**found)

    def _styles_of(self, codes: Latents | Styles, psi: float | None) -> Styles:
        if isinstance(codes, Latents):
            return self.styles(codes, PSI if psi is None else psi)
        if psi is not None:
            raise ValueError(f"psi is {psi}, but styles are used unchanged; leave it out")
        return codes

    @torch.no_grad()
    def estimate_mean_styles(self, samples: int = 100_000, seed: int = 0) -> None:
        """Estimates the mean styles for truncation from random latents."""
        for mapping in (self.mapping_geometry, self.mapping_texture):
            generator = torch.Generator(mapping.w_avg.device).manual_seed(seed)
            mapping.w_avg.copy_(mapping.mean_style(samples, generator))

    @record_function(spans.PLANES)
    def fields(self, styles: Styles) -> Fields:
        """The fields of styles; differentiable.

        Raises:
            ValueError: the styles do not fit the synthesis network.
        """
        styles = self.require_styles(styles)
        fields: Fields = self.synthesis(styles.geometry, styles.texture)
        return fields

    @record_function(spans.EXTRACTION)
    def extract(self, fields: Fields) -> Shapes:
        """Fields with their surfaces; differentiable."""
        return Shapes(self.isosurface(fields.geometry), fields, self.config.materials, self.light)

    def field(self, codes: Latents | Styles, psi: float | None = None) -> Field:
        """Shapes as functions of space; differentiable."""
        return Field(self.fields(self._styles_of(codes, psi)))

    def shapes(self, codes: Latents | Styles, psi: float | None = None) -> Shapes:
        """Shapes, ready for rendering, with `empty` for those without a surface; differentiable."""
        return self.extract(self.fields(self._styles_of(codes, psi)))

    def meshes(self, codes: Latents | Styles, psi: float | None = None) -> MeshBatch:
        """Meshes of shapes, with `empty` for those without a surface; differentiable."""
        return self.shapes(codes, psi).meshes

    def render(
        self,
        codes: Latents | Styles,
        cameras: Cameras,
        resolution: int,
        psi: float | None = None,
        light: Light | None = None,
    ) -> Images:
        """Renders shapes, the i-th with the i-th camera; one shape with many cameras, or many shapes with one camera.

        Differentiable with respect to latents or styles, and cameras. The gradient of the mask is that of the covered
        area. The gradient of the colours is that of the surface points at pixel centres, without moving silhouettes.

        Args:
            codes: latents or styles of n shapes, or of one.
            cameras: n cameras, or one.
            resolution: side of the images in pixels.
            psi: truncation of latents.
            light: what falls on the shapes; None: that of the images they were learnt from.

        Raises:
            ValueError: the numbers of shapes and cameras do not match.
        """
        return self.shapes(codes, psi).draw(cameras, resolution, through_positions=True, light=light)

    @torch.no_grad()
    def textured(
        self,
        codes: Latents | Styles,
        psi: float | None = None,
        texture_resolution: int = 1024,
        faces: int | None = None,
        normal_map: bool = False,
    ) -> list[TexturedMesh]:
        """Textured meshes for other programs, without gradient.

        Args:
            codes: latents or styles of n shapes.
            psi: truncation of latents.
            texture_resolution: side of the texture in pixels.
            faces: maximum number of triangles per mesh; None keeps all.
            normal_map: also bakes the normals that the mesh had before simplification.

        Returns:
            A mesh for each shape; for a shape without a surface it is `empty`, without faces.
        """
        shapes = self.shapes(codes, psi)
        pairs = enumerate(zip(shapes.meshes.split(), shapes.empty.tolist(), strict=True))
        return [
            TexturedMesh.nothing(self.device)
            if empty
            else textured_mesh(mesh, shapes.material(i), texture_resolution, faces, normal_map)
            for i, (mesh, empty) in pairs
        ]
