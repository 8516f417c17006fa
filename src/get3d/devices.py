"""Devices, their free memory, and the precision that PyTorch computes in."""

import ctypes
import functools
import platform
from collections.abc import Callable
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

import psutil
import torch

from get3d.files import InputError

__all__ = ["device_named", "free_memory", "full_precision", "keep_memory"]

P = ParamSpec("P")
R = TypeVar("R")

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Option numbers of glibc's malloc.h."""


def device_named(name: str) -> torch.device:
    """The device with a name; "auto" uses a GPU if there is one.

    Raises:
        InputError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device is {name}, which this machine does not have; use cpu or auto") from error


def free_memory(device: torch.device) -> int:
    """Free bytes of a device, including memory that PyTorch has reserved."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return psutil.virtual_memory().available


def keep_memory() -> None:
    """Makes this process keep the memory of freed tensors for new ones, if its C library is glibc.

    By default, glibc returns large blocks to the system immediately. Allocating them again takes a third of the time of
    a large network on a CPU. For programs, not for libraries: it changes the complete process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a function compute in the precision of its tensors, even inside autocast.

    It is used for surfaces and pixels: in half precision, vertices would move by more than an edge.
    """

    @functools.wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        accelerator = torch.accelerator.current_accelerator()
        with ExitStack() as stack:
            for kind in ("cpu",) if accelerator is None else ("cpu", accelerator.type):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            return function(*args, **kwargs)

    return computed
