"""Tensors and their description in one safetensors file: checksummed, written whole or not at all, never executed."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import torch
from cattrs.preconf.json import make_converter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from get3d.files import InputError, not_written, writing

__all__ = [
    "Stored",
    "checksum",
    "describe",
    "load_tensors",
    "read_description",
    "restore",
    "save_tensors",
    "with_prefix",
    "without_prefix",
]

Config = TypeVar("Config")
_converter = make_converter(forbid_extra_keys=True)


@dataclass(frozen=True)
class Stored:
    """What a file holds.

    Attributes:
        tensors: by name, on the CPU.
        description: the JSON value that was saved with them.
    """

    tensors: dict[str, Tensor]
    description: dict[str, Any]


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON description, with a checksum over both.

    Raises:
        InputError: the file cannot be written (permission, full disk); what stood there before is left as it was.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(description, allow_nan=False)
    metadata = {"description": text, "checksum": checksum(ready, text)}
    with writing(path) as temporary:
        try:
            save_file(ready, temporary, metadata=metadata)
        except SafetensorError as error:
            raise not_written(path, str(error)) from error


def load_tensors(path: Path | str, prefix: str = "") -> Stored:
    """Reads a file back.

    Args:
        path: the file.
        prefix: only tensors whose names begin with this. The checksum is compared when all are read.

    Raises:
        InputError: the file is missing, cut short, damaged, or another program's.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: is cut short or not a safetensors file ({error}); use another copy") from error
    description = _described(path, metadata)
    if not prefix and metadata.get("checksum") != checksum(tensors, metadata["description"]):
        raise InputError(f"{path}: is damaged, its checksum does not match; use another copy")
    return Stored(tensors, description)


def read_description(path: Path | str) -> dict[str, Any]:
    """The JSON description alone, without reading a tensor.

    Raises:
        InputError: as `load_tensors`.
    """
    return load_tensors(path, prefix="\0").description


def _described(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        description = json.loads(metadata["description"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: was not written by get3d, it has no description; convert it first") from error
    if not isinstance(description, dict):
        raise InputError(f"{path}: was not written by get3d, its description is not a table; convert it first")
    return description


def checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """A fingerprint of tensors on the CPU, with their names, and of a text."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each name with `prefix` before it."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def describe(config: Any) -> dict[str, Any]:
    """A configuration, a dataclass of dataclasses, as a JSON value."""
    described: dict[str, Any] = json.loads(json.dumps(_converter.unstructure(config)))
    return described


def restore(kind: type[Config], value: Any, source: Path | str) -> Config:
    """The configuration that `describe` made `value` of; fields it does not name take their defaults.

    Raises:
        InputError: `value`, read from `source`, has an unknown field or a value of the wrong type.
    """
    try:
        return _converter.structure(value, kind)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        names = ", ".join(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
        raise InputError(f"{source}: is not a {kind.__name__} ({problems}); its fields are {names}") from error
