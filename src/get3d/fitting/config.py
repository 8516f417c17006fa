"""Options of fitting and reconstruction. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.generation.config import Settings
from get3d.generator_config import SHARED_REGULARIZERS, IsosurfaceName, MaterialsName
from get3d.options import Option
from get3d.ranges import SEED, Range
from get3d.reconstruction.config import LOSS_WEIGHTS

__all__ = ["FIT_LOSSES", "RECONSTRUCTION_LOSSES", "RECONSTRUCTION_WEIGHTS", "FitConfig", "ReconstructConfig"]

FIT_LOSSES = LOSS_WEIGHTS | {"structure": 0.3}
"""Weights of the image losses in a fit."""

RECONSTRUCTION_LOSSES = LOSS_WEIGHTS | {"structure": 0.2}
"""Weights of the image losses in a reconstruction."""

RECONSTRUCTION_WEIGHTS = SHARED_REGULARIZERS | {
    "sdf": 0.02,
    "deviation": 0.5,
    "weights": 0.0,
    "eikonal": 0.01,
    "smoothness": 0.01,
}
"""Weights of the regularisers of a reconstruction: those of the isosurfaces, and of the SDF as a function of space."""


@dataclass(frozen=True)
class FitConfig(Settings):
    """An object of a model, fitted to images.

    Attributes:
        images: one or several images of the same object, with alpha, with --mask, or on a background of one colour.
        mask: a mask for each image, white is the object; replaces alpha.
        cameras: table of the images' cameras as in datasets (cameras.csv: image,azimuth,polar in degrees); by default
            the cameras are estimated.
        name: name of the object; by default that of the first image.
        starts: number of random objects that are tried as starts, besides the mean object and training objects.
        steps: steps of the last stage, which fits a style for each layer; earlier stages take a third and a half of it.
        tune: also tune the generator near the object (pivotal tuning). The changes are saved beside it.
        image_resolution: maximum side of the compared images in pixels.
        losses: weights of the image losses.
        prior: weight of the mean square of the styles, in standard deviations of the model's random styles.
        layer_prior: weight of the mean square of the layers' deviations from their common style.
        symmetry: factor of the losses of mirrored images, with known cameras and if the objects of the model are
            symmetric: what is seen of one side tells of the other. Choose 0 for an object that is not.
        seed: seed of the random objects.
    """

    images: Annotated[tuple[Path, ...], Option(positional="IMAGE")] = ()
    mask: Annotated[tuple[Path, ...], Option(common=True)] = ()
    cameras: Annotated[Path | None, Option(common=True, default="estimated")] = None
    name: Annotated[str | None, Option(common=True, default="of the first image")] = None
    starts: Annotated[int, Option(common=True), Range(0, 10_000)] = 24
    steps: Annotated[int, Option(common=True), Range(1, 100_000)] = 200
    tune: Annotated[bool, Option(common=True)] = False
    image_resolution: Annotated[int, Range(16, 2048)] = 128
    losses: Annotated[dict[str, float], Range(0)] = field(default_factory=lambda: dict(FIT_LOSSES))
    prior: Annotated[float, Range(0)] = 0.05
    layer_prior: Annotated[float, Range(0)] = 0.5
    symmetry: Annotated[float, Range(0)] = 1.0
    seed: Annotated[int, SEED] = 0


@dataclass(frozen=True)
class ReconstructConfig:
    """A textured mesh of one object from its images, without a model.

    Attributes:
        data: folder of a dataset, as `get3d render` and `get3d import` make it.
        object: name of the object in the dataset.
        out: folder for the mesh and images. The same command again resumes.
        isosurface: method for extracting surfaces.
        grids: resolutions of the grids, from coarse to fine.
        steps: number of steps on all grids together.
        views: images in a step.
        resolution: side that the images are reduced to in pixels.
        held_out: share of the images that are left out of the fit, to measure it on.
        materials: what the texture contains: "color" as in the images, including their light; "base_color" without the
            light, which the dataset must name; "pbr" also roughness and metallic.
        losses: weights of the image losses.
        regularizers: weights of the regularisers at the start; they fall to a tenth.
        planes: resolution of the tri-planes of the texture field.
        patience: number of steps without progress on the last grid after which the fit ends.
        faces: maximum number of triangles; None keeps all.
        texture: side of the texture in pixels.
        format: format of the mesh.
        video: format of the turntable, or none.
        device: "auto" uses a GPU if there is one.
        seed: seed of the choice of images.
    """

    data: Annotated[Path, Option(positional="DATA")]
    object: Annotated[str, Option(common=True)]
    out: Annotated[Path, Option(common=True)] = Path("reconstructed")
    isosurface: IsosurfaceName = "flexicubes"
    grids: Annotated[tuple[int, ...], Range(4, 512)] = (32, 64, 96)
    steps: Annotated[int, Option(common=True), Range(1, 1_000_000)] = 800
    views: Annotated[int, Range(1, 1024)] = 4
    resolution: Annotated[int | None, Option(default="as they are"), Range(16, 2048)] = None
    held_out: Annotated[float, Range(0, 0.9)] = 0.1
    materials: MaterialsName = "color"
    losses: Annotated[dict[str, float], Range(0)] = field(default_factory=lambda: dict(RECONSTRUCTION_LOSSES))
    regularizers: Annotated[dict[str, float], Range(0)] = field(default_factory=lambda: dict(RECONSTRUCTION_WEIGHTS))
    planes: Annotated[int, Range(8, 2048)] = 128
    patience: Annotated[int, Range(1)] = 400
    faces: Annotated[int | None, Range(4, 10_000_000)] = 40_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    format: Literal["glb", "obj", "ply", "usdz"] = "glb"
    video: Literal["gif", "mp4", "none"] = "gif"
    device: str = "auto"
    seed: Annotated[int, SEED] = 0
