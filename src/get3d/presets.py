"""Named training configurations: rows of a table, never branches on a name."""

from dataclasses import dataclass, replace

from get3d.camera_prior import CameraPrior
from get3d.datasets.description import Assumed
from get3d.generator_config import GeneratorConfig, default_weights
from get3d.networks.config import DiscriminatorConfig, PlanesConfig, SeparateConfig, UnifiedConfig
from get3d.reconstruction.config import WarmupConfig
from get3d.training.run_config import GRID_MARGIN, ObjectiveConfig, TrainConfig

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


@dataclass(frozen=True)
class _Published:
    """What differs between the published runs.

    Attributes:
        gamma: R1's weight.
        scale: longest side of the objects; the grid is 0.1 larger.
        polar: lowest and highest polar angle of the cameras, in degrees.
        views: images of each object.
        note: what is not published, or known only at second hand.
        separate: geometry and texture from separate networks.
    """

    gamma: float
    scale: float
    polar: tuple[float, float]
    views: int
    note: str = ""
    separate: bool = False

    def preset(self) -> Preset:
        prior = CameraPrior(polar=self.polar)
        grid = round(self.scale + GRID_MARGIN, 2)
        low, high = self.polar
        return Preset(
            f"as published, {'separate generators' if self.separate else 'unified generator'}: 1024² images, "
            f"R1 {self.gamma:g}, grid of size {grid:g}; objects {self.scale:g} long, {self.views} views each, "
            f"polar angle {low:g}° to {high:g}°{self.note and '; '}{self.note}",
            TrainConfig(
                assumed=Assumed(self.scale, prior),
                resolution=1024,
                batch=32,
                kimg=20_000.0,
                generator=GeneratorConfig(
                    synthesis=SeparateConfig() if self.separate else UnifiedConfig(), grid_size=grid, cameras=prior
                ),
                objective=ObjectiveConfig(r1_gamma=self.gamma),
                log_kimg=4.0,
                snapshot_kimg=200.0,
            ),
        )


_USUAL, _FROM_ABOVE, _LEVEL = (60.0, 90.0), (45.0, 90.0), (70.0, 90.0)
_APPENDIX = "from the paper's appendix, known only at second hand"

_PUBLISHED = {
    "car": _Published(40.0, 0.9, _USUAL, 24),
    "chair": _Published(400.0, 0.7, _USUAL, 24),
    "motorbike": _Published(80.0, 0.9, _USUAL, 100),
    "table": _Published(400.0, 0.7, _USUAL, 24, "number of views as for chairs"),
    "animal": _Published(40.0, 0.7, _FROM_ABOVE, 100, _APPENDIX),
    "house": _Published(200.0, 0.8, _USUAL, 100, _APPENDIX),
    "people": _Published(80.0, 0.9, _LEVEL, 100, _APPENDIX),
    "car-separate": _Published(40.0, 0.9, _USUAL, 24, separate=True),
    "chair-separate": _Published(3200.0, 0.7, _USUAL, 24, separate=True),
    "motorbike-separate": _Published(80.0, 0.9, _USUAL, 100, separate=True),
}

_WHOLE = default_weights(sdf=0.1, floaters=10.0, normals=1.0)
"""Regularisers of presets that learn by reconstruction only."""

PRESETS = {
    "demo": Preset(
        "64² images, small networks that learn only by reconstruction: minutes on a CPU",
        TrainConfig(
            resolution=64,
            batch=16,
            kimg=60.0,
            warmup_kimg=60.0,
            generator=GeneratorConfig(
                z_dim=128,
                w_dim=128,
                mapping_layers=4,
                synthesis=UnifiedConfig(
                    planes=PlanesConfig(resolution=32, channels=16, channel_base=1024, channel_max=128)
                ),
                grid_resolution=64,
            ),
            discriminator=DiscriminatorConfig(channel_base=1024, channel_max=128, condition=128, condition_layers=2),
            # Narrow layers bear a high rate: a step moves what a layer gives by the rate times the root of its inputs.
            warmup=WarmupConfig(learning_rate=0.01),
            objective=ObjectiveConfig(r1_gamma=5.0, regularizers=_WHOLE),
            ema_half_life=2.5,
            log_kimg=1.0,
            snapshot_kimg=20.0,
            metric_images=256,
        ),
    ),
    "small": Preset(
        "128² images, larger networks that learn only by reconstruction: about an hour on one GPU",
        TrainConfig(
            resolution=128,
            batch=32,
            kimg=1500.0,
            warmup_kimg=1500.0,
            generator=GeneratorConfig(
                z_dim=256,
                w_dim=256,
                synthesis=UnifiedConfig(planes=PlanesConfig(resolution=128, channel_base=8192, channel_max=256)),
                grid_resolution=64,
            ),
            discriminator=DiscriminatorConfig(channel_base=8192, channel_max=256, condition=256),
            objective=ObjectiveConfig(r1_gamma=2.0, regularizers=_WHOLE),
            snapshot_kimg=50.0,
        ),
    ),
    "paper": replace(_PUBLISHED["car"].preset(), description="1024² images: the published settings for cars"),
    **{name: row.preset() for name, row in _PUBLISHED.items()},
}
