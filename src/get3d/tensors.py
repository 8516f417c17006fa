"""Base class of all dataclasses of tensors: `len`, `[]` and `.to`."""

import functools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["TensorDataclass", "constant_on"]

T = TypeVar("T", bound="TensorDataclass")


@functools.cache
@torch.inference_mode(False)
def constant_on(constant: Tensor, device: torch.device) -> Tensor:
    """A constant of a module on a device, copied once: a GPU's host waits for each copy."""
    return constant.to(device)


class TensorDataclass:
    """A frozen dataclass of tensors with the same first axis of length n; fields may also be None.

    `len` is n. `[]` takes an index, a slice, indices, or a mask, and always keeps the batch axis: `cameras[2]` is a
    batch of one camera.
    """

    def __len__(self) -> int:
        return len(next(iter(self._tensors().values())))

    def __getitem__(self: T, index: int | slice | Sequence[int] | Tensor) -> T:
        if isinstance(index, Tensor) and index.ndim == 0:
            index = int(index)
        if isinstance(index, int):
            # Also what ends a loop over the batch.
            if not -len(self) <= index < len(self):
                raise IndexError(f"number {index} of a batch of {len(self)}")
            index = slice(index % len(self), index % len(self) + 1)
        elif not isinstance(index, slice | Tensor):
            index = torch.tensor(index, dtype=torch.long, device=self.device)
        return self._chosen(index)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return next(iter(self._tensors().values())).device

    def to(self: T, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> T:
        """Moves the tensors to another device, to another floating-point type, or both; integers keep their type."""
        moved = {
            name: tensor.to(device or tensor.device, dtype if tensor.is_floating_point() else None)
            for name, tensor in self._tensors().items()
        }
        return replace(self, **moved)  # type: ignore[type-var]

    def _chosen(self: T, index: slice | Tensor) -> T:
        return replace(self, **{name: tensor[index] for name, tensor in self._tensors().items()})  # type: ignore[type-var]

    def _tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}
