"""Runs Warp kernels on PyTorch tensors, in order with PyTorch."""

import torch
import warp as wp
from torch import Tensor

from get3d.render.kernels import start_warp

__all__ = ["in_step", "launch"]


def in_step(device: torch.device) -> wp.ScopedStream:
    """A context in which Warp uses PyTorch's current stream on a GPU."""
    start_warp()
    return wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None)


def launch(
    kernel: wp.Kernel,
    dim: tuple[int, ...],
    device: torch.device,
    *arguments: Tensor | tuple[Tensor, type] | int | float,
) -> None:
    """Runs a kernel on PyTorch's current stream; tensors are passed in place.

    Args:
        kernel: the kernel.
        dim: number of threads along each axis; nothing runs if one is zero.
        device: device of the tensors.
        arguments: arguments of the kernel, in order; a tensor with a type is passed as an array of that type.
    """
    if 0 in dim:
        return
    with in_step(device):
        inputs = []
        for value in arguments:
            if isinstance(value, tuple):
                tensor, dtype = value
                inputs.append(wp.from_torch(tensor, dtype=dtype))
            else:
                inputs.append(wp.from_torch(value) if isinstance(value, Tensor) else value)
        wp.launch(kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device))
