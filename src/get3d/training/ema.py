"""An exponential moving average of a network, counted in images shown (Karras et al. 2020, StyleGAN2)."""

import torch
from torch import nn

__all__ = ["update_ema"]


@torch.no_grad()
def update_ema(
    ema: nn.Module, network: nn.Module, *, cur_nimg: int, batch: int, half_life: float, ramp_up: float
) -> None:
    """Moves the EMA towards the network after one step.

    Args:
        ema: the averaged network, changed in place.
        network: the trained one.
        cur_nimg: real images shown so far; early on the half-life is at most `ramp_up` times this.
        batch: images of this step.
        half_life: images after which a past state counts half.
        ramp_up: share of the images shown; 0 switches the ramp off.
    """
    if ramp_up > 0:
        half_life = min(half_life, max(cur_nimg, 1) * ramp_up)
    decay = 0.5 ** (batch / max(half_life, 1e-8))
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1 - decay)
    if buffers := list(ema.buffers()):
        torch._foreach_copy_(buffers, list(network.buffers()))
