"""What one can ask of `get3d evaluate`, and the names of metrics. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from get3d.distributed.config import RanksConfig
from get3d.options import Option
from get3d.ranges import SEED, Range

__all__ = ["DistanceName", "EvaluateConfig", "ProtocolName"]

DistanceName = Literal["cd", "lfd"]


ProtocolName = Literal["plain", "published"]


@dataclass(frozen=True)
class EvaluateConfig:
    """Numbers for one model, or several side by side.

    Attributes:
        models: a model's name, its folder, the folder of a training run, or a checkpoint; several make a comparison.
        data: dataset folder that the models are compared with.
        out: folder for report.json, report.html and what they were made from; repeat the command to go on.
        splits: folder with train.txt, val.txt and test.txt, lists of objects, in place of the dataset's own splits.
        split: the objects that count as references.
        references: how many of them; by default all.
        ratio: generated shapes for each reference; 5 as published.
        protocol: "published" draws shapes with style mixing (probability 0.9), counts every touched pixel of a real
            mask as covered, and scales point sets without centring them, as the paper's evaluation does.
        psi: truncation of the generated shapes and images; 1 as published.
        seed: of the first generated shape.
        distances: cd is the Chamfer distance, lfd the light field distance.
        points: points drawn on each surface for the Chamfer distance.
        outer_surface: draw points only where a surface is seen from outside, as published for cars.
        shapes: compare shapes; needs the dataset's meshes.
        meshes: folder of the dataset's meshes, <object>.glb; by default the dataset's own.
        train_objects: training objects, at most, that generated shapes are looked up among.
        images: generated images that are compared with the split's; FID is published for 50000; 0 for none.
        resolution: side in pixels that images are compared at, a power of two, to which larger ones of the dataset are
            reduced; by default the dataset's.
        inception: the Inception network; by default looked for in the cache folder, and FID left out where it is not.
        textures: shapes whose texture is baked and examined; 0 for none.
        json: print what report.json holds, for programs, in place of the table.
        device: "auto" takes a GPU where there is one.
        ranks: how processes share the work.
    """

    models: Annotated[tuple[str, ...], Option(positional="MODEL")]
    data: Path
    out: Path = Path("evaluation")
    splits: Path | None = None
    split: Literal["train", "val", "test"] = "test"
    references: Annotated[int | None, Option(default="all"), Range(1, 1_000_000)] = None
    ratio: Annotated[int, Range(1, 1000)] = 5
    protocol: ProtocolName = "plain"
    psi: Annotated[float, Range(0, 2)] = 1.0
    seed: Annotated[int, SEED] = 0
    distances: tuple[DistanceName, ...] = ("cd", "lfd")
    points: Annotated[int, Range(16, 1_000_000)] = 2048
    outer_surface: bool = False
    shapes: bool = True
    meshes: Annotated[Path | None, Option(default="the dataset's own")] = None
    train_objects: Annotated[int, Range(1, 10_000_000)] = 1000
    images: Annotated[int, Range(0, 10_000_000)] = 2048
    resolution: Annotated[int | None, Option(default="the dataset's")] = None
    inception: Annotated[Path | None, Option(default="the cache folder's")] = None
    textures: Annotated[int, Range(0, 100_000)] = 8
    json: bool = False
    device: str = "auto"
    ranks: Annotated[RanksConfig, Option(flat=True)] = field(default_factory=RanksConfig)
