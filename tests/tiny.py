"""The smallest networks, datasets and runs that still do everything, for tests of the rooms above them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from get3d.camera_prior import CameraPrior
from get3d.checkpoints.model import WEIGHTS
from get3d.datasets.camera_table import write_cameras
from get3d.datasets.index import Description
from get3d.generator import Generator, GeneratorConfig
from get3d.networks import DiscriminatorConfig, PlanesConfig, SeparateConfig, UnifiedConfig, VolumeConfig
from get3d.storage import describe, load_tensors, save_tensors, with_prefix
from get3d.training.config import TrainConfig

GENERATOR = GeneratorConfig(
    z_dim=8,
    w_dim=16,
    mapping_layers=2,
    synthesis=UnifiedConfig(
        planes=PlanesConfig(resolution=8, channels=4, channel_base=64, channel_max=8), texture_features=4
    ),
    grid_resolution=8,
    grid_size=0.8,
)
SEPARATE = SeparateConfig(
    volume=VolumeConfig(resolution=8, channel_base=64, channel_max=8, hidden=8),
    planes=GENERATOR.synthesis.planes,
    texture_features=4,
)
DISCRIMINATOR = DiscriminatorConfig(channel_base=128, channel_max=8, condition=8, condition_layers=1, group=2)


def write_dataset(root: Path, *, resolution: int = 16, objects: int = 10, views: int = 2) -> Path:
    """A dataset of coloured discs."""
    generator = np.random.default_rng(0)
    prior = CameraPrior()
    names, angles = [], []
    rows, columns = np.mgrid[:resolution, :resolution] + 0.5
    for number in range(objects):
        for view in range(views):
            x, y = generator.uniform(0.4, 0.6, 2) * resolution
            inside = (rows - y) ** 2 + (columns - x) ** 2 < (0.3 * resolution) ** 2
            image = np.zeros((resolution, resolution, 4), dtype=np.uint8)
            image[inside] = [*generator.integers(0, 256, 3), 255]
            path = root / "images" / f"{number:03d}" / f"{view:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            names.append(f"{number:03d}/{view:03d}.png")
            angles.append((generator.uniform(*prior.azimuth), generator.uniform(*prior.polar)))
    write_cameras(root, names, np.array(angles))
    members = [f"{number:03d}" for number in range(objects)]
    splits = {"train": members[:-2], "val": members[-2:-1], "test": members[-1:]}
    Description("disc", resolution, 0.6, prior, splits, "CC0-1.0").write(root)
    return root


def write_model(path: Path, config: GeneratorConfig = GENERATOR) -> str:
    """A generator whose random fields have both signs."""
    torch.manual_seed(3)
    generator = Generator(config).requires_grad_(False)
    generator.estimate_mean_styles(samples=100)
    points = generator.isosurface.grid.vertices.expand(8, -1, -1)
    sdf = generator.field(generator.sample_latents(8, 0)).sdf(points)
    generator.synthesis.sdf_head.layers[-1].bias -= sdf[..., 0].median()
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})
    return str(path)


def run_config(data: Path, out: Path, **changes: object) -> TrainConfig:
    """A run of a few steps; statistics and checkpoints come at different steps."""
    config = TrainConfig(
        data=data,
        out=out,
        resolution=16,
        batch=4,
        kimg=0.040,
        generator=GENERATOR,
        discriminator=DISCRIMINATOR,
        log_kimg=0.008,
        snapshot_kimg=0.020,
        metrics=("swd", "swd_rgb", "swd_mask"),
        metric_images=4,
        device="cpu",
    )
    config = replace(config, objective=replace(config.objective, r1_interval=3))
    return replace(config, **changes)


def tensors_of(out: Path, cur_nimg: int) -> dict[str, torch.Tensor]:
    """The tensors of a run's checkpoint."""
    return load_tensors(out / "checkpoints" / f"checkpoint-{cur_nimg:012d}.safetensors").tensors


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
