"""Options of `get3d import`. This module imports nothing heavy."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.camera_prior import DEFAULT_FOV, CameraPrior
from get3d.datasets.description import require_prior
from get3d.files import InputError, require_name
from get3d.options import Option
from get3d.ranges import Range, require_ranges

__all__ = ["Fit", "ImportConfig", "Tolerances"]

Fit = Literal["exact", "crop", "pad"]


@dataclass(frozen=True)
class Tolerances:
    """How far a camera may differ from a camera on the sphere that looks at the object's centre and is level.

    Attributes:
        aim: largest angle in degrees between the optical axis and the direction to the centre.
        roll: largest roll in degrees.
        distance: largest difference of the distance from the median, in per cent.
        fov: largest difference of the focal length (in image sides) from the median, in per cent.
        centre: largest distance of the optical axis from the middle of the image, in per cent of its side.
    """

    aim: Annotated[float, Range(0)] = 0.5
    roll: Annotated[float, Range(0)] = 0.5
    distance: Annotated[float, Range(0)] = 1.0
    fov: Annotated[float, Range(0)] = 1.0
    centre: Annotated[float, Range(0)] = 0.5


@dataclass(frozen=True)
class ImportConfig:
    """A dataset made from existing images and their cameras. What cannot be used is reported and left out.

    Attributes:
        images: folder of the images, with a subfolder for each object. Images are RGBA, or of any kind with --masks.
        cameras: a .csv table, a transforms.json, or a folder with a COLMAP text model or azimuth.npy and elevation.npy;
            or a folder of such folders, one for each object, named like the folders of images.
        out: folder of the dataset.
        masks: folder with a mask for each image, with the same name; white is the object.
        object: name of the object, if all images show the same one; by default each folder is an object.
        up: world axis of the cameras that is up, such as --up=-y; "cameras": the direction to which they are level. By
            default z for transforms.json, and "cameras" for COLMAP.
        centre: centre of the object in the world of the cameras; by default the point nearest to all optical axes.
        turn: degrees added to all azimuths.
        radius: camera distance in the dataset. By default images show 1.097 units of height, as in the published
            datasets.
        fov: vertical field of view in degrees, for tables; other files contain it.
        scale: longest side of the objects in the dataset; by default measured from the silhouettes.
        azimuth: range of azimuths in degrees that cameras are drawn from; by default that of the images.
        polar: range of polar angles in degrees that cameras are drawn from; by default that of the images.
        fit: what to do with images that are not square, differ in field of view, or are not centred on the optical
            axis: "exact" leaves them out, "crop" crops all images to the largest common square, "pad" pads them.
        resolution: side of the dataset's images in pixels, a power of two; by default that of the images.
        tolerance: how far a camera may differ from the cameras of a dataset.
        kind: what the objects are; by default the name of the folder.
        licence: licence of the images.
    """

    images: Annotated[Path, Option(positional="IMAGES")]
    cameras: Path
    out: Path
    masks: Path | None = None
    object: Annotated[str | None, Option(default="an object for each folder")] = None
    up: Annotated[Literal["x", "y", "z", "-x", "-y", "-z", "cameras"] | None, Option(default="by the kind of file")] = (
        None
    )
    centre: Annotated[tuple[float, float, float] | None, Option(default="nearest to all optical axes")] = None
    turn: Annotated[float, Range(-1e6, 1e6)] = 0.0
    radius: Annotated[float | None, Option(default="so that images show 1.097 units"), Range(0.01, 1e6)] = None
    fov: Annotated[float, Range(1, 179)] = math.degrees(DEFAULT_FOV)
    scale: Annotated[float | None, Option(default="measured from silhouettes"), Range(0.01, 1e6)] = None
    azimuth: Annotated[tuple[float, float] | None, Option(default="as in the images")] = None
    polar: Annotated[tuple[float, float] | None, Option(default="as in the images")] = None
    fit: Fit = "exact"
    resolution: Annotated[int | None, Option(default="that of the images"), Range(16, 2048, power_of_two=True)] = None
    tolerance: Tolerances = field(default_factory=Tolerances)
    kind: Annotated[str | None, Option(default="name of the folder")] = None
    licence: str = "unknown"

    def __post_init__(self) -> None:
        for name in ("object", "kind"):
            if getattr(self, name) is not None:
                require_name(getattr(self, name), f"--{name}")
        require_ranges(self)
        default = CameraPrior()
        try:
            require_prior(CameraPrior(self.azimuth or default.azimuth, self.polar or default.polar))
        except ValueError as error:
            raise InputError(f"--azimuth or --polar: {error}") from error
