"""Sizes of a generator. This module imports nothing heavy, because options are made from it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from get3d.camera_prior import CameraPrior
from get3d.light_prior import LightPrior
from get3d.networks.config import PriorConfig, SeparateConfig, UnifiedConfig
from get3d.options import Option
from get3d.ranges import Range

__all__ = [
    "MATERIALS",
    "PSI",
    "REGULARIZERS",
    "SHARED_REGULARIZERS",
    "GeneratorConfig",
    "IsosurfaceName",
    "MaterialsName",
    "default_weights",
]

PSI = 0.7
"""Default truncation."""

IsosurfaceName = Literal["tetrahedra", "flexicubes"]
REGULARIZERS: dict[IsosurfaceName, dict[str, float]] = {
    "tetrahedra": {"sdf": 0.01},
    "flexicubes": {"sdf": 0.01, "deviation": 0.5, "weights": 0.1},
}
"""The regularisers of each isosurface, with their default weights in training."""

SHARED_REGULARIZERS = {"floaters": 0.0, "gaps": 0.0, "normals": 0.0}
"""Those of every isosurface, with their default weights."""

MaterialsName = Literal["color", "base_color", "pbr"]
MATERIALS: dict[MaterialsName, tuple[str, ...]] = {
    "color": (),
    "base_color": (),
    "pbr": ("roughness", "metallic"),
}
"""What the texture field learns, and the channels that it has for it besides those of its own configuration."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator.

    Attributes:
        z_dim: size of a latent, for geometry and for texture.
        w_dim: size of a style.
        mapping_layers: number of dense layers from latent to style. A run that begins with a warm-up has none.
        prior: the distribution of random styles that a warm-up leaves instead. Training sets it.
        synthesis: the synthesis network and its sizes.
        materials: what a texture contains: "color" as in the images, including their light; "base_color" without the
            light, which the dataset names or which is learnt; "pbr" also learns roughness and metallic, from images
            that show them.
        isosurface: method for extracting surfaces: marching tetrahedra, or FlexiCubes.
        grid_resolution: resolution of the grid in training.
        grid_size: side of the cube that contains the shapes. Training sets it from the dataset.
        cameras: distribution of the cameras of the training images. Training sets it from the dataset.
        light: light of the training images. Training sets it from the dataset.
        classes: names of the classes; none for objects of one kind. Training sets them from the dataset.
    """

    z_dim: Annotated[int, Range(1, 65_536)] = 512
    w_dim: Annotated[int, Range(1, 65_536)] = 512
    mapping_layers: Annotated[int, Range(1, 64)] = 8
    prior: Annotated[PriorConfig, Option(hidden=True)] = field(default_factory=PriorConfig)
    synthesis: Annotated[UnifiedConfig | SeparateConfig, Option(fixed=True)] = field(default_factory=UnifiedConfig)
    materials: MaterialsName = "color"
    isosurface: IsosurfaceName = "tetrahedra"
    grid_resolution: Annotated[int, Range(2, 1024)] = 90
    grid_size: Annotated[float, Option(hidden=True), Range(0, 2, above=True, below=True)] = 1.0
    cameras: Annotated[CameraPrior, Option(hidden=True)] = field(default_factory=CameraPrior)
    light: Annotated[LightPrior, Option(hidden=True)] = field(default_factory=LightPrior)
    classes: Annotated[tuple[str, ...], Option(hidden=True)] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """What the texture field gives: the channels of the synthesis network, and those that `materials` needs."""
        own = self.synthesis.channels
        return own + tuple(name for name in MATERIALS[self.materials] if name not in own)


def default_weights(**changes: float) -> dict[str, float]:
    """The default weights of all regularisers, with changes."""
    weights = {name: weight for method in REGULARIZERS.values() for name, weight in method.items()}
    return weights | SHARED_REGULARIZERS | changes
