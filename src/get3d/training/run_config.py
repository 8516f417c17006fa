"""Options of `get3d train` and `get3d runs`. This module imports nothing heavy."""

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
"""Published grids are larger than their objects by this: 1.0 for 0.9, 0.8 for chairs of 0.7."""


TrackerName = Literal["wandb", "mlflow"]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the loss terms.

    Attributes:
        r1_gamma: weight of R1; proportional to the number of pixels, and inversely to the batch.
        r1_interval: compute R1 only every this many steps, with a weight that is as many times larger.
        style_mixing: share of shapes whose later layers take the styles of a second latent.
        adversarial: what the adversarial phase changes: "all", or "texture": shapes stay as the warm-up made them, and
            silhouettes are not judged.
        regularizers: weights of the surface regularisers by name: "sdf" penalises sign changes along grid edges,
            "floaters" small pieces of random shapes that are not joined to the largest one, "gaps" the distance of
            larger pieces of random shapes to it, "normals" rough surfaces; FlexiCubes also has "deviation" (L_dev) and
            "weights" (the mean square of its raw weights).
    """

    r1_gamma: Annotated[float, Range(0)] = 40.0
    r1_interval: Annotated[int, Range(1)] = 16
    style_mixing: Annotated[float, Range(0, 1)] = 0.9
    adversarial: Literal["all", "texture"] = "all"
    regularizers: Annotated[dict[str, float], Range(0)] = field(default_factory=default_weights)


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, corrected for lazily computed terms (Karras et al. 2020, appendix B).

    Attributes:
        learning_rate: learning rate of both networks.
        betas: Adam's betas for both networks.
        generator_interval: interval of lazy generator terms, for the correction of its settings; 0 for none.
    """

    learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.002
    betas: Annotated[tuple[float, float], Range(0, 1, below=True)] = (0.0, 0.99)
    generator_interval: Annotated[int, Range(0)] = 4

    def build(self, network: "nn.Module", interval: int) -> "Adam":
        """The optimiser of a network with a term that is computed every `interval` steps."""
        from torch.optim import Adam

        ratio = interval / (interval + 1) if interval else 1.0
        first, second = (beta**ratio for beta in self.betas)
        parameters = list(network.parameters())
        # In one launch on GPUs; on CPUs the plain one is as fast.
        fused = parameters[0].device.type != "cpu"
        return Adam(parameters, lr=self.learning_rate * ratio, betas=(first, second), eps=1e-8, fused=fused)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: dataset folder.
        splits: folder with train.txt, val.txt and test.txt to use instead of the dataset's own splits.
        assumed: values for what the dataset does not specify.
        out: folder of the run; the same folder again resumes.
        init_from: a model or run whose networks to start from, with their sizes. Images of a higher resolution
            make the discriminator grow.
        grow_planes: new side of the planes of --init-from, a power of two.
        grow_channels: new `channel_base` of the planes of --init-from.
        grow_frequencies: new `texture_frequencies` of --init-from; a warm-up from a model that has none begins its
            textures anew.
        grow_grid: new resolution of the grid of --init-from.
        resolution: side of the images in pixels, a power of two; larger images of the dataset are reduced.
        batch: images per step, of all processes together.
        grad_accum_steps: number of micro-batches per process and step; more need less memory, with the same course
            of the run.
        kimg: length of the run in thousands of real images shown.
        warmup_kimg: length of the warm-up at the start of the run, in which the generator learns by reconstructing
            training objects from their images; 0 for none, as published.
        grid_size: side of the cube that contains the shapes; by default 0.1 more than the length of the objects.
        light: light of the training images: "auto" is that in dataset.json, or a learnt one if there is none; "learnt"
            learns it in any case.
        generator: sizes of the generator.
        discriminator: sizes of the discriminator.
        objective: weights of the loss terms.
        optimizer: settings of Adam.
        warmup: settings of the warm-up.
        ema_half_life: half-life of the averaged (EMA) generator in thousands of images.
        ema_ramp_up: early in the run, the half-life is at most this share of the images shown.
        log_kimg: interval for writing statistics.
        snapshot_kimg: interval for snapshots: images, metrics and a checkpoint.
        checkpoint_minutes: also write a checkpoint when the last one is older than this.
        metrics: metrics at snapshots, by their names in the table of docs/evaluation.md: swd, fid, fed, mmd_cd,
            watertight and so on. The first one selects the best checkpoint. By default swd with its parts, preceded by
            fid and fed if their networks are available.
        metric_images: number of images that are compared with as many held-out images.
        metric_objects: maximum number of held-out objects for shape metrics; five shapes are made for each.
        keep: number of checkpoints to keep, in addition to the best.
        trackers: experiment trackers in addition to TensorBoard: wandb, mlflow.
        max_nonfinite_steps: stop the run after this many consecutive steps with a gradient that is not finite.
        precision: precision of the convolutions: fp32, bf16, or "auto": bf16 on GPUs that support it. Everything else,
            including the weights, is fp32.
        compile: compile the networks first, which takes minutes and needs a C++ compiler; R1 is not compiled.
        device: "auto" uses a GPU if there is one.
        seed: seed of all random numbers.
        take_over: take over the lock of a process on another machine that you know has ended.
        dry_run: only print the settings, and the memory, disk space and time that the run needs.
        ranks: how processes train together.
    """

    data: Path = Path("data")
    splits: Path | None = None
    assumed: Assumed = field(default_factory=Assumed)
    out: Path = Path("runs/model")
    init_from: Annotated[Path | None, Option(flag="init-from")] = None
    grow_planes: Annotated[int | None, Range(4, 4096, power_of_two=True)] = None
    grow_channels: Annotated[int | None, Range(1, 2**24)] = None
    grow_frequencies: Annotated[int | None, Range(0, 1024)] = None
    grow_grid: Annotated[int | None, Range(2, 1024)] = None
    resolution: Annotated[int, Range(8, 4096, power_of_two=True)] = 64
    batch: Annotated[int, Range(1, 65_536)] = 32
    grad_accum_steps: Annotated[int, Range(1)] = 1
    kimg: Annotated[float, Range(0, 1e9, above=True)] = 1000.0
    warmup_kimg: Annotated[float, Range(0, 1e9)] = 0.0
    grid_size: Annotated[float | None, Range(0, 2, above=True, below=True)] = None
    light: Literal["auto", "learnt"] = "auto"
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
    dry_run: bool = False
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
        """Real images after which the adversarial phase moves the generator; before, only the discriminator moves."""
        return self.warmup_total + (round(self.warmup.discriminator_kimg * 1000) if self.warmup_total else 0)

    def autocast(self, device: "torch.device") -> "torch.autocast":
        """The autocast context for convolutions in the precision of the run."""
        import torch

        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        wanted = able if self.precision == "auto" else self.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


@dataclass(frozen=True)
class RunsConfig:
    """The runs of a folder in a table.

    Attributes:
        folder: folder of the runs, or of one run.
        json: print the list as JSON.
    """

    folder: Annotated[Path, Option(positional="FOLDER")]
    json: bool = False
