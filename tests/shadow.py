"""A second device that is none: its tensors say "shadow", their data lie on the CPU, and it is as strict as a GPU.

An operation on tensors of both devices, a generator of the other device and `.numpy()` raise, as on CUDA; scalars (0
axes), copies and index tensors on the CPU are let through, as there. Operations and synchronisations of the host are
counted by the line of get3d that asks for them. `install` changes PyTorch for the whole process, so it needs one of its
own; see second_device.py.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["SHADOW", "Counts", "Shadow", "counting", "install"]

SHADOW = torch.device("cpu")
"""The device, once it is installed."""

_COPIES = {"aten::_to_copy", "aten::copy_", "aten::_copy_from"}
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
_HALF = ("conv2d", "conv_transpose2d.input", "linear", "matmul", "bmm", "baddbmm", "addmm", "mm")
"""What autocast runs in half precision on a GPU, as far as it occurs here."""

_GROWN = ("arange", "arange.start", "arange.start_step", "eye", "eye.m")
"""Factories that PyTorch would make by growing an empty tensor, which a tensor of this device cannot."""

_READ_BACK = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::is_nonzero",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::histc",
    "aten::allclose",
}
"""Operations whose result, or its size, the host waits for."""


@dataclass
class Counts:
    """What was asked of the device, by the line of get3d that asked ("backward" for what autograd runs by itself).

    Attributes:
        operations: dispatched to the device, views included.
        synchronisations: the host waited for the device: a size or a number read back, or memory copied between them.
    """

    operations: Counter[str] = field(default_factory=Counter)
    synchronisations: Counter[str] = field(default_factory=Counter)


_counts: list[Counts] = []


@contextmanager
def counting() -> Iterator[Counts]:
    """Counts what is asked while it is entered."""
    counts = Counts()
    _counts.append(counts)
    try:
        yield counts
    finally:
        _counts.remove(counts)


def _is_shadow(device: Any) -> bool:
    return device is not None and torch.device(device).type == "shadow"


class Shadow(Tensor):
    """A tensor of the device; `raw` holds its data."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Shadow":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=SHADOW,
        )
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"Shadow{tuple(self.shape)}"

    def numpy(self, *arguments: Any, **options: Any) -> Any:
        """Refused, as by CUDA."""
        raise TypeError("can't convert a shadow tensor to numpy; copy it with Tensor.cpu() first")

    __array__ = numpy

    def tolist(self) -> Any:
        """Waits for the device."""
        _note("aten::_local_scalar_dense", synchronises=True)
        return self.raw.tolist()


class _ShadowGenerator(torch.Generator):
    """A CPU generator that is said to be the device's."""

    device = property(lambda self: SHADOW)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Runs an operation on the data, and says where its result is."""
    name = func._schema.name
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    shadows = [tensor for tensor in leaves if isinstance(tensor, Shadow)]
    _check(name, args, kwargs, leaves, shadows)
    there = _is_shadow(kwargs["device"]) if kwargs.get("device") is not None else bool(shadows)
    if name != "aten::copy_" or isinstance(args[0], Shadow):
        _note(name, synchronises=_synchronises(name, args, kwargs, shadows, there=there))
    elif shadows:
        _note(name, synchronises=not (len(args) > 2 and args[2]))
    options = kwargs | ({"device": torch.device("cpu")} if there and "device" in kwargs else {})
    if options.get("pin_memory"):
        options["pin_memory"] = False
    plain_args, plain_options = tree_map(lambda leaf: leaf.raw if isinstance(leaf, Shadow) else leaf, (args, options))
    with torch.no_grad():
        result = func(*plain_args, **plain_options)
    known = {id(tensor.raw): tensor for tensor in shadows} | {id(tensor): tensor for tensor in leaves}

    def wrapped(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in known:
            return Shadow(leaf) if there else leaf
        if known[id(leaf)].shape != leaf.shape:
            raise NotImplementedError(f"{name}: this device cannot change the size of a tensor in place")
        return known[id(leaf)]

    return tree_map(wrapped, result)


def _check(name: str, args: Any, kwargs: dict[str, Any], leaves: list[Tensor], shadows: list[Shadow]) -> None:
    """Raises where CUDA does."""
    elsewhere = [tensor for tensor in leaves if not isinstance(tensor, Shadow) and tensor.ndim > 0]
    if shadows and elsewhere and name not in _COPIES:
        if name not in _INDEXED or not isinstance(args[0], Shadow):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found shadow and cpu")
        if name != "aten::index" and not isinstance(args[2], Shadow) and args[2].ndim > 0:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found shadow and cpu")
    generator = kwargs.get("generator")
    if generator is not None:
        wanted = bool(shadows) or _is_shadow(kwargs.get("device"))
        if wanted != isinstance(generator, _ShadowGenerator):
            raise RuntimeError(f"{name}: expected a generator of the tensor's device")


def _synchronises(name: str, args: Any, kwargs: dict[str, Any], shadows: list[Shadow], *, there: bool) -> bool:
    if not shadows and not there:
        return False
    if name in _READ_BACK:
        return True
    if name == "aten::repeat_interleave":
        return kwargs.get("output_size") is None
    if name in _INDEXED:
        return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if name == "aten::_to_copy":
        return not kwargs.get("non_blocking") and there != bool(shadows)
    if name == "aten::copy_":
        return not isinstance(args[1], Shadow) and args[1].ndim > 0 and not (len(args) > 2 and args[2])
    return False


def _note(name: str, *, synchronises: bool) -> None:
    if not _counts:
        return
    frame: Any = sys._getframe()
    while frame is not None and "/get3d/" not in frame.f_code.co_filename:
        frame = frame.f_back
    where = "backward"
    if frame is not None:
        where = f"{frame.f_code.co_filename.rpartition('/get3d/')[2]}:{frame.f_lineno}"
    for counts in _counts:
        counts.operations[where] += 1
        if synchronises:
            counts.synchronisations[f"{where} {name.removeprefix('aten::')}"] += 1


class _Backend(backend_registration._DummyBackendModule):
    """What PyTorch asks a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass


def install() -> None:
    """Gives this process the device, once."""
    global SHADOW
    backend_registration._setup_privateuseone_for_python_backend("shadow", backend_module=_Backend())
    SHADOW = torch.device("shadow:0")
    _library.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
    _library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in _HALF:
        _lowered.impl(name, _in_half(getattr(torch.ops.aten, name.partition(".")[0])), "AutocastPrivateUse1")
    for name in _GROWN:
        packet, _, overload = name.partition(".")
        _lowered.impl(name, _there(getattr(getattr(torch.ops.aten, packet), overload or "default")), "PrivateUse1")
    _patch_constructors()
    _patch_generators()


_library = torch.library.Library("_", "IMPL")
_lowered = torch.library.Library("aten", "IMPL")


def _there(operation: Any) -> Callable[..., Any]:
    """An operation as the device runs it."""
    return lambda *args, **kwargs: _run(operation, args, kwargs)


def _in_half(operation: Any) -> Callable[..., Tensor]:
    """An operation as autocast runs it: in the lower precision."""

    def run(*args: Any, **kwargs: Any) -> Tensor:
        dtype = torch.get_autocast_dtype("shadow")

        def cast(leaf: Any) -> Any:
            return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.dtype == torch.float32 else leaf

        with torch.autocast("shadow", enabled=False):
            return operation(*tree_map(cast, args), **tree_map(cast, kwargs))

    return run


def _patch_constructors() -> None:
    """Those that PyTorch fills on the CPU by itself: they are made there, and copied."""
    tensor, as_tensor = torch.tensor, torch.as_tensor

    def made(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any) -> Tensor:
        result = tensor(data, dtype=dtype)
        result = result if device is None else result.to(device)
        return result.requires_grad_(requires_grad) if requires_grad else result

    def taken(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
        result = as_tensor(data, dtype=dtype)
        return result if device is None else result.to(device)

    def new(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
        return made(data, dtype=dtype or self.dtype, device=device or self.device, **options)

    torch.tensor, torch.as_tensor, Tensor.new_tensor = made, taken, new


def _patch_generators() -> None:
    """`torch.Generator("shadow")`, and the factories that take one."""
    plain = torch.Generator

    class Kind(type):
        def __call__(cls, device: Any = "cpu") -> torch.Generator:
            return _ShadowGenerator() if _is_shadow(device) else plain(device)

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, plain)

    class Generator(metaclass=Kind):
        pass

    torch.Generator = Generator
    for name in ("randn", "rand", "randint", "randperm"):
        setattr(torch, name, _factory(getattr(torch, name)))


def _factory(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(*args: Any, device: Any = None, generator: Any = None, **options: Any) -> Tensor:
        if generator is not None and _is_shadow(device) != isinstance(generator, _ShadowGenerator):
            raise RuntimeError(f"{function.__name__}: expected a generator of the tensor's device")
        if not _is_shadow(device):
            return function(*args, device=device, generator=generator, **options)
        return function(*args, generator=generator, **options).to(device)

    return made
