"""A program: compiled networks of a preset's sizes are held against eager ones, and counted; see test_compile.py."""

import sys
from dataclasses import is_dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch._dynamo.utils import counters

import tiny
from get3d.cameras import sample_angles
from get3d.datasets.loader import Batch
from get3d.presets import PRESETS
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig
from get3d.training.loop import start, train_step

STEPS = 3
"""After the first."""


def sizes(preset: str) -> TrainConfig:
    """Every layer of a preset's networks; the widths and the images of `paper` are fewer, for a CPU."""
    config = replace(
        PRESETS[preset].config,
        data=Path("data"),
        out=Path("run"),
        batch=4,
        device="cpu",
        compile=True,
        precision="fp32",
        warmup_kimg=0.0,
    )
    if preset == "demo":
        return config
    generator, discriminator = config.generator, config.discriminator
    planes = replace(generator.synthesis.planes, channels=8, channel_base=256, channel_max=16, resolution=64)
    synthesis = replace(generator.synthesis, planes=planes)
    return replace(
        config,
        resolution=128,
        generator=replace(generator, synthesis=synthesis, w_dim=64, grid_resolution=16),
        discriminator=replace(discriminator, channel_base=512, channel_max=16),
    )


def tensors(made: object) -> list[Tensor]:
    """All tensors of what a network gives, dataclasses of dataclasses."""
    if isinstance(made, Tensor):
        return [made]
    if isinstance(made, tuple):
        return [tensor for part in made for tensor in tensors(part)]
    return [tensor for part in vars(made).values() for tensor in tensors(part)] if is_dataclass(made) else []


def near(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4 of the largest value."""
    found, expected = found.detach(), expected.detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * max(float(expected.abs().max()), 1e-3))


def begun(config: TrainConfig) -> TrainingState:
    """A run whose noise is seen in its images."""
    state = start(config)
    for block in state.generator.synthesis.modules():
        if hasattr(block, "noise_strength"):
            torch.nn.init.constant_(block.noise_strength, 0.3)
    return state


def compare(state: TrainingState, config: TrainConfig) -> None:
    """Forward and gradients of both networks, in the inputs and in the weights."""
    synthesis, discriminator = state.generator.synthesis, state.discriminator
    random = tiny.seeded()
    of = [
        torch.randn(config.batch, count, config.generator.w_dim, generator=random, requires_grad=True)
        for count in (synthesis.num_geometry_styles, synthesis.num_texture_styles)
    ]
    r = config.resolution
    images = torch.rand(config.batch, 4, r, r, generator=random)
    angles = sample_angles(config.generator.cameras, config.batch, random)
    seen = images.clone().requires_grad_()

    # As in a step: the discriminator learns from images, then gives the generator the gradient in images. Any other mix
    # would be compiled for this comparison alone.
    cases = ((synthesis, of, True), (discriminator, [images, angles], True), (discriminator, [seen, angles], False))
    for network, inputs, learns in cases:
        network.requires_grad_(learns)
        wanted = [tensor for tensor in (*inputs, *network.parameters()) if tensor.requires_grad]
        results = []
        for form in (network, network.forward):
            made = tensors(form(*inputs))
            loss = sum(value.square().mean() for value in made)
            results.append([*made, *torch.autograd.grad(loss, wanted)])
        for compiled, eager in zip(*results, strict=True):
            near(compiled, eager)


def main(preset: str) -> None:
    config = sizes(preset)
    # The same networks train after the comparison, so that they are compiled once.
    state, eager = begun(config), begun(replace(config, compile=False))
    compare(state, config)
    r = config.resolution
    batch = Batch(torch.randint(0, 256, (4, 4, r, r), generator=tiny.seeded()).to(torch.uint8), torch.ones(4, 2))
    for step in (state, eager):
        train_step(step, batch, config)
    for key in ("loss/generator", "loss/discriminator", "loss/r1"):
        near(state.sums[key][0], eager.sums[key][0])
    graphs = []
    for _ in range(STEPS):
        train_step(state, batch, config)
        graphs.append(counters["stats"]["unique_graphs"])
    assert not counters["graph_break"], dict(counters["graph_break"])
    assert graphs[0] == graphs[-1] > 0, graphs
    print("same")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
