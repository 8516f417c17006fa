"""What one can ask of `get3d train` and `get3d runs`. This module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from get3d.datasets.description import Assumed
from get3d.distributed.config import RanksConfig
from get3d.generator_config import GeneratorConfig, default_weights
from get3d.networks.config import DiscriminatorConfig
from get3d.options import Option
from get3d.ranges import SEED, Range
from get3d.reconstruction.config import WarmupConfig

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Adam


__all__ = ["GRID_MARGIN", "ObjectiveConfig", "OptimizerConfig", "RunsConfig", "TrackerName", "TrainConfig"]

GRID_MARGIN = 0.1
"""The published grids are this much larger than their objects: 1.0 for 0.9, 0.8 for chairs of 0.7."""


TrackerName = Literal["wandb", "mlflow"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the terms.

    Attributes:
        r1_gamma: strength of R1; it grows with the number of pixels and shrinks with the batch.
        r1_interval: R1 is taken every so many steps, that many times as strong.
        style_mixing: share of shapes whose later layers take the styles of a second latent.
        regularizers: weights of the surfaces' regularisers by name: "sdf", the agreement of signs along grid edges,
            and of FlexiCubes "deviation" (L_dev) and "weights" (the mean square of its raw weights).
    """

    r1_gamma: Annotated[float, Range(0)] = 40.0
    r1_interval: Annotated[int, Range(1)] = 16
    style_mixing: Annotated[float, Range(0, 1)] = 0.9
    regularizers: Annotated[dict[str, float], Range(0)] = field(default_factory=default_weights)


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, corrected for terms that are taken lazily (Karras et al. 2020, appendix B).

    Attributes:
        learning_rate: of both networks.
        betas: of both networks.
        generator_interval: steps between the generator's lazy terms that its settings are corrected for; 0 for none.
    """

    learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.002
    betas: Annotated[tuple[float, float], Range(0, 1, below=True)] = (0.0, 0.99)
    generator_interval: Annotated[int, Range(0)] = 4

    def build(self, network: "nn.Module", interval: int) -> "Adam":
        """The optimiser of a network, one of whose terms is taken every `interval` steps."""
        from torch.optim import Adam

        ratio = interval / (interval + 1) if interval else 1.0
        first, second = (beta**ratio for beta in self.betas)
        return Adam(network.parameters(), lr=self.learning_rate * ratio, betas=(first, second), eps=1e-8)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: dataset folder.
        splits: folder with train.txt, val.txt and test.txt, lists of objects, in place of the dataset's own splits.
        assumed: what the dataset is taken to be where it does not say so itself.
        out: folder of the run; the same folder again goes on.
        init_from: a model or run whose networks to start from, all three of them, with their sizes. Images of a
            higher resolution than its own make the discriminator grow.
        grow_planes: side of the planes that the networks of --init-from grow to, a power of two.
        grow_grid: steps of the grid along a side, in place of those of --init-from.
        resolution: side of the images in pixels, a power of two; larger ones of the dataset are reduced to it.
        batch: images of a step.
        grad_accum_steps: micro-batches in which a process takes its share of the batch, to need less memory; the
            course of the run stays the same.
        kimg: length of the run, in thousands of real images shown.
        warmup_kimg: how much of it, at the beginning, the generator learns by reconstructing training objects from
            their images; 0 leaves that out, as published.
        grid_size: side of the cube that shapes live in; by default 0.1 more than the dataset's objects are long.
        generator: the generator's sizes.
        discriminator: the discriminator's sizes.
        objective: weights of the terms.
        optimizer: settings of Adam.
        warmup: how the generator learns by reconstruction.
        ema_half_life: images, in thousands, after which a past generator counts half in the average.
        ema_ramp_up: share of the images shown that bounds the half-life early on.
        log_kimg: how often statistics are written.
        snapshot_kimg: how often images are drawn, the metric is taken and a checkpoint is written.
        checkpoint_minutes: a checkpoint is also written whenever the last one is older than this.
        metrics: what is measured at snapshots, by the names in the table of docs/evaluation.md: swd, fid, fed, mmd_cd,
            watertight and so on. The first says which checkpoint is the best. By default swd with its parts, and before
            it fid and fed where their networks are there.
        metric_images: images that are compared with as many held-out ones.
        metric_objects: held-out objects, at most, that shapes are compared with; five shapes are made for each.
        keep: how many checkpoints are kept, besides the best.
        trackers: where the run is followed besides TensorBoard: wandb, mlflow.
        max_nonfinite_steps: steps in a row with a gradient that is not finite after which the run stops.
        precision: of the convolutions: fp32, bf16, or "auto", which is bf16 on GPUs that have it. All else, the weights
            too, is fp32.
        compile: compile the networks first, which takes minutes and a C++ compiler; R1 is not compiled.
        device: "auto" takes a GPU where there is one.
        seed: of everything random.
        take_over: go on in a folder whose lock a process on another machine has left, which you know to be gone.
        ranks: how processes train together; the batch is that of all of them.
    """

    data: Path = Path("data")
    splits: Path | None = None
    assumed: Assumed = field(default_factory=Assumed)
    out: Path = Path("runs/model")
    init_from: Annotated[Path | None, Option(flag="init-from")] = None
    grow_planes: Annotated[int | None, Range(4, 4096, power_of_two=True)] = None
    grow_grid: Annotated[int | None, Range(2, 1024)] = None
    resolution: Annotated[int, Range(8, 4096, power_of_two=True)] = 64
    batch: Annotated[int, Range(1, 65_536)] = 32
    grad_accum_steps: Annotated[int, Range(1)] = 1
    kimg: Annotated[float, Range(0, 1e9, above=True)] = 1000.0
    warmup_kimg: Annotated[float, Range(0, 1e9)] = 0.0
    grid_size: Annotated[float | None, Range(0, 2, above=True, below=True)] = None
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    ema_half_life: Annotated[float, Range(0)] = 10.0
    ema_ramp_up: Annotated[float, Range(0)] = 0.05
    log_kimg: Annotated[float, Range(0, above=True)] = 1.0
    snapshot_kimg: Annotated[float, Range(0, above=True)] = 10.0
    checkpoint_minutes: Annotated[float, Range(0)] = 15.0
    metrics: tuple[str, ...] | None = None
    metric_images: Annotated[int, Range(2)] = 512
    metric_objects: Annotated[int, Range(2)] = 40
    keep: Annotated[int, Range(1)] = 2
    trackers: tuple[TrackerName, ...] = ()
    max_nonfinite_steps: Annotated[int, Range(1)] = 10
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    device: str = "auto"
    seed: Annotated[int, SEED] = 0
    take_over: bool = False
    ranks: Annotated[RanksConfig, Option(flat=True)] = field(default_factory=RanksConfig)

    @property
    def total(self) -> int:
        """Length of the run in real images shown."""
        return round(self.kimg * 1000)

    @property
    def warmup_total(self) -> int:
        """Real images of the warm-up, whole batches of them."""
        return -(-round(self.warmup_kimg * 1000) // self.batch) * self.batch

    @property
    def generator_from(self) -> int:
        """Real images after which the adversarial phase moves the generator; before, the discriminator alone."""
        return self.warmup_total + (round(self.warmup.discriminator_kimg * 1000) if self.warmup_total else 0)

    def autocast(self, device: "torch.device") -> "torch.autocast":
        """Where the convolutions are, so that they have the run's precision on a device."""
        import torch

        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        wanted = able if self.precision == "auto" else self.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


@dataclass(frozen=True)
class RunsConfig:
    """The runs of a folder in a table.

    Attributes:
        folder: of the runs, or of one.
        json: print the list as JSON, for programs.
    """

    folder: Annotated[Path, Option(positional="FOLDER")]
    json: bool = False
