"""What one can ask of `get3d import`. This module imports nothing heavy."""

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
    """How far a camera may be from one of the dataset's, which look at the object's centre, level, from one distance.

    Attributes:
        aim: degrees that it may look past the centre.
        roll: degrees that it may be turned about its axis.
        distance: per cent that its distance may differ from the median.
        fov: per cent that its focal length, in images' sides, may differ from the median.
        centre: per cent of the image's side that its axis may lie off the image's middle.
    """

    aim: Annotated[float, Range(0)] = 0.5
    roll: Annotated[float, Range(0)] = 0.5
    distance: Annotated[float, Range(0)] = 1.0
    fov: Annotated[float, Range(0)] = 1.0
    centre: Annotated[float, Range(0)] = 0.5


@dataclass(frozen=True)
class ImportConfig:
    """A dataset of images that one has, with their cameras; those that are not of its kind are left out and named.

    Attributes:
        images: folder of the images, RGBA, or any with --masks; a folder within it for each object.
        cameras: a .csv table, a transforms.json, or a folder with a COLMAP text model or azimuth.npy and elevation.npy;
            or a folder of such, one for each object, in folders named as those of the images.
        out: folder of the dataset.
        masks: folder with a mask for each image, of the same name; white is the object.
        object: name of the object, where all images show one; by default an object for each folder.
        up: the cameras' world axis that is upward, as in --up=-y; "cameras": to which they are level. By default z for
            transforms.json, and "cameras" for COLMAP.
        centre: of the object, in the cameras' world; by default the point nearest to all their optical axes.
        turn: degrees added to all azimuths.
        radius: distance of the cameras in the dataset; by default such that images show as much as 1.2 away through
            the lens of the published sets, which is 1.097 of the dataset's units high.
        fov: vertical field of view in degrees, for tables; other files say it.
        scale: longest side of the objects in the dataset; by default measured from their silhouettes.
        azimuth: range of azimuths in degrees that cameras are drawn from; by default that of the images.
        polar: range of polar angles, likewise.
        fit: what happens to images that are not square, of the same field of view and centred on the optical axis:
            "exact" leaves them out, "crop" cuts all to the largest square that each has, "pad" surrounds them.
        resolution: side of the dataset's images, a power of two; by default that of the images.
        tolerance: how far a camera may be from one of the dataset's.
        kind: what the objects are; by default the name of the folder.
        licence: of the images.
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
