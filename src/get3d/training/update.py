"""What the steps of both phases have in common: how networks move, and what a step ends with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.profiler import record_function

from get3d import spans
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig
from get3d.training.ema import update_ema

__all__ = ["Update", "finish_step", "seed_of", "update"]


@dataclass(frozen=True)
class Update:
    """Whether a network moved. On a GPU this is known at the end of the step, when the host asks, once for all.

    Attributes:
        names: of the parameters that have a gradient.
        finite: [P] which of their gradients are; where one is not, the network has not moved.
    """

    names: Sequence[str]
    finite: Bool[Tensor, " p"]


@record_function(spans.UPDATE)
def update(network: nn.Module, optimizer: Optimizer, name: str) -> Update:
    """Steps, unless a gradient is not finite, and clears the gradients."""
    found = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
    finite = torch.stack(torch._foreach_norm(list(found.values()))).isfinite()
    if optimizer.defaults["fused"]:
        # Fused optimisers look at this themselves, so that the host does not wait for it.
        optimizer.found_inf = finite.logical_not().any().float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite.all():
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Update([f"{name}.{key}" for key in found], finite)


def _problem(updates: Sequence[Update]) -> str | None:
    """The first gradient that was not finite; the only time that the host waits for the networks' steps."""
    names = [name for update in updates for name in update.names]
    finite = torch.cat([update.finite for update in updates]).tolist()
    return next((f"the gradient of {name}" for name, well in zip(names, finite, strict=True) if not well), None)


def finish_step(state: TrainingState, config: TrainConfig, updates: Sequence[Update], fix: str) -> None:
    """Counts the images of a step, and moves the generator's average.

    Args:
        state: changed in place.
        config: the run's configuration.
        updates: what became of the networks that were to move.
        fix: what to do about it if it lasts.

    Raises:
        FloatingPointError: a gradient was not finite in too many steps in a row.
    """
    problem = _problem(updates)
    state.nonfinite_steps = state.nonfinite_steps + 1 if problem else 0
    if problem and state.nonfinite_steps >= config.max_nonfinite_steps:
        raise FloatingPointError(
            f"{problem} was not finite in {state.nonfinite_steps} steps in a row, at {state.cur_nimg / 1000:.2f} kimg; "
            f"{fix}, and resume from the last checkpoint"
        )
    state.cur_nimg += config.batch
    with record_function(spans.UPDATE):
        update_ema(
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
