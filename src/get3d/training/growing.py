"""Grows a trained model to a higher resolution (progressive growing, Karras et al. 2018), or to wider layers.

Both networks are skip architectures: what a block of higher resolution makes is added to what the others make. So new
blocks begin silent, adding zero, and the grown networks begin with what the model has learnt. New channels of a block
begin with random filters, which nothing that is learnt reads yet (as in Net2Net, Chen et al. 2016). New waves
of a texture begin as zero.
"""

import math
import re

import torch
from torch import Tensor, nn

from get3d.networks.discriminator import DiscriminatorBranch
from get3d.networks.planes import PlaneSynthesis
from get3d.networks.waves import WaveNetwork

__all__ = ["grown"]


def grown(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's tensors with those of the blocks and channels that it lacks.

    Args:
        network: what they are for, with its initial weights; of the model's resolution and widths, or higher ones.
        tensors: the model's, by name.
    """
    for name, module in network.named_modules():
        if isinstance(module, PlaneSynthesis | DiscriminatorBranch):
            prefix = f"{name}.blocks." if name else "blocks."
            tensors = _with_blocks(module, prefix, tensors)
        if isinstance(module, PlaneSynthesis):
            own = module.blocks.state_dict()
            tensors = tensors | {
                f"{prefix}{key}": _wider(key, initial, tensors[f"{prefix}{key}"])
                for key, initial in own.items()
                if f"{prefix}{key}" in tensors
            }
        if isinstance(module, WaveNetwork):
            tensors = _with_waves(module, f"{name}.", tensors)
    return tensors


def _with_waves(waves: WaveNetwork, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The waves of a texture with those that it lacks, which are the last and begin as 0."""
    wider = {}
    for key, initial in waves.state_dict().items():
        held = tensors.get(f"{prefix}{key}", initial[:0])
        wider[f"{prefix}{key}"] = torch.cat([held, torch.zeros_like(initial[len(held) :], device=held.device)])
    return tensors | wider


def _wider(name: str, initial: Tensor, held: Tensor) -> Tensor:
    """A tensor of a block of planes with more channels.

    Args:
        name: of the tensor in the blocks.
        initial: of the wider block.
        held: of the model's block, no larger in any direction.
    """
    if held.shape == initial.shape or held.ndim != initial.ndim or any(map(int.__gt__, held.shape, initial.shape)):
        return held
    _, *layers, kind = name.split(".")
    wider = initial.clone()
    if kind == "weight" and layers[-1] != "affine":
        # What is learnt does not read the new channels. Read-outs divide by the root of how many they read.
        wider[: held.shape[0]] = 0.0
        if layers[0] == "outputs":
            held = held * math.sqrt(initial.shape[1] / held.shape[1])
    wider[tuple(map(slice, held.shape))] = held
    return wider


def _with_blocks(
    module: PlaneSynthesis | DiscriminatorBranch, prefix: str, tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    numbered = re.compile(f"^{re.escape(prefix)}(\\d+)")
    held = len({match[1] for match in map(numbered.search, tensors) if match})
    count = len(module.blocks)
    if not 0 < held < count:
        return tensors
    # Planes begin with their coarsest block, a discriminator with its finest; what each adds is made by `silent`.
    finest_first = isinstance(module, DiscriminatorBranch)
    shift, silent = (count - held, r"conv1\.\w+") if finest_first else (0, r"outputs\.\d+\.(weight|bias)")
    tensors = {numbered.sub(lambda match: f"{prefix}{int(match[1]) + shift}", name): tensors[name] for name in tensors}
    for number in range(shift) if finest_first else range(held, count):
        for name, tensor in module.blocks[number].state_dict().items():
            tensors[f"{prefix}{number}.{name}"] = torch.zeros_like(tensor) if re.fullmatch(silent, name) else tensor
    return tensors
