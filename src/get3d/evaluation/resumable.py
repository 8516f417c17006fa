"""Long computations in blocks that are stored as soon as they are done, so that they can be resumed."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from get3d.arrays import read_npz
from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.files import writing

__all__ = ["Arrays", "digest", "in_blocks", "read_arrays", "write_arrays"]

Arrays = dict[str, np.ndarray]

_KEY = "key"


def digest(*parts: Any) -> str:
    """A hash of values: tensors and arrays by their bytes, everything else as JSON."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().contiguous().numpy()
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(json.dumps(part, sort_keys=True).encode())
    return found.hexdigest()


def write_arrays(path: Path, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to an .npz file with a key of their inputs.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **{_KEY: np.array(key), **arrays})


def read_arrays(path: Path, key: str) -> Arrays | None:
    """The arrays of a file; None if it is missing, damaged or has another key, so that they must be computed again."""
    try:
        stored = read_npz(path)
    except (OSError, ValueError):
        return None
    return None if str(stored.pop(_KEY, "")) != key else stored


def in_blocks(
    path: Path,
    key: str,
    count: int,
    size: int,
    compute: Callable[[int, int], Arrays],
    finish: Callable[[Arrays], Arrays] = lambda whole: whole,
    ranks: Ranks = SINGLE_PROCESS,
) -> Arrays:
    """Computes `count` rows of arrays, `size` at a time, and stores them in an .npz file.

    Finished blocks are kept in a folder next to the file until all are finished. Blocks with the same key from another
    run are not computed again. If the file exists, nothing is computed.

    Args:
        path: the file for all rows.
        key: a digest of everything that the rows depend on.
        count: number of rows; at least one.
        size: number of rows in a block.
        compute: returns the rows from `start` up to `stop`, by name.
        finish: applied to all rows together before they are stored.
        ranks: processes that divide the blocks; all get the rows, and the first one stores them.

    Raises:
        InputError: a file cannot be written.
    """
    there = ranks.from_first(lambda: read_arrays(path, key))
    if there is not None:
        return there
    folder = path.with_suffix(".blocks")

    def block(start: int) -> Arrays:
        block_path = folder / f"{start:08d}-{size}.npz"
        found = read_arrays(block_path, key)
        if found is None:
            found = compute(start, min(start + size, count))
            write_arrays(block_path, key, found)
        return found

    blocks = ranks.each(range(0, count, size), block)

    def together() -> Arrays:
        whole = finish({name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})
        write_arrays(path, key, whole)
        shutil.rmtree(folder)
        return whole

    return ranks.from_first(together)
