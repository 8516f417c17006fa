"""The devices a machine has, and how much they can still hold."""

import ctypes
import platform

import psutil
import torch

from get3d.files import InputError

__all__ = ["device_named", "free_memory", "keep_memory"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of options in glibc's malloc.h."""


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


def keep_memory() -> None:
    """Lets this process keep the memory of past tensors for the next ones, where its C library is glibc.

    By itself that library gives large blocks back to the system at once; taking them anew costs a large network on a
    CPU a third of its time. For programs, not for libraries: it holds for the whole process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)
