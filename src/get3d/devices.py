"""The devices a machine has, and how much they can still hold."""

import psutil
import torch

from get3d.files import InputError

__all__ = ["device_named", "free_memory"]


def device_named(name: str) -> torch.device:
    """The device of a name; "auto" takes a GPU where there is one.

    Raises:
        InputError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device is {name}, which this machine does not have; use cpu or auto") from error


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device, what PyTorch holds in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return psutil.virtual_memory().available
