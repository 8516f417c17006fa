"""What one can ask of the commands that make objects. This module imports nothing heavy."""

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
        out: folder for the meshes and images; files of the same names are replaced.
        psi: truncation: 0 gives the mean object, 1 the full variety; below 1 fewer odd ones.
        grid: steps along a side of the grid that surfaces are extracted on. A finer grid
            gives a finer mesh of the same shape.
        label: class of the objects, of a model of several.
        resolution: side in pixels of each image on sheets and in videos.
        small_components: parts that have less than this share of an object's area are left out; 0 keeps all.
        faces: at most this many triangles an object; None keeps all.
        texture: side of the texture in pixels.
        format: glb opens everywhere; obj brings an mtl and a png; ply has colours at its vertices; stl and 3mf are for
            printing; usdz is for Apple's viewers.
        size: longest side in millimetres, of stl and 3mf, 100 where nothing else is said.
        video: gif or mp4 for what moves, or none.
        device: "auto" takes a GPU where there is one.
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
    format: Literal["glb", "obj", "ply", "stl", "3mf", "usdz"] = "glb"
    size: Annotated[float | None, Range(0, 100_000, above=True)] = None
    video: Literal["gif", "mp4", "none"] = "gif"
    device: str = "auto"


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """New objects from a model.

    Attributes:
        num: how many objects.
        seed: of the first object; the next has the next seed, so one seed is one shape, whatever their number.
        latents: a shapes.json: makes the shapes it records again, in place of --num, --seed and --label.
        training_object: names of objects of the training set: what a run with a warm-up has made of them, in place of
            --num, --seed and --label.
        geometry_only: only meshes without texture, and points on them: fast, and gone on with where it was stopped.
        points: points on each mesh with --geometry-only, evenly by area.
        ranks: how processes share the objects.
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
    """The way from one object to another.

    Attributes:
        start: seed of the first object.
        end: seed of the last.
        change: what changes on the way; the rest stays as in the first.
        space: "z" goes along great circles of the latents; "w" along straight lines of the styles, as the paper does.
        num: how many objects on the way are written as meshes, both ends among them.
        frames: images of the video from one end to the other, which then runs back.
        swaps: side of the sheet `swaps.png`: geometry changes downwards, texture to the right; 0 for none.
    """

    start: Annotated[int, Option(flag="from", common=True), SEED] = 0
    end: Annotated[int, Option(flag="to", common=True), SEED] = 1
    change: Code = "both"
    space: Literal["z", "w"] = "z"
    num: Annotated[int, Option(common=True), Range(2, 1000)] = 5
    frames: Annotated[int, Range(2, 10_000)] = 36
    swaps: Annotated[int, Range(0, 20)] = 5


@dataclass(frozen=True)
class VaryConfig(Settings):
    """Objects like another.

    Attributes:
        seed: of the object.
        strength: how much changes, from 0, nothing, to 1, which is another object.
        change: what changes.
        num: how many variations; the object itself comes first.
    """

    seed: Annotated[int, Option(common=True), SEED] = 0
    strength: Annotated[float, Option(common=True), Range(0, 1)] = 0.3
    change: Code = "both"
    num: Annotated[int, Option(common=True), Range(1, 1000)] = 7
