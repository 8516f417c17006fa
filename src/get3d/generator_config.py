"""Sizes of a generator. This module imports nothing heavy, because options are made from it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from get3d.camera_prior import CameraPrior
from get3d.networks.config import SeparateConfig, UnifiedConfig
from get3d.options import Option
from get3d.ranges import Range

__all__ = ["PSI", "REGULARIZERS", "GeneratorConfig", "IsosurfaceName", "default_weights"]

PSI = 0.7
"""Default truncation."""

IsosurfaceName = Literal["tetrahedra", "flexicubes"]
REGULARIZERS: dict[IsosurfaceName, dict[str, float]] = {
    "tetrahedra": {"sdf": 0.01},
    "flexicubes": {"sdf": 0.01, "deviation": 0.5, "weights": 0.1},
}
"""The regularisers of each isosurface, with their default weights in training."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator.

    Attributes:
        z_dim: size of a latent, for geometry and for texture.
        w_dim: size of a style.
        mapping_layers: number of dense layers from latent to style.
        synthesis: the synthesis network and its sizes.
        isosurface: method for extracting surfaces: marching tetrahedra, or FlexiCubes.
        grid_resolution: resolution of the grid in training.
        grid_size: side of the cube that contains the shapes. Training sets it from the dataset.
        cameras: distribution of the cameras of the training images. Training sets it from the dataset.
        classes: names of the classes; none for objects of one kind. Training sets them from the dataset.
    """

    z_dim: Annotated[int, Range(1, 65_536)] = 512
    w_dim: Annotated[int, Range(1, 65_536)] = 512
    mapping_layers: Annotated[int, Range(1, 64)] = 8
    synthesis: Annotated[UnifiedConfig | SeparateConfig, Option(fixed=True)] = field(default_factory=UnifiedConfig)
    isosurface: IsosurfaceName = "tetrahedra"
    grid_resolution: Annotated[int, Range(2, 1024)] = 90
    grid_size: Annotated[float, Option(hidden=True), Range(0, 2, above=True, below=True)] = 1.0
    cameras: Annotated[CameraPrior, Option(hidden=True)] = field(default_factory=CameraPrior)
    classes: Annotated[tuple[str, ...], Option(hidden=True)] = ()


def default_weights(**changes: float) -> dict[str, float]:
    """The default weights of all regularisers, with changes."""
    weights = {name: weight for method in REGULARIZERS.values() for name, weight in method.items()}
    return weights | changes
