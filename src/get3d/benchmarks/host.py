"""What a training step asks of the host of a GPU: operations to dispatch, and waits until the device is done."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["HostWork", "host_work"]

_WAITS = "synchronizing CUDA operation"
"""What PyTorch warns of."""


@dataclass(frozen=True)
class HostWork:
    """What a step asks of the host.

    Attributes:
        operations: dispatched, views included.
        waits: for a GPU; None on a CPU, which waits for nothing.
    """

    operations: int
    waits: int | None


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def host_work(step: Callable[[], object], device: torch.device) -> HostWork:
    """Counts what a step asks of the host, its backward passes included.

    Args:
        step: is run once for each number.
        device: where it runs.
    """
    with _Counting() as counting:
        step()
    return HostWork(counting.operations, _waits(step) if device.type == "cuda" else None)


def _waits(step: Callable[[], object]) -> int:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum(_WAITS in str(warning.message) for warning in said)
