"""Options of `get3d evaluate`, and the names of distances. This module imports nothing heavy."""

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
    """Metrics of one model, or of several for comparison.

    Attributes:
        models: a model's name, its folder, the folder of a training run, or a checkpoint; several are compared.
        data: dataset folder that the models are compared with.
        out: folder for report.json, report.html and intermediate results; the same command again resumes.
        splits: folder with train.txt, val.txt and test.txt to use instead of the dataset's own splits.
        split: split of the reference objects.
        references: number of reference objects; by default all.
        ratio: number of generated shapes for each reference; the published ratio is 5.
        protocol: "published" draws shapes with style mixing (probability 0.9), counts every touched pixel of a real
            mask as covered, and scales point sets without centring them, as the paper's evaluation does.
        psi: truncation of the generated shapes and images; the published value is 1.
        seed: seed of the first generated shape.
        distances: cd is the Chamfer distance, lfd the light field distance.
        points: number of points on each surface for the Chamfer distance.
        outer_surface: draw points only where a surface is seen from outside, as published for cars.
        shapes: compare shapes; needs the dataset's meshes.
        meshes: folder of the dataset's meshes, <object>.glb; by default the dataset's own.
        train_objects: maximum number of training objects that generated shapes are compared with.
        images: number of generated images, compared with the images of the split; 0 for none. FID is published for
            50000.
        resolution: side in pixels at which images are compared, a power of two; larger images of the dataset are
            reduced. By default the dataset's.
        inception: file of the Inception network; by default the one in the cache folder. Without it, FID is left out.
        textures: number of shapes whose texture is baked and examined; 0 for none.
        json: print report.json instead of the table.
        device: "auto" uses a GPU if there is one.
        ranks: how processes divide the work.
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
