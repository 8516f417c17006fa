"""Averages gradients over processes while the backward pass computes others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.profiler import record_function

from get3d.distributed.processes import Ranks

__all__ = ["BARRIER", "RECEIVING", "SENDING", "averaging", "buckets"]

SENDING, BARRIER, RECEIVING = "sending gradients", "barrier of the ranks", "receiving gradients"
"""What a profile of a step calls them. All but the barrier, which also waits for slower ranks, is communication."""

_BUCKET = 25 * 1024**2
"""Bytes of gradients that travel at once: large enough to fill a link, small enough to leave while others are made."""


@contextmanager
def averaging(network: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Around the one backward pass that moves a network: leaves its parameters with the mean gradient of all ranks.

    Gradients are sent in buckets while the pass computes others. A gradient that is not finite on one rank is not
    finite on all of them afterwards, so that all skip the same step.

    Raises:
        RanksError: a process is lost or hangs.
    """
    if ranks.world == 1:
        yield
        return
    sums = _Sums([parameter for parameter in network.parameters() if parameter.requires_grad], ranks)
    hooks = [parameter.register_post_accumulate_grad_hook(sums.made) for parameter in sums.parameters]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    with ranks.telling():
        sums.send_all()
        with record_function(BARRIER):
            ranks.barrier()
        with record_function(RECEIVING):
            sums.receive()


def buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Which parameters' gradients travel together, in the order in which they leave."""
    found: list[list[nn.Parameter]] = [[]]
    size = 0
    # Backward passes make the gradients of the last layers first.
    for parameter in reversed(parameters):
        if size and size + parameter.nbytes > _BUCKET:
            found.append([])
            size = 0
        found[-1].append(parameter)
        size += parameter.nbytes
    return found


class _Sums:
    """Gradients of all ranks, added up. All send the buckets in the same order, whatever order they fill in."""

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
        self._ranks = ranks
        self._buckets = buckets(parameters)
        self.parameters = [parameter for bucket in self._buckets for parameter in bucket]
        self._number = {parameter: number for number, bucket in enumerate(self._buckets) for parameter in bucket}
        self._awaited = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[Tensor, dist.Work]] = []

    def made(self, parameter: Tensor) -> None:
        """Notes that a parameter has its gradient, and sends the buckets that are full."""
        self._awaited[self._number[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and not self._awaited[len(self._sent)]:
            self._send()

    def send_all(self) -> None:
        """Sends what is left; a parameter that had no part in the pass has a gradient of zero."""
        while len(self._sent) < len(self._buckets):
            self._send()

    @record_function(SENDING)
    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        gradients = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in bucket]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self._sent.append((flat, dist.all_reduce(flat, group=self._ranks.gradients, async_op=True)))

    def receive(self) -> None:
        """Waits for the sums, and leaves the means as the parameters' gradients."""
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            work.wait()
            flat /= self._ranks.world
            for parameter, mean in zip(bucket, flat.split([parameter.numel() for parameter in bucket]), strict=True):
                parameter.grad = mean.view_as(parameter)
