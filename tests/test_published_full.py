"""A whole file of the published size: there, in use, and back."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from get3d.checkpoints import published as conversion
from get3d.checkpoints.model import load
from get3d.generation.generate import GenerateConfig, generate
from published import state_dict

pytestmark = pytest.mark.slow


def test_a_published_file_converts_makes_objects_and_converts_back(tmp_path: Path) -> None:
    checkpoint = {
        "G": state_dict("unified_dmtet.G"),
        "G_ema": state_dict("unified_dmtet.G"),
        "D": state_dict("D", 1024),
    }
    checkpoint["G"]["synthesis.to_rgb.bias"] = checkpoint["G"]["synthesis.to_rgb.bias"] + 1
    torch.save(checkpoint, tmp_path / "shapenet_chair.pt")
    model = conversion.convert(tmp_path / "shapenet_chair.pt", tmp_path / "chair", "chair")

    generator = load(tmp_path / "chair")
    assert (generator.config.grid_size, generator.config.grid_resolution) == (0.8, 90)
    config = GenerateConfig(
        model=str(model.parent), out=tmp_path / "out", num=1, resolution=64, texture=64, faces=2000, video="none"
    )
    (path,) = generate(config, Console(file=io.StringIO()))
    assert path.stat().st_size > 10_000

    conversion.convert_back(model, tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    for part, tensors in checkpoint.items():
        assert back[part].keys() == tensors.keys()
        assert all(back[part][name].equal(tensor) for name, tensor in tensors.items()), part
