"""What the steps of both phases have in common: how networks move, and what a step ends with."""

import hashlib

import torch
from torch import nn
from torch.optim import Optimizer
from torch.profiler import record_function

from get3d import spans
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig
from get3d.training.ema import update_average

__all__ = ["finish_step", "seed_of", "update"]


@record_function(spans.UPDATE)
def update(network: nn.Module, optimizer: Optimizer, name: str) -> str | None:
    """Steps and clears the gradients; skips the step and names the first parameter whose gradient is not finite."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    problem = None
    if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        optimizer.step()
    else:
        parameters = network.named_parameters()
        bad = (key for key, value in parameters if value.grad is not None and not value.grad.isfinite().all())
        problem = f"the gradient of {name}.{next(bad, 'all')}"
    optimizer.zero_grad(set_to_none=True)
    return problem


def finish_step(state: TrainingState, config: TrainConfig, problem: str | None, fix: str) -> None:
    """Counts the images of a step, and moves the generator's average.

    Args:
        state: changed in place.
        config: the run's configuration.
        problem: what was not finite, so that the step was skipped; None where all was well.
        fix: what to do about it if it lasts.

    Raises:
        FloatingPointError: it was not finite in too many steps in a row.
    """
    state.nonfinite_steps = state.nonfinite_steps + 1 if problem else 0
    if problem and state.nonfinite_steps >= config.max_nonfinite_steps:
        raise FloatingPointError(
            f"{problem} was not finite in {state.nonfinite_steps} steps in a row, at {state.cur_nimg / 1000:.2f} kimg; "
            f"{fix}, and resume from the last checkpoint"
        )
    state.cur_nimg += config.batch
    with record_function(spans.UPDATE):
        update_average(
            state.generator_ema,
            state.generator,
            cur_nimg=state.cur_nimg,
            batch=config.batch,
            half_life=1000 * config.ema_half_life,
            ramp_up=config.ema_ramp_up,
        )


def seed_of(*numbers: int | str) -> int:
    """One seed from several numbers, so that neighbouring steps and seeds have nothing in common."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest(), "big")
