"""Named training runs: rows of a table, never branches on a name."""

from dataclasses import dataclass

from get3d.generator import GeneratorConfig
from get3d.networks import DiscriminatorConfig, PlanesConfig, UnifiedConfig
from get3d.training.config import TrainConfig
from get3d.training.objective import ObjectiveConfig

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A named training run.

    Attributes:
        description: what it is for, in a line.
        config: its settings.
    """

    description: str
    config: TrainConfig


PRESETS = {
    "demo": Preset(
        "64² pictures, small networks: learns visibly within minutes on a CPU",
        TrainConfig(
            resolution=64,
            batch=16,
            kimg=8.0,
            generator=GeneratorConfig(
                z_dim=128,
                w_dim=128,
                mapping_layers=4,
                synthesis=UnifiedConfig(
                    planes=PlanesConfig(resolution=32, channels=16, channel_base=1024, channel_max=128)
                ),
                grid_resolution=40,
            ),
            discriminator=DiscriminatorConfig(channel_base=1024, channel_max=128, condition=128, condition_layers=2),
            objective=ObjectiveConfig(r1_gamma=1.0, sdf_weight=0.1),
            ema_half_life=2.5,
            log_kimg=0.2,
            snapshot_kimg=2.0,
            metric_pictures=256,
        ),
    ),
    "small": Preset(
        "128² pictures: about an hour on one GPU",
        TrainConfig(
            resolution=128,
            batch=32,
            kimg=1500.0,
            generator=GeneratorConfig(
                z_dim=256,
                w_dim=256,
                synthesis=UnifiedConfig(planes=PlanesConfig(resolution=128, channel_base=8192, channel_max=256)),
                grid_resolution=64,
            ),
            discriminator=DiscriminatorConfig(channel_base=8192, channel_max=256, condition=256),
            objective=ObjectiveConfig(r1_gamma=2.0),
            snapshot_kimg=50.0,
        ),
    ),
    "paper": Preset(
        "1024² pictures, grid 90, batch 32: the published setting (cars; see R1's weight for other kinds)",
        TrainConfig(resolution=1024, batch=32, kimg=20_000.0, snapshot_kimg=200.0, log_kimg=4.0),
    ),
}
