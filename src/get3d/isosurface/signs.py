"""Finding what the surfaces of many shapes cross on one fixed grid, with one look-up for eight shapes.

The signs of eight shapes share one byte, so that a pass over all edges or cells of the grid costs as much for eight
shapes as for one, touches no floats, and gives its findings ordered by shape without sorting.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

__all__ = ["Found", "find", "look_up", "offsets", "pack"]

_BITS = 8


@dataclass(frozen=True)
class Found:
    """Where a batch of masks over one grid is set, ordered by shape, then by element.

    Attributes:
        shape: [K] number of the shape.
        element: [K] number of the vertex, edge or cell of the grid.
    """

    shape: Int[Tensor, " k"]
    element: Int[Tensor, " k"]


def pack(masks: Bool[Tensor, "b n"]) -> UInt8[Tensor, "words n"]:
    """Packs the masks of B shapes into bits: shape b is bit b // words of word b % words."""
    shapes, count = masks.shape
    words = -(-shapes // _BITS)
    padded = torch.nn.functional.pad(masks, (0, 0, 0, words * _BITS - shapes))
    bits = torch.arange(_BITS, dtype=torch.uint8, device=masks.device)
    layers = padded.view(_BITS, words, count).to(torch.uint8) << bits[:, None, None]
    return layers.sum(0, dtype=torch.uint8)


def look_up(packed: UInt8[Tensor, "words n"], element: Int[Tensor, " k"]) -> UInt8[Tensor, "words k"]:
    """The packed bits of the given elements."""
    # Whole words one after the other: looking up rows of several bytes is ten times slower on a CPU.
    return torch.stack([word.index_select(0, element) for word in packed])


def find(packed: UInt8[Tensor, "words n"]) -> Found:
    """Lists the set bits of packed masks."""
    bits = torch.arange(_BITS, dtype=torch.uint8, device=packed.device)
    if packed.device.type != "cpu":
        # All bits at once: a GPU reads them faster than its host learns how many words are not zero.
        bit, word, element = ((packed >> bits[:, None, None]) & 1).nonzero().t().contiguous()
        return Found(bit * packed.shape[0] + word, element)
    # What `nonzero` gives are columns of one tensor; contiguous ones are several times quicker to look up with.
    word, element = packed.nonzero().t().contiguous()
    values = packed.flatten().index_select(0, word * packed.shape[1] + element)
    # Bit-major over (word, element) is shape-major, because shape b is bit b // words of word b % words.
    bit, place = ((values >> bits[:, None]) & 1).nonzero().t().contiguous()
    return Found(bit * packed.shape[0] + word.index_select(0, place), element.index_select(0, place))


def offsets(shape: Int[Tensor, " k"], shapes: int) -> Int[Tensor, " b1"]:
    """Where each shape's part of an ascending list of shape numbers starts, and where the last one ends."""
    return torch.searchsorted(shape, torch.arange(shapes + 1, device=shape.device))
