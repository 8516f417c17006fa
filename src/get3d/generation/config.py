"""Options of the commands that make objects. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.distributed.config import RanksConfig
from get3d.generator_config import PSI
from get3d.options import Option
from get3d.ranges import SEED, Range

__all__ = [
    "PSI",
    "Code",
    "GenerateConfig",
    "InterpolateConfig",
    "Settings",
    "VaryConfig",
]


@dataclass(frozen=True)
class Settings:
    """How objects are made and written.

    Attributes:
        model: a model's name, its folder, the folder of a training run, or a checkpoint.
        out: folder for the meshes and images; files from an earlier command are replaced.
        psi: truncation: 1 gives the full variety; below 1, objects are nearer to usual ones of their kind.
        grid: resolution of the grid for extracting surfaces. A finer grid gives a finer mesh of the same shape.
        label: class of the objects, if the model has several.
        resolution: side in pixels of each image in sheets and videos.
        small_components: leave out parts with less than this share of an object's area; 0 keeps all.
        faces: maximum number of triangles per object; None keeps all.
        texture: side of the texture in pixels.
        normal_map: also write the normals of the mesh before its faces were reduced as a texture, in glb, obj and usdz.
        format: glb opens everywhere; obj comes with mtl and png files; ply has vertex colours; stl and 3mf are for
            printing; usdz is for Apple's viewers.
        size: longest side in millimetres, for stl and 3mf; by default 100.
        light: light of the sheets and videos: studio, even, or an .hdr or .exr file with a map of all directions; by
            default the light of the images that the model learnt from. Meshes do not depend on it.
        video: format of videos, or none.
        device: "auto" uses a GPU if there is one.
    """

    model: Annotated[str, Option(positional="MODEL")]
    out: Annotated[Path, Option(common=True)] = Path("generated")
    psi: Annotated[float | None, Option(default="0.7"), Range(0, 2)] = None
    grid: Annotated[int | None, Option(default="as in training"), Range(4, 1024)] = None
    label: Annotated[str | None, Option(default="any")] = None
    resolution: Annotated[int, Range(16, 4096)] = 256
    small_components: Annotated[float, Range(0, 1)] = 0.01
    faces: Annotated[int | None, Range(4, 10_000_000)] = 20_000
    texture: Annotated[int, Range(16, 8192)] = 1024
    normal_map: bool = False
    format: Literal["glb", "obj", "ply", "stl", "3mf", "usdz"] = "glb"
    size: Annotated[float | None, Range(0, 100_000, above=True)] = None
    light: Annotated[str | None, Option(default="as in training")] = None
    video: Literal["gif", "mp4", "none"] = "gif"
    device: str = "auto"


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """New objects from a model.

    Attributes:
        num: number of objects.
        seed: seed of the first object; each further object has the next seed. A seed always gives the same shape.
        latents: a shapes.json whose shapes are made again; replaces --num, --seed and --label.
        training_object: names of objects of the training set: makes what a run with a warm-up learnt of them; replaces
            --num, --seed and --label.
        geometry_only: write only meshes without texture, and points on them. This is fast, and can be resumed.
        points: number of points on each mesh with --geometry-only, uniform by area.
        ranks: how processes divide the objects.
    """

    num: Annotated[int, Option(common=True), Range(1, 1_000_000)] = 8
    seed: Annotated[int, Option(common=True), SEED] = 0
    latents: Path | None = None
    training_object: tuple[str, ...] = ()
    geometry_only: bool = False
    points: Annotated[int, Range(0, 10_000_000)] = 2048
    ranks: Annotated[RanksConfig, Option(flat=True)] = field(default_factory=RanksConfig)


Code = Literal["both", "geometry", "texture"]


@dataclass(frozen=True)
class InterpolateConfig(Settings):
    """Interpolation between two objects.

    Attributes:
        start: seed of the first object.
        end: seed of the last object.
        latents: one or two shapes.json, as `fit` and `generate` write them: one shape of them replaces --from, two
            replace --from and --to.
        shape: names of these shapes, if the files have others, too.
        change: what changes; the rest stays as in the first object.
        space: "z" follows great circles of the latents; "w" straight lines of the styles, as the paper does. Shapes
            that are known by their styles only, as those of `fit`, are always interpolated in "w".
        num: number of objects that are written as meshes, including both ends.
        frames: number of video frames from one end to the other; the video then runs back.
        swaps: rows and columns of `swaps.png`: geometry changes downwards, texture to the right; 0 for none.
    """

    start: Annotated[int, Option(flag="from", common=True), SEED] = 0
    end: Annotated[int, Option(flag="to", common=True), SEED] = 1
    latents: tuple[Path, ...] = ()
    shape: tuple[str, ...] = ()
    change: Code = "both"
    space: Literal["z", "w"] = "z"
    num: Annotated[int, Option(common=True), Range(2, 1000)] = 5
    frames: Annotated[int, Range(2, 10_000)] = 36
    swaps: Annotated[int, Range(0, 20)] = 5


@dataclass(frozen=True)
class VaryConfig(Settings):
    """Variations of an object.

    Attributes:
        seed: seed of the object.
        latents: a shapes.json, as `fit` and `generate` write it, with the object; --seed is then that of the changes.
        shape: name of the object, if the file has others, too.
        strength: how much changes, from 0 (nothing) to 1 (another object).
        change: what changes.
        num: number of variations; the object itself comes first.
    """

    seed: Annotated[int, Option(common=True), SEED] = 0
    latents: Path | None = None
    shape: str | None = None
    strength: Annotated[float, Option(common=True), Range(0, 1)] = 0.3
    change: Code = "both"
    num: Annotated[int, Option(common=True), Range(1, 1000)] = 7
