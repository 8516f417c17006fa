"""Half precision is close to full precision and leaves the weights alone; compiled training follows the same course."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import tiny
from get3d.cameras import Cameras
from get3d.datasets.loader import Batch
from get3d.files import InputError
from get3d.generator import Generator
from get3d.networks import Discriminator, PlanesConfig, SeparateConfig, UnifiedConfig, VolumeConfig
from get3d.training.loop import start, train, train_step

PLANES = PlanesConfig(resolution=16, channels=4, channel_base=256, channel_max=16)
SYNTHESIS = {
    "unified": UnifiedConfig(planes=PLANES, texture_features=4),
    "separate": SeparateConfig(volume=VolumeConfig(8, 64, 8, hidden=16), planes=PLANES, texture_features=4),
}

COMPILED = """
import sys
sys.path[:0] = {path!r}
from dataclasses import replace
from pathlib import Path
import tiny, torch
from get3d.datasets.loader import Batch
from get3d.networks import PlanesConfig, UnifiedConfig
from get3d.training.loop import start, train_step
torch.set_num_threads(1)
synthesis = UnifiedConfig(planes=PlanesConfig(resolution=4, channels=2, channel_base=8), texture_features=2)
discriminator = replace(tiny.DISCRIMINATOR, channel_base=8)
states = []
for compiled in (False, True):
    config = tiny.run_config(Path("data"), Path("run"), resolution=8, discriminator=discriminator, compile=compiled)
    config = replace(config, generator=replace(tiny.GENERATOR, synthesis=synthesis))
    state = start(config)
    images = torch.randint(0, 256, (4, 4, 8, 8), dtype=torch.uint8, generator=tiny.seeded())
    for step in range(2):
        train_step(state, Batch(images, torch.ones(4, 2)), config)
    states.append(state)
plain, compiled = states
for name in ("generator", "discriminator", "generator_ema"):
    theirs = getattr(plain, name).state_dict()
    for key, tensor in getattr(compiled, name).state_dict().items():
        torch.testing.assert_close(tensor, theirs[key], atol=1e-3, rtol=1e-3)
for key in ("loss/generator", "loss/discriminator", "loss/r1"):
    torch.testing.assert_close(compiled.sums[key], plain.sums[key], atol=1e-4, rtol=1e-4)
print("same")
"""


def _distance(a, b):
    return float((a - b).detach().norm() / a.detach().norm())


@pytest.mark.parametrize("kind", SYNTHESIS)
def test_networks_in_bf16_are_near_those_in_full_precision(kind, device):
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, synthesis=SYNTHESIS[kind], grid_resolution=12)).to(device)
    discriminator = Discriminator(tiny.DISCRIMINATOR, resolution=16).to(device)
    cameras = Cameras.sample(tiny.GENERATOR.cameras, 4, tiny.seeded()).to(device)
    points = (torch.rand(4, 50, 3, generator=tiny.seeded()) * 0.6 - 0.3).to(device)
    images = torch.rand(4, 4, 16, 16, generator=tiny.seeded()).to(device)
    found = {}
    for precision in ("fp32", "bf16"):
        with tiny.run_config(Path("data"), Path("run"), precision=precision).autocast(device):
            fields = generator.fields(generator.styles(generator.sample_latents(4, 0)))
            logits = discriminator(images, cameras.angles)
        values = fields.geometry.at(points)
        drawn = generator.extract(fields).draw(cameras, 16)
        generator.zero_grad()
        (values.sdf.square().mean() + values.deformation.square().mean() + logits.rgb.mean()).backward()
        gradients = [p.grad.flatten() for p in generator.parameters() if p.grad is not None]
        found[precision] = [
            values.sdf,
            fields.texture.at(points)["base_color"],
            drawn.rgb,
            logits.rgb,
            torch.cat(gradients),
        ]
    # A pixel at a silhouette may be seen by one and not by the other.
    for full, half, most in zip(found["fp32"], found["bf16"], (0.05, 0.05, 0.25, 0.05, 0.1), strict=True):
        assert half.dtype == torch.float32
        assert torch.isfinite(half).all()
        assert 0 < _distance(full, half) < most


def test_training_in_bf16_keeps_its_weights_in_full_precision(tmp_path):
    images = torch.randint(0, 256, (4, 4, 16, 16), dtype=torch.uint8, generator=tiny.seeded())
    losses = {}
    for precision in ("fp32", "bf16"):
        config = tiny.run_config(tmp_path, tmp_path, precision=precision)
        state = start(config)
        for _ in range(3):
            train_step(state, Batch(images, torch.ones(4, 2)), config)
        assert all(tensor.dtype == torch.float32 for tensor in state.generator.parameters())
        assert state.nonfinite_steps == 0
        losses[precision] = torch.stack(
            [state.sums[f"loss/{name}"][0] for name in ("generator", "discriminator", "r1")]
        )
    torch.testing.assert_close(losses["bf16"], losses["fp32"], rtol=0.1, atol=0)
    assert not torch.equal(losses["bf16"], losses["fp32"])


def test_a_cpu_trains_in_full_precision_unless_told_otherwise():
    config = tiny.run_config(Path("data"), Path("run"))
    with config.autocast(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")
    with replace(config, precision="bf16").autocast(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
def test_compiled_training_follows_the_same_course(tmp_path):
    path = [folder for folder in sys.path if folder]
    process = subprocess.run(
        [sys.executable, "-c", COMPILED.format(path=path)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert process.stdout.endswith("same\n"), process.stderr[-2000:]


def test_compiling_without_a_compiler_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler"):
        train(tiny.run_config(tmp_path, tmp_path / "run", compile=True), Console(quiet=True))
