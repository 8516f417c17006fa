"""Tensors and a description in one safetensors file: checksummed, written completely or not at all, never executed."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import torch
from cattrs.preconf.json import make_converter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from get3d.files import FORMAT, InputError, not_written, open_file, parse_json, require_format, writing
from get3d.ranges import require_ranges

__all__ = [
    "Stored",
    "checksum",
    "describe",
    "load_tensors",
    "read_description",
    "read_shapes",
    "remove_half_written",
    "require_same_shapes",
    "restore",
    "save_tensors",
    "with_prefix",
    "without_prefix",
]

Config = TypeVar("Config")
_converter = make_converter(forbid_extra_keys=True)


def _exactly(value: Any, kind: type, *, wider: tuple[type, ...] = ()) -> Any:
    """A JSON value of this type: nothing is rounded, nor made of a text."""
    if type(value) not in (kind, *wider):
        raise TypeError(f"{value!r:.40} is not of type {kind.__name__}")
    return kind(value)


_converter.register_structure_hook(int, lambda value, _: _exactly(value, int))
_converter.register_structure_hook(bool, lambda value, _: _exactly(value, bool))
_converter.register_structure_hook(float, lambda value, _: _exactly(value, float, wider=(int,)))


@dataclass(frozen=True)
class Stored:
    """The content of a file.

    Attributes:
        tensors: tensors by name, on the CPU.
        description: the JSON value saved with the tensors.
    """

    tensors: dict[str, Tensor]
    description: dict[str, Any]


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON description, with a checksum of each tensor and of the rest.

    Raises:
        InputError: the file cannot be written (permission, full disk); an existing file is unchanged.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**description, "format": FORMAT}, allow_nan=False)
    sums = json.dumps({name: checksum({name: tensor}) for name, tensor in ready.items()})
    metadata = {"description": text, "checksums": sums, "checksum": checksum({}, text + sums)}
    with writing(path) as temporary:
        try:
            save_file(ready, temporary, metadata=metadata)
        except SafetensorError as error:
            raise not_written(path, str(error)) from error


def remove_half_written(folder: Path, name: str = "*.safetensors") -> None:
    """Removes what commands that were killed while they wrote have left of the files of a name in a folder."""
    stem, suffix = Path(name).stem, Path(name).suffix
    # What `writing` and safetensors call a file until they have all of it.
    for pattern in (f".{stem}.*{suffix}", ".tmp??????"):
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)


def load_tensors(path: Path | str, prefix: str = "") -> Stored:
    """Reads a file.

    Args:
        path: the file.
        prefix: read only tensors whose names start with this.

    Raises:
        InputError: the file is missing, truncated, damaged, or from another program.
    """
    with _opened(Path(path)) as opened:
        names = [name for name in opened.sums if name.startswith(prefix)]
        tensors = {name: opened.file.get_tensor(name) for name in names}
        damaged = [name for name, tensor in tensors.items() if opened.sums[name] != checksum({name: tensor})]
    if damaged:
        raise InputError(f"{path}: is damaged, the checksum of {damaged[0]} does not match; use another copy")
    return Stored(tensors, opened.description)


def read_description(path: Path | str) -> dict[str, Any]:
    """The JSON description, without reading tensors.

    Raises:
        InputError: as `load_tensors`.
    """
    with _opened(Path(path)) as opened:
        return opened.description


def read_shapes(path: Path | str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors whose names start with `prefix`, by the rest of the name, without reading tensors.

    Raises:
        InputError: as `load_tensors`.
    """
    with _opened(Path(path)) as opened:
        names = [name for name in opened.sums if name.startswith(prefix)]
        return {name.removeprefix(prefix): tuple(opened.file.get_slice(name).get_shape()) for name in names}


def require_same_shapes(path: Path | str, prefix: str, build: Callable[[], nn.Module]) -> None:
    """Checks that a file has the weights of a network, before the network is built or a tensor is read.

    Args:
        path: the file.
        prefix: start of the names of the weights in the file.
        build: returns the network; called on the meta device, where tensors take no memory.

    Raises:
        InputError: a weight is missing, unexpected, or of another shape.
    """
    found = read_shapes(path, prefix)
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    different = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if different:
        name = different[0]
        there, asked = (_size(shapes.get(name)) for shapes in (found, wanted))
        raise InputError(
            f"{path}: its weights do not fit its configuration ({prefix}{name} is {there} in the file, "
            f"{asked} by the configuration; weights that differ: {len(different)}); use another copy"
        )


def _size(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " × ".join(map(str, shape)) or "one number"


@dataclass(frozen=True)
class _Opened:
    """A file whose description is what was written, and its tensors' checksums by name."""

    file: Any
    description: dict[str, Any]
    sums: dict[str, str]


@contextmanager
def _opened(path: Path) -> Iterator[_Opened]:
    """Opens a file; reads no tensor, so that nothing takes more memory than its head. The reader checks all sizes."""
    try:
        open_file(path).close()  # It must be a regular file: the library would wait for a pipe.
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "description" not in metadata:
                raise InputError(f"{path}: was not written by get3d, it has no description; convert it first")
            described = parse_json(metadata["description"], f"{path}: its description")
            description = dict(require_format(described, path, "train, release or convert it again"))
            del description["format"]
            text = metadata.get("checksums", "")
            if metadata.get("checksum") != checksum({}, metadata["description"] + text):
                raise InputError(f"{path}: is damaged, the checksum of its head does not match; use another copy")
            sums = parse_json(text, f"{path}: its checksums")
            if not isinstance(sums, dict) or not all(isinstance(text, str) for text in sums.values()):
                raise InputError(f"{path}: is damaged, its checksums are no table of texts; use another copy")
            if sums.keys() != set(file.keys()):
                raise InputError(f"{path}: is damaged, it has other tensors than checksums; use another copy")
            yield _Opened(file, description, sums)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: is truncated or not a safetensors file ({why}); use another copy") from error


def checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """A fingerprint of tensors on the CPU (with names, types and shapes) and of a text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with `prefix` added to their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, with `prefix` removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def describe(config: Any) -> dict[str, Any]:
    """A configuration (a dataclass of dataclasses) as a JSON value."""
    described: dict[str, Any] = json.loads(json.dumps(_converter.unstructure(config)))
    return described


def restore(kind: type[Config], value: Any, source: Path | str) -> Config:
    """The configuration from a value of `describe`; missing fields have their defaults.

    Raises:
        InputError: `value`, read from `source`, is no table, has an unknown field, or a value of the wrong type or out
            of its range.
    """
    if not isinstance(value, dict):
        raise InputError(f"{source}: its {kind.__name__} is no table but a {type(value).__name__}; use another copy")
    try:
        restored = _converter.structure(value, kind)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        names = ", ".join(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
        raise InputError(f"{source}: is not a {kind.__name__} ({problems}); its fields are {names}") from error
    require_ranges(restored, where=source)
    return restored
