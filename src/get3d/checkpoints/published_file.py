"""Reads published checkpoint files without executing anything in them, and without trusting their sizes."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from get3d.files import InputError, open_file

__all__ = ["PARTS", "read_parts"]

PARTS = ("G", "G_ema", "D")
"""The networks in a published file."""


def read_parts(path: Path) -> dict[str, dict[str, Tensor]]:
    """The three state dictionaries of a published file. Nothing in the file is executed.

    Raises:
        InputError: the file is missing, truncated, not a checkpoint, from another project, would run code, or claims
            tensors that are larger than itself.
    """
    size = _size_of(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        problem = "refused: it contains code or objects besides tensors, or is not a checkpoint"
        raise InputError(f"{path}: {problem}; nothing in it was run; give a published .pt file") from error
    except Exception as error:  # PyTorch reads a damaged file as it comes, with all the errors of that.
        raise InputError(f"{path}: is truncated or not a PyTorch checkpoint; download it again") from error
    parts: dict[str, dict[str, Tensor]] = {}
    for name in PARTS:
        part = content.get(name) if isinstance(content, dict) else None
        if not isinstance(part, dict) or not all(_is_named_tensor(*item) for item in part.items()):
            problem = f"is from another project: it has no table of tensors named {name}"
            raise InputError(f"{path}: {problem}; give a GET3D checkpoint")
        parts[name] = part
    # A tensor may repeat few numbers as often as it likes; copied into a network, each takes memory.
    claimed = sum(tensor.numel() * tensor.element_size() for part in parts.values() for tensor in part.values())
    if claimed > size:
        raise InputError(f"{path}: its tensors have {claimed} bytes, the file {size}; use another copy")
    return parts


def _is_named_tensor(name: object, tensor: object) -> bool:
    return isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout == torch.strided


def _size_of(path: Path) -> int:
    """Bytes of a file, which PyTorch has written and which does not unpack to more."""
    try:
        with open_file(path) as file:
            whole = file.read(4) == b"PK\x03\x04" and zipfile.is_zipfile(file)
            members = zipfile.ZipFile(file).infolist() if whole else []
            size = file.seek(0, os.SEEK_END)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # So does Python with the directory of an archive.
        raise InputError(f"{path}: is truncated or not a PyTorch checkpoint; download it again") from error
    if not whole:
        problem = "is truncated, or not a checkpoint of PyTorch 1.6 or later"
        raise InputError(f"{path}: {problem}; nothing in it was run; download it again")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path}: is compressed, which PyTorch never does; use another copy")
    return size
