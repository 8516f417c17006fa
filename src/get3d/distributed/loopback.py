"""Processes on one machine that no other machine can reach."""

import os
import socket
from datetime import timedelta

import psutil
import torch.distributed as dist

__all__ = ["ONE_MACHINE", "loopback_environment", "loopback_store"]

ONE_MACHINE = "GET3D_ONE_MACHINE"
"""Environment variable of processes that all run on this machine."""

_LOOPBACK = "127.0.0.1"


def loopback_store(timeout: timedelta) -> dist.Store:
    """A store that listens only on the loopback interface; by default PyTorch's store listens on all interfaces."""
    rank, world, port = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    listening = socket.create_server((_LOOPBACK, port), backlog=world).detach() if rank == 0 else None
    return dist.TCPStore(_LOOPBACK, port, world, rank == 0, timeout, master_listen_fd=listening)


def loopback_environment() -> dict[str, str]:
    """What processes that all run on this machine are to find in their environment, so that no other machine can
    reach them: neither their store, nor what gradients and barriers travel through."""
    name = next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(each.family == socket.AF_INET and each.address == _LOOPBACK for each in addresses)
    )
    # The launcher would open a store of its own, on all interfaces, for the processes to share.
    unshared = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {ONE_MACHINE: "1", "GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name, **unshared}
